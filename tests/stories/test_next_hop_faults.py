"""A next hop that is down, slow or breaks off at any stage: the mail waits and arrives once, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.next_hop import Fault
from tests.stories.world import World, letter

HOW: dict[str, dict[str, Any]] = {
    "reset": {"reset": True},
    "drop": {"drop": True},
    "tempfail": {"reply": "421 4.3.2 busy"},
}
STAGES = {
    "reset": ("mail", "rcpt", "data", "body", "dot"),
    "drop": ("mail", "rcpt", "data", "dot"),
    "tempfail": ("mail", "rcpt", "data", "dot"),
}


@pytest.fixture(scope="module")
def own() -> Iterator[World]:
    """A world of its own: the next hop's faults touch every connection."""
    with World() as made:
        yield made


def _put_off(*faults: Fault) -> Callable[[dict[str, Any]], bool]:
    """True of a delivery that waits again after these faults were met."""
    return lambda entry: entry["kind"] == "delivery" and entry["state"] == "due" and all(each.used for each in faults)


def _retry_until(world: World, done: Callable[[], bool], *to: str) -> None:
    """Retry what waits until ``done()``; by itself the queue would wait a minute."""
    for _ in range(20):
        for entry in world.queued(*to):
            world.gateway.cli("queue", "retry", entry["id"], code=None)
        if done():
            return
    raise AssertionError(f"never done: {world.queued(*to)}")


def _times(world: World, to: str) -> int:
    return len([arrival for arrival in world.hop.arrivals if to in arrival.recipients])


@pytest.mark.req("A1", "A12")
@pytest.mark.slow
@pytest.mark.parametrize("kind", STAGES)
def test_breaking_off_at_any_stage_loses_nothing(own: World, kind: str) -> None:
    """One message for each stage, all on their way at once: what breaks one must not touch the others."""
    people = {stage: (own.address("inside.test"), own.address("outside.test")) for stage in STAGES[kind]}
    faults = []
    for stage, (sender, to) in people.items():
        whom = {"sender": sender} if stage == "mail" else {"recipient": to}
        faults.append(own.hop.fail(stage, **HOW[kind], **whom))
        own.gateway.submit(sender, to, letter(sender, to))
    recipients = [to for _, to in people.values()]
    for to in recipients:
        own.wait_for_queued(to, _put_off(*faults))
    assert not any(_times(own, to) for to in recipients)
    own.hop.mend()
    _retry_until(own, lambda: all(_times(own, to) for to in recipients), *recipients)
    own.wait_for_gone(*recipients)
    assert [_times(own, to) for to in recipients] == [1] * len(recipients)
    assert not [a for a in own.hop.arrivals if a.sender == ""]  # nothing failed, so there is no report


@pytest.mark.req("A1")
@pytest.mark.slow
@pytest.mark.parametrize("kind", STAGES)
@pytest.mark.parametrize("stage", ["connect", "ehlo"])
def test_a_next_hop_that_greets_badly(own: World, stage: str, kind: str) -> None:
    sender, to = own.address("inside.test"), own.address("outside.test")
    own.hop.close()  # the connections kept from before would not see it
    own.hop.open()
    fault = own.hop.fail(stage, **HOW[kind])
    try:
        own.gateway.submit(sender, to, letter(sender, to))
        own.wait_for_queued(to, _put_off(fault))
    finally:
        own.hop.mend()
    _retry_until(own, lambda: _times(own, to) > 0, to)
    own.wait_for_gone(to)
    assert _times(own, to) == 1


@pytest.mark.req("A1")
@pytest.mark.slow
def test_an_unanswered_dot_is_sent_again_with_the_same_octets(own: World) -> None:
    sender, _ = own.member()
    to, _ = own.stranger()
    own.hop.fail("dot", drop=True, keep=True, times=1, recipient=to)
    own.gateway.submit(sender, to, letter(sender, to))
    own.arrived(to)
    _retry_until(own, lambda: _times(own, to) == 2, to)  # at once by itself, but where the destination rests
    first, second = own.hop.wait_for_recipient(to, count=2)
    assert first.octets == second.octets  # the same signature and ciphertext, not made anew
    own.wait_for_gone(sender, to)


@pytest.mark.req("A1")
@pytest.mark.slow
def test_down_then_up_again(own: World) -> None:
    sender, to = own.address("inside.test"), own.address("outside.test")
    own.hop.close()
    try:
        own.gateway.submit(sender, to, letter(sender, to))
        own.wait_for_queued(to, lambda entry: _put_off()(entry) and entry["attempts"] > 0)
    finally:
        own.hop.open()
    _retry_until(own, lambda: _times(own, to) > 0, to)
    own.wait_for_gone(sender, to)


@pytest.mark.req("A1")
@pytest.mark.slow
def test_a_slow_reply_is_waited_for(own: World) -> None:
    sender, to = own.address("inside.test"), own.address("outside.test")
    own.hop.fail("dot", delay=5.0, recipient=to)
    own.gateway.submit(sender, to, letter(sender, to))
    own.arrived(to)
    own.wait_for_gone(sender, to)
    own.hop.mend()
    assert _times(own, to) == 1


@pytest.mark.req("A12")
@pytest.mark.slow
def test_one_recipient_deferred_the_other_delivered(own: World) -> None:
    sender = own.address("inside.test")
    now, later = own.address("outside.test"), own.address("outside.test")
    fault = own.hop.fail("rcpt", reply="450 4.2.1 later", recipient=later)
    own.gateway.submit(sender, [now, later], letter(sender, f"{now}, {later}"))
    own.arrived(now)
    own.wait_for_queued(later, _put_off(fault))
    own.hop.mend()
    _retry_until(own, lambda: _times(own, later) > 0, later)
    own.wait_for_gone(sender, now, later)
    assert _times(own, now) == 1
