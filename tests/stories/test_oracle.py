"""A captured ciphertext sent in again tells nobody outside anything: nothing that leaves quotes what was decrypted.

See also
    RFC 3464 and RFC 3461 4.3 (RET) for what a report may hold; an attacker's oracle is any difference that can be seen.
"""

from __future__ import annotations

import time

import pytest

from tests.fakes import openssl
from tests.fakes.next_hop import Arrival
from tests.stories.world import World

SECRET = b"meet me at the old mill at nine"


def _captured(world: World) -> tuple[str, bytes]:
    """(an insider, a ciphertext for that insider under a header of the attacker's choice)."""
    insider, own = world.member()
    _, author = world.stranger()
    inner = openssl.sign(b"Content-Type: text/plain\r\nSubject: mill\r\n\r\n" + SECRET + b"\r\n", author)
    return insider, openssl.encrypt(inner, [own])


def _again(attacker: str, insider: str, ciphertext: bytes) -> bytes:
    return (
        f"From: {attacker}\r\nTo: {insider}\r\nSubject: fwd\r\nMessage-ID: <{time.time_ns()}@evil.test>\r\n"
        "Disposition-Notification-To: {attacker}\r\nReturn-Receipt-To: {attacker}\r\n"
    ).encode() + ciphertext


def _outside(world: World, attacker: str) -> list[Arrival]:
    return [arrival for arrival in world.hop.arrivals if attacker in arrival.recipients]


@pytest.mark.req("A22", "B1")
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_a_next_hop_that_refuses(world: World, stage: str) -> None:
    insider, ciphertext = _captured(world)
    attacker = world.address("evil.test", "eve")
    world.hop.fail(stage, reply="552 5.2.2 mailbox full", recipient=insider)
    world.gateway.submit(
        attacker, insider, _again(attacker, insider, ciphertext), source="127.0.0.2", mail=["RET=FULL"],
        rcpt=["NOTIFY=FAILURE,DELAY"],
    )  # fmt: skip
    world.wait_for_gone(attacker, insider)
    assert not [a for a in _outside(world, attacker) if SECRET in a.octets]


@pytest.mark.req("A22", "B1")
@pytest.mark.peer
@pytest.mark.slow
def test_a_next_hop_that_bounces_by_itself(world: World) -> None:
    """The internal server takes the decrypted mail, then reports a failure to the outside, quoting all of it."""
    insider, ciphertext = _captured(world)
    attacker = world.address("evil.test", "eve")
    world.gateway.receive(attacker, insider, _again(attacker, insider, ciphertext))
    taken = world.arrived(insider)
    assert SECRET in taken.octets
    report = (
        f'From: MAILER-DAEMON@inside.test\r\nTo: {attacker}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n'
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; inside.test\r\n\r\n"
        f"Final-Recipient: rfc822; {insider}\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\n"
        "--b\r\nContent-Type: message/rfc822\r\n\r\n"
    ).encode() + taken.octets + b"\r\n--b--\r\n"  # fmt: skip
    world.gateway.submit("", attacker, report)
    world.wait_for_gone(attacker)
    assert not [a for a in _outside(world, attacker) if SECRET in a.octets]


@pytest.mark.req("B1")
@pytest.mark.peer
@pytest.mark.slow
def test_what_cannot_be_decrypted_looks_like_what_can(world: World) -> None:
    """A broken ciphertext, a wrong key and a good one get the same answer outside: accepted, and silence."""
    insider, good = _captured(world)
    attacker = world.address("evil.test", "eve")
    broken = good[:-200] + b"QUFB" + good[-196:]
    for ciphertext in (good, broken):
        world.gateway.receive(attacker, insider, _again(attacker, insider, ciphertext))
    world.hop.wait_for_recipient(insider, count=2)
    world.wait_for_gone(attacker, insider)
    assert not _outside(world, attacker)
