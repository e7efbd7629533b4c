"""A hostile protected header: it brings no field of its choice outside, hides no text, and costs little."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.flow.reveal import reveal
from letterlock.mail.message import Message
from letterlock.smime.header_protection import protected
from letterlock.smime.peel import peel
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted_entity, person

BOB = person("bob")
HEAD = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: [...]\r\n"
KIND = b'Content-Type: text/plain; hp="cipher"; hp-legacy-display="1"\r\n'


def seen(entity: bytes) -> Message:
    """The decrypted message as its reader gets it."""
    peeled = asyncio.run(peel(Message(HEAD + encrypted_entity([entity], BOB)), Keys(BOB)))
    return reveal(peeled, protected(peeled.message, peeled.layers, peeled.payload))


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    "field",
    [
        b"Subject: x\rBcc: evil@example.com\r\n",
        b"Subject: =?utf-8?Q?x=0D=0ABcc:_evil@example.com?=\r\n",
        b"To: bob@example.net\rBcc: evil@example.com\r\n",
        b"Cc: a@example.net\n\rBcc: evil@example.com\r\n",
        b"Keywords: =?utf-8?Q?x=0ABcc:_evil@example.com?= \xff\r\n",
        b"References: <a@b>\r\n \r\nBcc: evil@example.com\r\n",
        b"Bcc: evil@example.com\r\n",
        b"Received: evil\r\nReturn-Path: <evil@example.com>\r\nDisposition-Notification-To: evil@example.com\r\n",
        b"X-Letterlock-Info-Signer-Verified-0-0: True\r\nX-Letterlock-Inbound: evil\r\n",
        b"Content-Type: text/html\r\n",
    ],
)
def test_no_field_of_its_choice(field: bytes) -> None:
    message = seen(KIND + field + b"\r\nHello\r\n")
    names = {each.name for each in message.fields}
    assert names <= {
        *(b"from", b"to", b"subject", b"keywords", b"cc", b"references", b"mime-version", b"content-type"),
    }
    assert all(b"\r" not in message.value(each) and b"\n" not in message.value(each) for each in message.fields)


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    "entity",
    [
        KIND + b"Subject: x\r\n" * 1900 + b"\r\nHello\r\n",
        KIND + b"HP-Outer: To: x@y.example\r\n" * 1900 + b"\r\nHello\r\n",
        KIND + b"Keywords: " + b"=?utf-8?B?w7w=?= " * 40_000 + b"\r\n\r\nHello\r\n",
        KIND + b"\r\n" + b"A: b\r\n" * 200_000,
        KIND + b"\r\n" + b"A:" + b" b" * 1_000_000,
        KIND.replace(b"plain", b"html") + b"\r\n" + b"<body" * 200_000,
        KIND.replace(b"plain", b"html") + b'\r\n<div class="header-protection-legacy-display">' + b"<" * 1_000_000,
        KIND.replace(b"plain", b"html") + b"\r\n" + b" " * 1_000_000,
        KIND.replace(b"\r\n", b"; hp-legacy-display" * 5_000 + b"\r\n") + b"\r\nHello\r\n",
    ],
)
def test_it_costs_little(entity: bytes) -> None:
    started = time.perf_counter()
    assert seen(entity).fields
    assert time.perf_counter() - started < 2


@pytest.mark.req("B13")
def test_a_text_is_not_hidden_by_what_looks_like_fields() -> None:
    body = b"Note: the following is a contract\r\nPay: 1000\r\nand so on\r\n\r\nbye\r\n"
    assert seen(KIND + b"\r\n" + body).body.tobytes() == body


@pytest.mark.req("B13")
@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_header(octets: bytes) -> None:
    message = seen(KIND + octets)
    assert {b"from", b"to", b"subject"} <= {each.name for each in message.fields}
