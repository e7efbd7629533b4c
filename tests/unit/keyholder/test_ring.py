"""The ring on disk: made once, opened, changed a generation at a time."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from letterlock.keyholder import ring as rings
from letterlock.keyholder.errors import RingRefused, RootKeyMissing
from letterlock.keyholder.ring import Ring

DAY = date(2026, 3, 8)


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    rings.create(tmp_path)
    return Ring.open(tmp_path)


def test_made_once(ring: Ring, tmp_path: Path) -> None:
    ring.add_epoch("queue", DAY)
    ring.finish(ring.begin())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rings.create(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_folders_and_files_are_ours_alone(ring: Ring, tmp_path: Path) -> None:
    ring.add_epoch("queue", DAY)
    ring.add_permanent(UUID(int=5))
    for path in (tmp_path / "keys").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_opened_again_with_the_same_keys(ring: Ring, tmp_path: Path) -> None:
    epoch, inbox = ring.add_epoch("queue", DAY), ring.add_epoch("inbox", DAY, UUID(int=5))
    permanent = ring.add_permanent(UUID(int=5))
    ring.finish(ring.begin())
    again = Ring.open(tmp_path)
    assert again.generation == ring.generation
    assert again.mark_key == ring.mark_key
    nonce = bytes(12)
    assert set(again.epochs) == {epoch.id, inbox.id}
    for one in (epoch, inbox):
        assert again.epochs[one.id].key.decrypt(nonce, one.key.encrypt(nonce, b"x", None), None) == b"x"
        assert again.epoch_of(one.cls, DAY, one.organisation) == again.epochs[one.id]
    found = again.permanent(UUID(int=5))
    assert found is not None
    assert found.decrypt(nonce, permanent.encrypt(nonce, b"x", None), None) == b"x"
    assert again.permanent(UUID(int=6)) is None
    assert again.epoch_of("queue", date(2026, 3, 9)) is None


@pytest.mark.req("I1")
def test_each_epoch_is_a_file_of_its_own_named_by_its_id(ring: Ring, tmp_path: Path) -> None:
    ids = {ring.add_epoch("queue", date(2026, 3, day)).id for day in range(1, 6)}
    assert {path.name for path in (tmp_path / "keys/epochs").iterdir()} == {f"{epoch}.key" for epoch in ids}


def test_a_dropped_epoch_is_gone(ring: Ring, tmp_path: Path) -> None:
    epoch = ring.add_epoch("queue", DAY)
    ring.drop_epoch(epoch.id)
    ring.drop_epoch(epoch.id)
    assert not ring.epoch_path(epoch.id).exists()
    assert epoch.id not in Ring.open(tmp_path).epochs


def test_generation_counts_changes(ring: Ring, tmp_path: Path) -> None:
    first, second = UUID(int=1), UUID(int=2)
    assert ring.begin((first,)) == 1
    assert Ring.open(tmp_path).generation == rings.Generation(0, 1, (str(first),))
    assert ring.begin((second,)) == 1  # the first was not finished
    ring.finish(1, [first])
    assert Ring.open(tmp_path).generation == rings.Generation(1, 1, (str(second),))


@pytest.mark.parametrize("name", ["keys/mark.key", "keys/seal.key", "keys/generation", "keys/root.key"])
def test_an_incomplete_ring_is_refused(name: str, ring: Ring, tmp_path: Path) -> None:
    (tmp_path / name).unlink()
    with pytest.raises((RingRefused, RootKeyMissing)):
        Ring.open(tmp_path)


def test_file_under_another_name_is_refused(ring: Ring, tmp_path: Path) -> None:
    epoch = ring.add_epoch("queue", DAY)
    os.rename(ring.epoch_path(epoch.id), ring.epoch_path(UUID(int=9)))
    with pytest.raises(RingRefused, match="name of another"):
        Ring.open(tmp_path)
    shutil.rmtree(tmp_path / "keys/epochs")
    ring.add_permanent(UUID(int=5))
    os.rename(tmp_path / f"keys/permanent/{UUID(int=5)}.key", tmp_path / f"keys/permanent/{UUID(int=6)}.key")
    with pytest.raises(RingRefused, match="name of another"):
        Ring.open(tmp_path)


@pytest.mark.parametrize("octets", [b"", b"{}", b'{"now": "1"}'])
def test_damaged_generation_is_refused(octets: bytes, ring: Ring, tmp_path: Path) -> None:
    (tmp_path / "keys/generation").write_bytes(octets)
    with pytest.raises(RingRefused):
        Ring.open(tmp_path)


def test_public_half_of_the_seal_key_is_there(ring: Ring, tmp_path: Path) -> None:
    public = load_pem_public_key((tmp_path / "audit/seal.pub").read_bytes())
    public.verify(ring.seal_key.sign(b"link"), b"link")  # type: ignore[call-arg, union-attr]  # it is Ed25519


def test_passphrase_ring(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_bytes(b"correct horse")
    words.chmod(0o600)
    rings.create(tmp_path, f"passphrase:{words}")
    Ring.open(tmp_path, f"passphrase:{words}")
    words.write_bytes(b"wrong horse")
    with pytest.raises(RingRefused, match="does not open with this root key"):
        Ring.open(tmp_path, f"passphrase:{words}")
