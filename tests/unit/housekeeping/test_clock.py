"""When each job runs."""

from __future__ import annotations

import asyncio

import pytest

from letterlock.errors import SystemFailure
from letterlock.housekeeping.clock import AGAIN_AFTER, Job, Timetable


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


def _table(clock: Clock, done: list[str], *, failing: set[str], fault: type[Exception] = SystemFailure) -> Timetable:
    def job(name: str, every: float) -> Job:
        async def do() -> None:
            done.append(name)
            if name in failing:
                raise fault

        return Job(name, every, do)

    return Timetable([job("hourly", 3600), job("minute", 60)], clock)


def test_all_at_the_start_then_each_at_its_time() -> None:
    async def run() -> None:
        clock, done = Clock(), list[str]()
        table = _table(clock, done, failing=set())
        assert await table.run_due() == 60
        assert done == ["hourly", "minute"]
        clock.now += 59
        assert await table.run_due() == 1
        assert done == ["hourly", "minute"]
        clock.now += 1
        await table.run_due()
        assert done == ["hourly", "minute", "minute"]
        clock.now += 3540
        await table.run_due()
        assert done.count("hourly") == 2

    asyncio.run(run())


@pytest.mark.parametrize("fault", [SystemFailure, OSError])
def test_a_failed_job_comes_again_soon_and_stops_no_other(fault: type[Exception]) -> None:
    async def run() -> None:
        clock, done, failing = Clock(), list[str](), {"hourly"}
        table = _table(clock, done, failing=failing, fault=fault)
        assert await table.run_due() == min(AGAIN_AFTER, 60)
        assert done == ["hourly", "minute"]
        failing.clear()
        clock.now += AGAIN_AFTER
        await table.run_due()
        assert done.count("hourly") == 2
        clock.now += AGAIN_AFTER
        await table.run_due()
        assert done.count("hourly") == 2

    asyncio.run(run())
