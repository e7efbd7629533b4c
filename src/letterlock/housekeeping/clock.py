"""Runs each job at its time, one after the other.

Order
    At the start every job runs once, then the station is ready; afterwards each runs again when its time has passed.
    A job that fails is logged and tried again a minute later; it stops no other job and not the station.

Guarantees
    Every job may be run at any time and any number of times, by several gateways on one database too: each is one
    database function that does what is due and nothing else, or an unlink of files that no row names. The authority's
    job does several, and each of them once: a list has a number, a request a state (pki/ca/pending.py). Mail of its own
    enters the queue under an id that says what it tells (tell_exports.py).

See also
    ``sweep.py``, ``enrol.py`` (beside the timetable); the functions audit.make_partitions, accounts.expire, queue.tidy,
    pki.tidy, vault.unknown_contents.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from letterlock.accounts import calls as accounts
from letterlock.audit import calls as audit
from letterlock.config.start import Start
from letterlock.database.connect import connect
from letterlock.errors import LetterlockError
from letterlock.housekeeping import enrol
from letterlock.housekeeping.sweep import Sweeper
from letterlock.housekeeping.tell_exports import tell
from letterlock.pki import calls as pki
from letterlock.pki.ca import pending
from letterlock.pki.ca.issue import Office
from letterlock.queue import calls as queue
from letterlock.vault.opening import KeyholderClient
from letterlock.vault.segments import FileSegmentStore

AGAIN_AFTER = 60.0
"""Seconds after which a failed job is tried again."""

LONGEST_SLEEP = 30.0

KEY_SOCKET = "key.sock"

PATIENCE = timedelta(minutes=1)
"""For which a person's request is left to the command that made it."""

PARTITIONS_AHEAD = 7
"""Days for which there is a partition already."""

_log = logging.getLogger("letterlock.housekeeping")

Clock = Callable[[], float]
"""Seconds that only grow: time.monotonic."""


@dataclass
class Job:
    """One thing to do each ``every`` seconds."""

    name: str
    every: float
    do: Callable[[], Awaitable[object]]
    due_at: float = field(default=0.0)


class Timetable:
    """The jobs and when each is due. ``clock`` is handed in so that a test need not wait."""

    def __init__(self, jobs: Sequence[Job], clock: Clock = time.monotonic) -> None:
        self._jobs = list(jobs)
        self._clock = clock
        for job in self._jobs:
            job.due_at = clock()

    async def run_due(self) -> float:
        """Do what is due; the seconds until the next job is."""
        for job in sorted(self._jobs, key=lambda job: job.due_at):
            if job.due_at > self._clock():
                continue
            wait = job.every
            try:
                await job.do()
            except (LetterlockError, OSError) as fault:  # OSError: of the segments' disk
                wait = min(AGAIN_AFTER, job.every)
                _log.warning("job failed", extra={"event": "housekeeping.failed", "job": job.name, "why": str(fault)})
            job.due_at = self._clock() + wait
        return max(0.0, min(job.due_at for job in self._jobs) - self._clock())


async def run(start: Start) -> None:
    """The station."""
    gate = await connect(start.database)
    keyholder = KeyholderClient(start.run / KEY_SOCKET, start.key_token)
    office = Office(gate, keyholder)
    sweeper = Sweeper(gate, FileSegmentStore(start.state / "segments"))
    try:
        timetable = Timetable(
            (
                Job("partitions", 3600, lambda: audit.make_partitions(gate, days=PARTITIONS_AHEAD)),
                Job("accounts", 60, lambda: accounts.expire(gate)),
                Job("queue", 60, lambda: queue.tidy(gate)),
                Job("pki", 3600, lambda: pki.tidy(gate)),
                Job("sweep", 1800, lambda: sweeper.sweep(now=time.time(), ran_for=time.monotonic())),
                Job("exports", 10, lambda: tell(gate, keyholder, time.time())),
                Job("requests", 5, lambda: pending.carry_out_due(office, datetime.now(UTC), PATIENCE)),
                Job("authority", 30, lambda: pending.work(office, datetime.now(UTC), PATIENCE)),
            )
        )
        wait = await timetable.run_due()
        start.ready()
        enrolling = asyncio.create_task(enrol.carry_on(office, start.stopping))
        while not start.stopping.is_set():
            try:
                await asyncio.wait_for(start.stopping.wait(), min(wait, LONGEST_SLEEP))
            except TimeoutError:
                wait = await timetable.run_due()
        await enrolling
    finally:
        keyholder.close()
        await gate.close()
