"""The pki.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/pki``.
    Addresses are in match form (``certificate.match_form``) and compared octet by octet.

Raises
    DatabaseUnavailable; Denied by those with a token. See ``database/errors.py``.
"""

# ruff: noqa: A001, A002 - functions and arguments have the names they have in SQL
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypedDict, Unpack
from uuid import UUID

from letterlock.database.gate import Gate


class Imported(NamedTuple):
    """``answer``: 'done', 'already', 'wrong-key' or 'denied'; ``id``: under which it is kept, None when it is not."""

    answer: str
    id: UUID | None


class ListedCertificate(NamedTuple):
    """A certificate we keep. ``key_id``: when we have its private key."""

    id: UUID
    organisation: UUID
    fingerprint: bytes
    subject: str
    issuer: str
    addresses: list[str]
    is_ca: bool
    is_anchor: bool
    not_before: datetime
    not_after: datetime
    key_id: UUID | None
    imported_by: str
    imported_at: datetime


class ShownCertificate(NamedTuple):
    """One certificate with its octets."""

    id: UUID
    organisation: UUID
    fingerprint: bytes
    subject: str
    issuer: str
    addresses: list[str]
    is_ca: bool
    is_anchor: bool
    not_before: datetime
    not_after: datetime
    key_id: UUID | None
    imported_by: str
    imported_at: datetime
    der: bytes


class Candidate(NamedTuple):
    """A certificate kept for an address."""

    address: str
    id: UUID
    der: bytes
    key_id: UUID | None


class Authority(NamedTuple):
    """A trust anchor or the certificate of an authority."""

    der: bytes
    is_anchor: bool


class OwnCertificate(NamedTuple):
    """A certificate whose private key is here."""

    id: UUID
    der: bytes
    key_id: UUID
    addresses: list[str]


class Waiting(NamedTuple):
    """A harvested certificate that waits for approval, by one of its addresses."""

    address: str
    id: UUID
    der: bytes
    since: datetime


class Harvested(NamedTuple):
    """``answer``: 'new', 'waiting', 'already', 'full' or 'wrong'; ``other_key``: the address had others, none with it."""

    answer: str
    other_key: bool


class StoredCtlEntry(NamedTuple):
    """An entry of the trust list; ``digest``: SHA-256 of the certificate (``by`` thumbprint) or public key (spki)."""

    id: UUID
    action: Literal["allow", "deny"]
    by: Literal["thumbprint", "spki"]
    digest: bytes
    allow_expired: bool
    reason: str
    author: str
    created_at: datetime
    until: datetime | None


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
    signed_at: datetime | None
    wait: bool


class SetCtlEntry(TypedDict):
    """Arguments of set_ctl_entry; see StoredCtlEntry."""

    token: bytes
    id: UUID
    action: str
    by: str
    digest: bytes
    allow_expired: bool
    reason: str
    until: datetime | None


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


async def import_certificate(gate: Gate, **arguments: Unpack[Import]) -> Imported:
    """Keep a certificate; an import never trusts. Raises Denied."""
    return Imported._make((await gate.call("pki.import_certificate", **arguments))[0])


async def list(gate: Gate, *, token: bytes, address: str | None, max: int) -> Sequence[ListedCertificate]:
    """The certificates we keep, of one address or all, the newest first. Raises Denied."""
    return [ListedCertificate._make(row) for row in await gate.call("pki.list", token=token, address=address, max=max)]


async def show(gate: Gate, *, token: bytes, id: UUID | None, fingerprint: bytes | None) -> ShownCertificate | None:
    """One certificate by id, or by fingerprint when that is given. Raises Denied."""
    rows = await gate.call("pki.show", token=token, id=id, fingerprint=fingerprint)
    return ShownCertificate._make(rows[0]) if rows else None


async def add_anchor(gate: Gate, *, token: bytes, id: UUID) -> str:
    """Trust a certificate as the end of paths: 'done', 'already' or 'not-found'. Raises Denied."""
    return str((await gate.call("pki.add_anchor", token=token, id=id))[0][0])


async def remove_anchor(gate: Gate, *, token: bytes, id: UUID) -> str:
    """Trust it no more: 'done' or 'not-found'. Raises Denied."""
    return str((await gate.call("pki.remove_anchor", token=token, id=id))[0][0])


