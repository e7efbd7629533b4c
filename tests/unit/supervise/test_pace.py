"""How long the supervisor waits before a restart."""

from __future__ import annotations

from letterlock.supervise.pace import LONGEST, SETTLED, Pace


def test_first_at_once_then_ever_longer_up_to_a_limit() -> None:
    pace = Pace()
    waits = [pace.after(0.01) for _ in range(12)]
    assert waits[0] == 0
    assert waits[1] > 0
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST


def test_after_a_good_while_at_once_again() -> None:
    pace = Pace()
    for _ in range(12):
        pace.after(0)
    assert pace.after(SETTLED) == 0
