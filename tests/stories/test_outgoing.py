"""Outgoing mail: signed and encrypted when it can be, and other programs open it; plain only where that is allowed."""

from __future__ import annotations

import smtplib
import subprocess
from email import message_from_bytes
from email.policy import default

import pytest

from tests.fakes import openssl
from tests.fakes.authority import Identity
from tests.fakes.next_hop import Arrival
from tests.stories.world import World, letter

SECRET = "the eagle has landed in Zürich"


def _is_encrypted(arrival: Arrival) -> bool:
    return arrival.mail.get_content_type() == "application/pkcs7-mime" and SECRET.encode() not in arrival.octets


def _recipient_infos(message: bytes) -> int:
    """How many recipients can open it, by ``openssl cms -cmsout -print``."""
    done = subprocess.run(["openssl", "cms", "-cmsout", "-print"], input=message, capture_output=True, check=True)
    return done.stdout.count(b"d.ktri:") + done.stdout.count(b"d.kari:")


def _opened(arrival: Arrival, who: Identity, world: World) -> bytes:
    """The signed content, CRLF, after decryption and verification by openssl."""
    content, _ = openssl.verify(openssl.decrypt(arrival.octets, who), world.authority)
    return openssl.crlf(content)


@pytest.mark.req("A1", "A5", "B1", "B4", "B8", "C10")
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("key", ["rsa2048", "p256"])
def test_openssl_opens_and_verifies_it(world: World, key: str) -> None:
    sender, signer = world.member()
    to, reader = world.stranger(key=key)
    world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    arrival = world.arrived(to)
    assert _is_encrypted(arrival)
    assert arrival.sender == sender
    decrypted = openssl.decrypt(arrival.octets, reader)
    content, signed_by = openssl.verify(decrypted, world.authority)
    assert SECRET.encode() in content
    assert signed_by.strip() == signer.pem.decode().strip()


@pytest.mark.req("B1", "B8")
@pytest.mark.peer
@pytest.mark.slow
def test_gpgsm_opens_it(world: World) -> None:
    sender, _ = world.member()
    to, reader = world.stranger()
    world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    assert SECRET.encode() in openssl.gpgsm_decrypts(world.arrived(to).octets, reader, world.authority)


@pytest.mark.req("B1")
@pytest.mark.peer
@pytest.mark.slow
def test_ecdsa_signer(world: World) -> None:
    sender, _ = world.member(key="p256")
    to, reader = world.stranger()
    world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    assert SECRET.encode() in _opened(world.arrived(to), reader, world)


@pytest.mark.req("A6", "A12")
@pytest.mark.slow
def test_each_recipient_gets_the_method_of_their_own(world: World) -> None:
    sender, _ = world.member()
    known, reader = world.stranger()
    unknown, _ = world.stranger(known=False)
    world.gateway.submit(sender, [known, unknown], letter(sender, f"{known}, {unknown}", text=f"{SECRET}\r\n"))
    assert SECRET.encode() in _opened(world.arrived(known), reader, world)
    plain = world.arrived(unknown)
    assert SECRET.encode() in plain.octets
    assert plain.recipients == (unknown,)


@pytest.mark.req("A12", "B1")
@pytest.mark.peer
@pytest.mark.slow
def test_who_is_in_bcc_is_seen_by_nobody(world: World) -> None:
    sender, _ = world.member()
    named, named_reader = world.stranger()
    hidden, hidden_reader = world.stranger()
    message = letter(sender, named, text=f"{SECRET}\r\n", Bcc=hidden)
    world.gateway.submit(sender, [named, hidden], message)
    for address, reader, other in ((named, named_reader, hidden), (hidden, hidden_reader, None)):
        arrival = world.arrived(address)
        assert arrival.recipients == (address,)
        assert _recipient_infos(arrival.octets) == 1
        opened = openssl.decrypt(arrival.octets, reader)
        assert b"\nbcc:" not in (arrival.octets + opened).lower()
        if other:
            assert other.encode() not in arrival.octets + opened


