"""Which header fields a layer protects, and which it does not."""

from __future__ import annotations

import asyncio

import pytest

from letterlock.mail.message import Message
from letterlock.smime.header_protection import Protected, protected
from letterlock.smime.peel import peel
from tests.fakes.own_keys import Keys
from tests.fakes.people import MIME_VERSION, encrypted_entity, person, signed_entity

ALICE, BOB = person("alice"), person("bob")
HEAD = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: [...]\r\n"


def found(entity: bytes, *, sealed: bool = True, keys: Keys | None = None) -> Protected | None:
    """What a message with this entity inside a layer protects."""
    inside = encrypted_entity([entity], BOB) if sealed else b"".join(signed_entity([entity], ALICE))
    message = Message(HEAD + (b"" if sealed else MIME_VERSION) + inside)
    peeled = asyncio.run(peel(message, keys or Keys(BOB)))
    return protected(message, peeled.layers, peeled.payload)


CIPHER = (
    b'Content-Type: text/plain; hp="cipher"\r\nFrom: alice@example.org\r\nSubject: the plan\r\n'
    b"HP-Outer: Subject: [...]\r\nHP-Outer: From: alice@example.org\r\n\r\nHello\r\n"
)


@pytest.mark.req("B13")
@pytest.mark.parametrize("sealed", [True, False])
def test_hp(sealed: bool) -> None:
    inner = found(CIPHER, sealed=sealed)
    assert inner is not None
    assert (inner.scheme, inner.subject, inner.author) == ("cipher", "the plan", "alice@example.org")
    assert inner.names == ("from", "subject")
    assert inner.outer == (("subject", "[...]"), ("from", "alice@example.org"))


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'; hp="cipher"', b""),
        (b'hp="cipher"', b'hp="other"'),
        (b"Subject: the plan\r\n", b"Subject: the plan\r\nSubject: another\r\n"),
        (b"Subject: the plan\r\n", b"Content-Type: text/html\r\nSubject: the plan\r\n"),
        (b'hp="cipher"', b'hp="cipher"; hp="clear"'),
    ],
)
def test_where_there_is_doubt_nothing_is_protected(old: bytes, new: bytes) -> None:
    assert found(CIPHER.replace(old, new, 1)) is None


@pytest.mark.req("B13")
def test_nothing_is_protected_that_was_not_opened() -> None:
    assert found(CIPHER, keys=Keys()) is None


@pytest.mark.req("B13")
def test_hp_outside_of_a_layer_means_nothing() -> None:
    message = Message(b'Subject: x\r\nContent-Type: text/plain; hp="clear"\r\n\r\nHello\r\n')
    peeled = asyncio.run(peel(message, Keys()))
    assert protected(message, peeled.layers, peeled.payload) is None


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("parameters", "author", "expected"),
    [
        (b"; forwarded=no", b"alice@example.org", "inner"),
        (b"", b"alice@example.org", "inner"),
        (b"; forwarded=yes", b"alice@example.org", None),
        (b"", b"mallory@example.net", None),
    ],
)
def test_a_whole_message_inside(parameters: bytes, author: bytes, expected: str | None) -> None:
    inner = found(
        b"Content-Type: message/rfc822%b\r\n\r\nFrom: %b\r\nSubject: inner\r\n\r\nHello\r\n" % (parameters, author)
    )
    assert (inner.subject if inner else None) == expected


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    "kind",
    [
        b'text/plain; hp="clear"',
        b"multipart/signed; boundary=x",
        b"application/pkcs7-mime",
        b"application/octet-stream; name=smime.p7m",
    ],
)
def test_a_message_inside_with_protection_of_its_own_is_another_one(kind: bytes) -> None:
    header = b"From: alice@example.org\r\nSubject: inner\r\nContent-Type: " + kind
    assert found(b"Content-Type: message/rfc822\r\n\r\n" + header + b"\r\n\r\nHello\r\n") is None
