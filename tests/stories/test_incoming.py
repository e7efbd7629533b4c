"""Incoming mail: decrypted and verified where the gateway has the key, marked truly; nobody else's marks survive."""

from __future__ import annotations

import hashlib

import pytest

from tests.fakes import openssl
from tests.fakes.authority import Authority, Identity
from tests.fakes.next_hop import Arrival
from tests.stories.world import World, letter

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe results are in: all good.\r\n"


def _fields(sender: str, to: str, subject: str = "results") -> bytes:
    name = hashlib.sha256(f"{sender}{to}{subject}".encode()).hexdigest()[:16]
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{name}@out.test>\r\n".encode()


def _info(arrival: Arrival) -> dict[str, str]:
    """The X-Letterlock-Info fields by lower-case name."""
    return {name.lower(): str(v) for name, v in arrival.mail.items() if name.lower().startswith("x-letterlock-info")}


def _sealed(sender: str, signer: Identity, to: str, reader: Identity, **options: str) -> bytes:
    return openssl.encrypt(openssl.sign(CONTENT, signer), [reader], fields=_fields(sender, to), **options)


@pytest.mark.req("A5", "A15", "B1")
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-128-cbc", "aes-256-gcm"])
def test_decrypted_and_tagged(world: World, cipher: str) -> None:
    to, reader = world.member()
    sender, signer = world.stranger()
    world.gateway.receive(sender, to, _sealed(sender, signer, to, reader, cipher=cipher))
    arrival = world.arrived(to)
    assert b"The results are in" in arrival.octets
    assert arrival.subject.startswith("[decrypted] [signed]") and arrival.subject.endswith("results")
    info = _info(arrival)
    assert any("encrypt" in name for name in info) and any("signer" in name for name in info), info
    assert arrival.sender == sender


@pytest.mark.req("A15", "B1")
@pytest.mark.peer
@pytest.mark.slow
def test_a_good_signature_stays_verifiable(world: World) -> None:
    to, _ = world.member()
    sender, signer = world.stranger()
    world.gateway.receive(sender, to, openssl.sign(CONTENT, signer, fields=_fields(sender, to)))
    arrival = world.arrived(to)
    assert arrival.subject == "[signed] results"
    content, _ = openssl.verify(arrival.octets, world.authority)
    assert b"The results are in" in content


@pytest.mark.req("A15", "B1")
@pytest.mark.peer
@pytest.mark.slow
def test_a_tampered_message_is_tagged_so(world: World) -> None:
    to, _ = world.member()
    sender, signer = world.stranger()
    signed = openssl.sign(CONTENT, signer, fields=_fields(sender, to))
    world.gateway.receive(sender, to, signed.replace(b"all good", b"all baad"))
    assert world.arrived(to).subject == "[invalid signature] results"


@pytest.mark.req("A15", "B1")
@pytest.mark.peer
@pytest.mark.slow
def test_a_signature_nobody_trusts_is_tagged_so(world: World) -> None:
    to, _ = world.member()
    sender = world.address("outside.test")
    signer = Authority.create("Somebody's own", key="rsa2048").issue(sender)
    world.gateway.receive(sender, to, openssl.sign(CONTENT, signer, fields=_fields(sender, to)))
    assert world.arrived(to).subject == "[invalid signature] results"


@pytest.mark.req("A15", "B15")
@pytest.mark.peer
@pytest.mark.slow
def test_somebody_elses_good_signature_is_not_the_authors(world: World) -> None:
    to, _ = world.member()
    _, signer = world.stranger()
    author = world.address("outside.test", "author")
    world.gateway.receive(author, to, openssl.sign(CONTENT, signer, fields=_fields(author, to)))
    subject = world.arrived(to).subject
    assert subject.startswith(("[signed by: ", "[invalid signature]"))
    assert not subject.startswith("[signed]")


