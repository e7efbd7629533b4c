"""Who wrote it and who is named in it is read from undecoded, unambiguous values only."""

from __future__ import annotations

import pytest

from letterlock.decision.known import MessageFacts
from letterlock.decision.message import message_facts
from letterlock.mail.message import Message


def read(*fields: str) -> MessageFacts:
    octets = "\r\n".join([*fields, "", "Body\r\n"]).encode()
    return message_facts(Message(octets), len(octets))


def test_addresses() -> None:
    found = read(
        "From: Ann <ann@inside.example>", 'To: "B, ob" <Bob@Partner.Example>, carl@b.example', "Cc: Dora <d@c.example>"
    )
    assert found.authors == ("ann@inside.example",)
    assert found.named == {"bob@partner.example", "carl@b.example", "d@c.example"}


@pytest.mark.parametrize(
    "field",
    [
        "From: =?utf-8?q?boss=40inside.example=2C?= <ann@inside.example>",
        "From: =?utf-8?q?x=3E=2C_boss=40inside.example_=3C?= <ann@inside.example>",
    ],
)
def test_an_encoded_display_name_is_no_address(field: str) -> None:
    assert read(field).authors == ("ann@inside.example",)


def test_several_authors_are_all_seen() -> None:
    assert len(read("From: a@x.example, b@x.example").authors) == 2
    assert len(read("From: a@x.example", "From: b@x.example").authors) == 2


def test_what_is_unclear_names_nobody() -> None:
    assert read("From: a@x.example <b@x.example").authors == ()
    assert read("From: ann@inside.example", "From: a@x.example <b@x.example").authors == ()
    assert read("From: a@x.example", "To: <<b@x.example>>", "Cc: c@x.example").named == {"c@x.example"}


def test_triggers_see_decoded_text() -> None:
    found = read("Subject: =?utf-8?q?=5Bencrypt=5D?= Report", "SUBJECT: second")
    assert list(found.fields.values("subject")) == ["[encrypt] Report", "second"]


@pytest.mark.parametrize(
    ("field", "automatic"),
    [
        ("Auto-Submitted: no", False),
        ("Auto-Submitted: auto-replied", True),
        ("List-Id: <l.example>", True),
        ("X: y", False),
    ],
)
def test_automatic(field: str, automatic: bool) -> None:
    assert read(field).automatic is automatic
