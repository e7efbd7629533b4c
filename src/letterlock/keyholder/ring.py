"""The key ring on disk: permanent and epoch keys, each a file of its own, wrapped by the root key.

States
    The generation counts the changes of the ring; the database knows it too. A change goes: ``begin`` (the file says
    "n, becoming n+1"), key files and rows change, the database notes n+1, ``finish`` (the file says n+1). So after a
    crash at any point the two agree or differ by a change begun; otherwise one of them is an old copy.

    =============================  ============================================================================
    database against ring          meaning
    =============================  ============================================================================
    equal, or the change begun     the same installation
    database ahead                 the ring is an old copy: keys may be back that were destroyed. Refused
    database behind                the database was restored from a backup: its sessions, grants and leases are void
    =============================  ============================================================================

Guarantees
    ``<state>/keys`` is 0700, its files 0600. A copy of the ring opens nothing without the root key; a copy of the
    database opens nothing without the ring. What ``drop`` destroyed is in no other file here.

Order
    ``create`` once (letterlock init), ``Ring.open`` at each start.

Raises
    RingRefused, RootKeyMissing.

See also
    ``epochs.py`` (changes the ring and tells the database), ``destroy.py`` (when an epoch ends), ``root_key.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.keyholder import files, root_key
from letterlock.keyholder.errors import RingRefused
from letterlock.keyholder.files import KeyFile
from letterlock.vault.keys import GATEWAY, KEY_OCTETS, Kind, Secret, new_id

CLASSES = {"queue": Kind.QUEUE, "inbox": Kind.INBOX}
_EPOCH_FILES = {"queue": Kind.QUEUE_EPOCH_FILE, "inbox": Kind.INBOX_EPOCH_FILE}
_GENERATION = "generation"


class Generation(msgspec.Struct, frozen=True):
    """``now``: the ring's number; ``becoming``: of a change that was begun, else the same.

    ``destroying``: epochs whose end was begun here and is not yet known to be marked in the database.
    """

    now: int
    becoming: int
    destroying: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch and its key."""

    id: UUID
    cls: str
    day: date
    organisation: UUID
    key: AESGCM


def folder_of(state: Path) -> Path:
    """The ring's folder in an installation's."""
    return state / "keys"


