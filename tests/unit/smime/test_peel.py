"""Layers taken off: what is inside comes out octet by octet, what each layer was is told, nothing is unbounded."""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.asn1 import der, oid
from letterlock.errors import TemporaryError
from letterlock.mail.headers import edit
from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.cms_write import SignedBy, certificates_only, signed_attributes, signed_data, signer_template
from letterlock.smime.mime import MIME_VERSION, multipart_signed, to_mime, wrap
from letterlock.smime.party import load_party
from letterlock.smime.peel import MAX_LAYERS, Peeled, peel
from letterlock.smime.sign import prepare_signature
from letterlock.smime.spool import MemorySpool
from tests.fakes.authority import Identity
from tests.fakes.own_keys import KeyInMemory, Keys
from tests.fakes.people import SIGNED_AT, TEXT, encrypted, encrypted_entity, person, sign, signed, signed_and_encrypted

ALICE, BOB = person("alice"), person("bob")


def peeled(octets: bytes, *who: Identity, **options: object) -> Peeled:
    """The layers that the keys of these people take off."""
    return asyncio.run(peel(Message(octets), Keys(*who), **options))


def facts(found: Peeled) -> list[tuple[str, bool, str, list[str]]]:
    """The layers in short."""
    return [(each.kind, each.opened, each.verdict, [one.verdict for one in each.outcomes]) for each in found.layers]


def opaque(message: bytes, who: Identity, *, hashed: bytes | None = None) -> bytes:
    """The message with its content in signed-data. ``hashed``: what is signed instead."""
    wrapped = wrap(Message(message))
    content = b"".join(wrapped.entity)
    template = signer_template(load_party(who.der), "rsa-pkcs1-sha256", int(SIGNED_AT.timestamp()), ())
    attributes = signed_attributes(template, hashlib.sha256(content if hashed is None else hashed).digest())
    signature = KeyInMemory(who).sign_now(der.tlv(der.SET, attributes), "rsa-pkcs1-sha256")
    before, after = signed_data([SignedBy(template, attributes, signature)], len(content))
    return b"".join((*wrapped.outer, *to_mime([before, content, after], "signed-data")))


def compressed(message: bytes, content: bytes | None = None) -> bytes:
    """The message with its content in compressed-data."""
    wrapped = wrap(Message(message))
    octets = zlib.compress(b"".join(wrapped.entity) if content is None else content, 9)
    info = der.sequence(oid.DATA, der.explicit(0, der.octet_string(octets)))
    data = der.sequence(der.integer(0), der.sequence(oid.encode("1.2.840.113549.1.9.16.3.8")), info)
    cms = der.sequence(oid.COMPRESSED_DATA, der.explicit(0, data))
    return b"".join((*wrapped.outer, *to_mime([cms], "compressed-data")))


LAYER = {
    "sign": lambda message: signed(message, ALICE),
    "opaque": lambda message: opaque(message, ALICE),
    "encrypt": lambda message: encrypted(message, BOB, cipher="aes256-cbc"),
    "gcm": lambda message: encrypted(message, BOB, cipher="aes256-gcm"),
    "compress": compressed,
}
KIND = {"sign": "signed", "opaque": "signed", "encrypt": "encrypted", "gcm": "encrypted", "compress": "compressed"}


def test_an_ordinary_message_has_no_layers() -> None:
    found = peeled(TEXT, BOB)
    assert found.layers == ()
    assert found.opened is found.message
    assert found.bare() is found.message
    assert not found.changed


@pytest.mark.req("B1")
def test_signed_and_encrypted() -> None:
    octets = signed_and_encrypted(TEXT, ALICE, BOB)
    found = peeled(octets, BOB)
    assert facts(found) == [("encrypted", True, "ok", []), ("signed", True, "ok", ["ok"])]
    encryption, signature = found.layers
    assert (encryption.cipher, [each.der for each in encryption.holders]) == ("aes256-cbc", [BOB.der])
    assert signature.outcomes[0].signer is not None
    assert signature.outcomes[0].signer.addresses == ("alice@example.org",)
    assert signature.form == "clear"
    assert found.changed
    assert found.opened.first(b"content-type").startswith(b"multipart/signed")
    assert bytes(found.bare().octets) == TEXT
    assert facts(peeled(bytes(found.opened.octets))) == facts(found)[1:]


