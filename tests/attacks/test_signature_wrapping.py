"""Signatures moved, doubled, nested or reinterpreted: never is a signer shown for octets that he did not sign.

See also
    Müller and others, "Johnny, you are fired!" (USENIX Security 2019): the families CMS, MIME, ID; Strenzke, "Forging
    attacks on CMS signed attributes".
"""

from __future__ import annotations

import asyncio

import pytest

from letterlock.asn1 import ber, der, oid
from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.errors import AddressMismatch, BadSignature, SmimeError
from letterlock.smime.mime import base64_lines, to_mime
from letterlock.smime.peel import Layer, Peeled, peel
from letterlock.smime.verify import check_author, verify_detached
from tests.fakes.authority import Identity
from tests.fakes.own_keys import Keys
from tests.fakes.people import TEXT, authority, person, sign, signed

ALICE, MALLORY = person("alice"), person("mallory")
EVIL = b"Content-Type: text/plain\r\n\r\nPay Mallory.\r\n"
GOOD = b"Content-Type: text/plain\r\n\r\nPay Bob.\r\n"
FROM = b"From: alice@example.org\r\nMIME-Version: 1.0\r\n"


def peeled(octets: bytes) -> Peeled:
    """Without any key of ours."""
    return asyncio.run(peel(Message(octets), Keys()))


def signers(octets: bytes) -> list[bytes]:
    """Certificates of those shown as having signed the outermost entity."""
    layers = peeled(octets).layers
    return [one.signer.certificate.der for one in layers[0].outcomes if one.signer and not one.fault] if layers else []


def signature_of(content: bytes, who: Identity = ALICE) -> bytes:
    """The signature part."""
    return (
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b"".join(base64_lines([sign([content], who)[0]]))
    )


def multipart(*parts: bytes, field: bytes = b"", boundary: bytes = b"b") -> bytes:
    """multipart/signed of these parts."""
    head = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="%b"%b\r\n\r\n'
    return (
        head % (boundary, field)
        + b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
        + b"--%b--\r\n" % boundary
    )


def test_the_plain_case() -> None:
    assert signers(FROM + multipart(GOOD, signature_of(GOOD))) == [ALICE.der]


WRAPPED = {
    "evil part before": multipart(EVIL, GOOD, signature_of(GOOD)),
    "evil part between": multipart(GOOD, EVIL, signature_of(GOOD)),
    "evil part after": multipart(GOOD, signature_of(GOOD), EVIL),
    "evil part instead": multipart(EVIL, signature_of(GOOD)),
    "only a signature": multipart(signature_of(GOOD)),
    "signature first": multipart(signature_of(GOOD), GOOD),
    "two signatures": multipart(signature_of(GOOD), signature_of(GOOD)),
    "signature of another type": multipart(GOOD, signature_of(GOOD).replace(b"pkcs7-signature", b"x-other")),
    "boundary twice": multipart(GOOD, signature_of(GOOD), field=b"; boundary=c"),
    "content type twice": b"Content-Type: text/html\r\n" + multipart(GOOD, signature_of(GOOD)),
    "content type twice, the other order": multipart(GOOD, signature_of(GOOD)).replace(
        b"\r\n\r\n", b"\r\nContent-Type: text/html\r\n\r\n", 1
    ),
    "no end": multipart(GOOD, signature_of(GOOD))[: -len(b"--b--\r\n")],
    "inside a mixed": b'Content-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\n%b\r\n--m\r\n%b\r\n--m--\r\n'
    % (EVIL, multipart(GOOD, signature_of(GOOD))),
    "inside a message": b"Content-Type: message/rfc822\r\n\r\n" + FROM + multipart(GOOD, signature_of(GOOD)),
}


@pytest.mark.req("B1", "B15")
@pytest.mark.parametrize("octets", WRAPPED.values(), ids=WRAPPED.keys())
def test_wrapped_signatures_show_no_signer(octets: bytes) -> None:
    assert signers(FROM + octets) == []


@pytest.mark.req("B1", "B2", "B15")
def test_a_signature_inside_another_is_told_as_such() -> None:
    """Mallory signs around what Alice signed: the outer layer is Mallory's, and From must be a signer of that one."""
    inner = multipart(GOOD, signature_of(GOOD), boundary=b"inner")
    octets = FROM + multipart(inner, signature_of(inner, MALLORY))
    found = peeled(octets)
    assert [one.signer.certificate.der for each in found.layers for one in each.outcomes] == [MALLORY.der, ALICE.der]
    with pytest.raises(AddressMismatch):
        check_author(found.layers[0].outcomes[0].signer.certificate, found.opened)


