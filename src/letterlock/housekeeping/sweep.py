"""Removes segment files that no row names: what a crash between writing and committing leaves.

Guarantees
    Only a file that has not been touched for ORPHAN_AFTER is looked at: a message being received may take an hour at
    most, and its row comes last. Only a file whose id the database does not know, now and for ORPHAN_AFTER of this
    process's own time, is unlinked. So neither a clock that is set forward, nor a machine that slept while a message was
    received, nor a wrong database named by mistake and put right within that time, costs an accepted message.

See also
    ``vault/segments.py``; ``database/sql/functions/vault/unknown_contents.sql``.
"""

from __future__ import annotations

import logging
from uuid import UUID

from letterlock.database.connect import Gate
from letterlock.vault import calls
from letterlock.vault.segments import SegmentStore

ORPHAN_AFTER = 2 * 3600.0
"""Seconds since the last write after which a file without a row is an orphan."""

BATCH = 500

_log = logging.getLogger("letterlock.housekeeping")


class Sweeper:
    """Remembers since when it has seen each file without a row; one per process."""

    def __init__(self, gate: Gate, store: SegmentStore) -> None:
        self._gate = gate
        self._store = store
        self._since: dict[UUID, float] = {}

    async def sweep(self, *, now: float, ran_for: float) -> int:
        """Unlink orphans; how many. ``now``: seconds since the Unix epoch; ``ran_for``: of a clock that nobody sets and
        that stands still while the machine sleeps (CLOCK_MONOTONIC)."""
        old = [content for content, written_at in self._store.ids() if now - written_at > ORPHAN_AFTER]
        since: dict[UUID, float] = {}
        removed = 0
        for begin in range(0, len(old), BATCH):
            for content in await _unknown(self._gate, old[begin : begin + BATCH]):
                first = self._since.get(content, ran_for)
                if ran_for - first < ORPHAN_AFTER:
                    since[content] = first
                    continue
                self._store.remove(content)
                removed += 1
        self._since = since  # a file that the database knows again begins anew
        if removed:
            _log.info("orphans removed", extra={"event": "housekeeping.swept", "files": removed})
        return removed


async def _unknown(gate: Gate, contents: list[UUID]) -> list[UUID]:
    return list(await calls.unknown_contents(gate, ids=contents))
