"""The protected header as it is written: which fields are inside, what stays outside, and that it is read back."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest

from letterlock.decision.plan import Edits
from letterlock.flow.mark import outgoing_change
from letterlock.flow.protect import inside, outer_fields
from letterlock.flow.reveal import reveal
from letterlock.mail.message import Message
from letterlock.smime.header_protection import Protected, protected
from letterlock.smime.header_writing import obstacle
from letterlock.smime.mime import MIME_VERSION
from letterlock.smime.peel import Peeled, peel
from tests.fakes.facts import candidate
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted_entity, person, signed_entity
from tests.fakes.plans import delivery

ALICE, BOB = person("alice"), person("bob")
HEADER = (
    b"Received: from x by y; Sat, 28 Nov 2026 00:00:00 +0000\r\nDKIM-Signature: v=1; a=b\r\n"
    b"From: Alice <alice@example.org>\r\nTo: Bob\r\n <bob@example.net>\r\nSubject: the plan [encrypt]\r\n"
    b"Bcc: eve@example.com\r\nKeywords: mill, nine\r\nX-Letterlock-Encrypt: yes\r\nDate: Sat, 28 Nov 2026 00:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\nThread-Topic: the plan\r\nMIME-Version: 1.0\r\n"
)
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"
EDITS = Edits(remove=("bcc", "x-letterlock-encrypt"), subjects=("the plan",))


def written(octets: bytes, header: str, *, encrypted: bool = True, display: bool = False) -> tuple[bytes, bytes]:
    """(what stays outside, the entity that is protected)."""
    message = Message(octets)
    change = outgoing_change(message, EDITS)
    made = delivery(header=header, display=display, encrypted=encrypted, signer=candidate("a@b.example", key=True))
    outside = b"".join(outer_fields(message, change, (), hide=header == "hide"))
    return outside, b"".join(inside(message, change, made))


def read(outside: bytes, entity: bytes, *, sign: bool = False) -> tuple[Peeled, Protected | None]:
    """As the receiving side reads it."""
    within = b"".join(signed_entity([entity], ALICE)) if sign else entity
    message = Message(outside + encrypted_entity([within], BOB))
    peeled = asyncio.run(peel(message, Keys(BOB)))
    return peeled, protected(message, peeled.layers, peeled.payload)


def mail(octets: bytes) -> EmailMessage:
    """As the email package reads it."""
    return cast("EmailMessage", message_from_bytes(octets, policy=default))


@pytest.mark.req("B13")
def test_hidden() -> None:
    outside, entity = written(HEADER + TEXT, "hide")
    shown, within = mail(outside), mail(entity)
    assert (shown["Subject"], shown["Keywords"], shown["To"]) == ("[...]", None, "Bob <bob@example.net>")
    assert b"mill" not in outside and b"plan" not in outside
    assert (within["Subject"], within["Keywords"], within["From"]) == (
        "the plan",
        "mill, nine",
        "Alice <alice@example.org>",
    )
    assert within.get_content_type() == "text/plain" and within.get_param("hp") == "cipher"
    assert within.get_content().split() == ["Hello"]
    told = [value.partition(":") for value in within.get_all("HP-Outer", [])]
    assert {name.lower(): value.strip() for name, _, value in told} == {
        "from": "Alice <alice@example.org>",
        "to": "Bob <bob@example.net>",
        "subject": "[...]",
        "date": "Sat, 28 Nov 2026 00:00:00 +0000",
        "message-id": "<1@example.org>",
    }


@pytest.mark.req("B13")
@pytest.mark.parametrize(("header", "encrypted"), [("copy", True), ("copy", False), ("hide", True)])
def test_what_never_goes_inside(header: str, encrypted: bool) -> None:
    _, entity = written(HEADER + TEXT, header, encrypted=encrypted)
    for word in (b"eve@", b"received", b"dkim", b"letterlock", b"[encrypt]", b"mime-version"):
        assert word not in entity.lower()


@pytest.mark.req("B13")
def test_signed_only() -> None:
    outside, entity = written(HEADER + TEXT, "copy", encrypted=False)
    assert b"HP-Outer" not in entity and b"Subject: the plan\r\n" in outside
    message = Message(outside + MIME_VERSION + b"".join(signed_entity([entity], ALICE)))
    peeled = asyncio.run(peel(message, Keys()))
    found = protected(message, peeled.layers, peeled.payload)
    assert found is not None
    assert (found.scheme, found.subject, found.author, found.outer) == ("clear", "the plan", "alice@example.org", ())


@pytest.mark.req("B13")
def test_not_protected_it_is_the_entity_as_it_was() -> None:
    _, entity = written(HEADER + TEXT, "none")
    assert entity == TEXT


@pytest.mark.req("B13")
@pytest.mark.parametrize("sign", [True, False])
def test_read_back(sign: bool) -> None:
    outside, entity = written(HEADER + TEXT, "hide")
    peeled, found = read(outside, entity, sign=sign)
    assert found is not None
    assert (found.scheme, found.subject, dict(found.outer)["subject"]) == ("cipher", "the plan", "[...]")
    seen = mail(bytes(reveal(peeled, found).octets))
    assert (seen["Subject"], seen["Keywords"]) == ("the plan", "mill, nine")
    assert "HP-Outer" not in seen or sign
    assert seen.get_body() is not None


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: text/plain;\r\n\tcharset=utf-8 ; \r\n\r\nHello\r\n",
        b"Content-Transfer-Encoding: 7bit\r\n\r\nHello\r\n",
        b"\r\nHello\r\n",
        b"Content-Type: text/plain",
        b'CONTENT-TYPE :multipart/mixed; boundary="a;"\r\n\r\n--a;\r\n\r\nHello\r\n--a;--\r\n',
    ],
)
def test_any_content_keeps_its_type_and_body(content: bytes) -> None:
    before = mail(content)
    outside, entity = written(HEADER + content, "hide")
    after = mail(entity)
    assert after.get_content_type() == before.get_content_type()
    assert after.get_param("charset") == before.get_param("charset")
    assert Message(entity).body.tobytes() == Message(content).body.tobytes()
    _, found = read(outside, entity)
    assert found is not None and found.subject == "the plan"


@pytest.mark.req("B13")
def test_a_long_field_makes_no_line_too_long() -> None:
    outside, entity = written(HEADER + b"X-Long: " + b"x" * 989 + b"\r\n" + TEXT, "hide")
    assert max(map(len, entity.split(b"\r\n"))) <= 998
    _, found = read(outside, entity)
    assert found is not None and dict(found.outer)["x-long"] == "x" * 989


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("header", "word"),
    [
        (b"Content-Type: text/plain; charset=a; charset=b\r\n", "doubtful"),
        (b"Content-Type: text/plain (plain; text)\r\n", "doubtful"),
        (b"Content-Type: text/plain\r\nContent-Type: text/html\r\n", "doubtful"),
        (b'Content-Type: text/plain; hp="clear"\r\n', "already"),
        (b'Content-Type: multipart/mixed; boundary=x; protected-headers="v1"\r\n', "already"),
        (b"Content-Type: multipart/signed; boundary=x\r\n", "signed"),
        (b"Content-Type: multipart/encrypted; boundary=x\r\n", "signed"),
        (b"Content-Type: application/octet-stream; name=smime.p7m\r\n", "signed"),
        (b"Subject: one\r\nSubject: two\r\n", "twice"),
    ],
)
def test_obstacles(header: bytes, word: str) -> None:
    assert word in obstacle(Message(header + b"\r\nHello\r\n"))
    assert obstacle(Message(HEADER + TEXT)) == ""
