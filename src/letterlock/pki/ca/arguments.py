"""Arguments of the ca.* database functions that take many, named as there.

See also
    ``calls.py``; each function's file under ``database/sql/functions/ca``.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict
from uuid import UUID


class NewAuthority(TypedDict):
    """Arguments of add_authority."""

    token: bytes
    id: UUID
    organisation: UUID
    name: str
    kind: str
    generation: int
    parent: UUID | None
    label: str
    url: str
    der: bytes
    spki: bytes
    key_id: UUID
    not_after: datetime


class NewIssued(TypedDict):
    """Arguments of add_issued. ``number``: the serial number's 16 octets; ``serial``: DER IssuerAndSerialNumber;
    ``key_sha1``, ``key_sha256``: of the issuer's public key (RFC 6960 4.1.1)."""

    token: bytes
    id: UUID
    authority: UUID
    number: bytes
    key_sha1: bytes
    key_sha256: bytes
    address: str
    profile: str
    request: UUID | None
    key_id: UUID | None
    der: bytes
    subject: str
    issuer: str
    serial: bytes
    ski: bytes
    spki: bytes
    not_before: datetime
    not_after: datetime


class NewRequest(TypedDict):
    """Arguments of add_request. ``organisation`` None: who asks."""

    token: bytes
    id: UUID
    organisation: UUID | None
    handler: str
    authority: str
    profile: str
    address: str
    name: str
    source: str


class RequestChange(TypedDict):
    """Arguments of put_request."""

    token: bytes
    id: UUID
    state: str
    reason: str
    due_at: datetime
    key_id: UUID | None
    csr: bytes | None
    issued: UUID | None
