"""Splices: what is not asked for does not change, what is written is one field."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail.decoded import text
from letterlock.mail.headers import edit, field, structured
from letterlock.mail.message import Message
from tests.unit.mail.test_message import OCTETS

NAMES = st.from_regex(r"\A[!-9;-~]{1,30}\Z")
VALUES = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)), max_size=300)
MESSAGE = Message(b"Received: a\r\nSubject: b\r\n c\r\nX-Own: 1\r\nTo: d\r\nX-OWN: 2\r\n\r\nbody\r\nX-Own: 3\r\n")


@settings(deadline=None)
@given(OCTETS)
def test_nothing_to_do_changes_nothing(octets: bytes) -> None:
    assert b"".join(edit(Message(octets))) == octets
    assert b"".join(edit(Message(octets), remove=[b"x-none"], replace={}, add=[], append=[])) == octets


@settings(deadline=None)
@given(OCTETS, st.data())
def test_removal_takes_just_those_octets(octets: bytes, data: st.DataObject) -> None:
    message = Message(octets)
    gone = set(data.draw(st.lists(st.sampled_from(message.fields)))) if message.fields else set()
    kept = b"".join(message.raw(each) for each in message.fields if each not in gone)
    assert b"".join(edit(message, remove=gone)) == kept + octets[message.header_end :]


def test_by_name() -> None:
    assert b"".join(edit(MESSAGE, remove=[b"x-own"])) == (
        b"Received: a\r\nSubject: b\r\n c\r\nTo: d\r\n\r\nbody\r\nX-Own: 3\r\n"
    )


def test_by_question() -> None:
    assert b"".join(edit(MESSAGE, remove=lambda each: each.name.startswith(b"x-"))).count(b"X-") == 1


def test_replaced_in_its_place() -> None:
    subject = MESSAGE.named(b"subject")[0]
    octets = b"".join(edit(MESSAGE, replace={subject: b"Subject: new\r\n"}, remove=[b"received"]))
    assert octets == b"Subject: new\r\n" + b"".join(edit(MESSAGE))[len(b"Received: a\r\nSubject: b\r\n c\r\n") :]


def test_added_and_appended() -> None:
    octets = b"".join(edit(MESSAGE, add=[b"X-First: 1\r\n"], append=[b"X-Last: 1\r\n"]))
    assert octets.startswith(b"X-First: 1\r\nReceived: a\r\n")
    assert b"X-OWN: 2\r\nX-Last: 1\r\n\r\nbody" in octets
    assert b"".join(edit(Message(b"A: b"), append=[b"C: d\r\n"])) == b"A: b\r\nC: d\r\n"
    assert b"".join(edit(Message(b"\r\nbody"), append=[b"C: d\r\n"])) == b"C: d\r\n\r\nbody"
    assert b"".join(edit(Message(b""), append=[b"C: d\r\n"])) == b"C: d\r\n"


def test_the_body_is_not_copied() -> None:
    body = b"x" * 1_000_000
    message = Message(b"A: b\r\nB: c\r\n\r\n" + body)
    last = edit(message, remove=[b"a"])[-1]
    assert isinstance(last, memoryview)
    assert last.obj is message.octets


@settings(deadline=None)
@given(NAMES, VALUES)
def test_a_written_field_is_one_field_and_reads_the_same(name: str, value: str) -> None:
    octets = field(name, value)
    message = Message(octets + b"\r\n")
    assert len(message.fields) == 1
    assert message.fields[0].name == name.lower().encode()
    assert octets.isascii()
    assert octets.endswith(b"\r\n")
    assert text(message.value(message.fields[0])) == value.strip(" \t")
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))


def test_long_values_are_folded() -> None:
    assert all(len(line) <= 78 for line in field("Subject", "word " * 60).split(b"\r\n"))
    assert all(len(line) <= 78 for line in field("Subject", "wörd " * 60).split(b"\r\n"))
    assert all(len(line) <= 78 for line in structured("To", *["<a@example.org>,"] * 20).split(b"\r\n"))


@pytest.mark.parametrize("value", ["a\r\nBcc: x", "a\nb", "a\rb", "a\0b"])
def test_no_second_field_gets_in(value: str) -> None:
    with pytest.raises(ValueError, match="line ends"):
        field("Subject", value)
    with pytest.raises(ValueError, match="line ends"):
        structured("Subject", value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "ä", "a\r\n"])
def test_no_other_name_gets_in(name: str) -> None:
    with pytest.raises(ValueError, match="field name"):
        field(name, "x")


def test_what_looks_encoded_is_encoded() -> None:
    """Else the reader would show another text than was meant: a tag that was removed could come back."""
    assert b"=?utf-8?B?" in field("Subject", "=?utf-8?Q?[decrypted]?=")
