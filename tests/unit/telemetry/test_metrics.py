"""Metrics: kinds by name, snapshots that add up over processes, the text page."""

from __future__ import annotations

import msgspec

from letterlock.telemetry import metrics
from letterlock.telemetry.metrics import Registry, carry, merge, render


def test_counters_add_up_over_processes() -> None:
    one, two = Registry(), Registry()
    one("letterlock_messages_accepted_total", 2, {})
    two("letterlock_messages_accepted_total", 3.0, {})
    page = render([one.snapshot(), two.snapshot()])
    assert "# TYPE letterlock_messages_accepted_total counter\nletterlock_messages_accepted_total 5\n" in page
    assert "# HELP letterlock_messages_accepted_total Messages answered with 250.\n" in page


def test_labels_are_sorted_and_escaped() -> None:
    one = Registry()
    one("x_total", 1, {"b": 'say "a\\b"\n', "a": "1"})
    assert 'x_total{a="1",b="say \\"a\\\\b\\"\\n"} 1' in render([one.snapshot()])


def test_gauges_are_set_and_added_to() -> None:
    one = Registry()
    one.set("letterlock_connections", 4, {})
    one("letterlock_connections", -1, {})
    assert "# TYPE letterlock_connections gauge\nletterlock_connections 3\n" in render([one.snapshot()])


def test_histograms() -> None:
    one, two = Registry(), Registry()
    for value in (0.0005, 0.00075, 400.0):
        one("letterlock_accept_seconds", value)
    two("letterlock_accept_seconds", 0.25)
    lines = render([one.snapshot(), two.snapshot()]).splitlines()
    assert 'letterlock_accept_seconds_bucket{le="0.0005"} 1' in lines
    assert 'letterlock_accept_seconds_bucket{le="0.001"} 2' in lines
    assert 'letterlock_accept_seconds_bucket{le="300"} 3' in lines
    assert 'letterlock_accept_seconds_bucket{le="+Inf"} 4' in lines
    assert "letterlock_accept_seconds_count 4" in lines
    (told,) = [line for line in lines if line.startswith("letterlock_accept_seconds_sum ")]
    assert abs(float(told.split()[1]) - 400.25125) < 1e-9


def test_snapshots_travel() -> None:
    one = Registry()
    one("x_total", 1, {"a": "b"})
    one("y_octets", 5000)
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(one.snapshot()))
    assert render([travelled]) == render([one.snapshot()])


def test_snapshots_are_of_their_moment() -> None:
    one = Registry()
    one("x_total")
    before = one.snapshot()
    one("x_total")
    assert before[0][3] == [1.0]


def test_counters_do_not_go_back_when_a_process_ends() -> None:
    old, new = Registry(), Registry()
    old("x_total", 5)
    old.set("ready", 1)
    new("x_total", 1)
    page = render([carry(old.snapshot()), new.snapshot()])
    assert "x_total 6" in page
    assert "ready" not in page


def test_a_label_cannot_fill_the_memory() -> None:
    one = Registry()
    for number in range(2 * metrics.MOST):
        one("x_total", 1, {"from_outside": str(number)})
    found = one.snapshot()
    assert len(found) <= metrics.MOST + 1
    assert sum(entry[3][0] for entry in found) == 2 * metrics.MOST


def test_damaged_snapshots_are_left_out() -> None:
    good = Registry()
    good("x_total")
    page = render([[["x_total"], None, ["x_total", "counter", [], ["much"]]], good.snapshot()])
    assert page == render([good.snapshot()])
    assert merge([]) == []
