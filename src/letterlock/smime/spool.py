"""Where the octets of an opened layer go until all of it is known to be good, and pieces of a worthwhile size.

Guarantees
    What is in a spool counts for nothing until the call that filled it has returned; when it raises, drop it.

See also
    ``decrypt.py`` and ``peel.py``, which fill spools.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from letterlock.mail.message import Buffer, Octets

PIECE_OCTETS: Final = 48 << 10


class Sink(Protocol):
    """Takes octets one after the other. They may be views: use or copy them before you return."""

    def write(self, octets: Buffer, /) -> object:
        """Take the next octets."""
        ...

    def clear(self) -> None:
        """Forget all that was written."""
        ...


class Spool(Sink, Protocol):
    """A Sink that gives its octets back."""

    def octets(self) -> Octets:
        """All that was written, in one run; nothing is written afterwards."""
        ...


class MemorySpool:
    """A Spool in memory; giving the octets back copies nothing."""

    def __init__(self) -> None:
        """Empty."""
        self._buffer = io.BytesIO()
        self.write = self._buffer.write

    def clear(self) -> None:
        """Forget all that was written."""
        self._buffer.seek(0)
        self._buffer.truncate()

    def octets(self) -> Octets:
        """All that was written."""
        return self._buffer.getvalue()


def gathered(parts: Iterable[Buffer]) -> Iterator[Buffer]:
    """``parts`` in pieces: small ones put together, large ones cut, so that each call to a cipher is worth it."""
    held: list[Buffer] = []
    octets = 0
    for part in parts:
        size = len(part)
        if octets + size <= PIECE_OCTETS:
            held.append(part)
            octets += size
            continue
        if held:
            yield held[0] if len(held) == 1 else b"".join(held)
            held, octets = [], 0
        view = memoryview(part)
        for at in range(0, size, PIECE_OCTETS):
            yield view[at : at + PIECE_OCTETS]
    if held:
        yield b"".join(held)


def pieces(parts: Iterable[Buffer]) -> Iterator[Buffer]:
    """``parts`` as they come, large ones cut to PIECE_OCTETS: what fits into a buffer of that size."""
    for part in parts:
        if len(part) <= PIECE_OCTETS:
            yield part
            continue
        view = memoryview(part)
        for at in range(0, len(view), PIECE_OCTETS):
            yield view[at : at + PIECE_OCTETS]
