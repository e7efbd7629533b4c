"""Where sealed segments lie: one append-only file per content.

Guarantees
    ``sync`` returns only after the octets and the file's name are on disk (fdatasync, then fsync of the folder), which
    is before the row that refers to them is committed. A file without a row is an orphan, found by ``ids`` and swept;
    a row without its file cannot come about. Files are 0600, made new or not at all.

Order
    create, write each segment, sync, (the caller commits the row); or abandon.

Raises
    StorageUnavailable when the disk is full or broken; ContentRefused when a file is missing or too short.

See also
    ``content.py`` (what a segment holds), ``docs/performance.md`` (why files).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from uuid import UUID

from letterlock.vault.errors import ContentRefused, StorageUnavailable
from letterlock.vault.keys import Octets


class SegmentWriter(Protocol):
    """One content being written."""

    def write(self, octets: Octets) -> None:
        """Append. Raises StorageUnavailable."""
        ...

    def sync(self) -> None:
        """Return when all is on disk under its name; blocks, so call it in a thread. Raises StorageUnavailable."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...

    def abandon(self) -> None:
        """Let go of the file and remove it."""
        ...


class SegmentReader(Protocol):
    """One content being read, from its start."""

    size: int

    def read_into(self, view: memoryview) -> None:
        """Fill ``view`` with the next octets. Raises ContentRefused when there are not so many."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class SegmentStore(Protocol):
    """Where segments lie; files by default."""

    def create(self, content: UUID) -> SegmentWriter:
        """Begin a new content. Raises StorageUnavailable."""
        ...

    def open(self, content: UUID) -> SegmentReader:
        """Read a content. Raises ContentRefused when there is none."""
        ...

    def remove(self, content: UUID) -> None:
        """Make an end of a content; nothing happens when there is none."""
        ...

    def ids(self) -> Iterator[tuple[UUID, float]]:
        """Each content there is, and when it was last written (seconds since the Unix epoch)."""
        ...


class FileSegmentStore:
    """Segments in files: ``<folder>/<two hexadecimal digits>/<id>``."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder and its 256 subfolders where they are absent, once, so that no sync has to."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = False
        for number in range(256):
            try:
                (folder / f"{number:02x}").mkdir(mode=0o700)
                made = True
            except FileExistsError:
                pass
        if made:
            _sync_folder(folder)

    def path(self, content: UUID) -> Path:
        """Its file. The last octet of a UUIDv7 is random, so the subfolders fill evenly."""
        return self._folder / content.hex[-2:] / str(content)

    def create(self, content: UUID) -> FileSegmentWriter:
        """Begin a new file. Raises StorageUnavailable, also when there is one of that id."""
        return FileSegmentWriter(self.path(content))

    def open(self, content: UUID) -> FileSegmentReader:
        """Read the file of ``content``. Raises ContentRefused when there is none."""
        return FileSegmentReader(self.path(content))

    def remove(self, content: UUID) -> None:
        """Unlink the file, if there is one. Not synced: an unlink lost in a crash leaves an orphan, which is swept."""
        self.path(content).unlink(missing_ok=True)

    def ids(self) -> Iterator[tuple[UUID, float]]:
        """Each file's id and time of last change; files that appear or go meanwhile may be missed."""
        for number in range(256):
            with os.scandir(self._folder / f"{number:02x}") as entries:
                for entry in entries:
                    try:
                        yield UUID(entry.name), entry.stat(follow_symlinks=False).st_mtime
                    except (ValueError, FileNotFoundError):
                        continue


class FileSegmentWriter:
    """One file being written. ``sync`` may run in a thread during ``abandon``: the lock keeps the descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise StorageUnavailable(detail=f"segment file not made: {error.strerror}") from error

    def write(self, octets: Octets) -> None:
        """Append all of ``octets``. Raises StorageUnavailable."""
        view = memoryview(octets)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise StorageUnavailable(detail=f"segment not written: {error.strerror}") from error

    def sync(self) -> None:
        """fdatasync the file, then fsync its folder. Raises StorageUnavailable."""
        with self._lock:
            if self._descriptor < 0:
                return
            try:
                os.fdatasync(self._descriptor)
                _sync_folder(self._path.parent)
            except OSError as error:
                raise StorageUnavailable(detail=f"segments not synced: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def abandon(self) -> None:
        """Close and unlink the file."""
        self.close()
        self._path.unlink(missing_ok=True)


class FileSegmentReader:
    """One file being read. ``size``: of the whole file, in octets."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ContentRefused(detail="the segment file is missing") from None
        except OSError as error:
            raise StorageUnavailable(detail=f"segments not opened: {error.strerror}") from error
        self.size = os.fstat(self._descriptor).st_size

    def read_into(self, view: memoryview) -> None:
        """Fill ``view``. Raises ContentRefused at the end of the file."""
        while view:
            count = os.readv(self._descriptor, [view])
            if count == 0:
                raise ContentRefused(detail="a segment file is too short")
            view = view[count:]

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
