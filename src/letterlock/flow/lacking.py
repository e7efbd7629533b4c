"""A message for which something is still being fetched waits a little, and is then decided on with what has come.

Guarantees
    All waits of a message together are at most ten seconds: their number is that of its attempts. One that was held
    before does not wait. Nothing is kept of this: the attempt after the last wait decides.

See also
    ``decision/facts.py`` (what is lacking), ``pki/wanted.py`` (noted for whom), ``fetch/`` (who fetches).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from letterlock.decision.known import Facts
from letterlock.flow.work import ClaimedMessage
from letterlock.queue.advance import Advanced

WAITS: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 3.25)
"""Seconds after the first, second ... attempt: ten in all (design 7)."""
REASON: Final = "waits for what is fetched"


def wait(row: ClaimedMessage, facts: Facts) -> Advanced | None:
    """The message put off, when something may still come in time; None: decide now."""
    if not facts.open or row.state == "held" or not 1 <= row.attempts <= len(WAITS):
        return None
    due_at = datetime.now(UTC) + timedelta(seconds=WAITS[row.attempts - 1])
    return Advanced(row.id, "received", due_at, REASON)
