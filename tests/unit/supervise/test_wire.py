"""Frames between the supervisor and its processes."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from letterlock.supervise import wire

WORDS: tuple[wire.Word, ...] = (
    wire.Begin(b"\x00secret"),
    wire.Stop(),
    wire.Hello(12),
    wire.Ready(),
    wire.Beat({"a": 1}),
    wire.Failed("why", lasting=True),
)


def _read_all(octets: bytes) -> list[wire.Word]:
    async def read() -> list[wire.Word]:
        reader = asyncio.StreamReader()
        reader.feed_data(octets)
        reader.feed_eof()
        found = []
        while (word := await wire.read(reader)) is not None:
            found.append(word)
        return found

    return asyncio.run(read())


def test_what_is_written_is_read() -> None:
    assert _read_all(b"".join(wire.encode(word) for word in WORDS)) == list(WORDS)


def test_end_in_the_middle_is_the_end() -> None:
    assert _read_all(wire.encode(wire.Hello(1))[:-1]) == []


@pytest.mark.parametrize("octets", [b"\x00\x00\x00\x01\xff", b"\xff\xff\xff\xff"], ids=["no frame", "too long"])
def test_other_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(wire.WireBroken):
        _read_all(octets)


def test_blocking_reader_agrees() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.encode(wire.Begin(b"x")))
        theirs.shutdown(socket.SHUT_WR)
        assert wire.read_blocking(ours) == wire.Begin(b"x")
        assert wire.read_blocking(ours) is None


def test_descriptor_travels_and_is_not_inherited() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read_end, write_end = os.pipe()
    with ours, theirs:
        wire.send_with_descriptor(ours, wire.Fork("a-0", "m"), write_end)
        os.close(write_end)
        got = wire.receive_with_descriptor(theirs)
        assert got is not None
        assert got[0] == wire.Fork("a-0", "m")
        assert not os.get_inheritable(got[1])
        os.write(got[1], b"here")
        os.close(got[1])
        assert os.read(read_end, 9) == b"here"
        os.close(read_end)
        ours.close()
        assert wire.receive_with_descriptor(theirs) is None


def test_word_without_its_descriptor_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(b"anything")
        with pytest.raises(wire.WireBroken):
            wire.receive_with_descriptor(theirs)
