"""Removes segment files that no row names: what a crash between writing and committing leaves.

Guarantees
    Only a file that has not been touched for ORPHAN_AFTER is looked at: a message being received may take an hour at
    most, and its row comes last. Only a file whose id the database does not know is unlinked.

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


async def sweep(gate: Gate, store: SegmentStore, *, now: float) -> int:
    """Unlink orphans; how many. ``now``: seconds since the Unix epoch."""
    old = [content for content, written_at in store.ids() if now - written_at > ORPHAN_AFTER]
    removed = 0
    for begin in range(0, len(old), BATCH):
        for content in await _unknown(gate, old[begin : begin + BATCH]):
            store.remove(content)
            removed += 1
    if removed:
        _log.info("orphans removed", extra={"event": "housekeeping.swept", "files": removed})
    return removed


async def _unknown(gate: Gate, contents: list[UUID]) -> list[UUID]:
    return list(await calls.unknown_contents(gate, ids=contents))
