"""What a desktop program encrypted, as it is inside: whose it is, and that nothing of it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from letterlock.decision.message import message_facts
from letterlock.flow.mark import outgoing_change
from letterlock.flow.protect import inside
from letterlock.flow.reopen import _inside, entity, inside_facts
from letterlock.flow.work import Reopened
from letterlock.mail.message import Buffer, Message
from letterlock.smime.party import load_party
from letterlock.smime.peel import peel
from tests.fakes.facts import candidate
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted_entity, person, signed_entity
from tests.fakes.plans import delivery

ALICE, BOB, EVE = person("alice"), person("bob"), person("eve")
SENDER = "alice@example.org"
HEAD = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: [...]\r\n"
PLAIN = b"Content-Type: text/plain\r\n\r\nHello\r\n"
PROTECTED = (
    b'Content-Type: text/plain; hp="cipher"\r\nFrom: alice@example.org\r\nSubject: [sign] the plan\r\n'
    b"HP-Outer: From: alice@example.org\r\nHP-Outer: Subject: [...]\r\n\r\nHello\r\n"
)


def opened(within: Sequence[Buffer], keys: Keys | None = None) -> tuple[Message, Reopened]:
    """The message, and what the sender's key finds inside."""
    message = Message(HEAD + encrypted_entity(within, ALICE, BOB))
    return message, _inside(asyncio.run(peel(message, keys or Keys(ALICE))), SENDER)


@pytest.mark.req("A18")
@pytest.mark.parametrize(
    "within",
    [
        PLAIN,
        PROTECTED,
        b"\r\nno header\r\n",
        b"text without any header",
        b"Content-Type: text/plain\n\nbare line feeds\n",
        b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\r",
    ],
)
def test_octet_by_octet(within: bytes) -> None:
    message, found = opened([within])
    assert (found.reason, found.signed) == ("", False)
    assert found.entity == (within if within[:4] != b"text" else b"\r\n" + within)
    assert found.recipients == {load_party(each.der).certificate.issuer_serial.hex() for each in (ALICE, BOB)}
    made = inside(message, outgoing_change(message, delivery().edits), delivery(), entity(found))
    assert b"".join(made) == found.entity


@pytest.mark.req("A18")
def test_a_signature_inside() -> None:
    within = b"".join(signed_entity([PLAIN], ALICE))
    _, found = opened([within])
    assert (found.reason, found.signed, found.entity) == ("", True, within)
    _, other = opened(signed_entity([PLAIN], EVE))
    assert other.reason == "it was not written by its sender"
    _, broken = opened([within.replace(b"Hello", b"Hullo")])
    assert broken.reason == "it was not written by its sender"


@pytest.mark.req("A18", "B13")
def test_a_protected_author_is_another() -> None:
    _, found = opened([PROTECTED.replace(b"\r\nFrom: alice", b"\r\nFrom: eve")])
    assert found.reason == "it was not written by its sender"


@pytest.mark.req("A18", "B2")
def test_only_one_encryption() -> None:
    for key in (Keys(ALICE), Keys(ALICE, BOB)):
        _, found = opened([encrypted_entity([PLAIN], BOB)], key)
        assert found.reason == "what is inside could not be read"


@pytest.mark.req("A18")
def test_no_key() -> None:
    _, found = opened([PLAIN], Keys())
    assert found.reason == "not encrypted to a key of its sender that is here"


@pytest.mark.req("A18", "B13")
def test_the_protected_subject_is_decided_on_and_stays_inside() -> None:
    message, found = opened([PROTECTED])
    facts = inside_facts(message, found, message_facts(message, 100, protected="encrypted")).message
    assert facts is not None
    assert facts.fields.values("Subject") == ["[...]", "[sign] the plan"]
    assert (facts.protected, facts.unprotectable) == ("none", "protected by the sender's own program already")
    assert facts.authors == (SENDER,)


@pytest.mark.req("A18", "B13")
def test_what_has_no_protected_header_can_get_one() -> None:
    message, found = opened([PLAIN])
    facts = inside_facts(message, found, message_facts(message, 100, protected="encrypted")).message
    assert facts is not None and facts.unprotectable == ""
    made = delivery(header="copy", signer=candidate(SENDER, key=True))
    octets = b"".join(inside(message, outgoing_change(message, made.edits), made, entity(found)))
    assert b"Subject: [...]\r\n" in octets and octets.endswith(b'hp="cipher"\r\n\r\nHello\r\n')
    _, foreign = opened([b"X-Of-Its-Own: 1\r\n" + PLAIN])
    other = inside_facts(message, foreign, message_facts(message, 100)).message
    assert other is not None and other.unprotectable == "its entity has fields of its own"
