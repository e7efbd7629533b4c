"""Frames: cut from any run of octets, bounded, and silent about what they carry."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.vault import frames
from letterlock.vault.errors import FrameInvalid
from letterlock.vault.frames import FrameReader, Hello, Job, MarkKey, MessageKeys, Request, Use, encode

WORDS = [
    Hello(b"t" * 32),
    MarkKey(1),
    Use([Job(2, "sign", b"l", b"c", b"k", "ed25519", b"tbs")]),
    MessageKeys(3, b"", b""),
]


@given(st.lists(st.integers(1, 40)))
def test_words_come_out_whatever_the_pieces(cuts: list[int]) -> None:
    octets = b"".join(encode(word) for word in WORDS)
    reader: FrameReader[Hello | Request] = FrameReader(Hello | Request)
    found, at = [], 0
    for cut in [*cuts, len(octets)]:
        found += reader.feed(octets[at : at + cut])
        at += cut
    assert found == WORDS


@pytest.mark.parametrize(
    "octets",
    [
        b"\xff\xff\xff\xff",
        (frames.LONGEST_FRAME + 1).to_bytes(4, "big"),
        b"\0\0\0\1\xc1",
        b"\0\0\0\0",
        b"\0\0\0\3" + msgspec.msgpack.encode([1, 2]),
    ],
)
def test_anything_else_is_invalid(octets: bytes) -> None:
    with pytest.raises(FrameInvalid):
        list(FrameReader[Request](Request).feed(octets))


def test_the_limit_may_grow_between_two_words_of_one_run() -> None:
    reader: FrameReader[Hello | Request] = FrameReader(Hello | Request, 100)
    run = encode(WORDS[0]) + encode(Hello(bytes(1000)))
    with pytest.raises(FrameInvalid):
        list(FrameReader[Hello](Hello, 100).feed(run))
    words = reader.feed(run)
    assert next(words) == WORDS[0]
    reader.longest = 2000
    assert list(words) == [Hello(bytes(1000))]


def test_what_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameInvalid):
        encode(Hello(bytes(frames.LONGEST_FRAME)))


def test_words_do_not_show_what_they_carry() -> None:
    words = [value for value in vars(frames).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)]
    assert len(words) > 20
    for kind in words:
        filled = kind(*[b"secret" for _ in kind.__struct_fields__])
        if kind not in (frames.Refused, frames.Condition):
            assert "secret" not in repr(filled), kind
