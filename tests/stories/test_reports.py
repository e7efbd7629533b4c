"""Delivery status notifications: failure and delay are reported to our own senders, never more than they asked for."""

from __future__ import annotations

import pytest

from tests.fakes.next_hop import Arrival
from tests.stories.world import World, letter

SECRET = "for your eyes only"


def _refuse(world: World, reply: str = "550 5.1.1 no such person here") -> tuple[str, str]:
    sender, _ = world.insider(key=None)
    to = world.address("outside.test", "nobody")
    world.hop.fail("rcpt", reply=reply, recipient=to)
    return sender, to


def _report(arrival: Arrival) -> bytes:
    """The report, checked for its form (RFC 3464 2)."""
    mail = arrival.mail
    assert arrival.sender == ""
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in mail.iter_parts()][1] == "message/delivery-status"
    return arrival.octets


@pytest.mark.req("A22", "A12")
@pytest.mark.slow
def test_a_failure_is_reported(world: World) -> None:
    sender, to = _refuse(world)
    world.gateway.submit(sender, to, letter(sender, to, "hello", text=f"{SECRET}\r\n"))
    report = _report(world.arrived(sender))
    assert b"Action: failed" in report and b"Status: 5.1.1" in report
    assert f"Final-Recipient: rfc822;{to}".encode() in report.replace(b"; ", b";")
    assert b"no such person here" in report
    world.wait_for_gone(sender, to)


@pytest.mark.req("A22")
@pytest.mark.slow
@pytest.mark.parametrize(("ret", "whole"), [("FULL", True), ("HDRS", False)])
def test_ret_is_honoured_for_our_own(world: World, ret: str, whole: bool) -> None:
    sender, to = _refuse(world)
    message = letter(sender, to, "hello", text=f"{SECRET}\r\n")
    world.gateway.submit(sender, to, message, mail=[f"RET={ret}", "ENVID=abc+2B123"])
    report = _report(world.arrived(sender))
    assert (SECRET.encode() in report) == whole
    assert b"Original-Envelope-Id: abc+123" in report


@pytest.mark.req("A22")
@pytest.mark.slow
@pytest.mark.parametrize("encrypted", [False, True])
def test_ret_full_returns_what_was_signed_and_never_what_was_encrypted(world: World, encrypted: bool) -> None:
    sender, _ = world.member()
    to, _ = world.stranger(known=encrypted)
    world.set("smime_sign", "yes", "--user", sender)
    world.hop.fail("rcpt", reply="550 5.1.1 no such person here", recipient=to)
    world.gateway.submit(sender, to, letter(sender, to, "hello", text=f"{SECRET}\r\n"), mail=["RET=FULL"])
    report = _report(world.arrived(sender))
    assert (SECRET.encode() in report) != encrypted
    assert (b"multipart/signed" in report) != encrypted


@pytest.mark.req("A22")
@pytest.mark.slow
def test_who_asked_for_no_report_gets_none(world: World) -> None:
    sender, to = _refuse(world)
    world.gateway.submit(sender, to, letter(sender, to), rcpt=["NOTIFY=NEVER"])
    world.quiet(sender, lambda: world.wait_for_gone(sender, to))


@pytest.mark.req("A22")
@pytest.mark.slow
def test_the_null_sender_gets_no_report(world: World) -> None:
    _, to = _refuse(world)
    before = len(world.hop.arrivals)
    world.gateway.submit("", to, letter("daemon@inside.test", to))
    world.wait_for_gone(to)
    assert not [a for a in world.hop.arrivals[before:] if "MAILER-DAEMON" in a.octets.decode(errors="replace")]


@pytest.mark.req("A22")
@pytest.mark.slow
def test_one_of_two_recipients_fails(world: World) -> None:
    sender, bad = _refuse(world)
    good = world.address("outside.test", "good")
    world.gateway.submit(sender, [bad, good], letter(sender, f"{bad}, {good}"))
    assert world.arrived(good)
    report = _report(world.arrived(sender))
    assert bad.encode() in report
    assert b"Final-Recipient: rfc822;" + good.encode() not in report.replace(b"; ", b";")


@pytest.mark.req("A22")
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_delay_is_reported_once_and_the_mail_still_arrives(world: World) -> None:
    world.gateway.cli("domain", "add", "hasty.test", "--internal")
    world.set("delay_notice_after", "1s", "--domain", "hasty.test")
    sender = world.address("hasty.test")
    to = world.address("outside.test", "slow")
    busy = world.hop.fail("rcpt", reply="451 4.2.0 not now", recipient=to)
    world.gateway.submit(sender, to, letter(sender, to))
    entry = world.wait_for_queued(to, lambda now: bool(busy.used) and now["state"] == "due")
    for wanted in (2, 3):
        world.gateway.cli("queue", "retry", entry["id"])
        world.wait_for_queued(to, lambda now, wanted=wanted: busy.used >= wanted and now["state"] == "due")
    report = _report(world.arrived(sender))
    assert b"Action: delayed" in report and b"Status: 4.2.0" in report
    world.hop.mend()
    world.gateway.cli("queue", "retry", entry["id"])
    assert world.arrived(to)
    world.wait_for_gone(sender, to)
    assert len([a for a in world.hop.arrivals if sender in a.recipients]) == 1


@pytest.mark.req("A22")
@pytest.mark.slow
def test_success_is_reported_when_the_next_hop_cannot_report_itself(world: World) -> None:
    """RFC 3461 5.2.2: a next hop that knows DSN reports itself; ours does, so we say nothing."""
    sender, _ = world.insider(key=None)
    to = world.address("outside.test", "keen")
    world.gateway.submit(sender, to, letter(sender, to), rcpt=["NOTIFY=SUCCESS", f"ORCPT=rfc822;{to}"])
    arrival = world.arrived(to)
    assert any("NOTIFY=SUCCESS" in p.upper() for p in arrival.recipient_parameters[0])
    world.quiet(sender, lambda: world.wait_for_gone(sender, to))


@pytest.mark.req("A6", "A22")
@pytest.mark.slow
def test_too_large_to_be_sent_on_is_reported_at_once() -> None:
    """Nothing can be decided about it a second time: it fails now, and its sender hears why, without its content."""
    with World({"max_finished_octets": "64K"}) as world:
        sender, to = world.address("inside.test"), world.address("outside.test")
        world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n" * 5_000))
        report = _report(world.arrived(sender))
        assert b"Action: failed" in report and b"Status: 5.3.4" in report
        assert SECRET.encode() not in report
        world.quiet(to, lambda: world.wait_for_gone(sender, to))
