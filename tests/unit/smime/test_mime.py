"""MIME around CMS: what moves inside, base64 lines, and how S/MIME is recognised."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.base64_lines import base64_lines
from letterlock.smime.mime import is_cms, is_multipart_signed, is_signature, to_mime, wrap
from tests.fakes.people import TEXT


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=100), st.integers(20_000, 80_000).map(bytes)), max_size=8))
def test_base64_does_not_depend_on_the_pieces(parts: list[bytes]) -> None:
    encoded = b"".join(base64_lines(parts))
    assert encoded == base64.encodebytes(b"".join(parts)).replace(b"\n", b"\r\n")


@pytest.mark.parametrize("length", [0, 1, 56, 57, 58, 57 * 400 - 1, 57 * 400, 57 * 400 + 1, 57 * 800])
def test_base64_at_its_edges(length: int) -> None:
    encoded = b"".join(base64_lines((memoryview(bytes(length)),)))
    assert encoded == base64.encodebytes(bytes(length)).replace(b"\n", b"\r\n")


@pytest.mark.req("B1")
def test_content_fields_move_inside_and_nothing_else_changes() -> None:
    wrapped = wrap(Message(TEXT))
    assert b"".join(wrapped.outer) == (
        b"From: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: a letter\r\n"
    )
    assert b"".join(wrapped.entity) == (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHello w\xc3\xb6rld\r\n"
    )


@pytest.mark.parametrize(
    ("message", "outer", "entity"),
    [
        (b"A: b\r\n\r\nx", b"A: b\r\n", b"Content-Type: text/plain\r\n\r\nx"),
        (b"\r\nx", b"", b"Content-Type: text/plain\r\n\r\nx"),
        (b"A: b", b"A: b\r\n", b"Content-Type: text/plain\r\n\r\n"),
        (b"A: b\r\nContent-Type: c/d", b"A: b\r\n", b"Content-Type: c/d\r\n\r\n"),
        (
            b"CONTENT-type: a/b;\r\n c=d\r\nA: b\r\n e\r\nContent-X: 1\r\nrubbish\r\n\r\nx",
            b"A: b\r\n e\r\nrubbish\r\n",
            b"CONTENT-type: a/b;\r\n c=d\r\nContent-X: 1\r\n\r\nx",
        ),
    ],
)
def test_wrapping_odd_messages(message: bytes, outer: bytes, entity: bytes) -> None:
    wrapped = wrap(Message(message))
    assert (b"".join(wrapped.outer), b"".join(wrapped.entity)) == (outer, entity)


def test_to_mime() -> None:
    part = Part(b"".join(to_mime([b"abc"], "authEnveloped-data")))
    assert part.content_type.parameters == {"smime-type": "authEnveloped-data", "name": "smime.p7m"}
    assert part.content_type.clear
    assert b"".join(part.decoded()) == b"abc"
    assert all(len(line) <= 78 for line in bytes(part.octets).split(b"\r\n"))


@pytest.mark.parametrize(
    ("field", "cms", "signature"),
    [
        (b"application/pkcs7-mime", True, False),
        (b"Application/X-PKCS7-MIME; smime-type=signed-data", True, False),
        (b"application/octet-stream; name=Smime.P7M", True, False),
        (b"application/octet-stream\r\nContent-Disposition: attachment; filename=smime.p7m", True, False),
        (b"application/octet-stream; name=x.bin", False, False),
        (b"text/plain; name=smime.p7m", False, False),
        (b"application/pkcs7-signature", False, True),
        (b"application/x-pkcs7-signature; name=x", False, True),
        (b"application/octet-stream; name=smime.p7s", False, True),
        (b"application/pgp-signature; name=a.asc", False, False),
    ],
)
def test_recognising(field: bytes, cms: bool, signature: bool) -> None:
    part = Part(b"Content-Type: " + field + b"\r\n\r\n")
    assert (is_cms(part), is_signature(part)) == (cms, signature)


@pytest.mark.parametrize(
    ("field", "ours"),
    [
        (b'multipart/signed; protocol="application/pkcs7-signature"; boundary=b', True),
        (b'multipart/signed; protocol="Application/X-pkcs7-signature"; boundary=b', True),
        (b"multipart/signed; boundary=b", True),
        (b'multipart/signed; protocol="application/pgp-signature"; boundary=b', False),
        (b'multipart/mixed; protocol="application/pkcs7-signature"; boundary=b', False),
    ],
)
def test_recognising_multipart_signed(field: bytes, ours: bool) -> None:
    assert is_multipart_signed(Part(b"Content-Type: " + field + b"\r\n\r\n")) is ours
