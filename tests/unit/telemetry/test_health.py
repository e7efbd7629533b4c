"""A process is ready while nothing it needs is bad."""

from __future__ import annotations

from letterlock.telemetry.health import Fact, Health


def test_facts_come_and_go() -> None:
    times = iter((1.0, 2.0, 3.0, 4.0))
    health = Health(lambda: next(times))
    assert health.is_ready()
    assert health.say("database", ok=True)
    assert health.say("keyholder", ok=False, why="no answer\nfor 5 s")
    assert not health.say("keyholder", ok=False, why="no answer")
    assert not health.is_ready()
    assert health.faults() == ["keyholder: no answer"]
    assert health.report()["keyholder"] == Fact(False, "no answer", 2.0)
    assert health.say("keyholder", ok=True)
    assert health.is_ready()
    assert health.report()["keyholder"] == Fact(True, "", 3.0)
