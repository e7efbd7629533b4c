"""Key files: private, whole, bound to what they say, and destroyed for good."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from letterlock.keyholder import files
from letterlock.keyholder.errors import RingRefused
from letterlock.keyholder.files import KeyFile
from letterlock.vault.keys import Kind, Secret

ROOT = AESGCM(b"r" * 32)
FILE = KeyFile(Kind.QUEUE_EPOCH_FILE, UUID(int=7), UUID(int=8), date(2026, 3, 8), Secret(b"k" * 32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    files.write(tmp_path / "some.key", FILE, ROOT)
    return tmp_path / "some.key"


@pytest.mark.req("I1")
def test_read_back_and_not_in_clear(path: Path) -> None:
    assert files.read(path, ROOT, Kind.MARK_FILE, Kind.QUEUE_EPOCH_FILE) == FILE
    octets = path.read_bytes()
    assert len(octets) == files.FILE_OCTETS == 101
    assert b"kkkk" not in octets
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    undated = replace(FILE, day=None)
    files.write(path, undated, ROOT)
    assert files.read(path, ROOT, FILE.kind) == undated


@pytest.mark.parametrize("at", [0, 4, 5, 20, 21, 36, 37, 40, 41, 60, 100])
def test_every_octet_counts(at: int, path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1
    path.write_bytes(octets)
    with pytest.raises(RingRefused):
        files.read(path, ROOT, *Kind)


@pytest.mark.parametrize("octets", [b"", b"LLK1", bytes(101)])
def test_damaged(octets: bytes, path: Path) -> None:
    path.write_bytes(octets)
    with pytest.raises(RingRefused, match="damaged"):
        files.read(path, ROOT, FILE.kind)


def test_wrong_root_key_or_kind(path: Path) -> None:
    with pytest.raises(RingRefused, match="does not open with this root key"):
        files.read(path, AESGCM(b"x" * 32), FILE.kind)
    with pytest.raises(RingRefused, match="another kind"):
        files.read(path, ROOT, Kind.MARK_FILE)
    with pytest.raises(RingRefused, match="cannot be read"):
        files.read(path.with_name("none"), ROOT, FILE.kind)


def test_destroy_overwrites_before_it_unlinks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    steps: list[str] = []
    real_fsync, real_unlink = os.fsync, Path.unlink

    def fsync(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.append(f"sync {Path(name).name}")
        if name == str(path):
            now = path.read_bytes()
            assert len(now) == len(before)
            assert sum(a == b for a, b in zip(before, now, strict=True)) < 10
        real_fsync(descriptor)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        steps.append("unlink")
        real_unlink(self, missing_ok)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert files.destroy(path)
    assert steps == ["sync some.key", "unlink", f"sync {path.parent.name}"]
    assert not path.exists()
    assert not files.destroy(path)


def test_a_file_is_there_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        files.write(path, replace(FILE, day=None), ROOT)
    monkeypatch.undo()
    assert files.read(path, ROOT, FILE.kind) == FILE
    files.write(path, replace(FILE, day=None), ROOT)  # the leaving of the first try is in nobody's way
    assert files.read(path, ROOT, FILE.kind).day is None
