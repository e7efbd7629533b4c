"""The keyholder's own record of seals, as ``letterlock audit verify`` reads it: the file, and the public key beside it.

Guarantees
    It needs no key of the ring: only ``<state>/audit``. What is no whole line of ours at the end of the file was being
    written in a crash and is left out; anywhere else it is a fault.

Standards
    RFC 8032 (Ed25519), RFC 8410 (its SubjectPublicKeyInfo).

Raises
    RecordUnreadable.

See also
    ``seal_audit.py`` and ``given.py`` (who write them), ``audit/verify.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from letterlock.audit.chain import Seal
from letterlock.errors import PermanentError


class RecordUnreadable(PermanentError):
    """The keyholder's own record of the audit trail is damaged or missing."""


class _Line(msgspec.Struct):
    """A seal's line; a line without a number tells of a key that was given."""

    number: int = 0
    from_xid: int = 0
    upto_xid: int = 0
    rows: int = 0
    digest: str = ""
    previous: str = ""
    link: str = ""
    sealed_at: int = 0
    signature: str = ""
    key_id: str = ""


def kept_seals(state: Path) -> list[Seal]:
    """Every seal of the file, in order. Raises RecordUnreadable."""
    try:
        *lines, _unfinished = (state / "audit" / "seals").read_bytes().split(b"\n")
    except OSError as error:
        raise RecordUnreadable(f"The file {state / 'audit' / 'seals'} cannot be read: {error.strerror}.") from error
    return list(_seals(lines))


def _seals(lines: Iterable[bytes]) -> Iterable[Seal]:
    for place, line in enumerate(lines, 1):
        try:
            said = msgspec.json.decode(line, type=_Line)
            if said.number:
                yield Seal(
                    number=said.number,
                    from_xid=said.from_xid,
                    upto_xid=said.upto_xid,
                    rows=said.rows,
                    digest=bytes.fromhex(said.digest),
                    previous=bytes.fromhex(said.previous),
                    link=bytes.fromhex(said.link),
                    sealed_at=said.sealed_at,
                    signature=bytes.fromhex(said.signature),
                    key_id=said.key_id,
                )
        except (msgspec.DecodeError, ValueError) as error:
            raise RecordUnreadable(f"Line {place} of the keyholder's own record of seals is damaged.") from error


def signature_check(state: Path) -> Callable[[str, bytes, bytes], None]:
    """A function (key id, what is signed, signature) that raises unless the keyholder signed. Raises RecordUnreadable."""
    path = state / "audit" / "seal.pub"
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RecordUnreadable(f"The public key {path} cannot be read.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RecordUnreadable(f"The public key {path} is not one of the keyholder.")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = hashlib.sha256(spki).hexdigest()[:16]

    def check(key_id: str, signed: bytes, signature: bytes) -> None:
        if key_id != name:
            raise RecordUnreadable("A seal names another key than the keyholder's.", detail=key_id)
        key.verify(signature, signed)

    return check