async def delete(gate: Gate, *, token: bytes, id: UUID, force: bool, reason: str | None) -> str:
    """Forget a certificate: 'done', 'not-found', or what it is in use for. Raises Denied."""
    return str((await gate.call("pki.delete", token=token, id=id, force=force, reason=reason))[0][0])


async def find(gate: Gate, *, token: bytes, prefix: bytes, max: int) -> Sequence[UUID]:
    """Certificates whose SHA-256 or SHA-1 thumbprint begins so. Raises Denied."""
    return [row[0] for row in await gate.call("pki.find", token=token, prefix=prefix, max=max)]


async def expiring(gate: Gate, *, token: bytes, before: datetime, max: int) -> Sequence[UUID]:
    """Certificates that are valid now and end before then, the first to end first. Raises Denied."""
    return [row[0] for row in await gate.call("pki.expiring", token=token, before=before, max=max)]


async def tie(gate: Gate, *, token: bytes, id: UUID, scope: str) -> str:
    """Use a certificate for a user, domain or *.domain: 'done', 'already' or 'not-found'. Raises Denied."""
    return str((await gate.call("pki.tie", token=token, id=id, scope=scope))[0][0])


async def untie(gate: Gate, *, token: bytes, id: UUID, scope: str) -> str:
    """Take that back: 'done' or 'not-found'. Raises Denied."""
    return str((await gate.call("pki.untie", token=token, id=id, scope=scope))[0][0])


async def waiting(gate: Gate, *, token: bytes, address: str | None, max: int) -> Sequence[Waiting]:
    """Harvested certificates that nobody has approved, the newest first. Raises Denied."""
    return [Waiting._make(row) for row in await gate.call("pki.waiting", token=token, address=address, max=max)]


async def harvest(gate: Gate, **arguments: Unpack[Harvest]) -> Harvested:
    """Keep a correspondent's certificate; capabilities replace older ones only."""
    return Harvested._make((await gate.call("pki.harvest", **arguments))[0])


async def ctl_entries(gate: Gate) -> Sequence[StoredCtlEntry]:
    """The trust list: entries that have not ended."""
    return [StoredCtlEntry._make(row) for row in await gate.call("pki.ctl_entries")]


async def explain_ctl_entries(gate: Gate, *, token: bytes) -> Sequence[StoredCtlEntry]:
    """The trust list, the ended entries too. Raises Denied."""
    return [StoredCtlEntry._make(row) for row in await gate.call("pki.explain_ctl_entries", token=token)]


async def set_ctl_entry(gate: Gate, **arguments: Unpack[SetCtlEntry]) -> tuple[str, UUID]:
    """Allow or forbid a certificate or key, in the place of such an entry. Raises Denied."""
    row = (await gate.call("pki.set_ctl_entry", **arguments))[0]
    return str(row[0]), row[1]


async def remove_ctl_entry(gate: Gate, *, token: bytes, id: UUID) -> str:
    """Take an entry off the trust list: 'done' or 'not-found'. Raises Denied."""
    return str((await gate.call("pki.remove_ctl_entry", token=token, id=id))[0][0])


async def candidates(gate: Gate, *, addresses: Sequence[str]) -> Sequence[Candidate]:
    """The certificates kept for each address, those valid longest first."""
    return [Candidate._make(row) for row in await gate.call("pki.candidates", addresses=addresses)]


async def explain_candidates(gate: Gate, *, token: bytes, addresses: Sequence[str]) -> Sequence[Candidate]:
    """As candidates, for a person. Raises Denied."""
    return [Candidate._make(row) for row in await gate.call("pki.explain_candidates", token=token, addresses=addresses)]


async def authorities(gate: Gate) -> Sequence[Authority]:
    """Trust anchors and certificates of authorities."""
    return [Authority._make(row) for row in await gate.call("pki.authorities")]


async def explain_authorities(gate: Gate, *, token: bytes) -> Sequence[Authority]:
    """As authorities, for a person. Raises Denied."""
    return [Authority._make(row) for row in await gate.call("pki.explain_authorities", token=token)]


async def own_certificates(gate: Gate, *, serials: Sequence[bytes], skis: Sequence[bytes]) -> Sequence[OwnCertificate]:
    """Which of our certificates a CMS recipient means, by IssuerAndSerialNumber or subject key identifier."""
    return [OwnCertificate._make(row) for row in await gate.call("pki.own_certificates", serials=serials, skis=skis)]