@pytest.mark.req("B1")
def test_content_inside_a_detached_signature_is_refused() -> None:
    """Readers that prefer the content inside would show another text than the one that was verified."""
    detached, _ = sign([GOOD], ALICE)
    inside = der.sequence(oid.DATA, der.explicit(0, der.octet_string(GOOD)))
    (data,) = ber.single(detached).children()[1].children()
    fields = data.children()
    forged = der.sequence(
        oid.SIGNED_DATA,
        der.explicit(0, der.sequence(fields[0].raw, fields[1].raw, inside, *(each.raw for each in fields[3:]))),
    )
    signature = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"".join(
        base64_lines([forged])
    )
    for content in (EVIL, GOOD):
        layer = peeled(FROM + multipart(content, signature)).layers[0]
        assert (layer.opened, layer.verdict) == (False, "malformed")


@pytest.mark.req("B1")
def test_attributes_are_not_taken_for_content() -> None:
    """The signed attributes of a good message are themselves octets with a valid bare signature: refused as content."""
    octets, _ = sign([GOOD], ALICE)
    (data,) = ber.single(octets).children()[1].children()
    fields = data.children()
    (signer,) = fields[-1].children()
    parts = signer.children()
    content = der.tlv(der.SET, parts[3].content)
    bare = der.sequence(*(each.raw for each in parts if each.tag != 0xA0))
    forged = der.sequence(
        oid.SIGNED_DATA, der.explicit(0, der.sequence(*(each.raw for each in fields[:-1]), der.tlv(der.SET, bare)))
    )
    with pytest.raises(SmimeError) as caught:
        verify_detached([forged], content)
    assert caught.value.verdict == "malformed"


@pytest.mark.req("B1", "B15")
def test_a_signature_is_bound_to_its_certificate() -> None:
    """A certificate with the same issuer, serial number and key, but another name, does not get the signature."""
    octets, _ = sign([GOOD], ALICE)
    (data,) = ber.single(octets).children()[1].children()
    bare = der.sequence(*(each.raw for each in data.children() if each.tag != 0xA0))
    alone = der.sequence(oid.SIGNED_DATA, der.explicit(0, bare))
    twin = authority().issue("ceo@example.org", ALICE.key, serial=ALICE.certificate.serial_number)
    assert verify_detached([alone], GOOD, [ALICE.der])[0].addresses == ("alice@example.org",)
    assert verify_detached([alone], GOOD, [twin.der, ALICE.der])[0].addresses == ("alice@example.org",)
    with pytest.raises(BadSignature):
        verify_detached([alone], GOOD, [twin.der])


FORMS = {
    "epilogue": lambda octets: octets + b"\r\nPay Mallory.\r\n",
    "preamble": lambda octets: octets.replace(b"\r\n\r\n", b"\r\n\r\nPay Mallory.\r\n", 1),
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS.keys())
def test_what_surrounds_the_parts_is_not_content(change: object) -> None:
    octets = change(signed(TEXT, ALICE))
    found = peeled(octets)
    assert signers(octets) == [ALICE.der]
    assert b"Mallory" not in bytes(found.bare().octets)


@pytest.mark.req("B1")
@pytest.mark.parametrize("at", range(0, 60, 7))
def test_every_octet_of_the_signed_part_counts(at: int) -> None:
    octets = signed(TEXT, ALICE)
    found = Part(octets)
    start = octets.index(b"Content-Type: text/plain", found.body_start) + at
    changed = octets[:start] + bytes((octets[start] ^ 0x20,)) + octets[start + 1 :]
    assert signers(changed) == []


def test_opaque_without_signers_shows_nobody() -> None:
    inside = der.sequence(oid.DATA, der.explicit(0, der.octet_string(EVIL)))
    data = der.sequence(der.integer(1), der.tlv(der.SET), inside, der.tlv(der.SET))
    octets = FROM + b"".join(to_mime([der.sequence(oid.SIGNED_DATA, der.explicit(0, data))], "signed-data"))
    layer: Layer = peeled(octets).layers[0]
    assert layer.outcomes == ()
    assert signers(octets) == []
