"""Messages: every octet of a header belongs to one field, whatever the octets are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail.limits import MAX_FIELDS, MAX_HEADER_OCTETS
from letterlock.mail.message import HeaderTooLarge, Message

# Octets that matter to a reader of headers, so that random ones meet its branches
OCTETS = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b":", b" ", b"\t", b"a", b"Subject: x", b"\xff", b"-"])).map(
    b"".join
)


@settings(deadline=None)
@given(OCTETS)
def test_fields_and_body_are_all_there_is(octets: bytes) -> None:
    message = Message(octets)
    fields = b"".join(map(message.raw, message.fields))
    assert octets.startswith(fields)
    assert octets[len(fields) :].lstrip(b"\r\n").endswith(bytes(message.body).lstrip(b"\r\n"))
    assert octets[len(fields) : message.body_start] in (b"", b"\n", b"\r\n")
    assert message.header_end == len(fields)


def test_fields() -> None:
    message = Message(b"Subject: one\r\n two\r\nX-A :\tvalue \r\nsubject:three\r\n\r\nbody: no field\r\n")
    assert [field.name for field in message.fields] == [b"subject", b"x-a", b"subject"]
    assert message.values(b"subject") == [b"one two", b"three"]
    assert message.first(b"x-a") == b"value"
    assert message.first(b"body") is None
    assert bytes(message.body) == b"body: no field\r\n"
    assert message.raw(message.named(b"subject")[1]) == b"subject:three\r\n"


@pytest.mark.parametrize(
    ("octets", "names", "body"),
    [
        (b"", [], b""),
        (b"\r\nbody", [], b"body"),
        (b"\nbody", [], b"body"),
        (b"A: b", [b"a"], b""),
        (b"A: b\nC: d\n\nbody", [b"a", b"c"], b"body"),
        (b"From me Mon Jan 1\nA: b\n\nx", [b"", b"a"], b"x"),
        (b"A: b\r\nrubbish\r\n more rubbish\r\nC: d\r\n\r\nx", [b"a", b"", b"c"], b"x"),
        (b"A: b\r\n \r\nC: d\r\n\r\nx", [b"a", b"c"], b"x"),  # a line of blanks continues a field: RFC 5322 3.2.2
        (b": no name\r\n\r\nx", [b""], b"x"),
        (b"A\xe9: b\r\n\r\nx", [b""], b"x"),
    ],
)
def test_damaged_headers(octets: bytes, names: list[bytes], body: bytes) -> None:
    message = Message(octets)
    assert [field.name for field in message.fields] == names
    assert bytes(message.body) == body


def test_a_bytearray_is_as_good() -> None:
    message = Message(bytearray(b"Subject: x\r\n\r\nbody"))
    assert message.first(b"subject") == b"x"
    assert isinstance(message.raw(message.fields[0]), bytes)


@pytest.mark.parametrize(
    "octets",
    [b"a: b\r\n" * (MAX_FIELDS + 1), b"a: " + b"x" * MAX_HEADER_OCTETS + b"\r\nb: c\r\n", b"x\r\n" * (MAX_FIELDS + 1)],
)
def test_headers_have_limits(octets: bytes) -> None:
    started = time.process_time()
    with pytest.raises(HeaderTooLarge):
        assert Message(octets).fields
    assert time.process_time() - started < 2
