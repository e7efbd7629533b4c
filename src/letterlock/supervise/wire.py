"""What the supervisor and its processes say to one another, and how it is framed.

Order
    Control socket, one per process: the process says ``Hello``, the supervisor sends ``Begin`` with the secrets; then
    come ``Ready`` once it serves and ``Beat`` each second, or ``Failed`` with a sentence why it could not start. The
    supervisor says ``Stop`` to have it drained. Either side's end closes the socket.
    Spawner socket: ``Fork`` with one descriptor (SCM_RIGHTS), which becomes the new process's control socket.

Guarantees
    A frame is four octets of length and MessagePack of one tagged struct. Secrets travel only here: never on a command
    line, in the environment or in a file.

Raises
    WireBroken when what came is no frame of ours.
"""

from __future__ import annotations

import array
import asyncio
import socket
from typing import Any

import msgspec

from letterlock.errors import SystemFailure

LONGEST_FRAME = 16 * 1024 * 1024
_LENGTH = 4


class WireBroken(SystemFailure):
    """Two processes of this installation did not understand each other."""


class Begin(msgspec.Struct, tag="begin", frozen=True):
    """What a process gets at its start. ``start``: encoded Orders, secrets included."""

    start: bytes


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Finish what you have in hand and end."""


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """The first word of a new process: its id."""

    pid: int


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The process serves."""


class Beat(msgspec.Struct, tag="beat", frozen=True):
    """The process's event loop runs. ``metrics``: its counters as they are now."""

    metrics: Any = None


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The process cannot do its work; ``sentence`` is for the operator.

    ``lasting``: trying again is vain. ``usage``: the settings are wrong, not the system.
    """

    sentence: str
    lasting: bool = False
    usage: bool = False


class Fork(msgspec.Struct, tag="fork", frozen=True):
    """To the spawner: one more process. ``name``: shown by ps; ``module``: its station."""

    name: str
    module: str


Word = Begin | Stop | Hello | Ready | Beat | Failed | Fork

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Word)


def encode(word: Word) -> bytes:
    """The frame of one word."""
    body = _encoder.encode(word)
    return len(body).to_bytes(_LENGTH, "big") + body


def _decode(body: bytes) -> Word:
    try:
        word: Word = _decoder.decode(body)
    except msgspec.DecodeError as fault:
        raise WireBroken(detail=type(fault).__name__) from None
    return word


def _length(head: bytes) -> int:
    length = int.from_bytes(head, "big")
    if length > LONGEST_FRAME:
        raise WireBroken(detail=f"frame of {length} octets")
    return length


async def read(reader: asyncio.StreamReader) -> Word | None:
    """The next word, or None at the end. Raises WireBroken."""
    try:
        head = await reader.readexactly(_LENGTH)
        return _decode(await reader.readexactly(_length(head)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def read_blocking(channel: socket.socket) -> Word | None:
    """The same for a process that has no event loop yet."""
    head = _exactly(channel, _LENGTH)
    if head is None:
        return None
    body = _exactly(channel, _length(head))
    return None if body is None else _decode(body)


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    octets = bytearray()
    while len(octets) < count:
        got = channel.recv(count - len(octets))
        if not got:
            return None
        octets += got
    return bytes(octets)


def send_with_descriptor(channel: socket.socket, word: Word, descriptor: int) -> None:
    """One word and a descriptor, as one datagram on a SOCK_SEQPACKET socket."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    channel.sendmsg([_encoder.encode(word)], rights)


def receive_with_descriptor(channel: socket.socket) -> tuple[Word, int] | None:
    """The word and the descriptor of send_with_descriptor(), or None at the end. Raises WireBroken."""
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    body, rights, _flags, _address = channel.recvmsg(65536, room, socket.MSG_CMSG_CLOEXEC)
    if not body:
        return None
    for level, kind, data in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors = array.array("i")
            descriptors.frombytes(data[: descriptors.itemsize])
            return _decode(body), descriptors[0]
    raise WireBroken(detail="a word without its descriptor")
