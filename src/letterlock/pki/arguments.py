"""What the pki.* database functions with many arguments take.

See also
    ``calls.py``, which passes them on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID


class Import(TypedDict):
    """Arguments of import_certificate. ``serial``: DER IssuerAndSerialNumber; ``spki``: DER; ``fingerprint``:
    SHA-256."""

    token: bytes
    id: UUID
    organisation: UUID | None
    der: bytes
    fingerprint: bytes
    subject: str
    issuer: str
    serial: bytes
    ski: bytes
    spki: bytes
    addresses: Sequence[str]
    is_ca: bool
    not_before: datetime
    not_after: datetime
    key_id: UUID | None


class Harvest(TypedDict):
    """Arguments of harvest. ``address``: the author's, one of ``addresses``; ``wait``: another key needs approval."""

    id: UUID
    der: bytes
    fingerprint: bytes
    subject: str
    issuer: str
    serial: bytes
    ski: bytes
    address: str
    addresses: Sequence[str]
    not_before: datetime
    not_after: datetime
    capabilities: Sequence[str] | None
    preferred: bool
    signed_at: datetime | None
    wait: bool


class SetCtlEntry(TypedDict):
    """Arguments of set_ctl_entry; see calls.StoredCtlEntry."""

    token: bytes
    id: UUID
    action: str
    by: str
    digest: bytes
    allow_expired: bool
    reason: str
    until: datetime | None


class Answered(TypedDict):
    """What each answer to a wanted thing says: whose it is, when to try again, until when nobody waits for another."""

    digest: bytes
    lease: UUID
    due_at: datetime
    good_until: datetime


class AnswerWanted(Answered):
    """Arguments of answer_wanted. ``answer``: absent, failed or refused; ``host_until``: its back-off, if any."""

    answer: str
    host_until: datetime | None


class StoreCrls(Answered):
    """Arguments of store_crls: arrays of one length. ``issuers``: Certificate.subject_key of each."""

    ders: Sequence[bytes]
    issuers: Sequence[bytes]
    issuer_key_ids: Sequence[bytes]
    is_delta: Sequence[bool]
    this_update: Sequence[datetime]
    next_update: Sequence[datetime | None]


class StoreOcspAnswer(Answered):
    """Arguments of store_ocsp_answer."""

    der: bytes
    this_update: datetime
    next_update: datetime | None


class StoreCertificates(Answered):
    """Arguments of store_certificates: arrays of one length."""

    ids: Sequence[UUID]
    ders: Sequence[bytes]
    is_ca: Sequence[bool]
    not_after: Sequence[datetime]
