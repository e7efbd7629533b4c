"""Carries enrolments at ACME servers on, beside the timetable: an answer shall not wait for the next full minute.

Guarantees
    Nothing is looked at more often than LOOK_EVERY, and not more often than IDLE when nothing has gone on for a while.
    What fails is tried again; it stops nothing else.

See also
    ``pki/acme/drive.py`` (one step), ``fetch/acme.py`` (who talks).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from letterlock.errors import LetterlockError
from letterlock.pki.acme import drive
from letterlock.pki.ca.issue import Office

LOOK_EVERY = 0.3  # seconds
IDLE = 5.0  # seconds
BRISK = 100
"""Looks without anything to do after which it is quiet: half a minute, longer than an exchange takes."""

_log = logging.getLogger("letterlock.housekeeping")


def _now() -> datetime:
    return datetime.now(UTC)


async def carry_on(office: Office, stopping: asyncio.Event, clock: Callable[[], datetime] = _now) -> None:
    """Until ``stopping`` is set."""
    idle = BRISK
    while not stopping.is_set():
        try:
            idle = 0 if await drive.work(office, clock()) else idle + 1
        except LetterlockError as fault:
            idle = BRISK
            _log.warning("job failed", extra={"event": "housekeeping.failed", "job": "acme", "why": str(fault)})
        except Exception:
            idle = BRISK
            _log.exception("carrying enrolments on failed: internal fault")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_EVERY if idle < BRISK else IDLE)
