"""Delivery status notifications: what is in them, what never is, and that they read back."""

from __future__ import annotations

import email
import email.message
import email.policy
from typing import Any

import pytest

from letterlock.mail import dsn
from letterlock.mail.dsn import Back, Fate, Report, ReportInvalid, is_wanted
from letterlock.mail.envelope import Recipient

SECRET = b"the canary sings"
ORIGINAL = (
    b"Received: from inner.example.org\r\nFrom: a@example.org\r\nTo: b@example.com\r\nSubject: secret plan\r\n"
    b"X-Inner: yes\r\n\r\n" + SECRET + b"\r\n"
)
QUOTED = (
    b"Message-ID: <1@example.org>\r\n",
    b"Subject: outer\r\n subject\r\n",
    b"From: a@example.org\r\n",
    b"X-Inner: yes\r\n",
    b"To: b@example.com\r\nBcc: hidden@example.com\r\n",
    b"Date: Thu, 01 Jan 1970 00:00:00 +0000\n",
)
FATE = Fate("b@example.com", "failed", "5.1.1", "550 5.1.1 no such user, said the secret scanner", "mx.example.com")


def make(
    fates: tuple[Fate, ...] = (FATE,), inside: bool = True, back: Back | None = None, to: str = "a@example.org"
) -> bytes:
    return dsn.make(
        Report("gw.example.org", fates, 3600.0, "ENV-1"),
        to=to,
        author=("Mail Delivery System", "postmaster@example.org"),
        subject="Undelivered: Grüße",
        text="It was not delivered.\n",
        inside=inside,
        back=back or Back("", QUOTED, ORIGINAL),
        now=7200.0,
    )


def parts(octets: bytes) -> list[Any]:
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert not found.defects
    return list(found.iter_parts())


@pytest.mark.req("A22")
def test_failure_report_inside() -> None:
    made = make()
    found = email.message_from_bytes(made, policy=email.policy.default)
    assert found.get_content_type() == "multipart/report"
    assert found.get_param("report-type") == "delivery-status"
    assert found["Auto-Submitted"] == "auto-replied"
    assert found["Subject"] == "Undelivered: Grüße"
    assert found["To"] == "a@example.org"
    text, status, back = parts(made)
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    whole, one = status.get_payload()
    assert dict(whole.items()) == {
        "Original-Envelope-Id": "ENV-1",
        "Reporting-MTA": "dns; gw.example.org",
        "Arrival-Date": "Thu, 01 Jan 1970 01:00:00 +0000",
    }
    assert dict(one.items()) == {
        "Final-Recipient": "rfc822; b@example.com",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.com",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user, said the secret scanner",
    }
    assert back.get_content_type() == "text/rfc822-headers"
    assert b"X-Inner: yes" in made
    assert SECRET not in made


@pytest.mark.req("A22")
@pytest.mark.parametrize(
    ("ret", "action", "whole"),
    [("FULL", "failed", True), ("HDRS", "failed", False), ("", "failed", False), ("FULL", "delayed", False)],
)
def test_ret_is_honoured_inside(ret: Any, action: Any, whole: bool) -> None:
    made = make((FATE._replace(action=action),), back=Back(ret, QUOTED, ORIGINAL))
    assert (SECRET in made) == whole
    assert b"secret plan" in made
    assert parts(made)[2].get_content_type() == ("message/rfc822" if whole else "text/rfc822-headers")


@pytest.mark.req("A22")
@pytest.mark.parametrize("ret", ["", "HDRS", "FULL"])
@pytest.mark.parametrize("action", ["failed", "delayed", "relayed"])
def test_outside_gets_five_fields_and_codes_whatever_it_asks(ret: Any, action: Any) -> None:
    made = make((FATE._replace(action=action),), inside=False, back=Back(ret, QUOTED, ORIGINAL))
    for hidden in (
        SECRET,
        b"secret",
        b"X-Inner",
        b"inner.example.org",
        b"Bcc",
        b"hidden",
        b"mx.example.com",
        b"no such user",
    ):
        assert hidden not in made
    assert b"Diagnostic-Code: smtp; 550 5.1.1\r\n" in made
    back = parts(made)[2].get_content()
    assert back.replace("\r\n", "\n") == (
        "From: a@example.org\nTo: b@example.com\nDate: Thu, 01 Jan 1970 00:00:00 +0000\n"
        "Message-ID: <1@example.org>\nSubject: outer\n subject\n"
    )


def test_outside_without_quoted_fields() -> None:
    assert parts(make(inside=False, back=Back("FULL", (), ORIGINAL)))[2].get_content().strip() == ""


