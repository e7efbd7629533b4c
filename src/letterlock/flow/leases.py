"""The leases of one flow process: taken with each claim, kept while anything under them is worked on or in delivery's hand.

Guarantees
    ``free`` makes due what this worker has leased and knows nothing of: its predecessor's, or a claim whose answer was
    lost. It frees nothing that is worked on, and never runs beside a claim: what is handed over has no other fence.

Raises
    DatabaseUnavailable.

See also
    ``worker.py`` and ``hand.py``, which hold and let go.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from letterlock.database.connect import Gate
from letterlock.flow.work import ClaimedMessage
from letterlock.queue import calls

LEASE_FOR = timedelta(minutes=30)  # longer than any session of a message handed over (RFC 5321 4.5.3.2 adds up to less)


class Leases:
    """What one worker has leased. ``elsewhere``: leases of a predecessor that delivery still works on."""

    def __init__(self, gate: Gate, worker: UUID) -> None:
        self.elsewhere: set[UUID] = set()
        self._gate = gate
        self._worker = worker
        self._held: Counter[UUID] = Counter()
        self._lock = asyncio.Lock()
        self._unknown = True  # there may be leases of ours that we do not know of
        self._died = True  # and they are of a predecessor, which may have died of one of them

    async def claim(self, most: int, octets: int) -> Sequence[ClaimedMessage]:
        """The next batch, its lease held once; empty when nothing is due."""
        async with self._lock:
            await self._free_unknown()
            self._unknown = True  # the claim may be made, and only its answer be lost
            rows = await calls.claim_messages(
                self._gate, max=most, octets=octets, lease_for=LEASE_FOR, worker=self._worker
            )
            self._unknown = False
            if rows:
                self.hold(rows[0].lease)
            return rows

    def hold(self, lease: UUID) -> None:
        """One more thing is done under it."""
        self._held[lease] += 1

    def let_go(self, lease: UUID) -> None:
        """One thing less."""
        self._held[lease] -= 1
        if not self._held[lease]:
            del self._held[lease]

    async def free(self) -> None:
        """What is leased and not held is due; when this fails, before the next claim."""
        async with self._lock:
            self._unknown = True
            await self._free_unknown()

    async def _free_unknown(self) -> None:
        if self._unknown:
            kept = [*self._held, *self.elsewhere]
            await calls.free_leases(self._gate, worker=self._worker, kept=kept, died=self._died)
            self._unknown = self._died = False
