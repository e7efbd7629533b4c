"""Notices as messages: no answers by programs, nothing added by hostile values; reports keep what is ours inside."""

from __future__ import annotations

import email
import email.message
import email.policy
from typing import Any

import pytest

from letterlock.mail import dsn
from letterlock.mail.address import AddressInvalid
from letterlock.notify import report
from letterlock.notify.catalogue import CATALOGUE
from letterlock.notify.email import REVERSE_PATH, compose

from .test_render import HOSTILE, values

FROM = ("Letterlock", "postmaster@example.org")


def read(octets: bytes) -> email.message.EmailMessage:
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(found, email.message.EmailMessage)
    assert not found.defects
    return found


@pytest.mark.req("A21")
def test_encryption_failed() -> None:
    made = compose(
        "encryption_failed",
        {
            "subject": "Angebot für Köln",
            "sent_at": "today",
            "contact": "postmaster@example.org",
            "recipients": [{"address": "b@example.com", "why": "no usable certificate"}],
            "held_until": "tomorrow",
            "queue_id": "0190",
        },
        FROM,
        "a@example.org",
        now=0,
        answers="<1@example.org>",
    )
    found = read(made)
    assert found["Subject"] == "Not sent, encryption failed: Angebot für Köln"
    assert found["To"] == "a@example.org"
    assert found["Auto-Submitted"] == "auto-replied"
    assert found["In-Reply-To"] == found["References"] == "<1@example.org>"
    text = found.get_content()
    assert "b@example.com: no usable certificate" in text
    assert "It was NOT sent" in text
    assert "waits until tomorrow" in text
    assert REVERSE_PATH == ""


@pytest.mark.req("A21")
@pytest.mark.parametrize("name", CATALOGUE)
def test_hostile_values_add_no_field(name: str) -> None:
    made = compose(
        name, values(CATALOGUE[name], lambda _: HOSTILE), (HOSTILE, FROM[1]), "a@example.org", now=0, answers=HOSTILE
    )
    found = read(made)
    assert set(found.keys()) == {
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }
    assert len(found.keys()) == 10
    assert b"\n" not in made.replace(b"\r\n", b"")


def test_bad_recipient() -> None:
    with pytest.raises(AddressInvalid):
        compose("released", values(CATALOGUE["released"], str), FROM, "a@example.org\r\nBcc: b@c", now=0)


def make_report(action: Any, inside: bool, **changes: Any) -> bytes:
    fate = dsn.Fate("b@example.com", action, "5.2.2", "552 5.2.2 mailbox of SECRET is full", "mx.example.com")
    return report.compose(
        dsn.Report("gw.example.org", (fate._replace(**changes),)),
        to="a@example.net",
        postmaster="postmaster@example.org",
        inside=inside,
        back=dsn.Back("FULL", (b"Subject: outer\r\n",), b"Subject: SECRET\r\n\r\nSECRET\r\n"),
        now=0,
    )


@pytest.mark.req("A22")
@pytest.mark.parametrize(
    ("action", "subject"), [("failed", "Not delivered"), ("delayed", "Delayed"), ("relayed", "Delivered or handed on")]
)
def test_reports(action: str, subject: str) -> None:
    made = make_report(action, True)
    found = read(made)
    assert found["Subject"].startswith(subject)
    text = found.get_body().get_content()
    assert "b@example.com" in text
    assert "552 5.2.2 mailbox of SECRET is full" in text
    assert dsn.parse(made).fates[0].action == action


@pytest.mark.req("A22")
@pytest.mark.parametrize("action", ["failed", "delayed", "relayed"])
def test_reports_to_the_outside_say_nothing_of_ours(action: str) -> None:
    made = make_report(action, False)
    assert b"SECRET" not in made
    assert b"mx.example.com" not in made
    assert b"552 5.2.2" in made
    if action == "failed":
        assert b"The mailbox cannot take the message." in made


def test_delay_says_until_when() -> None:
    assert b"until Fri, 02 Jan 1970" in make_report("delayed", True, retry_until=86_400.0)
    assert b"Delivery will be tried again." in make_report("delayed", True)
