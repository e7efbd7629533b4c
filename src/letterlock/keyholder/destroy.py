"""When an epoch's key is destroyed, and when the clocks are not trusted to say so.

States
    ========  =====================================================================================================
    looking   each look compares the clocks, remembers the time, and destroys what is over
    stopped   something was wrong with the time: nothing is destroyed, health says so, until ``confirm``
    ========  =====================================================================================================

Guarantees
    Destroyed is only what is over by this machine's clock and by the database's, while both agree within 5 minutes and
    the time moved less than 2 days, forwards or backwards, since the last look (remembered over restarts). A queue
    epoch on which queued rows hang is never destroyed: it is an alarm. So a clock that jumps costs nobody mail.

Order
    ``look`` once before serving and each minute after; ``confirm`` by an administrator (letterlock keys confirm-time).

Raises
    LetterlockError when the database does not answer; nothing is destroyed then.

See also
    ``epochs.py`` (does it), ``files.py`` (what destroying a file is, and what it is not).
"""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import UUID

import msgspec

from letterlock.keyholder import files
from letterlock.keyholder.epochs import Epochs, day_at
from letterlock.keyholder.errors import ClocksDisagree
from letterlock.keyholder.records import Records
from letterlock.vault.sealing import Clock

AGREE_WITHIN = 300.0
"""Seconds by which the two clocks may differ."""

MOVE_BELOW = 2 * 86_400.0
"""Seconds the time may move between two looks."""

LOOK_EVERY = 60.0

_log = logging.getLogger("letterlock.keyholder.destroy")


class Looked(msgspec.Struct, frozen=True):
    """What is remembered: when it was looked last (seconds since the Unix epoch), and why it stopped, if it did."""

    at: float
    stopped: str = ""


class Destroyer:
    """Ends epochs in their time. ``overdue``: epochs that are over but still needed by queued mail."""

    def __init__(self, epochs: Epochs, records: Records, clock: Clock, remembered: Path) -> None:
        """``remembered``: the file that keeps Looked."""
        self._epochs = epochs
        self._records = records
        self._clock = clock
        self._path = remembered
        self.overdue: set[UUID] = set()
        self.looked = self._read()

    async def look(self) -> bool:
        """Look at the clocks and destroy what is over; False when it is stopped."""
        now = self._clock()
        doubt = self.looked.stopped if self.looked else ""
        doubt = doubt or self._doubt(now, await self._records.clock())
        if doubt:
            self._stop(doubt, now)
            return False
        self._remember(Looked(now))
        over = await self._records.epochs_over(day_at(now))
        await self._epochs.destroy([row.id for row in over if not row.queued])
        waiting = [row for row in over if row.queued]
        for row in waiting:
            if row.id not in self.overdue:
                _log.error(
                    "mail is still queued after the day of its epoch; its key is kept",
                    extra={"event": "keyholder.epoch-overdue", "epoch": row.id, "rows": row.queued},
                )
        self.overdue = {row.id for row in waiting}
        return True

    async def confirm(self) -> None:
        """An administrator says the time is right. Raises ClocksDisagree when the two clocks still differ."""
        now, database = self._clock(), await self._records.clock()
        if abs(now - database) > AGREE_WITHIN:
            raise ClocksDisagree(detail=f"by {now - database:.0f} s")
        self._remember(Looked(now))
        _log.info("the time was confirmed", extra={"event": "keyholder.time-confirmed"})

    def _doubt(self, now: float, database: float) -> str:
        if abs(now - database) > AGREE_WITHIN:
            return f"the clocks of keyholder and database differ by {abs(now - database):.0f} s"
        if self.looked is None:
            # A ring without a single epoch is new, so there is nothing to lose; otherwise somebody took the file away.
            return "it is not known when it was looked last" if self._epochs.ring.epochs else ""
        moved = now - self.looked.at
        if abs(moved) >= MOVE_BELOW:
            return f"the time moved by {moved / 86_400:+.1f} days since the last look"
        return ""

    def _stop(self, why: str, now: float) -> None:
        if self.looked is None or not self.looked.stopped:
            self._remember(Looked(self.looked.at if self.looked else now, why))
            _log.error(
                "no key is destroyed until “letterlock keys confirm-time”: %s",
                why,
                extra={"event": "keyholder.stopped", "why": why},
            )

    def _read(self) -> Looked | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Looked)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            return Looked(0.0, f"the file that says when it was looked last cannot be read ({type(error).__name__})")

    def _remember(self, looked: Looked) -> None:
        files.write_whole(self._path, msgspec.json.encode(looked))
        self.looked = looked
