"""What counts as a fault, whatever the octets: another error than a declared one, two answers, too much time or memory.

Guarantees
    A fault is told once for each place it comes from: exception and the frames of ours that it passed.

See also
    ``child.py``, which calls ``Watch.look`` for each input; the targets, which raise Finding for what contradicts itself.
"""

from __future__ import annotations

import resource
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from letterlock.errors import LetterlockError

MOST_SECONDS: Final = 1.0
MOST_GROWTH: Final = 64 << 20
"""Octets by which the process may grow over one input of at most LONGEST octets."""
LONGEST: Final = 1 << 15

_Value = TypeVar("_Value")


class Finding(Exception):
    """The reader contradicts itself, or believes what nobody vouched for."""


class Told(NamedTuple):
    """What a reader said: a value, or that it refuses."""

    value: object
    refused: bool


REFUSED: Final = Told(None, True)


def told(call: Callable[[], object], *declared: type[LetterlockError]) -> Told:
    """What ``call`` says. Only ``declared`` errors are a refusal; anything else goes on to the one who watches."""
    try:
        return Told(call(), False)
    except declared:
        return REFUSED


def same(first: object, second: object, what: str) -> None:
    """Raises Finding unless both are equal."""
    if first != second:
        raise Finding(f"{what}: {_short(first)} is not {_short(second)}")


def holds(condition: bool, what: str) -> None:
    """Raises Finding unless it holds."""
    if not condition:
        raise Finding(what)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 400 else text[:200] + " ... " + text[-180:]


def cuttings(octets: bytes) -> Iterator[Sequence[bytes | bytearray | memoryview]]:
    """The same octets in different buffers: octet by octet when they are few, and in pieces that depend on them."""
    if len(octets) <= 512:
        yield [octets[at : at + 1] for at in range(len(octets))]
    state = zlib.crc32(octets)
    pieces: list[bytes | bytearray | memoryview] = [b""]
    at = 0
    while at < len(octets):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        size = state % (7 if state & 0x100 else 200)
        piece = octets[at : at + size]
        pieces.append((piece, bytearray(piece), memoryview(piece), piece)[state >> 9 & 3])
        at += size
    yield pieces


class Fault(NamedTuple):
    """``place``: what makes it the same fault as another one; ``text``: for people."""

    place: str
    text: str


class Watch:
    """Calls a target and notes what is a fault."""

    def __init__(self, target: Callable[[bytes], None]) -> None:
        self._target = target
        self.runs = 0
        self.slowest = 0.0

    def look(self, octets: bytes) -> Fault | None:
        """The fault that these octets show; None for none."""
        self.runs += 1
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.thread_time()
        try:
            self._target(octets)
        except BaseException as error:  # also RecursionError, MemoryError and panics of the library
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return _of(error)
        took = time.thread_time() - started
        self.slowest = max(self.slowest, took)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if took > MOST_SECONDS:
            return Fault("slow", f"{took:.1f} s for {len(octets)} octets")
        if grown > MOST_GROWTH and self.runs > 100:
            return Fault("large", f"{grown >> 20} MiB for {len(octets)} octets")
        return None


def _of(error: BaseException) -> Fault:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if "/letterlock/" in each.filename]
    places = [f"{each.filename.rpartition('/letterlock/')[2]}:{each.name}" for each in frames[-3:]]
    kind = type(error).__name__
    words = str(error).partition(":")[0][:60] if isinstance(error, Finding) else ""
    return Fault(" < ".join((kind, words, *reversed(places))), "".join(traceback.format_exception(error))[-3000:])
