"""When things are fetched again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from letterlock.fetch import schedule

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
TWICE_A_DAY = 12 * HOUR


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    ("age", "left", "interval", "expected"),
    [
        (HOUR, 7 * 24 * HOUR, TWICE_A_DAY, TWICE_A_DAY),  # long to go: by the interval
        (HOUR, 4 * HOUR, TWICE_A_DAY, 4 * HOUR - 15 * MINUTE),  # the next one is near: shortly before it
        (24 * HOUR, 5 * MINUTE, TWICE_A_DAY, 5 * MINUTE + timedelta(seconds=30)),  # just before it: once it is due
        (24 * HOUR, -5 * MINUTE, TWICE_A_DAY, schedule.OVERDUE),
        (24 * HOUR, -5 * MINUTE, 10 * MINUTE, schedule.OVERDUE),
        (HOUR, 4 * HOUR, 30 * MINUTE, 30 * MINUTE),
        (timedelta(0), timedelta(seconds=10), TWICE_A_DAY, schedule.SOONEST),  # nobody makes us ask every second
        (HOUR, None, TWICE_A_DAY, TWICE_A_DAY),
    ],
)
def test_a_crl(age: timedelta, left: timedelta | None, interval: timedelta, expected: timedelta) -> None:
    times = schedule.crl(NOW, [(NOW - age, None if left is None else NOW + left)], interval)
    assert times.due_at - NOW == expected
    assert times.good_until > times.due_at


def test_the_first_of_several_crls_to_end_decides() -> None:
    spans = [(NOW, NOW + 100 * HOUR), (NOW, NOW + 4 * HOUR)]
    assert schedule.crl(NOW, spans, TWICE_A_DAY).due_at < NOW + 4 * HOUR


@pytest.mark.req("C4")
@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (2 * HOUR, 2 * HOUR),
        (30 * 24 * HOUR, schedule.OCSP_AT_MOST),
        (-HOUR, schedule.OCSP_AT_LEAST),
        (None, schedule.OCSP_WITHOUT_END),
    ],
)
def test_an_ocsp_answer(left: timedelta | None, expected: timedelta) -> None:
    times = schedule.ocsp(NOW, None if left is None else NOW + left)
    assert times == (schedule.FAR, NOW + expected)


def test_failures_wait_longer_each_time_and_never_for_ever() -> None:
    waits = [schedule.failed(NOW, n).due_at - NOW for n in range(40)]
    assert 0.9 * MINUTE <= waits[0] <= 1.1 * MINUTE
    assert waits[3] > 2 * waits[1]
    assert max(waits) <= 1.1 * schedule.LAST_RETRY
    assert schedule.host_until(NOW, 1000) - NOW <= 1.1 * schedule.LAST_HOST_RETRY