@pytest.mark.req("B2")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(sorted(LAYER)), max_size=MAX_LAYERS))
def test_any_nesting(layers: list[str]) -> None:
    octets = TEXT
    for each in reversed(layers):
        octets = LAYER[each](octets)
    found = peeled(octets, BOB)
    assert facts(found) == [(KIND[each], True, "ok", ["ok"] if KIND[each] == "signed" else []) for each in layers]
    assert bytes(found.bare().octets) == TEXT
    # Layers inside the last encrypted one stay in the opened message
    last = max((at for at, each in enumerate(layers) if KIND[each] == "encrypted"), default=-1)
    again = peeled(bytes(found.opened.octets))
    assert [each.kind for each in again.layers] == [KIND[each] for each in layers[last + 1 :]]


@pytest.mark.req("B2")
def test_layers_have_a_limit() -> None:
    octets = TEXT
    for _ in range(MAX_LAYERS + 2):
        octets = encrypted(octets, BOB)
    found = peeled(octets, BOB)
    assert len(found.layers) == MAX_LAYERS + 1
    assert (found.layers[-1].opened, found.layers[-1].verdict) == (False, "too-deep")


@pytest.mark.req("B2")
@pytest.mark.parametrize("size", [1_000_000, pytest.param(200_000_000, marks=pytest.mark.slow)])
def test_a_bomb_is_defused(size: int) -> None:
    octets = compressed(TEXT, b"Content-Type: text/plain\r\n\r\n" + bytes(size))
    started = time.process_time()
    found = peeled(octets, BOB)
    assert facts(found) == [("compressed", False, "too-deep", [])]
    assert found.opened is found.message
    assert time.process_time() - started < 1


def test_the_limit_is_for_what_grows() -> None:
    """However large a message was let in: what was encrypted in it is not larger."""
    assert peeled(encrypted(TEXT, BOB), BOB, most_octets=10).changed


def test_outer_fields_stay_and_inner_ones_are_left_out() -> None:
    inner = TEXT.replace(b"Subject: a letter", b"Subject: forged")
    entity = encrypted_entity([inner], BOB)
    octets = b"X-Outer: 1\r\nSubject: outer\r\n" + entity
    found = peeled(octets, BOB)
    assert bytes(found.opened.octets) == (
        b"X-Outer: 1\r\nSubject: outer\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHello w\xc3\xb6rld\r\n"
    )


@pytest.mark.parametrize(
    ("inner", "body"),
    [
        (b"just text\r\nwithout a header\r\n", b"just text\r\nwithout a header\r\n"),
        (b"\r\nempty header", b"empty header"),
        (b"\nempty header", b"empty header"),
        (b"", b""),
        (b"Content-Type: text/html", b""),
        (b"Content-Type: text/html\n\nbare\nline ends\n", b"bare\nline ends\n"),
        (b"Content-Type: text/html\r\n\r\n" + bytes(range(256)) * 1000, bytes(range(256)) * 1000),
        (b"x" * 3_000_000, b"x" * 3_000_000),
    ],
)
def test_the_body_comes_out_octet_by_octet(inner: bytes, body: bytes) -> None:
    found = peeled(b"Subject: s\r\n" + encrypted_entity([inner], BOB), BOB)
    assert bytes(found.opened.body) == body
    assert found.opened.first(b"subject") == b"s"


def test_what_cannot_be_opened_is_a_fact() -> None:
    octets = signed_and_encrypted(TEXT, ALICE, BOB)
    found = peeled(octets, person("carol"))
    assert facts(found) == [("encrypted", False, "not-for-us", [])]
    assert found.opened is found.message
    assert [each.issuer_serial for each in found.layers[0].recipients] == [
        load_party(BOB.der).certificate.issuer_serial
    ]


def test_a_key_that_is_away_is_no_fact() -> None:
    keys = Keys(BOB)
    keys.held[0].broken = True
    with pytest.raises(TemporaryError):
        asyncio.run(peel(Message(encrypted(TEXT, BOB)), keys))


