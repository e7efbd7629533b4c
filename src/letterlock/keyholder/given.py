"""The keyholder's own log: each key it gave, and each seal, in files that the database cannot reach.

States
    ``<state>/audit/seals``: a JSON line for each seal (octets in hexadecimal), and for each key
    given to a person: {"given": id, "grant": id, "at": microseconds since the Unix epoch}; so for each order an
    authority's key carried out ("order", with kind and SHA-256 of what was signed) and key taken out ("export").
    ``<state>/audit/given-<UTC day>``: a line for each batch given by lease: time, role, lease, ids. At LONGEST_GIVEN a
    next one is begun, ``given-<day>.1`` and so on; one that is closed is compressed (``.gz``), one each second at most.

Guarantees
    A line for a grant is written before its key is answered; the others at most a second later. Everything is on disk
    a second after it was written (``flush``). Whole lines are only ever appended. So what a forged lease or grant obtained
    stands here, whatever was removed from the database.
    A compressed file is whole and on disk before what it was made of goes, so a crash leaves one of them or both. None is
    ever removed: how long to keep them is the administrator's to say, and ``letterlock audit verify`` reads none of them.

See also
    ``seal_audit.py`` (calls flush each second), ``own_record.py`` (reads the seals back), ``audit/verify.py``.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from letterlock.audit.chain import Seal
from letterlock.keyholder.epochs import day_at
from letterlock.vault.sealing import Clock

LONGEST_GIVEN = 16 << 20
"""Octets after which a day's file is closed: compressed in well under a second, which is all it may delay a seal."""

_TAIL_OCTETS = 65_536
_GIVEN = re.compile(r"given-(\d{4}-\d\d-\d\d)(?:\.(\d+))?(\.gz)?")
_log = logging.getLogger("letterlock.keyholder")


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
        self._path = Path()
        self._closed = sorted(
            each for each in folder.iterdir() if (name := _GIVEN.fullmatch(each.name)) and not name[3]
        )

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
        self._write_out()
        if self._closed:
            _compress(self._closed.pop(0))

    def _write_out(self) -> None:
        leased, self._leased = self._leased, []
        if leased:
            self._turn(day_at(self._clock()))
            _write(self._given, "".join(leased).encode())
            os.fdatasync(self._given)
        if self._seals_dirty:
            self._seals_dirty = False
            os.fdatasync(self._seals)

    def _turn(self, day: date) -> None:
        """See that the file to write to is one of ``day`` with room in it."""
        if self._given >= 0:
            if day == self._day and os.fstat(self._given).st_size < LONGEST_GIVEN:
                return
            os.close(self._given)
            self._given = -1
            self._closed.append(self._path)
        path = _to_append(self._folder, day)
        if path in self._closed:
            self._closed.remove(path)
        self._given, self._path, self._day = _open(path), path, day
        _sync_folder(self._folder)

    def close(self) -> None:
        """Write what waits and close; what there is to compress is compressed after the next start."""
        self._write_out()
        os.close(self._seals)
        if self._given >= 0:
            os.close(self._given)
            self._given = -1


def _to_append(folder: Path, day: date) -> Path:
    """The day's last file if it has room and was not compressed, else the next."""
    found = [name for each in folder.iterdir() if (name := _GIVEN.fullmatch(each.name)) and name[1] == day.isoformat()]
    if not found:
        return folder / f"given-{day.isoformat()}"
    last = max(int(name[2] or 0) for name in found)
    path = _numbered(folder, day, last)
    compressed = any(name[3] for name in found if int(name[2] or 0) == last)
    if compressed or path.stat().st_size >= LONGEST_GIVEN:
        return _numbered(folder, day, last + 1)
    return path


def _numbered(folder: Path, day: date, number: int) -> Path:
    return folder / (f"given-{day.isoformat()}.{number}" if number else f"given-{day.isoformat()}")


def _compress(path: Path) -> None:
    """Put ``<path>.gz`` in the place of ``path``. A failure changes nothing: it is tried again after the next start."""
    target = path.with_name(f"{path.name}.gz")
    fresh = path.with_name(f"{target.name}.new")
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fresh.unlink(missing_ok=True)
        with (
            os.fdopen(os.open(path, os.O_RDONLY | flags), "rb") as source,
            os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600), "wb") as file,
        ):
            with gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
                shutil.copyfileobj(source, packed, 1 << 18)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
        _sync_folder(path.parent)
        path.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        _log.warning("%s was not compressed: %s", path.name, error.strerror)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