@pytest.mark.req("A6")
@pytest.mark.slow
def test_plain_mail_leaves_as_it_came(world: World) -> None:
    sender, _ = world.insider(key=None)
    to, _ = world.stranger(known=False)
    message = letter(sender, to, text="..dots\r\n.\r\nand a long line " + "x" * 900 + "\r\n")
    world.gateway.submit(sender, to, message)
    arrival = world.arrived(to)
    assert arrival.octets.endswith(message)
    added = arrival.octets[: -len(message)]
    assert added.lower().startswith(b"received:")


@pytest.mark.req("A6", "A7")
@pytest.mark.slow
def test_the_strictest_side_wins(world: World) -> None:
    sender, _ = world.member()
    to, reader = world.stranger()
    world.set("encrypt_mode", "none", "--user", to)
    world.gateway.submit(sender, to, letter(sender, to, "opted out", text=f"{SECRET}\r\n"))
    assert SECRET.encode() in world.arrived(to).octets
    world.set("encrypt_mode", "mandatory", "--user", sender)
    world.gateway.submit(sender, to, letter(sender, to, "must", text=f"{SECRET}\r\n"))
    second = world.hop.wait_for_recipient(to, count=2)[1]
    assert SECRET.encode() in _opened(second, reader, world)


@pytest.mark.req("A8", "A9")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("subject", "fields"),
    [("[encrypt] budget", {}), ("budget [ENCRYPT]", {}), ("budget", {"X-Letterlock-Encrypt": "yes"})],
)
def test_a_trigger_encrypts_and_is_taken_out(world: World, subject: str, fields: dict[str, str]) -> None:
    sender, _ = world.member()
    to, reader = world.stranger()
    world.set("encrypt_mode", "none", "--user", to)  # only the trigger can make it encrypted
    message = letter(sender, to, subject, text=f"{SECRET}\r\n", **fields)
    world.gateway.submit(sender, to, message)
    arrival = world.arrived(to)
    opened = openssl.decrypt(arrival.octets, reader)
    assert SECRET.encode() in opened
    assert arrival.subject == "budget"
    assert b"[encrypt]" not in (arrival.octets + opened).lower()
    assert b"x-letterlock-encrypt" not in (arrival.octets + opened).lower()


@pytest.mark.req("A13", "B1")
@pytest.mark.peer
@pytest.mark.slow
def test_signed_without_encryption_when_asked_for(world: World) -> None:
    sender, _ = world.member()
    to, _ = world.stranger(known=False)
    world.set("smime_sign", "yes", "--user", sender)
    world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    arrival = world.arrived(to)
    assert arrival.mail.get_content_type() == "multipart/signed"
    content, _ = openssl.verify(arrival.octets, world.authority)
    assert message_from_bytes(content, policy=default).get_content().strip() == SECRET


@pytest.mark.req("A13")
@pytest.mark.slow
def test_only_the_sender_of_the_envelope_is_signed_for(world: World) -> None:
    sender, _ = world.member()
    other, _ = world.member()
    to, _ = world.stranger(known=False)
    world.set("smime_sign", "yes", "--user", sender)
    world.gateway.submit(sender, to, letter(other, to, "somebody else's name"))
    assert world.arrived(to).mail.get_content_type() == "text/plain"


@pytest.mark.req("A14")
@pytest.mark.slow
def test_a_message_over_the_limit_is_refused_at_once(world: World) -> None:
    sender, _ = world.insider(key=None)
    with world.gateway.smtp() as client:
        code, _ = client.mail(sender, ["SIZE=900000000"])
    assert code == 552
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        world.gateway.submit(
            sender, "x@outside.test", letter(sender, "x@outside.test", text="y" * 70 + "\r\n") * 400_000
        )
    assert refused.value.smtp_code == 552


@pytest.mark.req("A1")
@pytest.mark.slow
def test_strangers_may_not_relay(world: World) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        world.gateway.receive("mallory@outside.test", "victim@outside.test", letter("m@outside.test", "v@outside.test"))
    assert next(iter(refused.value.recipients.values()))[0] // 100 == 5
