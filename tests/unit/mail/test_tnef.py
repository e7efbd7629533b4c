"""A winmail.dat read: the class of the message and its files, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.mail.tnef import MAX_ATTACHMENTS, TnefInvalid, read
from tests.fakes import tnef


@pytest.mark.req("B14")
def test_what_is_read() -> None:
    found = read(tnef.wrapping(b"content"))
    assert found.message_class == "IPM.Note.SMIME"
    assert [(each.title, bytes(each.data or b"")) for each in found.attachments] == [("smime.p7m", b"content")]


@pytest.mark.req("B14")
def test_several_files_and_unknown_attributes() -> None:
    unknown = tnef.attribute(tnef.MESSAGE, 0x00069003, b"\x01\x00\x00\x00junk")
    properties = tnef.attribute(tnef.ATTACHMENT, tnef.PROPERTIES, b"junk")
    octets = tnef.stream(unknown, tnef.attachment("a", b"1"), properties, tnef.attachment("b", b""))
    assert [(each.title, bytes(each.data or b"")) for each in read(octets + b"\0\0\r\n").attachments] == [
        ("a", b"1"),
        ("b", b""),
    ]


@pytest.mark.req("B14")
@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"PK\x03\x04",
        tnef.wrapping(b"content")[:-3],
        tnef.wrapping(b"content") + b"rest",
        tnef.stream(tnef.attribute(3, tnef.CLASS, b"x")),
        tnef.stream(tnef.attribute(tnef.MESSAGE, tnef.CLASS, b"x", length=0xFFFFFFFF)),
        tnef.stream(tnef.attribute(tnef.ATTACHMENT, tnef.DATA, b"of no attachment")),
        tnef.stream(tnef.attachment("a", b"1"), tnef.attribute(tnef.ATTACHMENT, tnef.DATA, b"again")),
        tnef.stream(tnef.attribute(tnef.MESSAGE, tnef.CLASS, b"IPM.Note\0"), tnef.attribute(1, tnef.CLASS, b"x\0")),
        tnef.stream(tnef.attachment("n" * 2000, b"1")),
        tnef.stream(*(tnef.attachment("a", b"1") for _ in range(MAX_ATTACHMENTS + 1))),
    ],
)
def test_damaged(octets: bytes) -> None:
    with pytest.raises(TnefInvalid):
        read(octets)


@pytest.mark.req("B14")
@given(st.binary(max_size=200), st.integers(0, 300), st.binary(max_size=8))
def test_any_octets(tail: bytes, at: int, patch: bytes) -> None:
    good = tnef.wrapping(b"\x30\x80" + b"x" * 100)
    for octets in (tnef.SIGNATURE + struct.pack("<H", 1) + tail, good[:at] + patch + good[at + len(patch) :]):
        try:
            found = read(octets)
        except TnefInvalid:
            continue
        assert sum(len(each.data or b"") for each in found.attachments) <= len(octets)
