"""Algorithms and forms by setting, on the wire: what openssl opens and verifies, and what the message says of itself."""

from __future__ import annotations

import asyncio

import pytest

from letterlock.asn1 import der, oid
from letterlock.mail.message import Message
from letterlock.smime.mime import to_mime
from letterlock.smime.peel import peel
from tests.fakes import openssl
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted, signed, signed_and_encrypted, signed_entity
from tests.stories.world import World, letter

pytestmark = [pytest.mark.peer, pytest.mark.slow]


@pytest.mark.req("B10")
def test_pss_and_oaep_by_setting(world: World) -> None:
    sender, _ = world.member()
    to, identity = world.stranger()
    world.set("smime_signing_alg", "rsa-pss-sha384", "--user", sender)
    world.set("smime_key_transport", "oaep", "--user", to)
    world.gateway.submit(sender, to, letter(sender, to, text="for you\r\n"))
    octets = world.arrived(to).octets
    content, _ = openssl.verify(openssl.decrypt(octets, identity), world.authority)
    assert b"for you" in content
    found = asyncio.run(peel(Message(octets), Keys(identity)))
    (outcome,) = found.layers[1].outcomes
    assert outcome.signer is not None
    assert outcome.signer.algorithm == "rsa-pss-sha384"
    assert "rsaesOaep" in openssl.printed(octets)


@pytest.mark.req("B14")
def test_signed_opaque_by_setting(world: World) -> None:
    sender, _ = world.member()
    opaque, clear = world.address("outside.test"), world.address("outside.test")
    world.set("smime_sign", "yes", "--user", sender)
    world.set("smime_signed_form", "opaque", "--user", opaque)
    world.gateway.submit(sender, [opaque, clear], letter(sender, f"{opaque}, {clear}", text="to all\r\n"))
    first, second = world.arrived(opaque).octets, world.arrived(clear).octets
    assert b"smime-type=signed-data" in first
    assert b"to all" not in first
    assert first.count(b"MIME-Version") == 1
    assert b"multipart/signed" in second
    for octets in (first, second):
        assert b"to all" in openssl.verify(octets, world.authority)[0]


@pytest.mark.req("B14")
def test_compressed_by_setting(world: World) -> None:
    """Letterlock at the other end reads it; Debian's openssl has no zlib."""
    sender, _ = world.member()
    to, identity = world.stranger()
    world.set("smime_compress", "yes", "--user", to)
    text = "again and again\r\n" * 3000
    world.gateway.submit(sender, to, letter(sender, to, text=text))
    octets = world.arrived(to).octets
    assert len(octets) < len(text) / 3
    found = asyncio.run(peel(Message(octets), Keys(identity)))
    assert [(each.kind, each.verdict) for each in found.layers] == [
        ("encrypted", "ok"),
        ("compressed", "ok"),
        ("signed", "ok"),
    ]
    assert text.encode() in bytes(found.bare().body)


@pytest.mark.req("A15", "B1")
@pytest.mark.parametrize("sealed", [False, True])
def test_good_signatures_are_removed_by_setting_and_bad_ones_stay(world: World, sealed: bool) -> None:
    to, reader = world.member()
    sender, identity = world.stranger()
    world.set("smime_remove_signature", "yes", "--user", to)
    plain = letter(sender, to, text="in short\r\n")
    world.gateway.receive(
        sender, to, signed_and_encrypted(plain, identity, reader) if sealed else signed(plain, identity)
    )
    arrival = world.arrived(to)
    assert b"multipart/signed" not in arrival.octets
    assert b"\r\n\r\nin short\r\n" in arrival.octets
    assert arrival.subject.endswith("[signed]") or "[signed" in arrival.subject
    bad = signed(plain, identity).replace(b"in short", b"in other")
    world.gateway.receive(sender, to, bad)
    _, kept = world.hop.wait_for_recipient(to, count=2)
    assert b"multipart/signed" in kept.octets
    assert b"smime.p7s" in kept.octets


@pytest.mark.req("B13", "A15")
def test_a_subject_that_was_changed_after_it_was_signed_is_not_shown(world: World) -> None:
    to, _ = world.member()
    sender, identity = world.stranger()
    inside = b'Content-Type: text/plain; hp="clear"\r\nFrom: %b\r\nTo: %b\r\nSubject: lunch at noon\r\n\r\nHi\r\n' % (
        sender.encode(),
        to.encode(),
    )
    outer = b"From: %b\r\nTo: %b\r\nSubject: pay to this account\r\nMIME-Version: 1.0\r\n" % (
        sender.encode(),
        to.encode(),
    )
    world.gateway.receive(sender, to, outer + b"".join(signed_entity([inside], identity)))
    arrival = world.arrived(to)
    assert arrival.subject == "[signed] lunch at noon"
    assert inside in arrival.octets


@pytest.mark.req("B6")
def test_a_domains_key_opens_mail_to_its_people(world: World) -> None:
    key = world.authority.issue("domain-confidentiality-authority@inside.test", "rsa2048")
    world.import_identity(key, key=True)
    to = world.address("inside.test")
    sender, _ = world.stranger()
    world.gateway.receive(sender, to, encrypted(letter(sender, to, text="to the house\r\n"), key))
    arrival = world.arrived(to)
    assert b"to the house" in arrival.octets
    assert "[decrypted]" in arrival.subject


@pytest.mark.req("A15")
def test_certificates_alone_are_no_signature(world: World) -> None:
    to, _ = world.member()
    sender, identity = world.stranger()
    empty = der.set_of()
    data = der.sequence(der.integer(1), empty, der.sequence(oid.DATA), der.explicit(0, identity.der), empty)
    cms = der.sequence(oid.SIGNED_DATA, der.explicit(0, data))
    fields = b"From: %b\r\nTo: %b\r\nSubject: my certificate\r\n" % (sender.encode(), to.encode())
    world.gateway.receive(sender, to, fields + b"".join(to_mime([cms], "certs-only")))
    arrival = world.arrived(to)
    assert arrival.subject == "my certificate"
    assert b"SMIME-Signed" not in arrival.octets
