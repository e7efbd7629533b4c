"""Who may open what now: leases checked in the database, and remembered for a moment.

Guarantees
    A message key is given only for an id that the database says the asking role has leased at this moment. A use of a
    private key is for a message that was so leased at most REMEMBERED_FOR ago, and only for an address that stands in
    that message's sealed envelope, opened here: the row's own columns are not believed.

Raises
    LetterlockError when the database does not answer.

See also
    ``sessions.py`` (unwraps), ``private_keys.py`` (asks for the envelopes), ``queue/message.py`` (what is sealed).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

import msgspec

from letterlock.errors import LetterlockError
from letterlock.keyholder.records import Leased, Records
from letterlock.keyholder.sessions import Sessions
from letterlock.mail.envelope import Envelope, decode
from letterlock.vault import frames
from letterlock.vault.errors import ContentRefused
from letterlock.vault.keys import Part
from letterlock.vault.opening import message_key
from letterlock.vault.sealing import Clock

REMEMBERED_FOR = 30.0
"""Seconds a lease that was checked is taken to hold; as long as the shortest lease."""

_KEPT_LEASES = 4096
_log = logging.getLogger("letterlock.keyholder.leases")


class _Held(msgspec.Struct):
    """A lease that was found good at ``at``, and what is needed to open its envelope."""

    at: float
    row: Leased
    key: frames.OneKey
    envelope: Envelope | None = None


class Leases:
    """Leases of all roles."""

    def __init__(self, records: Records, sessions: Sessions, clock: Clock) -> None:
        self._records = records
        self._sessions = sessions
        self._clock = clock
        self._held: OrderedDict[tuple[str, bytes, bytes], _Held] = OrderedDict()

    async def keys(self, role: str, lease: bytes, ids: Sequence[UUID]) -> list[frames.OneKey]:
        """The message keys of those of ``ids`` that ``role`` holds under ``lease`` and that still open."""
        rows = await self._records.check_leases(role, UUID(bytes=lease), ids)
        asked = set(ids)
        now = self._clock()
        keys = []
        for row in rows:
            if row.id not in asked:
                continue
            try:
                key = self._sessions.unwrap(row)
            except ContentRefused as error:
                _log.warning(
                    "a leased content does not open: %s",
                    error.detail,
                    extra={"event": "keyholder.refused", "id": row.id},
                )
                continue
            keys.append(key)
            self._held[role, lease, row.id.bytes] = _Held(now, row, key)
        while len(self._held) > _KEPT_LEASES:
            self._held.popitem(last=False)
        return keys

    async def envelopes(
        self, role: str, wanted: Sequence[tuple[bytes, bytes]]
    ) -> dict[tuple[bytes, bytes], Envelope | LetterlockError]:
        """For each (lease, content) that ``role`` holds: its envelope, opened, or why it is not known.

        Those not remembered are asked for first, in one call for each lease. What is not leased is missing.
        """
        missing: dict[bytes, list[UUID]] = {}
        for lease, content in wanted:
            if self._remembered(role, lease, content) is None:
                missing.setdefault(lease, []).append(UUID(bytes=content))
        failed: dict[bytes, LetterlockError] = {}
        for lease, ids in missing.items():
            try:
                await self.keys(role, lease, ids)
            except LetterlockError as error:
                failed[lease] = error
        found: dict[tuple[bytes, bytes], Envelope | LetterlockError] = {}
        for lease, content in wanted:
            held = self._remembered(role, lease, content)
            if held is not None:
                found[lease, content] = _open_envelope(held)
            elif lease in failed:
                found[lease, content] = failed[lease]
        return found

    def _remembered(self, role: str, lease: bytes, content: bytes) -> _Held | None:
        held = self._held.get((role, lease, content))
        if held is None or abs(self._clock() - held.at) > REMEMBERED_FOR:
            return None
        return held

    def forget(self) -> None:
        """Drop what is remembered: an epoch has ended."""
        self._held.clear()


def _open_envelope(held: _Held) -> Envelope | LetterlockError:
    if held.envelope is None:
        row = held.row
        try:
            opener = message_key(held.key, row.id)
            opener.check(row.id, row.commitment)
            held.envelope = decode(opener.open_part(Part.ENVELOPE, row.envelope))
        except LetterlockError as error:
            return error
        except msgspec.DecodeError:
            return ContentRefused(detail=f"what is sealed beside {row.id} is no envelope")
    return held.envelope
