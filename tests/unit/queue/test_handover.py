"""The frames between flow and delivery: what was framed is read, however it is cut; nothing else is taken."""

from __future__ import annotations

import os
import random

import pytest

from letterlock.queue import handover
from letterlock.queue.handover import Answer, FrameReader, Hand, Hello, Over, Welcome, frame
from letterlock.vault.errors import FrameInvalid


def _hand(trace: bytes = b"trace") -> Hand:
    return Hand(os.urandom(16), os.urandom(16), 1, b"dispatch", "smime", "outgoing", "x.test", "", 1, 1.5, 2.5, trace)


def _octets(*words: tuple[handover.Word, list[bytes]]) -> bytes:
    return b"".join(bytes(piece) for word, content in words for piece in frame(word, content))


def test_frames_are_read_however_they_are_cut() -> None:
    chance = random.Random(7)
    words: list[tuple[handover.Word, list[bytes]]] = [
        (Hello(b"t" * 32, b"w" * 16), []),
        (Welcome([b"l" * 16]), []),
        (_hand(), [os.urandom(9000), os.urandom(1), os.urandom(70_000)]),
        (_hand(b""), []),
        (_hand(), [os.urandom(5)]),
        (Answer([b"a" * 16], [b"b" * 16]), []),
        (Over(b"l" * 16), []),
    ]
    octets = _octets(*words)
    for most in (1, 7, 8, 9, 100, 5000, len(octets)):
        reader = FrameReader()
        found: list[tuple[handover.Word, bytes]] = []
        at = 0
        while at < len(octets):
            step = most if most > 5000 else chance.randint(1, most)
            found += [(word, b"".join(content)) for word, content in reader.feed(octets[at : at + step])]
            at += step
        assert found == [(word, b"".join(content)) for word, content in words]


@pytest.mark.parametrize(
    "octets",
    [
        b"\xff\xff\xff\xff\x00\x00\x00\x00",
        b"\x00\x00\x00\x01\xff\xff\xff\xff",
        b"\x00\x00\x00\x04\x00\x00\x00\x00junk",
        b"\x00\x00\x00\x01\x00\x00\x00\x00\x90",
    ],
)
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(FrameInvalid):
        list(FrameReader().feed(octets))


def test_what_is_too_long_is_not_framed() -> None:
    with pytest.raises(FrameInvalid):
        frame(_hand(), [bytes(handover.HANDED_OCTETS), b"x"])
    with pytest.raises(FrameInvalid):
        frame(_hand(bytes(2 << 20)))


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Hello(b"secret", b"w"))