def create(state: Path, source: str = root_key.DEFAULT) -> None:
    """Make the ring of a new installation, with its audit signing key; ``<state>/audit/seal.pub`` is its public half.

    Does nothing when there is one. ``source``: where the root key comes from, as [keys] root says it (root_key.py).
    """
    keys = folder_of(state)
    if (keys / _GENERATION).exists():
        return
    for folder in (keys, keys / "epochs", keys / "permanent", state / "audit"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root_key.create(state, source)
    root = AESGCM(root_key.load(state, source).octets)
    files.write(keys / "mark.key", KeyFile(Kind.MARK_FILE, new_id(), key=Secret(os.urandom(KEY_OCTETS))), root)
    seal_key = Ed25519PrivateKey.generate()
    seed = Secret(seal_key.private_bytes_raw())
    files.write(keys / "seal.key", KeyFile(Kind.SEAL_FILE, new_id(), key=seed), root)
    public = seal_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    files.write_whole(state / "audit" / "seal.pub", public)
    # Last: its presence says that the ring is complete.
    files.write_whole(keys / _GENERATION, msgspec.json.encode(Generation(0, 0)))


class Ring:
    """The opened ring. Its keys are in this process only."""

    def __init__(self, keys: Path, root: Secret) -> None:
        """Opens every key file below ``keys``. Raises RingRefused."""
        self._keys = keys
        self._root = AESGCM(root.octets)
        self.generation = self._read_generation()
        self.mark_key = files.read(keys / "mark.key", self._root, Kind.MARK_FILE).key
        seal_seed = files.read(keys / "seal.key", self._root, Kind.SEAL_FILE).key
        self.seal_key = Ed25519PrivateKey.from_private_bytes(seal_seed.octets)
        self.epochs: dict[UUID, Epoch] = {}
        for path in sorted((keys / "epochs").glob("*.key")):
            file = files.read(path, self._root, *_EPOCH_FILES.values())
            if path.stem != str(file.id):
                raise RingRefused(f"The key file {path.name} has the name of another.")
            self._add_epoch(file)
        self._permanent: dict[UUID, AESGCM] = {}
        for path in sorted((keys / "permanent").glob("*.key")):
            file = files.read(path, self._root, Kind.PERMANENT_FILE)
            if path.stem != str(file.organisation):
                raise RingRefused(f"The key file {path.name} has the name of another.")
            self._permanent[file.organisation] = AESGCM(file.key.octets)

    @classmethod
    def open(cls, state: Path, source: str = root_key.DEFAULT) -> Ring:
        """The ring of an installation. Raises RingRefused, RootKeyMissing."""
        return cls(folder_of(state), root_key.load(state, source))

    def epoch_of(self, cls: str, day: date, organisation: UUID = GATEWAY) -> Epoch | None:
        """The epoch of that class and day, if there is one."""
        for epoch in self.epochs.values():
            if (epoch.cls, epoch.day, epoch.organisation) == (cls, day, organisation):
                return epoch
        return None

    def epoch_path(self, epoch: UUID) -> Path:
        """The file of an epoch's key."""
        return self._keys / "epochs" / f"{epoch}.key"

    def permanent(self, organisation: UUID) -> AESGCM | None:
        """The permanent key of an organisation, if it has one."""
        return self._permanent.get(organisation)

    def begin(self, destroying: tuple[UUID, ...] = ()) -> int:
        """Begin a change; its generation, to be noted in the database before ``finish``."""
        number = self.generation.now + 1
        names = sorted({*self.generation.destroying, *(str(epoch) for epoch in destroying)})
        self._write_generation(Generation(self.generation.now, number, tuple(names)))
        return number

    def finish(self, number: int, destroyed: Iterable[UUID] = ()) -> None:
        """The database knows ``number``, and that ``destroyed`` are: so does the ring."""
        known = {str(epoch) for epoch in destroyed}
        left = tuple(name for name in self.generation.destroying if name not in known)
        self._write_generation(Generation(number, number, left))

    def add_epoch(self, cls: str, day: date, organisation: UUID = GATEWAY) -> Epoch:
        """Make an epoch key and its file; inside a change."""
        file = KeyFile(_EPOCH_FILES[cls], new_id(), organisation, day, Secret(os.urandom(KEY_OCTETS)))
        files.write(self.epoch_path(file.id), file, self._root)
        return self._add_epoch(file)

    def add_permanent(self, organisation: UUID) -> AESGCM:
        """Make the permanent key of an organisation; inside a change."""
        file = KeyFile(Kind.PERMANENT_FILE, new_id(), organisation, key=Secret(os.urandom(KEY_OCTETS)))
        files.write(self._keys / "permanent" / f"{organisation}.key", file, self._root)
        self._permanent[organisation] = AESGCM(file.key.octets)
        return self._permanent[organisation]

    def drop_epoch(self, epoch: UUID) -> None:
        """Destroy an epoch's key, on disk and here; inside a change that says so."""
        files.destroy(self.epoch_path(epoch))
        self.epochs.pop(epoch, None)

    def _add_epoch(self, file: KeyFile) -> Epoch:
        cls = next(name for name, kind in _EPOCH_FILES.items() if kind == file.kind)
        if file.day is None:
            raise RingRefused(f"The key file {file.id}.key has no day.")
        epoch = Epoch(file.id, cls, file.day, file.organisation, AESGCM(file.key.octets))
        self.epochs[epoch.id] = epoch
        return epoch

    def _read_generation(self) -> Generation:
        try:
            return msgspec.json.decode((self._keys / _GENERATION).read_bytes(), type=Generation)
        except FileNotFoundError:
            raise RingRefused("There is no key ring here; run “letterlock init”.") from None
        except (OSError, msgspec.DecodeError) as error:
            raise RingRefused("The generation of the key ring cannot be read.", detail=str(error)) from error

    def _write_generation(self, generation: Generation) -> None:
        files.write_whole(self._keys / _GENERATION, msgspec.json.encode(generation))
        self.generation = generation
