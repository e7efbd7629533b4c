"""The root key: where it comes from. It wraps each key file singly, and nothing else.

Guarantees
    The key is read once, at the start, and stays in this process. A key file that others may read is refused.
    A wrong passphrase makes another key, which then opens no key file: it is never compared with anything stored.

Order
    ``file:PATH``: 32 octets, mode 0600, made by init (relative to the state folder).
    ``passphrase:PATH``: a file that holds a passphrase, through Argon2id with the salt in ``<state>/keys/root.salt``,
    made by init.
    ``credential:NAME``: 32 octets from systemd, in $CREDENTIALS_DIRECTORY (systemd.exec(5)).

Standards
    RFC 9106 4 (Argon2id; its second recommendation, 64 MiB).

Raises
    RootKeyMissing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from letterlock.keyholder.errors import RootKeyMissing
from letterlock.vault.keys import KEY_OCTETS, Secret

DEFAULT = "file:keys/root.key"
SCHEMES = ("file", "passphrase", "credential")
_SALT_NAME = "keys/root.salt"
_SALT_OCTETS = 16
_LONGEST_PASSPHRASE = 4096


def create(state: Path, source: str = DEFAULT) -> None:
    """Make what the source needs: the key itself, or a salt; one that is there already is used."""
    scheme, value = _split(source)
    if scheme == "file":
        _write_new(state / value, os.urandom(KEY_OCTETS))
    elif scheme == "passphrase":
        _write_new(state / _SALT_NAME, os.urandom(_SALT_OCTETS))


def load(state: Path, source: str = DEFAULT, environment: Mapping[str, str] = os.environ) -> Secret:
    """The root key of an installation. Raises RootKeyMissing."""
    scheme, value = _split(source)
    if scheme == "file":
        return Secret(_read_key(state / value, KEY_OCTETS))
    if scheme == "passphrase":
        salt = _read_key(state / _SALT_NAME, _SALT_OCTETS)
        derive = Argon2id(salt=salt, length=KEY_OCTETS, iterations=3, lanes=4, memory_cost=64 * 1024)
        passphrase = _read(state / value, _LONGEST_PASSPHRASE).rstrip(b"\r\n")
        if not passphrase:
            raise RootKeyMissing("The file with the passphrase of the root key is empty.")
        return Secret(derive.derive(passphrase))
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise RootKeyMissing("systemd handed over no credentials (CREDENTIALS_DIRECTORY is not set).")
    return Secret(_read_key(Path(folder) / value, KEY_OCTETS, by_systemd=True))


def _split(source: str) -> tuple[str, str]:
    scheme, _, value = source.partition(":")
    if scheme not in SCHEMES or not value or (scheme == "credential" and "/" in value):
        raise RootKeyMissing("The root key comes from file:PATH, passphrase:PATH or credential:NAME ([keys] root).")
    return scheme, value


def _read_key(path: Path, length: int, *, by_systemd: bool = False) -> bytes:
    octets = _read(path, length, by_systemd=by_systemd)
    if len(octets) != length:
        raise RootKeyMissing("The file of the root key has a wrong length.", detail=f"{path}, {length} octets wanted")
    return octets


def _read(path: Path, most: int, *, by_systemd: bool = False) -> bytes:
    """At most ``most`` octets, and one more, of a file that is ours alone."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            octets = file.read(most + 1)
    except OSError as error:
        raise RootKeyMissing("The file of the root key cannot be read.", detail=f"{path}: {error.strerror}") from error
    # systemd's credentials are 0400 or 0440 in a folder that only the unit can enter.
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and not by_systemd:
        raise RootKeyMissing("The file of the root key may be read by others; set its mode to 0600.", detail=str(path))
    return octets


def _write_new(path: Path, octets: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
