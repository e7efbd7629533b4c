"""The subject that was encrypted takes the place of the one outside, and of nothing else."""

from __future__ import annotations

import pytest

from letterlock.flow.decrypt import _with_subject
from letterlock.mail.message import Message

BODY = b"\r\n\r\nHello\r\n"


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("header", "subject", "expected"),
    [
        (b"Subject: [...]\r\nFrom: a@example.org", "the plan", b"Subject: the plan\r\nFrom: a@example.org"),
        (b"From: a@example.org", "the plan", b"From: a@example.org\r\nSubject: the plan"),
        (b"Subject: [...]\r\nSubject: x", "the plan", b"Subject: the plan"),
        (b"Subject: [...]", "the\r\nBcc: evil@example.net", b"Subject: the  Bcc: evil@example.net"),
        (b"Subject: =?utf-8?Q?pl=C3=A4n?=", "pl\xe4n", b"Subject: =?utf-8?Q?pl=C3=A4n?="),
    ],
)
def test_subject(header: bytes, subject: str, expected: bytes) -> None:
    found = _with_subject(Message(header + BODY), subject)
    assert bytes(found.octets) == expected + BODY
