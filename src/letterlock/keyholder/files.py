"""One key in one file, wrapped by the root key.

States
    A key file is 101 octets: "LLK1", kind (1), id (16), organisation (16), day (4), nonce, wrapped key and tag (60).
    The fields in front are part of the associated data: a file under another name, day or organisation does not open.

Guarantees
    A file appears whole or not at all (written beside, synced, renamed, folder synced), with mode 0600.
    ``destroy`` overwrites in place before it unlinks, and returns when both are on disk. What the storage below keeps
    (flash translation, snapshots, copies) is beyond it: ``letterlock doctor`` says how sure that is.

Raises
    RingRefused when a file is damaged, misplaced or wrapped by another root key.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from letterlock.keyholder.errors import RingRefused
from letterlock.vault.errors import ContentRefused
from letterlock.vault.keys import GATEWAY, NO_DAY, WRAPPED_OCTETS, Part, Secret, associated_data, seal, unseal

_HEAD = struct.Struct(">4sB16s16sI")
_MAGIC = b"LLK1"
FILE_OCTETS = _HEAD.size + WRAPPED_OCTETS


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file says in clear, and its key. ``day``: None when the key has none."""

    kind: int
    id: UUID
    organisation: UUID = GATEWAY
    day: date | None = None
    key: Secret = field(default_factory=lambda: Secret(b""))

    @property
    def ordinal(self) -> int:
        """``day`` as it is stored."""
        return NO_DAY if self.day is None else self.day.toordinal()


def write(path: Path, file: KeyFile, root: AESGCM) -> None:
    """Wrap and store a key at ``path``."""
    head = _HEAD.pack(_MAGIC, file.kind, file.id.bytes, file.organisation.bytes, file.ordinal)
    wrapped = seal(root, file.key.octets, _data(file.kind, file.id.bytes, file.organisation.bytes, file.ordinal))
    write_whole(path, head + wrapped)


def read(path: Path, root: AESGCM, *kinds: int) -> KeyFile:
    """The key at ``path``, which must be of one of ``kinds``. Raises RingRefused."""
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise RingRefused(f"The key file {path.name} cannot be read: {error.strerror}.") from error
    if len(octets) != FILE_OCTETS or octets[:4] != _MAGIC:
        raise RingRefused(f"The key file {path.name} is damaged.")
    _, kind, key_id, organisation, ordinal = _HEAD.unpack_from(octets)
    try:
        key = unseal(root, octets[_HEAD.size :], _data(kind, key_id, organisation, ordinal))
    except ContentRefused:
        raise RingRefused(
            f"The key file {path.name} does not open with this root key; is it from another installation?"
        ) from None
    if kind not in kinds:
        raise RingRefused(f"The key file {path.name} is of another kind.")
    day = date.fromordinal(ordinal) if ordinal != NO_DAY else None
    return KeyFile(kind, UUID(bytes=key_id), UUID(bytes=organisation), day, Secret(key))


def destroy(path: Path) -> bool:
    """Make the key at ``path`` unrecoverable; whether there was one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        os.pwrite(descriptor, os.urandom(max(os.fstat(descriptor).st_size, FILE_OCTETS)), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    sync_folder(path.parent)
    return True


def write_whole(path: Path, octets: bytes) -> None:
    """Put ``octets`` at ``path``, whole and on disk when it returns; replaces what was there."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(octets)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return when the names in ``folder`` are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _data(kind: int, key_id: bytes, organisation: bytes, ordinal: int) -> bytes:
    return associated_data(kind=kind, organisation=organisation, content=key_id, part=Part.KEY, day=ordinal)
