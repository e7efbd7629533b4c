"""Protected header fields that nobody protected, or that somebody else did: none of them is shown as the author's word.

See also
    RFC 9788 2.1, 4.4 (a protected From that differs), 4.10, 10 (what may go wrong); RFC 8551 3.1; docs/attacks.md. Further
    cases: ``test_spoofed_author.py``, ``tests/unit/smime/test_header_protection.py``.
"""

from __future__ import annotations

import pytest

from letterlock.smime.mime import to_mime
from tests.fakes.people import encrypted_entity, person, signed_entity
from tests.fakes.reader import Seen, read

ALICE, MALLORY, BOB = person("alice"), person("mallory"), person("bob")
EVIL = b"From: mallory@example.net\r\nTo: bob@example.net\r\nSubject: outside\r\nMIME-Version: 1.0\r\n"
HERS = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: outside\r\nMIME-Version: 1.0\r\n"
INNER = b"From: %b\r\nSubject: inside\r\nTo: bob@example.net\r\n"
ALICE_INSIDE = INNER % b"alice@example.org"
BODY = b"\r\nPay Mallory.\r\n"


def entity(scheme: bytes, fields: bytes) -> bytes:
    """A payload with protected fields."""
    return b"Content-Type: text/plain; %b\r\n%b%b" % (scheme, fields, BODY)


def is_shown(seen: Seen, subject: str | None = "inside") -> bool:
    """The protected subject is taken for the message's own, or it is shown as signed by its author."""
    return seen.subject == subject or seen.is_signed


SCHEMES = [b'hp="clear"', b'hp="cipher"', b'protected-headers="v1"']


def test_the_plain_case() -> None:
    for scheme in SCHEMES:
        seen = read(HERS + b"".join(signed_entity([entity(scheme, ALICE_INSIDE)], ALICE)))
        assert seen.is_signed
        assert seen.subject == "inside"


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_any_layer(scheme: bytes) -> None:
    """RFC 9788 2.1: the parameter in a message that nobody signed or encrypted says nothing."""
    seen = read(EVIL + entity(scheme, ALICE_INSIDE))
    assert not is_shown(seen)
    assert seen.subject is None


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_mallory_signs_fields_of_alice(scheme: bytes) -> None:
    """RFC 9788 4.4: Mallory's signature over a From of Alice makes nobody the author, under either outer From."""
    for outer in (EVIL, HERS):
        seen = read(outer + b"".join(signed_entity([entity(scheme, ALICE_INSIDE)], MALLORY)))
        assert not seen.is_signed
        assert seen.verdicts == ("address-mismatch",)


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_signed_letter_of_alice_under_another_from(scheme: bytes) -> None:
    """What Alice signed, sent on under Mallory's From: the protected From contradicts it."""
    seen = read(EVIL + b"".join(signed_entity([entity(scheme, ALICE_INSIDE)], ALICE)))
    assert not seen.is_signed


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_part_with_protected_fields(scheme: bytes) -> None:
    """Only the payload of the outermost layers protects: a signed part beside others lends its fields to nobody."""
    part = b"".join(signed_entity([entity(scheme, ALICE_INSIDE)], ALICE))
    for kind in (b"mixed", b"alternative", b"related"):
        octets = (
            HERS
            + b'Content-Type: multipart/%b; boundary="m"; %b\r\n\r\n--m\r\n%b\r\n--m\r\n\r\nPay.\r\n--m--\r\n'
            % (
                kind,
                scheme,
                part,
            )
        )
        seen = read(octets)
        assert not is_shown(seen)
        assert seen.subject is None


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_fields_of_a_part_inside_the_signed_one(scheme: bytes) -> None:
    """The root of the payload protects, not a part below it: a forwarded letter does not name the one that carries it."""
    inner = b'Content-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\n%b\r\n--m--\r\n' % entity(scheme, ALICE_INSIDE)
    seen = read(EVIL + b"".join(signed_entity([inner], MALLORY)))
    assert seen.subject is None
    assert seen.is_signed  # by Mallory, in her own name


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize("author", [b"alice@example.org", b"mallory@example.net"])
def test_encrypted_by_whoever_can(author: bytes) -> None:
    """RFC 9788 10: everybody can encrypt. Fields inside an encrypted layer that nobody signed change the subject at most;
    From and To stay those of the message, and nobody is shown as its signer."""
    seen = read(EVIL + encrypted_entity([entity(b'hp="cipher"', INNER % author)], BOB), BOB)
    assert not seen.is_signed
    assert seen.opened.startswith(EVIL.removesuffix(b"MIME-Version: 1.0\r\n"))
    assert b"alice@example.org" not in seen.opened


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize(
    "fields",
    [
        b"Subject: inside\r\n" + ALICE_INSIDE,
        ALICE_INSIDE + b"From: mallory@example.net\r\n",
        ALICE_INSIDE + b"To: eve@example.net\r\n",
    ],
    ids=["subject", "from", "to"],
)
def test_fields_twice(fields: bytes) -> None:
    """Two readers would take different ones: then nothing is protected."""
    assert read(HERS + b"".join(signed_entity([entity(b'hp="clear"', fields)], ALICE))).subject is None


@pytest.mark.req("B13", "B15")
@pytest.mark.parametrize("by", [ALICE, MALLORY], ids=["alice", "mallory"])
def test_a_forwarded_message_lends_nothing(by: object) -> None:
    """RFC 8551 3.1 and RFC 9788 4.10: a whole message inside counts only when its author is the one outside."""
    inner = b"Content-Type: message/rfc822\r\n\r\n" + ALICE_INSIDE + b"Content-Type: text/plain\r\n" + BODY
    for seen in (
        read(EVIL + b"".join(signed_entity([inner], by))),  # type: ignore[arg-type]
        read(EVIL + encrypted_entity([inner], BOB), BOB),
    ):
        assert seen.subject is None
        assert not seen.is_signed or by is MALLORY


@pytest.mark.req("B13", "B15")
def test_a_layer_that_does_not_open_protects_nothing() -> None:
    """A damaged layer with a header that can be read: its fields are not believed."""
    good = b"".join(signed_entity([entity(b'hp="clear"', ALICE_INSIDE)], ALICE))
    assert not read(HERS + good.replace(b"Subject: inside", b"Subject: INSIDE")).is_signed
    broken = encrypted_entity([entity(b'hp="cipher"', ALICE_INSIDE)], BOB, cipher="aes256-gcm")
    seen = read(EVIL + broken[:-20] + b"\r\n", BOB)
    assert seen.subject is None
    opaque = b"".join(to_mime([b"\x30\x03\x02\x01\x01"], "signed-data"))
    assert read(EVIL + opaque).subject is None
