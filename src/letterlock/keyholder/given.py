"""The keyholder's own log: each key it gave, and each seal, in files that the database cannot reach.

States
    ``<state>/audit/seals``: a JSON line for each seal (octets in hexadecimal), and for each key
    given to a person: {"given": id, "grant": id, "at": microseconds since the Unix epoch}; so for each order an
    authority's key carried out ("order", with kind and SHA-256 of what was signed) and key taken out ("export").
    ``<state>/audit/given-<UTC day>``: a line for each batch given by lease: time, role, lease, ids.

Guarantees
    A line for a grant is written before its key is answered; the others at most a second later. Everything is on disk
    a second after it was written (``flush``). Whole lines are only ever appended. So what a forged lease or grant obtained
    stands here, whatever was removed from the database.

See also
    ``seal_audit.py`` (calls flush each second), ``own_record.py`` (reads the seals back), ``audit/verify.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from letterlock.audit.chain import Seal
from letterlock.keyholder.epochs import day_at
from letterlock.vault.sealing import Clock

_TAIL_OCTETS = 65_536


class GivenLog:
    """The files, opened for appending."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._seals = _open(folder / "seals")
        self._seals_dirty = False
        self._leased: list[str] = []
        self._day = day_at(clock())
        self._given = -1

    def lease(self, role: str, lease: bytes, ids: Iterable[bytes]) -> None:
        """Keys were given to a role for a lease."""
        self._leased.append(f"{self._clock():.3f} {role} {lease.hex()} {' '.join([each.hex() for each in ids])}\n")

    def grant(self, grant: UUID, content: UUID) -> None:
        """A key is about to be given for a grant."""
        self._append({"given": str(content), "grant": str(grant), "at": round(self._clock() * 1_000_000)})

    def order(self, order: UUID, key: UUID, kind: str, digest: bytes) -> None:
        """An authority's key is about to sign something."""
        at = round(self._clock() * 1_000_000)
        self._append({"order": str(order), "key": str(key), "kind": kind, "sha256": digest.hex(), "at": at})

    def export(self, key: UUID) -> None:
        """A private key is about to leave, sealed for its owner."""
        self._append({"export": str(key), "at": round(self._clock() * 1_000_000)})

    def seal(self, seal: Seal) -> None:
        """A seal was stored."""
        self._append({name: _plain(value) for name, value in seal._asdict().items()})

    def _append(self, line: dict[str, Any]) -> None:
        _write(self._seals, json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._seals_dirty = True

    def last_seal(self) -> Seal | None:
        """The newest seal, if there is one."""
        size = os.fstat(self._seals).st_size
        length = _TAIL_OCTETS
        while True:
            start = max(0, size - length)
            tail = os.pread(self._seals, length, start)
            found = next((seal for line in reversed(tail.split(b"\n")) if (seal := _seal_of(line))), None)
            if found is not None or start == 0:
                return found
            length *= 4

    def flush(self) -> None:
        """Write what waits and return when it is on disk. Blocks for the disk: run it in a thread."""
        leased, self._leased = self._leased, []
        if leased:
            day = day_at(self._clock())
            if self._given < 0 or day != self._day:
                if self._given >= 0:
                    os.close(self._given)
                self._given = _open(self._folder / f"given-{day.isoformat()}")
                self._day = day
            _write(self._given, "".join(leased).encode())
            os.fdatasync(self._given)
        if self._seals_dirty:
            self._seals_dirty = False
            os.fdatasync(self._seals)

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        os.close(self._seals)
        if self._given >= 0:
            os.close(self._given)
            self._given = -1


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _seal_of(line: bytes) -> Seal | None:
    """The seal a line holds; None for another line, and for one that was cut short by a crash."""
    try:
        found = json.loads(line)
        octets = {name: bytes.fromhex(found[name]) for name in ("digest", "previous", "link", "signature")}
        return Seal(**{**found, **octets})
    except (ValueError, KeyError, TypeError):
        return None


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    size = os.fstat(descriptor).st_size
    while size and os.pread(descriptor, 1, size - 1) != b"\n":
        size -= 1  # a crash cut the last line short; what is left of it shall not spoil the next one
    os.ftruncate(descriptor, size)
    return descriptor


def _write(descriptor: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]
