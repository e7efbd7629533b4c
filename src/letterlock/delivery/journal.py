"""The journal of deliveries: each 250 of a next hop is noted before anything else happens to it.

Guarantees
    A record is one write() to a file opened with O_APPEND: it survives kill -9 of this process (the kernel holds it), not a
    power cut (the deliveries are then sent again with the same octets). The restarted process settles what its predecessor
    noted before its first claim. A torn last record is ignored. Files do not grow without end: when one is full the next
    begins, and a file goes when all it noted is settled.

See also
    ``agent.py``, which notes, settles and replays.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import msgspec

FULL_OCTETS = 1 << 20


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One delivery of which the next hop took the octets for ``recipients`` (addresses).

    ``complete``: no recipient of the delivery is left to be tried. ``handed``: it came from flow's hand, so ``delivery``
    is the message's id.
    """

    lease: bytes
    delivery: bytes
    recipients: list[str]
    complete: bool
    handed: bool = False


_decoder = msgspec.msgpack.Decoder(Entry)
_encode = msgspec.msgpack.Encoder().encode


class Journal:
    """The journal files of one process slot: ``<folder>/<name>.<number>``."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._old = sorted(folder.glob(f"{name}.*"), key=_number)
        self._number = _number(self._old[-1]) + 1 if self._old else 1
        self._open: dict[int, int] = {}  # file number: notes not settled yet
        self._begin()

    def _begin(self) -> None:
        self._descriptor = os.open(self._path(self._number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._open[self._number] = 0
        self._written = 0

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._name}.{number}"

    def note(self, lease: UUID, delivery: UUID, recipients: list[str], complete: bool, *, handed: bool = False) -> int:
        """The next hop answered 250 for ``recipients``. Returns what settled() wants to hear."""
        record = _encode(Entry(lease.bytes, delivery.bytes, recipients, complete, handed))
        if self._written >= FULL_OCTETS:
            os.close(self._descriptor)
            self._number += 1
            self._begin()
        self._written += os.write(self._descriptor, len(record).to_bytes(4, "big") + record)
        self._open[self._number] += 1
        return self._number

    def settled(self, number: int) -> None:
        """One note of that file is settled; the last one makes an end of the file."""
        self._open[number] -= 1
        if self._open[number]:
            return
        if number == self._number:
            os.ftruncate(self._descriptor, 0)
            self._written = 0
        else:
            self._path(number).unlink(missing_ok=True)
            del self._open[number]

    def inherited(self) -> list[Entry]:
        """What the predecessor noted and did not settle."""
        return [entry for path in self._old for entry in _entries(path.read_bytes())]

    def forget_inherited(self) -> None:
        """All that was inherited is settled."""
        for path in self._old:
            path.unlink(missing_ok=True)
        self._old = []

    def close(self) -> None:
        """Give the file back; an empty one goes."""
        os.close(self._descriptor)
        if not self._open.get(self._number):
            self._path(self._number).unlink(missing_ok=True)


def _number(path: Path) -> int:
    digits = path.suffix[1:]
    return int(digits) if digits.isdigit() else 0


def _entries(octets: bytes) -> list[Entry]:
    found: list[Entry] = []
    start = 0
    while start + 4 <= len(octets):
        end = start + 4 + int.from_bytes(octets[start : start + 4], "big")
        if end > len(octets):
            break
        try:
            found.append(_decoder.decode(octets[start + 4 : end]))
        except msgspec.DecodeError:
            break
        start = end
    return found
