"""Finished octets go from flow's hand to delivery's: whoever is killed meanwhile, nothing is lost, nothing made anew."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.fakes.next_hop import NextHop
from tests.stories.world import World, letter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own() -> Iterator[World]:
    """A world of its own: its processes are killed."""
    with World() as made:
        yield made


def _kill(world: World, name: str) -> None:
    report = json.loads(world.gateway.status("/readyz")[1])
    os.kill(report["processes"][f"{name}-0"]["pid"], signal.SIGKILL)


def _states(world: World) -> list[str]:
    """What became of each message in flow, from the log."""
    events = [json.loads(line) for line in world.gateway.errors().splitlines() if line.startswith("{")]
    return [each["state"] for each in events if each.get("event") == "flow.advanced"]


def _underway(world: World, delay: float) -> tuple[str, str]:
    """A signed and encrypted message whose octets the next hop has, and whose 250 it keeps back."""
    sender, _ = world.member()
    to, _ = world.stranger()
    world.hop.fail("dot", delay=delay, recipient=to, times=1)
    world.gateway.submit(sender, to, letter(sender, to))
    world.arrived(to)
    return sender, to


@pytest.mark.req("A1")
def test_a_message_for_one_goes_by_hand_and_for_two_through_the_queue(own: World) -> None:
    sender, one, two = own.address("inside.test"), own.address("outside.test"), own.address("outside.test")
    own.gateway.submit(sender, one, letter(sender, one))
    own.arrived(one)
    own.wait_for_gone(sender, one)
    assert _states(own)[-1] == "handed"
    own.gateway.submit(sender, [one, two], letter(sender, f"{one}, {two}"))
    own.arrived(two)
    own.wait_for_gone(sender, one, two)
    assert _states(own)[-1] == "gone"


@pytest.mark.req("A1", "A3")
def test_flow_killed_while_the_next_hop_thinks_sends_nothing_twice(own: World) -> None:
    sender, to = _underway(own, 4.0)
    _kill(own, "flow")
    own.gateway.wait_until_ready()
    assert own.queued(to)  # still ours until the 250
    other = own.address("outside.test")
    own.gateway.submit(sender, other, letter(sender, other))
    own.arrived(other)  # the successor works while its predecessor's message is under way
    own.wait_for_gone(sender, to)
    assert len(own.hop.wait_for_recipient(to)) == 1


@pytest.mark.req("A1", "A3")
def test_delivery_killed_before_the_250_sends_the_same_octets_again(own: World) -> None:
    sender, to = _underway(own, 30.0)
    _kill(own, "delivery")
    own.gateway.wait_until_ready()
    first, second = own.hop.wait_for_recipient(to, count=2)
    assert first.octets == second.octets
    own.wait_for_gone(sender, to)


@pytest.mark.req("A1")
def test_a_next_hop_that_never_answers_holds_up_only_its_own(own: World) -> None:
    silent = NextHop()
    silent.open()
    silent.fail("connect", delay=60.0)
    own.set("next_hop_outgoing", f"[127.0.0.1]:{silent.port}", "--domain", "silent.test")
    try:
        sender = own.address("inside.test")
        stuck = [own.address("silent.test") for _ in range(150)]
        with own.gateway.smtp() as client:
            for to in stuck:
                client.sendmail(sender, [to], letter(sender, to))
        quick = own.address("outside.test")
        began = time.monotonic()
        own.gateway.submit(sender, quick, letter(sender, quick))
        own.arrived(quick)
        assert time.monotonic() - began < 5.0
    finally:
        silent.close()
        silent.mend()
    own.wait_for_gone(quick)


@pytest.mark.req("A1")
def test_a_message_held_while_it_is_sent_leaves_when_it_was_taken(own: World) -> None:
    sender, to = _underway(own, 3.0)
    (entry,) = own.queued(to)
    own.gateway.cli("queue", "hold", entry["id"], "--reason", "stop it", code=None)
    own.wait_for_gone(sender, to)
    assert len(own.hop.wait_for_recipient(to)) == 1
