"""Trace fields: what the client says cannot break out, hops are counted, keyed fields hold for one message only."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from letterlock.mail.envelope import Trace
from letterlock.mail.message import Message
from letterlock.mail.received import (
    LOOP_FIELD,
    has_looped,
    has_mark,
    hop_count,
    loop_field,
    mark_field,
    received_field,
)

KEY = b"k" * 32
ID = b"<1@example.org>"
DAY = date(2026, 11, 22)
ALICE, BOB = "alice@example.org", "bob@example.org"


def message(*fields: bytes, message_id: bytes = ID) -> Message:
    return Message(b"".join(fields) + b"Message-ID: " + message_id + b"\r\nSubject: x\r\n\r\nbody\r\n")


def test_received() -> None:
    trace = Trace(
        "192.0.2.1", "mail.example.net", "ESMTPS", "TLSv1.3 TLS_AES_256_GCM_SHA384", "CN=relay", "gw.example.org"
    )
    made = received_field(trace, queue_id="0190-aa", received_at=0, recipient=ALICE)
    assert made == (
        b"Received: from mail.example.net ([192.0.2.1])\r\n"
        b"\tby gw.example.org with ESMTPS id 0190-aa\r\n"
        b"\t(TLSv1.3 TLS_AES_256_GCM_SHA384; certificate CN=relay)\r\n"
        b"\tfor <alice@example.org>;\r\n"
        b"\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
    )


def test_received_without_what_is_not_known() -> None:
    made = received_field(Trace(client="2001:db8::1"), queue_id="1", received_at=0)
    assert made.startswith(b"Received: from unknown ([IPv6:2001:db8::1])\r\n\tby unknown with ESMTP id 1;\r\n")
    assert b"for" not in made


@pytest.mark.parametrize(
    "hostile", ["a\r\nX: y", "a) by evil (", "a\\", "a;b", "ü", "x" * 2000, "[192.0.2.1]\r\n\r\nbody", ""]
)
def test_received_is_one_field_whatever_was_said(hostile: str) -> None:
    trace = Trace(hostile, hostile, hostile, hostile, hostile, hostile)
    made = received_field(trace, queue_id=hostile, received_at=0, recipient=f"{hostile}@example.org")
    lines = made.split(b"\r\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"[\t !-~]*", each) and len(each) < 998 for each in lines)
    assert all(each.startswith(b"\t") for each in lines[1:])
    assert made.count(b"(") == made.count(b")") <= 2
    assert b"\\" not in made
    assert b" by " not in re.sub(rb"\(.*?\)", b"", made)


def test_hops() -> None:
    assert hop_count(message()) == 0
    assert hop_count(message(b"Received: x\r\n", b"RECEIVED : y\r\n", b"X-Received: z\r\n")) == 2
    assert hop_count(Message(b"Subject: x\r\n\r\nReceived: in the body\r\n")) == 0


def test_loop_is_known_again() -> None:
    field = loop_field(KEY, "gw1", ID, [ALICE, BOB], "outgoing")
    came = message(b"X-Letterlock-Loop: gw2; AAAA\r\n", field)
    assert has_looped(KEY, "gw1", came, ALICE, "outgoing")
    assert has_looped(KEY, "gw1", came, BOB, "outgoing")


def test_loop_holds_for_nothing_else() -> None:
    field = loop_field(KEY, "gw1", ID, [ALICE], "outgoing")
    came = message(field)
    assert not has_looped(KEY, "gw1", came, BOB, "outgoing")
    assert not has_looped(KEY, "gw1", came, ALICE, "incoming")
    assert not has_looped(KEY, "gw2", came, ALICE, "outgoing")
    assert not has_looped(b"other" * 8, "gw1", came, ALICE, "outgoing")
    assert not has_looped(KEY, "gw1", message(field, message_id=b"<2@example.org>"), ALICE, "outgoing")
    assert not has_looped(KEY, "gw1", message(), ALICE, "outgoing")
    assert not has_looped(KEY, "gw1", message(field.replace(b"gw1", b"gw")), ALICE, "outgoing")


def test_loop_field_of_many_recipients_is_folded_and_names_nobody() -> None:
    many = [f"r{number}@example.org" for number in range(500)]
    field = loop_field(KEY, "gw1", ID, many, "outgoing")
    assert field.startswith(LOOP_FIELD.encode())
    assert b"example.org" not in field
    assert max(len(line) for line in field.split(b"\r\n")) <= 78
    assert has_looped(KEY, "gw1", message(field), many[321], "outgoing")


def test_instance_is_checked() -> None:
    with pytest.raises(ValueError, match="instance"):
        loop_field(KEY, "a\r\nb", ID, [ALICE], "outgoing")


def test_parts_cannot_be_shifted() -> None:
    """What goes into a tag is framed: moving octets from one part to the next gives another tag."""
    field = loop_field(KEY, "gw", ID, [f"1{BOB}"], "outgoing")
    assert has_looped(KEY, "gw", message(field), f"1{BOB}", "outgoing")
    moved = message(field.replace(b" gw;", b" gw1;"))
    assert not has_looped(KEY, "gw1", moved, BOB, "outgoing")


@pytest.mark.req("B15")
def test_mark() -> None:
    field = mark_field(KEY, ID, DAY)
    assert has_mark(KEY, message(field), DAY)
    assert has_mark(KEY, message(b"X-Letterlock-Mark: rubbish\r\n", field), DAY + timedelta(days=30))
    assert has_mark(KEY, message(field), DAY - timedelta(days=1))


@pytest.mark.req("B15")
@pytest.mark.parametrize(
    ("field", "today", "message_id"),
    [
        (mark_field(KEY, ID, DAY), DAY + timedelta(days=31), ID),
        (mark_field(KEY, ID, DAY), DAY - timedelta(days=2), ID),
        (mark_field(KEY, ID, DAY), DAY, b"<2@example.org>"),
        (mark_field(b"x" * 32, ID, DAY), DAY, ID),
        (mark_field(KEY, ID, DAY).replace(b"11-22", b"11-23"), DAY, ID),
        (b"X-Letterlock-Mark: 2026-11-22\r\n", DAY, ID),
        (b"X-Letterlock-Mark: 2026-11-22 \xff\xfe\r\n", DAY, ID),
        (b"X-Letterlock-Mark: \xff x\r\n", DAY, ID),
    ],
)
def test_marks_that_do_not_count(field: bytes, today: date, message_id: bytes) -> None:
    assert not has_mark(KEY, message(field, message_id=message_id), today)
