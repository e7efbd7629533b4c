"""Where the root key comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from letterlock.keyholder import root_key
from letterlock.keyholder.errors import RootKeyMissing


def test_file_is_made_once(tmp_path: Path) -> None:
    root_key.create(tmp_path)
    first = root_key.load(tmp_path)
    root_key.create(tmp_path)
    assert root_key.load(tmp_path) == first
    assert (tmp_path / "keys/root.key").read_bytes() == first.octets
    assert (tmp_path / "keys/root.key").stat().st_mode & 0o777 == 0o600


def test_passphrase(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_bytes(b"correct horse\n")
    words.chmod(0o600)
    source = f"passphrase:{words}"
    root_key.create(tmp_path, source)
    first = root_key.load(tmp_path, source)
    words.write_bytes(b"correct horse")
    assert root_key.load(tmp_path, source) == first
    words.write_bytes(b"another")
    assert root_key.load(tmp_path, source) != first
    words.write_bytes(b"\n")
    with pytest.raises(RootKeyMissing, match="empty"):
        root_key.load(tmp_path, source)


def test_the_same_passphrase_elsewhere_is_another_key(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_bytes(b"correct horse")
    words.chmod(0o600)
    source, found = f"passphrase:{words}", []
    for name in ("one", "two"):
        root_key.create(tmp_path / name, source)
        found.append(root_key.load(tmp_path / name, source))
    assert found[0] != found[1]


def test_credential(tmp_path: Path) -> None:
    (tmp_path / "ring").write_bytes(b"c" * 32)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    root_key.create(tmp_path, "credential:ring")
    assert root_key.load(tmp_path, "credential:ring", environment).octets == b"c" * 32
    with pytest.raises(RootKeyMissing, match="CREDENTIALS_DIRECTORY"):
        root_key.load(tmp_path, "credential:ring", {})
    with pytest.raises(RootKeyMissing):
        root_key.load(tmp_path, "credential:../ring", environment)


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(RootKeyMissing, match=f"cannot be read.*{tmp_path}/keys/root.key"):
        root_key.load(tmp_path)
    with pytest.raises(RootKeyMissing, match=r"/nope/root\.key"):
        root_key.load(tmp_path, "file:/nope/root.key")
    for source in ("", "file:", "vault:x", "file"):
        with pytest.raises(RootKeyMissing, match="comes from"):
            root_key.create(tmp_path, source)
    root_key.create(tmp_path)
    path = tmp_path / "keys/root.key"
    path.write_bytes(b"short")
    with pytest.raises(RootKeyMissing, match="32 octets"):
        root_key.load(tmp_path)
    path.chmod(0o640)
    with pytest.raises(RootKeyMissing, match="may be read by others"):
        root_key.load(tmp_path)
