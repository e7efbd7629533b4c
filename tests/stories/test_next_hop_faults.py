"""A next hop that is down, slow or breaks off at any stage: the mail waits and arrives once, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.stories.world import World, letter

BREAKS = [
    *((stage, "reset") for stage in ("connect", "ehlo", "mail", "rcpt", "data", "body", "dot")),
    *((stage, "drop") for stage in ("connect", "ehlo", "mail", "rcpt", "data", "dot")),
    *((stage, "tempfail") for stage in ("connect", "ehlo", "mail", "rcpt", "data", "dot")),
]
HOW = {"reset": {"reset": True}, "drop": {"drop": True}, "tempfail": {"reply": "421 4.3.2 busy"}}


@pytest.fixture(scope="module")
def own() -> Iterator[World]:
    """A world of its own: the next hop's faults touch every connection."""
    with World() as made:
        yield made


def _retry_until(world: World, to: str, done: Callable[[], bool]) -> None:
    """Retry what waits until ``done()``; the queue alone would wait a minute."""
    for _ in range(20):
        for entry in world.queued(to):
            world.gateway.cli("queue", "retry", entry["id"], code=None)
        if done():
            return
    raise AssertionError(f"never done: {world.queued(to)}")


@pytest.mark.req("A1", "A12")
@pytest.mark.slow
@pytest.mark.parametrize(("stage", "kind"), BREAKS)
def test_breaking_off_at_a_stage_loses_nothing(own: World, stage: str, kind: str) -> None:
    sender, to = own.address("inside.test"), own.address("outside.test")
    if stage in ("connect", "ehlo"):  # the connections kept from before would not see it
        own.hop.close()
        own.hop.open()
    fault = own.hop.fail(stage, **HOW[kind])
    try:
        own.gateway.submit(sender, to, letter(sender, to))
        own.wait_for_queued(to, lambda now: fault.used > 0 and now["state"] == "due" and now["kind"] == "delivery")
        own.hop.mend()
        _retry_until(own, to, lambda: any(to in a.recipients for a in own.hop.arrivals))
        own.wait_for_gone(sender, to)
    finally:
        own.hop.mend()
    assert len([a for a in own.hop.arrivals if to in a.recipients]) == 1
    assert not [a for a in own.hop.arrivals if sender in a.recipients]  # nothing failed, so no report


@pytest.mark.req("A1")
@pytest.mark.slow
def test_an_unanswered_dot_is_sent_again_with_the_same_octets(own: World) -> None:
    sender, _ = own.member()
    to, _ = own.stranger()
    fault = own.hop.fail("dot", drop=True, keep=True, times=1, recipient=to)
    own.gateway.submit(sender, to, letter(sender, to))
    own.wait_for_queued(to, lambda now: fault.used > 0 and now["state"] == "due" and now["kind"] == "delivery")
    _retry_until(own, to, lambda: len([a for a in own.hop.arrivals if to in a.recipients]) == 2)
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
        own.wait_for_queued(to, lambda entry: entry["state"] == "due" and entry["attempts"] > 0)
    finally:
        own.hop.open()
    _retry_until(own, to, lambda: any(to in a.recipients for a in own.hop.arrivals))
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
    assert len([a for a in own.hop.arrivals if to in a.recipients]) == 1


@pytest.mark.req("A12")
@pytest.mark.slow
def test_one_recipient_deferred_the_other_delivered(own: World) -> None:
    sender = own.address("inside.test")
    now, later = own.address("outside.test"), own.address("outside.test")
    fault = own.hop.fail("rcpt", reply="450 4.2.1 later", recipient=later)
    own.gateway.submit(sender, [now, later], letter(sender, f"{now}, {later}"))
    own.arrived(now)
    own.wait_for_queued(later, lambda _: fault.used > 0)
    own.hop.mend()
    _retry_until(own, later, lambda: any(later in a.recipients for a in own.hop.arrivals))
    own.wait_for_gone(sender, now, later)
    assert len([a for a in own.hop.arrivals if now in a.recipients]) == 1
