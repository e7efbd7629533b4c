"""Who writes to us signed is written to encrypted: no administrator, no import, no second letter needed."""

from __future__ import annotations

import asyncio
import json

import pytest

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.pki.certificate import parse
from letterlock.smime.describe import describe
from letterlock.smime.peel import peel
from tests.fakes import openssl
from tests.fakes.authority import Authority
from tests.fakes.own_keys import Keys
from tests.fakes.people import signed
from tests.stories.world import World, letter

pytestmark = [pytest.mark.req("B5"), pytest.mark.peer, pytest.mark.slow]


def _fields(sender: str, to: str) -> bytes:
    return f"From: {sender}\r\nTo: {to}\r\nSubject: hello\r\n".encode()


def _cipher(octets: bytes) -> str:
    return describe(Part.of(Message(octets)).decoded).cipher


def _known(world: World, address: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(world.gateway.cli("certificate", "list", address, "--json").stdout)
    return found


def test_a_signed_letter_is_answered_encrypted(world: World) -> None:
    member, _ = world.member()
    sender, identity = world.stranger(known=False)
    content = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
    for _ in range(2):  # the second teaches nothing
        world.gateway.receive(sender, member, openssl.sign(content, identity, fields=_fields(sender, member)))
    world.arrived(member)
    (kept,) = _known(world, sender)
    assert kept["imported_by"] == "harvest"
    world.gateway.submit(member, sender, letter(member, sender, text="only for you\r\n"))
    arrival = world.arrived(sender)
    assert b"only for you" not in arrival.octets
    assert b"only for you" in openssl.verify(openssl.decrypt(arrival.octets, identity), world.authority)[0]


@pytest.mark.req("B9", "B10")
def test_what_a_correspondent_can_read_is_used_in_the_answer(world: World) -> None:
    member, _ = world.member()
    sender, identity = world.stranger()
    world.gateway.submit(member, sender, letter(member, sender, text="before\r\n"))
    assert _cipher(world.arrived(sender).octets) == "aes256-cbc"
    # our own signature: it announces all that we write
    world.gateway.receive(sender, member, signed(letter(sender, member), identity))
    world.arrived(member)
    world.gateway.submit(member, sender, letter(member, sender, text="after\r\n"))
    _, answer = world.hop.wait_for_recipient(sender, count=2)
    assert _cipher(answer.octets) == "aes256-gcm"
    (row,) = json.loads(world.gateway.cli("certificate", "why", sender, "--encrypt", "--json").stdout)["encrypt"][
        "chosen"
    ]
    assert "aes256-gcm" in row["reads"]


def test_who_signs_with_another_key_than_it_reads_with_says_so(world: World) -> None:
    """Correspondents learn from our signature to which certificate they may write."""
    member, _ = world.insider(key=None)
    signing = world.authority.issue(member, "p256", usage=("digital_signature",))
    reading = world.authority.issue(member, "rsa2048", usage=("key_encipherment",))
    for each in (signing, reading):
        world.import_identity(each, key=True)
    to, identity = world.stranger()
    world.gateway.submit(member, to, letter(member, to))
    octets = world.arrived(to).octets
    (outcome,) = asyncio.run(peel(Message(octets), Keys(identity))).layers[1].outcomes
    signer = outcome.signer
    assert signer is not None
    assert signer.certificate.der == signing.der
    assert signer.preferred is not None
    assert signer.preferred.names(parse(reading.der))
    assert openssl.verify(openssl.decrypt(octets, identity), world.authority)


def test_nothing_is_learned_from_strangers_authorities_and_other_peoples_names(world: World) -> None:
    member, _ = world.member()
    content = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
    own, identity = world.stranger(known=False)
    claimed = world.address("outside.test", "claimed")
    selfmade = Authority.create("Somebody's own", key="rsa2048").issue(claimed)
    world.gateway.receive(claimed, member, openssl.sign(content, selfmade, fields=_fields(claimed, member)))
    world.gateway.receive(claimed, member, openssl.sign(content, identity, fields=_fields(claimed, member)))
    world.wait_for_gone(member)
    assert _known(world, claimed) == []
    assert _known(world, own) == []


def test_another_key_waits_and_postmaster_is_told(world: World) -> None:
    member, _ = world.member()
    sender, first = world.stranger(known=False)
    second = world.authority.issue(sender)
    watch, _ = world.insider(key=None)
    content = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
    domain = ("--user", sender)
    world.set("smime_auto_import_approval", "yes", *domain)
    world.set("postmaster", watch, "--domain", "outside.test")
    for identity in (first, second):
        world.gateway.receive(sender, member, openssl.sign(content, identity, fields=_fields(sender, member)))
        world.wait_for_gone(member)
    notice = world.arrived(watch)
    assert sender in notice.subject
    (used,) = _known(world, sender)
    told = json.loads(world.gateway.cli("certificate", "why", sender, "--encrypt", "--json").stdout)["encrypt"]
    (waiting,) = [row["thumbprint"] for row in told["rejected"] if "waiting-for-approval" in row["reasons"]]
    assert waiting != used["thumbprint"]
    assert f"certificate approve {waiting}".encode() in notice.octets
    world.gateway.cli("certificate", "approve", waiting)
    assert {row["thumbprint"] for row in _known(world, sender)} == {waiting, used["thumbprint"]}