def test_inside_without_the_original_gets_the_quoted_fields() -> None:
    made = make(back=Back("FULL", QUOTED, None))
    assert b"Subject: outer" in made
    assert SECRET not in made


def test_a_hostile_quoted_field_is_one_field_or_none() -> None:
    quoted = (
        b"Subject: a\nX-Evil: 1\n",
        b"\r\n\r\nSubject: b\r\n",
        b"From : \xff\xfe\r\n",
        b"To:" + b"x" * 100_000,
        b"",
        b"Message-ID: <1@a>\r\nDate: never\r\n",
    )
    made = make(inside=False, back=Back("", quoted))
    assert b"X-Evil" not in made
    assert b"Date: never" not in made
    assert b"\xff" not in made
    assert len(made) < 5_000


@pytest.mark.parametrize("hostile", ["550 x\r\nX-Evil: 1", "550 \x00", "y" * 5_000, "550 ünï \udc80"])
def test_what_the_next_hop_said_adds_no_field(hostile: str) -> None:
    fate = Fate("b@example.com", "failed", hostile, hostile, hostile, orcpt=f"rfc822;{hostile}")
    for inside in (True, False):
        made = make((fate,), inside)
        assert all(len(line) <= 998 for line in made.split(b"\r\n"))
        assert b"\n" not in made.replace(b"\r\n", b"")
        assert not any(line.startswith(b"X-Evil") for line in made.split(b"\r\n"))


def test_long_lines_are_not_returned() -> None:
    made = make(back=Back("FULL", QUOTED, ORIGINAL + b"x" * 2_000))
    assert SECRET not in made
    assert b"secret plan" in made


@pytest.mark.req("A22")
def test_delay_report() -> None:
    fate = Fate("b@example.com", "delayed", "4.4.1", "451 4.4.1 later", last_attempt_at=60.0, retry_until=432_000.0)
    one = parts(make((fate,)))[1].get_payload()[1]
    assert one["Action"] == "delayed"
    assert one["Last-Attempt-Date"] == "Thu, 01 Jan 1970 00:01:00 +0000"
    assert one["Will-Retry-Until"] == "Tue, 06 Jan 1970 00:00:00 +0000"


@pytest.mark.req("A22")
def test_utf8_addresses() -> None:
    made = make((Fate("jürgen@example.com", "failed", "5.1.1", "550 ü", orcpt="utf-8;jürgen@example.com"),))
    assert b"message/global-delivery-status" in made
    assert "Final-Recipient: utf-8; jürgen@example.com\r\n".encode() in made
    assert dsn.parse(made).fates[0].address == "jürgen@example.com"


@pytest.mark.req("A22")
def test_reads_back() -> None:
    fates = (FATE, Fate("c@example.com", "relayed", "2.1.9", orcpt="rfc822;see@example.com"))
    found = dsn.parse(make(fates))
    assert found.envid == "ENV-1"
    assert found.reporter == "gw.example.org"
    assert found.fates == fates


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"Subject: x\r\n\r\nbody\r\n",
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n",
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: exploded\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n\xff\xfe\r\n\r\n\x00\r\n",
    ],
)
def test_what_is_no_report(octets: bytes) -> None:
    with pytest.raises(ReportInvalid):
        dsn.parse(octets)


def test_postfix_bounce_is_read() -> None:
    status = (
        b"Reporting-MTA: dns; mail.example.net\r\nX-Postfix-Queue-ID: 4F1\r\n"
        b"Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        b"\r\nFinal-Recipient: rfc822; nobody@example.com\r\nOriginal-Recipient: rfc822;nobody@example.com\r\n"
        b"Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n"
        b"    unknown user\r\n\r\n"
    )
    (fate,) = dsn.parse_status(status).fates
    assert fate == Fate(
        "nobody@example.com",
        "failed",
        "5.1.1",
        "550 5.1.1    unknown user",
        "mx.example.com",
        "rfc822;nobody@example.com",
    )


@pytest.mark.req("A22")
@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        ((), {"failed", "delayed"}),
        (("NEVER",), set()),
        (("NEVER", "FAILURE"), set()),
        (("SUCCESS",), {"delivered", "relayed", "expanded"}),
        (("FAILURE",), {"failed"}),
        (("DELAY", "FAILURE"), {"failed", "delayed"}),
    ],
)
def test_notify(notify: Any, wanted: set[str]) -> None:
    recipient = Recipient("b@example.com", notify)
    assert {action for action in dsn.ACTIONS if is_wanted(recipient, action)} == wanted


def test_nobody_and_nothing() -> None:
    with pytest.raises(ValueError, match="somebody"):
        make(to="")
    with pytest.raises(ValueError, match="somebody"):
        make(())
