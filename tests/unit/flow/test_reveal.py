"""Protected fields take the place of those outside; nothing else does, and no value begins a field of its own."""

from __future__ import annotations

import asyncio

import pytest

from letterlock.flow.reveal import reveal, reveal_bare, with_fields, with_subject
from letterlock.mail.message import Message
from letterlock.smime.header_protection import Protected, protected
from letterlock.smime.peel import peel
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted_entity, person, signed_entity

KIND = b'Content-Type: text/plain; hp="cipher"; hp-legacy-display="1"\r\n'
BODY = b"\r\n\r\nHello\r\n"


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("header", "subject", "expected"),
    [
        (b"Subject: [...]\r\nFrom: a@example.org", "the plan", b"Subject: the plan\r\nFrom: a@example.org"),
        (b"From: a@example.org", "the plan", b"From: a@example.org\r\nSubject: the plan"),
        (b"Subject: [...]\r\nSubject: x", "the plan", b"Subject: the plan"),
        (b"Subject: [...]", "the\r\nBcc: evil@example.net", b"Subject: the  Bcc: evil@example.net"),
        (b"Subject: =?utf-8?Q?pl=C3=A4n?=", "pl\xe4n", b"Subject: =?utf-8?Q?pl=C3=A4n?="),
    ],
)
def test_subject(header: bytes, subject: str, expected: bytes) -> None:
    found = with_subject(Message(header + BODY), subject)
    assert bytes(found.octets) == expected + BODY


def inside(fields: bytes) -> Protected:
    """Protected fields as a message that hides them has them."""
    return Protected("cipher", Message(fields + b"\r\n"))


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("header", "protected", "expected"),
    [
        (b"To: b@c.example", b"To: B <b@c.example>\n", b"To: B <b@c.example>"),
        (b"To: b@c.example\r\nTo: x@y.example", b"To: b@c.example\r\n", b"To: b@c.example"),
        (b"From: a@b.example", b"Keywords: x\r\n", b"From: a@b.example\r\nKeywords: x"),
        (b"From: a@b.example", b"From: A <a@b.example>\r\n", b"From: A <a@b.example>"),
        (b"From: a@b.example", b"From: Boss <boss@b.example>\r\n", b"From: a@b.example"),
        (b"From: a@b.example", b"Received: x\r\nBcc: e@e.example\r\nX-Letterlock-Info-A: 1\r\n", b"From: a@b.example"),
        (b"To: b@c.example", b"To: b@c.example\rBcc: e@e.example\r\n", b"To: b@c.example"),
        (b"To: b@c.example", "To: B\xfc <b@c.example>\r\n".encode(), b"To: b@c.example"),
        (b"To: b@c.example", "Keywords: \xfc\r\n".encode(), b"To: b@c.example\r\nKeywords: =?utf-8?B?w7w=?="),
        (b"To: b@c.example", b"To: " + b"x" * 1200 + b"@c.example\r\n", b"To: b@c.example"),
    ],
)
def test_fields(header: bytes, protected: bytes, expected: bytes) -> None:
    found = with_fields(Message(header + BODY), inside(protected))
    assert bytes(found.octets) == expected + BODY


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("outer", "left"),
    [
        ((("from", "a@b.example"),), b"From: a@b.example"),
        ((("from", "a@b.example"), ("cc", "e@e.example")), b"From: a@b.example\r\nCc: e@e.example"),
        ((), b"From: a@b.example\r\nCc: e@e.example\r\nReply-To: e@e.example"),
    ],
)
def test_nobody_adds_whom_a_reply_goes_to(outer: tuple[tuple[str, str], ...], left: bytes) -> None:
    message = Message(b"From: a@b.example\r\nCc: e@e.example\r\nReply-To: e@e.example" + BODY)
    found = with_fields(message, inside(b"From: a@b.example\r\n")._replace(outer=outer))
    assert bytes(found.octets).startswith(left + b"\r\n")
    assert (b"Reply-To" in found.octets) == (not outer)


@pytest.mark.req("B13")
@pytest.mark.parametrize("sign", [False, True])
def test_a_whole_message_inside(sign: bool) -> None:
    entity = b"Content-Type: message/rfc822\r\n\r\nFrom: alice@example.org\r\nSubject: the plan\r\n\r\nHello\n"
    within = signed_entity([entity.replace(b"lo\n", b"lo\r\n")], person("alice")) if sign else [entity]
    head = b"From: alice@example.org\r\nSubject: [...]\r\n"
    peeled = asyncio.run(peel(Message(head + encrypted_entity(within, person("bob"))), Keys(person("bob"))))
    found = reveal(peeled, protected(peeled.message, peeled.layers, peeled.payload))
    assert found.first(b"subject") == b"the plan"
    if sign:
        assert b"multipart/signed" in found.octets and b"message/rfc822" in found.octets
    else:
        assert bytes(found.octets) == head.replace(b"[...]", b"the plan") + b"MIME-Version: 1.0\r\n" + BODY[2:]


@pytest.mark.req("B13")
def test_without_its_signature_a_text_is_shown_once() -> None:
    entity = KIND + b"From: alice@example.org\r\nSubject: the plan\r\n\r\nSubject: the plan\r\n\r\nHello\r\n"
    within = signed_entity([entity], person("alice"))
    head = b"From: alice@example.org\r\nSubject: [...]\r\n"
    peeled = asyncio.run(peel(Message(head + encrypted_entity(within, person("bob"))), Keys(person("bob"))))
    inner = protected(peeled.message, peeled.layers, peeled.payload)
    assert b"Subject: the plan\r\n\r\nHello" in reveal(peeled, inner).octets
    bare = reveal_bare(peeled, inner)
    assert (bare.first(b"subject"), bare.body.tobytes()) == (b"the plan", b"Hello\r\n")
    assert bare.first(b"content-type") == b"text/plain"


@pytest.mark.req("B13")
def test_what_was_not_encrypted_is_the_message_itself() -> None:
    octets = b'Content-Type: text/plain; hp="cipher"; hp-legacy-display="1"\r\n\r\nSubject: x\r\n\r\nHello\r\n'
    peeled = asyncio.run(peel(Message(octets), Keys()))
    assert reveal(peeled, None) is peeled.message