@pytest.mark.parametrize(
    ("field", "layers"),
    [
        (b"application/pkcs7-mime; smime-type=enveloped-data", [("encrypted", False, "malformed", [])]),
        (b"application/pkcs7-mime; smime-type=signed-data", [("signed", False, "malformed", [])]),
        (b"application/pkcs7-mime", [("encrypted", False, "malformed", [])]),
        (b"application/octet-stream; name=smime.p7m", []),
        (b"multipart/signed; protocol=\"application/pkcs7-signature\"", [("signed", False, "malformed", [])]),
        (b"multipart/signed; protocol=\"application/pgp-signature\"; boundary=b", []),
    ],
)  # fmt: skip
def test_rubbish(field: bytes, layers: list[object]) -> None:
    found = peeled(b"Content-Type: " + field + b"\r\nContent-Transfer-Encoding: base64\r\n\r\ncnViYmlzaA==\r\n", BOB)
    assert facts(found) == layers
    assert found.opened is found.message


def test_certificates_only() -> None:
    cms = certificates_only([ALICE.der])
    found = peeled(b"Subject: s\r\n" + b"".join(to_mime([cms], "certs-only")), BOB)
    assert facts(found) == [("signed", True, "ok", [])]
    assert found.layers[0].certificates == (ALICE.der,)


def test_a_bad_signature_hides_nothing() -> None:
    """What it covers is still looked into: it could be a way past those who look."""
    inside = encrypted(TEXT, BOB)
    for octets in (
        signed(inside, ALICE).replace(b"smime.p7m", b"smime.p7M", 1),
        opaque(inside, ALICE, hashed=b"other"),
    ):
        assert facts(peeled(octets, BOB)) == [("signed", True, "ok", ["bad-signature"]), ("encrypted", True, "ok", [])]


def test_a_signer_known_from_elsewhere() -> None:
    octets = signed(TEXT, ALICE)
    assert peeled(octets, known=(ALICE.der,)).layers == peeled(octets).layers


def test_by_octet_stream_and_file_name() -> None:
    octets = encrypted(TEXT, BOB).replace(
        b"application/pkcs7-mime; smime-type=enveloped-data", b"application/octet-stream"
    )
    assert peeled(octets, BOB).changed


def test_quoted_printable_and_binary() -> None:
    octets = Message(encrypted(TEXT, BOB))
    cms = b"".join(Part(octets.octets).decoded())
    for encoding, body in ((b"binary", cms), (b"quoted-printable", binascii.b2a_qp(cms, istext=False))):
        field = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
        header = b"".join(edit(octets, replace={octets.named(b"content-transfer-encoding")[0]: field}))
        assert peeled(header[: header.index(b"\r\n\r\n") + 4] + body, BOB).changed


def test_spools_come_from_the_caller_and_are_cleared() -> None:
    made: list[MemorySpool] = []

    def spool() -> MemorySpool:
        made.append(MemorySpool())
        return made[-1]

    octets = encrypted(TEXT, BOB, cipher="aes256-gcm")
    assert peeled(octets, BOB, spools=spool).changed
    spoilt = octets[: octets.rindex(b"\r\n") - 8] + b"AAAA" + octets[octets.rindex(b"\r\n") - 4 :]
    assert facts(peeled(spoilt, BOB, spools=spool)) == [("encrypted", False, "decryption-failed", [])]
    assert [bool(each.octets()) for each in made] == [True, False]


def test_a_bytearray_is_as_good() -> None:
    octets = bytearray(signed_and_encrypted(TEXT, ALICE, BOB))
    found = asyncio.run(peel(Message(octets), Keys(BOB)))
    assert bytes(found.bare().octets) == TEXT


def test_no_mime_version_twice() -> None:
    found = peeled(encrypted(signed(TEXT, ALICE), BOB), BOB)
    assert bytes(found.opened.octets).count(MIME_VERSION) == 1


@pytest.mark.req("B1")
def test_signed_with_line_feeds_and_carried_by_smtp_is_good_and_told() -> None:
    """A program that signs LF, as openssl does with -binary; SMTP makes CRLF of it."""
    entity = b"Content-Type: text/plain\r\n\r\nHello\r\nworld\r\n"
    signature, _ = sign([entity.replace(b"\r\n", b"\n")], ALICE)
    pending = prepare_signature([entity], load_party(ALICE.der))
    octets = b"From: alice@example.org\r\n" + b"".join(multipart_signed([entity], pending, signature))
    (layer,) = peeled(octets).layers
    assert [each.verdict for each in layer.outcomes] == ["ok"]
    assert not layer.canonical
    (layer,) = peeled(octets.replace(b"world", b"w0rld")).layers
    assert [each.verdict for each in layer.outcomes] == ["bad-signature"]
