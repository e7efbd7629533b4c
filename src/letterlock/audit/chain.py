"""The fixed encoding of audit rows, and the chain of seals over them.

Guarantees
    encode() is the twin of the SQL function audit.encode: same row, same octets, on any version. decode() reads them
    back. A seal binds its number, its range of transactions, how many rows, their digest and the link of the seal
    before it: ``link`` is SHA-256 over signed_octets(), and the signature is over them too. Changing, adding or
    removing a sealed row changes its digest; removing a seal breaks the chain after it.

Standards
    FIPS 180-4 (SHA-256). Integers big-endian; times are microseconds since 2000-01-01 00:00 UTC, days are days since
    then.

Raises
    MalformedTrail by decode().

See also
    ``verify.py``; ``database/sql/functions/audit/encode.sql``; ``keyholder/seal_audit.py`` (makes seals).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from letterlock.errors import PermanentError

VERSION = 1
_DAY_ZERO = date(2000, 1, 1)
_TIME_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIXED = struct.Struct("!Biq16sqB")
_LENGTH = struct.Struct("!i")
_SEAL = struct.Struct("!16sqqqqq32s")
_SEAL_LABEL = b"letterlock seal1"


class MalformedTrail(PermanentError):
    """The octets are not audit rows in their fixed encoding."""


class Entry(NamedTuple):
    """One row of the audit trail. ``detail``: JSON as the database prints it. ``at``: aware, UTC."""

    day: date
    xid: int
    id: UUID
    at: datetime
    db_role: str
    principal: str | None
    organisation: UUID | None
    action: str
    object: UUID | None
    ok: bool
    detail: str | None


class Seal(NamedTuple):
    """One seal: over the rows with from_xid <= xid < upto_xid.

    ``previous``: the link of the seal before, b"" at first. ``sealed_at``: microseconds since the Unix epoch.
    """

    number: int
    from_xid: int
    upto_xid: int
    rows: int
    digest: bytes
    previous: bytes
    link: bytes
    sealed_at: int
    signature: bytes
    key_id: str


def encode(entry: Entry) -> bytes:
    """One row in the fixed encoding."""
    fixed = _FIXED.pack(
        VERSION,
        (entry.day - _DAY_ZERO).days,
        entry.xid,
        entry.id.bytes,
        (entry.at - _TIME_ZERO) // _MICROSECOND,
        entry.ok,
    )
    fields = (
        entry.db_role.encode(),
        _text(entry.principal),
        entry.organisation.bytes if entry.organisation else None,
        entry.action.encode(),
        entry.object.bytes if entry.object else None,
        _text(entry.detail),
    )
    return fixed + b"".join(_LENGTH.pack(-1) if f is None else _LENGTH.pack(len(f)) + f for f in fields)


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def decode(blob: bytes) -> list[Entry]:
    """The rows of a blob. Raises MalformedTrail."""
    entries, start = [], 0
    try:
        while start < len(blob):
            version, day, xid, id_, at, ok = _FIXED.unpack_from(blob, start)
            if version != VERSION or ok > 1:
                raise MalformedTrail(detail=f"version {version}")
            start += _FIXED.size
            fields = []
            for _ in range(6):
                field, start = _field(blob, start)
                fields.append(field)
            entries.append(_entry((day, xid, id_, at, bool(ok)), fields))
    except (struct.error, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise MalformedTrail(detail=str(error)) from None
    return entries


def _field(blob: bytes, start: int) -> tuple[bytes | None, int]:
    (length,) = _LENGTH.unpack_from(blob, start)
    start += _LENGTH.size
    if length == -1:
        return None, start
    if length < 0 or start + length > len(blob):
        raise MalformedTrail(detail="a field is longer than the rest")
    return blob[start : start + length], start + length


def _entry(fixed: tuple[int, int, bytes, int, bool], fields: list[bytes | None]) -> Entry:
    day, xid, id_, at, ok = fixed
    role, principal, organisation, action, object_, detail = fields
    if role is None or action is None:
        raise MalformedTrail(detail="a row without role or action")
    return Entry(
        day=_DAY_ZERO + timedelta(days=day),
        xid=xid,
        id=UUID(bytes=id_),
        at=_TIME_ZERO + at * _MICROSECOND,
        db_role=role.decode(),
        principal=None if principal is None else principal.decode(),
        organisation=None if organisation is None else UUID(bytes=organisation),
        action=action.decode(),
        object=None if object_ is None else UUID(bytes=object_),
        ok=ok,
        detail=None if detail is None else detail.decode(),
    )


def digest(blobs: Iterable[bytes]) -> bytes:
    """SHA-256 over the encoded rows of one seal, 32 octets."""
    total = hashlib.sha256()
    for blob in blobs:
        total.update(blob)
    return total.digest()


def link(
    *, number: int, from_xid: int, upto_xid: int, rows: int, digest: bytes, previous: bytes, sealed_at: int
) -> bytes:
    """SHA-256 over all that a seal says, 32 octets: what is signed, and what the next seal names as ``previous``."""
    fixed = _SEAL.pack(_SEAL_LABEL, number, from_xid, upto_xid, rows, sealed_at, digest)
    return hashlib.sha256(fixed + previous).digest()
