"""Segment files: whole, durable, private, found again by the sweep."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from letterlock.vault import segments
from letterlock.vault.errors import ContentRefused, StorageUnavailable
from letterlock.vault.keys import new_id
from letterlock.vault.segments import FileSegmentStore


@pytest.fixture
def store(tmp_path: Path) -> FileSegmentStore:
    return FileSegmentStore(tmp_path / "segments")


def test_what_was_written_is_read(store: FileSegmentStore) -> None:
    content = new_id()
    writer = store.create(content)
    writer.write(b"abc")
    writer.write(memoryview(b"xdefx")[1:4])
    writer.sync()
    writer.close()
    reader = store.open(content)
    assert reader.size == 6
    room = bytearray(4)
    reader.read_into(memoryview(room))
    assert room == b"abcd"
    reader.read_into(memoryview(room)[:2])
    assert room == b"efcd"
    with pytest.raises(ContentRefused):
        reader.read_into(memoryview(room)[:1])
    reader.close()
    reader.close()
    store.remove(content)
    store.remove(content)
    with pytest.raises(ContentRefused):
        store.open(content)


def test_files_and_folders_are_ours_alone(store: FileSegmentStore, tmp_path: Path) -> None:
    writer = store.create(new_id())
    for folder, _, files in os.walk(tmp_path / "segments"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE(os.stat(Path(folder) / file).st_mode) == 0o600
    writer.abandon()


def test_sync_covers_the_file_and_then_its_name(store: FileSegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(segments.os, "fdatasync", lambda fd: done.append(os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setattr(segments.os, "fsync", lambda fd: done.append(os.readlink(f"/proc/self/fd/{fd}")))
    content = new_id()
    writer = store.create(content)
    writer.write(b"abc")
    writer.sync()
    writer.close()
    assert done == [str(store.path(content)), str(store.path(content).parent)]
    writer.sync()  # nothing is left to sync
    assert len(done) == 2


def test_full_disk_is_insufficient_storage(store: FileSegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    writer = store.create(new_id())
    monkeypatch.setattr(segments.os, "write", full)
    with pytest.raises(StorageUnavailable):
        writer.write(b"abc")
    monkeypatch.setattr(segments.os, "fdatasync", full)
    with pytest.raises(StorageUnavailable):
        writer.sync()
    monkeypatch.undo()
    writer.abandon()
    assert list(store.ids()) == []


def test_short_writes_are_continued(store: FileSegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    content = new_id()
    writer = store.create(content)
    monkeypatch.setattr(segments.os, "write", lambda fd, view: real(fd, view[:2]))
    writer.write(b"abcdefg")
    monkeypatch.undo()
    writer.close()
    assert store.path(content).read_bytes() == b"abcdefg"


def test_abandon_waits_for_a_sync_on_its_way(store: FileSegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go = threading.Event(), threading.Event()
    seen: list[bool] = []

    def slow(descriptor: int) -> None:
        began.set()
        assert go.wait(5)
        seen.append(os.fstat(descriptor) is not None)  # still open

    monkeypatch.setattr(segments.os, "fdatasync", slow)
    writer = store.create(new_id())
    syncing = threading.Thread(target=writer.sync)
    syncing.start()
    assert began.wait(5)
    abandoning = threading.Thread(target=writer.abandon)
    abandoning.start()
    go.set()
    syncing.join(5)
    abandoning.join(5)
    assert seen == [True]
    assert list(store.ids()) == []


def test_ids_finds_files_and_passes_over_strangers(store: FileSegmentStore, tmp_path: Path) -> None:
    wanted = {new_id() for _ in range(5)}
    for content in wanted:
        store.create(content).close()
    (tmp_path / "segments" / "00" / "lost+found").touch()
    found = dict(store.ids())
    assert set(found) == wanted
    assert all(abs(at - store.path(content).stat().st_mtime) < 1 for content, at in found.items())


def test_a_link_is_not_followed(store: FileSegmentStore, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"x")
    content = uuid4()
    store.path(content).symlink_to(target)
    with pytest.raises(StorageUnavailable):
        store.create(content)
    with pytest.raises(StorageUnavailable):
        store.open(content)


def test_an_existing_folder_is_used_again(tmp_path: Path) -> None:
    content = new_id()
    FileSegmentStore(tmp_path / "s").create(content).close()
    assert [found for found, _ in FileSegmentStore(tmp_path / "s").ids()] == [content]
