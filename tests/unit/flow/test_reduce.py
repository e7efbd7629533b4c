"""Reports made inside leave without what they quote, and nothing is invented."""

from __future__ import annotations

import pytest

from letterlock.flow.reduce import reduce
from letterlock.mail import dsn
from letterlock.mail.message import Message

CANARY = b"SECRETCANARY"


def reduced(octets: bytes) -> bytes:
    made = reduce(
        Message(octets.replace(b"\n", b"\r\n")),
        "eve@outside.test",
        host="gw.test",
        postmaster="postmaster@inside.test",
        now=0.0,
    )
    return bytes(made.octets)


REPORT = b"""From: MAILER-DAEMON@inside.test
To: eve@outside.test
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

could not deliver SECRETCANARY
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; inside.test

Final-Recipient: rfc822; anna@inside.test
Action: failed
Status: 5.2.2
Diagnostic-Code: smtp; 552 5.2.2 quota: SECRETCANARY

--b
Content-Type: message/rfc822

Subject: SECRETCANARY

SECRETCANARY
--b--
"""


@pytest.mark.req("A22")
def test_a_bounce_keeps_codes_and_addresses_only() -> None:
    made = reduced(REPORT)
    assert CANARY not in made
    (fate,) = dsn.parse(made).fates
    assert (fate.address, fate.action, fate.status) == ("anna@inside.test", "failed", "5.2.2")


def test_a_bounce_in_plain_text_does_not_leave_and_no_failure_is_invented() -> None:
    made = reduced(
        b"From: Mail Delivery System <Mailer-Daemon@inside.test>\nAuto-Submitted: auto-replied\n"
        b"X-Failed-Recipients: anna@inside.test\n\nThis is a copy:\n\nReceived: x\nSubject: y\n\nSECRETCANARY\n"
    )
    assert CANARY not in made
    assert b"delivery-status" not in made
    assert b"automatic message" in made.lower()


@pytest.mark.parametrize("how", [b"auto-replied", b"auto-generated"])
def test_a_reply_of_a_person_leaves_as_it_came(how: bytes) -> None:
    octets = b"From: Anna <anna@inside.test>\nAuto-Submitted: " + how + b"\nSubject: away\n\nI am away until Monday.\n"
    assert reduced(octets) == octets.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"> Received: from x\n> SECRETCANARY\n",
        b"X-Letterlock-Info-SMIME-Encrypted: True\n\nSECRETCANARY\n",
        b"Message-ID: <x@y>\n\nSECRETCANARY\n",
    ],
)
def test_a_reply_that_quotes_a_header_is_no_reply(body: bytes) -> None:
    assert CANARY not in reduced(b"From: anna@inside.test\nAuto-Submitted: auto-replied\n\n" + body)


def test_a_receipt_stays_a_receipt() -> None:
    made = reduced(
        b"From: anna@inside.test\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n"
        b"--b\n\nread SECRETCANARY\n--b\nContent-Type: message/disposition-notification\n\n"
        b"Reporting-UA: SECRETCANARY\nFinal-Recipient: rfc822; anna@inside.test\n"
        b"Disposition: manual-action/MDN-sent-manually; displayed\n\n--b--\n"
    )
    assert CANARY not in made
    assert b"Disposition: manual-action/MDN-sent-manually; displayed" in made
    assert b"disposition-notification" in made