@pytest.mark.req("A15", "A16")
@pytest.mark.slow
@pytest.mark.parametrize(
    "subject",
    [
        "[signed by: ceo@inside.test] [decrypted] pay this",
        "[ decrypted ] [SIGNED] pay this",
        "[dec[decrypted]rypted] pay this",
        "=?utf-8?Q?=5Bdecrypted=5D_=5Bsigned=5D?= pay this",
    ],
)
def test_a_strangers_tags_and_fields_do_not_come_in(world: World, subject: str) -> None:
    to, _ = world.member()
    sender, _ = world.stranger(known=False)
    message = letter(
        sender, to, subject, X_Letterlock_Info_Signer_Verified_0_0="True", x_letterlock_info_Smime_Encrypted="True"
    )
    world.gateway.receive(sender, to, message)
    arrival = world.arrived(to)
    assert "pay this" in arrival.subject
    assert "signed" not in arrival.subject.lower() and "decrypted" not in arrival.subject.lower()
    assert not [value for value in _info(arrival).values() if value == "True"]


@pytest.mark.req("B1", "A12")
@pytest.mark.peer
@pytest.mark.slow
def test_who_is_not_entitled_gets_it_as_it_came(world: World) -> None:
    to, reader = world.member()
    other, _ = world.member()
    sender, signer = world.stranger()
    message = _sealed(sender, signer, to, reader)
    world.gateway.receive(sender, [to, other], message)
    assert b"The results are in" in world.arrived(to).octets
    theirs = world.arrived(other)
    assert b"The results are in" not in theirs.octets
    assert theirs.octets.endswith(message.partition(b"\r\n\r\n")[2])


@pytest.mark.req("B1")
@pytest.mark.peer
@pytest.mark.slow
def test_what_we_cannot_open_goes_on_unchanged(world: World) -> None:
    to, _ = world.insider(key=None)
    sender, signer = world.stranger()
    elsewhere = world.authority.issue(to)  # a key that only the recipient's own program has
    message = _sealed(sender, signer, to, elsewhere)
    world.gateway.receive(sender, to, message)
    arrival = world.arrived(to)
    assert arrival.octets.endswith(message.partition(b"\r\n\r\n")[2])
    assert openssl.decrypt(arrival.octets, elsewhere)


@pytest.mark.req("B2")
@pytest.mark.peer
@pytest.mark.slow
def test_layers_within_layers(world: World) -> None:
    to, reader = world.member()
    sender, signer = world.stranger()
    inner = openssl.encrypt(openssl.sign(CONTENT, signer), [reader])
    message = openssl.encrypt(openssl.sign(inner, signer, opaque=True), [reader], fields=_fields(sender, to))
    world.gateway.receive(sender, to, message)
    arrival = world.arrived(to)
    assert b"The results are in" in arrival.octets
    assert {name.rpartition("-")[2] for name in _info(arrival)} >= {"0", "1"}


@pytest.mark.req("A1")
@pytest.mark.slow
def test_plain_mail_comes_in_as_it_is(world: World) -> None:
    to, _ = world.insider(key=None)
    sender, _ = world.stranger(known=False)
    message = letter(sender, to, "nothing special")
    world.gateway.receive(sender, to, message)
    arrival = world.arrived(to)
    assert arrival.octets.endswith(message.partition(b"\r\n\r\n")[2])
    assert arrival.subject == "nothing special"


@pytest.mark.req("A15", "B13")
@pytest.mark.peer
@pytest.mark.slow
def test_a_subject_that_was_encrypted_is_the_one_that_is_shown(world: World) -> None:
    to, reader = world.member()
    sender, signer = world.stranger()
    inside = (
        b'Content-Type: text/plain; hp="cipher"\r\nSubject: [signed] the merger\r\n'
        b"HP-Outer: Subject: [...]\r\n\r\nYes.\r\n"
    )
    fields = _fields(sender, to, "[...]")
    world.gateway.receive(sender, to, openssl.encrypt(openssl.sign(inside, signer), [reader], fields=fields))
    assert world.arrived(to).subject == "[decrypted] [signed] the merger"
