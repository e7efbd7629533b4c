"""What flow and delivery say to one another when finished octets go from hand to hand instead of through the queue.

Order
    flow: Hello. delivery: Welcome, with the leases of this worker's predecessor that it still has in hand; Over, when the
    last message of such a lease is settled or let go. Then a Hand for each message; an Answer names those that are settled
    (the commit is durable) and those that were not taken: flow stores these and they take the ordinary way.

Guarantees
    The message stays in the queue under flow's lease until queue.settle_handed has removed it. Only a Plan that is one
    delivery to one recipient goes this way, and only as long as flow keeps its octets: a repeated attempt sends the same.
    A frame is four octets of header length, four of content length, MessagePack of one tagged struct, and the content;
    longer than the limits below, or anything else, ends the connection (FrameInvalid).

See also
    ``flow/hand.py`` and ``delivery/handed.py`` (the two ends), ``docs/decisions/0012-hand-over.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from letterlock.mail.message import Buffer
from letterlock.vault.errors import FrameInvalid

SOCKET: Final = "hand.sock"
HANDED_OCTETS: Final = 4 << 20
"""Finished octets of one message that go this way at most; a larger one is stored and read in pieces."""

_HEADER_OCTETS: Final = 1 << 20  # a trace and an envelope with its quoted fields; most have 2 KB
_LENGTHS: Final = 8


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The token that both ends got from the supervisor, and the worker (16 octets): the same over restarts."""

    token: bytes
    worker: bytes

    def __repr__(self) -> str:
        return "Hello()"


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """Leases (16 octets each) that must not be freed yet."""

    leases: list[bytes]


class Over(msgspec.Struct, frozen=True, array_like=True, tag="over"):
    """Nothing of this lease of the predecessor is in hand any more."""

    lease: bytes


class Hand(msgspec.Struct, frozen=True, array_like=True, tag="hand"):
    """One finished message; its octets are the frame's content. ``expires_at``: seconds since the Unix epoch.

    ``dispatch``: as in the sealed envelope of a delivery; ``trace``: sealed under the message's key, b"" for none.
    """

    id: bytes
    lease: bytes
    attempts: int
    dispatch: bytes
    method: str
    direction: str
    domain: str
    next_hop: str
    tls_min: int
    accepted_at: float
    expires_at: float
    trace: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """Ids (16 octets each): ``settled`` have left the queue, ``not_taken`` have not."""

    settled: list[bytes] = []
    not_taken: list[bytes] = []


Word = Hello | Welcome | Over | Hand | Answer

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Word] = msgspec.msgpack.Decoder(Word)


def frame(word: Word, content: Sequence[Buffer] = ()) -> list[Buffer]:
    """The pieces of one frame, to be written one after the other. Raises FrameInvalid when it is too long."""
    header = _encoder.encode(word)
    size = sum(map(len, content))
    if len(header) > _HEADER_OCTETS or size > HANDED_OCTETS:
        raise FrameInvalid(detail=f"a frame of {len(header)} and {size} octets")
    return [len(header).to_bytes(4, "big") + size.to_bytes(4, "big") + header, *content]


class FrameReader:
    """Cuts what came over the socket into words with their content; content is not joined."""

    def __init__(self) -> None:
        self._head = bytearray()  # the start of a frame, until its header is complete
        self._word: Word | None = None  # whose content is still coming
        self._content: list[bytes] = []
        self._lacking = 0

    def feed(self, octets: bytes) -> Iterator[tuple[Word, list[bytes]]]:
        """The words that are complete now. Raises FrameInvalid."""
        at, end = 0, len(octets)
        while True:
            if self._word is None:
                if not self._head and end - at >= _LENGTHS:  # mostly: no copy
                    used = self._begin(octets, at)
                    if used:
                        at += used
                    else:
                        self._head += octets[at:]
                        return
                else:
                    kept = len(self._head)
                    self._head += octets[at:]
                    used = self._begin(self._head, 0)
                    if not used:
                        return
                    at += used - kept
                    self._head.clear()
            if self._lacking:
                taken = octets[at : at + self._lacking]
                if taken:
                    self._content.append(taken)
                    at += len(taken)
                    self._lacking -= len(taken)
                if self._lacking:
                    return
            word, content = self._word, self._content
            assert word is not None
            self._word, self._content = None, []
            yield word, content

    def _begin(self, octets: bytes | bytearray, at: int) -> int:
        """Read the header at ``at``; how many octets it has with the lengths, 0 when it is not complete."""
        if len(octets) - at < _LENGTHS:
            return 0
        header = int.from_bytes(octets[at : at + 4], "big")
        size = int.from_bytes(octets[at + 4 : at + 8], "big")
        if header > _HEADER_OCTETS or size > HANDED_OCTETS:
            raise FrameInvalid(detail=f"a frame of {header} and {size} octets")
        end = at + _LENGTHS + header
        if len(octets) < end:
            return 0
        try:
            self._word = _decoder.decode(octets[at + _LENGTHS : end])
        except msgspec.DecodeError:
            raise FrameInvalid(detail="a frame that is none of those expected") from None
        self._lacking = size
        return _LENGTHS + header
