"""Only a part is signed or encrypted: it is told, and never taken for the message.

See also
    Müller and others, "Johnny, you are fired!" (USENIX Security 2019), the family MIME; EFAIL, direct exfiltration.
"""

from __future__ import annotations

import asyncio

import pytest

from letterlock.mail.message import Message
from letterlock.smime.mime import wrap
from letterlock.smime.peel import peel
from tests.fakes.own_keys import Keys
from tests.fakes.people import TEXT, encrypted_entity, person, signed_entity

ALICE, BOB = person("alice"), person("bob")
HEAD = b"From: alice@example.org\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"
EVIL = b"Content-Type: text/html\r\n\r\n<p>Pay Mallory.<style>*{display:none}</style>\r\n"
SIGNED = b"".join(signed_entity(wrap(Message(TEXT)).entity, ALICE))
SEALED = encrypted_entity(wrap(Message(TEXT)).entity, BOB)


def mixed(kind: bytes, *parts: bytes) -> bytes:
    """A multipart of these."""
    inside = b"".join(b"--m\r\n%b\r\n" % each for each in parts)
    return b'Content-Type: multipart/%b; boundary="m"\r\n\r\n%b--m--\r\n' % (kind, inside)


@pytest.mark.req("B1", "B2")
@pytest.mark.parametrize("kind", [b"mixed", b"alternative", b"related"])
@pytest.mark.parametrize(
    ("parts", "partial"),
    [
        ((EVIL, SIGNED), ("signed",)),
        ((SIGNED, EVIL), ("signed",)),
        ((SIGNED,), ("signed",)),
        ((EVIL, SEALED), ("encrypted",)),
        ((EVIL, SEALED, SIGNED), ("encrypted", "signed")),
        ((EVIL, b"Content-Type: application/pkcs7-signature\r\n\r\nx"), ("signed",)),
        ((EVIL, b"Content-Type: message/rfc822\r\n\r\n" + HEAD + SIGNED), ()),
    ],
)
def test_parts_are_told_and_left_alone(kind: bytes, parts: tuple[bytes, ...], partial: tuple[str, ...]) -> None:
    keys = Keys(BOB)
    message = Message(HEAD + mixed(kind, *parts))
    found = asyncio.run(peel(message, keys))
    assert (found.layers, found.partial) == ((), partial)
    assert found.opened is message
    assert b"Hello w" not in bytes(found.bare().octets) or SIGNED in message.octets
    assert all(not key.asked for key in keys.held)


@pytest.mark.req("B2")
def test_a_sealed_part_below_a_signature_is_told() -> None:
    """Alice's good signature around a part that nobody opened."""
    inner = mixed(b"mixed", EVIL, SEALED)
    found = asyncio.run(peel(Message(HEAD + b"".join(signed_entity([inner], ALICE))), Keys(BOB)))
    assert ([each.kind for each in found.layers], found.partial) == (["signed"], ("encrypted",))
