"""A calendar is seen wherever it stands in the message; RFC 5545 8.1."""

from __future__ import annotations

import pytest

from letterlock.flow.decrypt import _has_calendar
from letterlock.mail.message import Message
from letterlock.mail.parse import Part

HEAD = b"From: a@example.org\r\nMIME-Version: 1.0\r\n"
LEAF = b"Content-Type: %b\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"


def alternative(kind: bytes, boundary: bytes = b"b") -> bytes:
    text = b"Content-Type: text/plain\r\n\r\nthe calendar is attached\r\n"
    lines = (b"", b"--" + boundary, text, b"--" + boundary, LEAF % kind, b"--" + boundary + b"--", b"")
    return b"Content-Type: multipart/alternative; boundary=%b\r\n" % boundary + b"\r\n".join(lines)


@pytest.mark.req("B8")
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (HEAD + LEAF % b"text/calendar; method=REQUEST", True),
        (HEAD + LEAF % b"Text/Calendar", True),
        (HEAD + LEAF % b"text/plain", False),
        (HEAD + alternative(b"text/calendar"), True),
        (HEAD + alternative(b"TEXT/CALENDAR"), True),
        (HEAD + alternative(b"text/html"), False),
        (HEAD + b"Content-Type: message/rfc822\r\n\r\n" + HEAD + alternative(b"text/calendar"), True),
    ],
)
def test_calendar(octets: bytes, expected: bool) -> None:
    message = Message(octets)
    assert _has_calendar(message, Part.of(message)) is expected
