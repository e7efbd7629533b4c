"""Names and fields that make a reader see another author than the one who signed: never is such a signature "ok".

See also
    Müller and others, "Johnny, you are fired!" (USENIX Security 2019), the families ID and UI.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from letterlock.mail.message import Message
from letterlock.pki.certificate import parse
from letterlock.pki.trust import Trust
from letterlock.smime.header_protection import protected
from letterlock.smime.judge import judge
from letterlock.smime.peel import peel
from tests.fakes.own_keys import Keys
from tests.fakes.people import MIME_VERSION, authority, person, signed, signed_entity

ALICE = person("alice")
BODY = b"To: bob@example.net\r\nMIME-Version: 1.0\r\nContent-Type: text/plain%b\r\n%b\r\nPay.\r\n"


def verdict(header: bytes, parameters: bytes = b"", inside: bytes = b"") -> str:
    """Of a message with this header that alice signed; ``inside``: fields under her signature."""
    octets = signed(header + BODY % (parameters, b""), ALICE)
    if inside:
        plain = b"Content-Type: text/plain%b\r\n%b\r\nPay.\r\n" % (parameters, inside)
        octets = b"".join((header, MIME_VERSION, *signed_entity([plain], ALICE)))
    message = Message(octets)
    peeled = asyncio.run(peel(message, Keys()))
    (layer,) = peeled.layers
    inner = protected(message, peeled.layers, peeled.payload)
    trust = Trust([parse(authority().der)])
    (outcome,) = layer.outcomes
    assert outcome.signer is not None
    path = trust.verdict(outcome.signer.certificate, datetime.now(UTC), "sign")
    return judge(outcome, message, path, inner).verdict


HONEST = {
    "plain": b"From: alice@example.org\r\n",
    "name": b"From: Alice Liddell <alice@example.org>\r\n",
    "the same address as name": b'From: "alice@example.org" <Alice@EXAMPLE.org>\r\n',
    "another sender": b"From: alice@example.org\r\nSender: list@example.net\r\n",
    "an at sign that is no address": b'From: "Alice @ home" <alice@example.org>\r\n',
}
SPOOFED = {
    "another author": b"From: boss@example.net\r\n",
    "only the sender field": b"From: boss@example.net\r\nSender: alice@example.org\r\n",
    "only reply-to": b"From: boss@example.net\r\nReply-To: alice@example.org\r\n",
    "two fields": b"From: alice@example.org\r\nFrom: boss@example.net\r\n",
    "two fields, the other order": b"From: boss@example.net\r\nFrom: alice@example.org\r\n",
    "two mailboxes": b"From: boss@example.net, alice@example.org\r\n",
    "none": b"Sender: alice@example.org\r\n",
    "address as name": b'From: "boss@example.net" <alice@example.org>\r\n',
    "address in the name": b'From: "Boss (boss@example.net) " <alice@example.org>\r\n',
    "angle brackets in the name": b'From: "Boss <boss@example.net>" <alice@example.org>\r\n',
    "encoded": b"From: =?utf-8?B?Ym9zc0BleGFtcGxlLm5ldA==?= <alice@example.org>\r\n",
    "full width": "From: boss\uff20example.net <alice@example.org>\r\n".encode(),
    "the signer as name": b'From: "alice@example.org" <boss@example.net>\r\n',
    "nul": b"From: boss@example.net\0 <alice@example.org>\r\n",
    "a group": b"From: Boss: boss@example.net, alice@example.org;\r\n",
    "white space before the colon": b"From : boss@example.net\r\nFrom: alice@example.org\r\n",
}


@pytest.mark.req("B15")
@pytest.mark.parametrize("header", HONEST.values(), ids=HONEST.keys())
def test_the_author_is_the_signer(header: bytes) -> None:
    assert verdict(header) == "ok"


@pytest.mark.req("B15")
@pytest.mark.parametrize("header", SPOOFED.values(), ids=SPOOFED.keys())
def test_another_author_is_told(header: bytes) -> None:
    assert verdict(header) == "address-mismatch"


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (b"From: alice@example.org\r\nSubject: s\r\n", "ok"),
        (b"From: boss@example.net\r\nSubject: s\r\n", "address-mismatch"),
        (b'From: "boss@example.net" <alice@example.org>\r\n', "address-mismatch"),
    ],
)
def test_a_protected_author_must_be_the_same(inside: bytes, expected: str) -> None:
    assert verdict(b"From: alice@example.org\r\n", b'; hp="clear"', inside) == expected
