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
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Unpack
from uuid import UUID

from letterlock.database.gate import Gate
from letterlock.pki.arguments import (
    AnswerWanted,
    Harvest,
    Import,
    SetCtlEntry,
    StoreCertificates,
    StoreCrls,
    StoreOcspAnswer,
)


class KeyExport(NamedTuple):
    """A private key that was given out. ``people``: its owners who are ours; ``postmasters``: who else is told."""

    id: UUID
    organisation: UUID
    principal: str
    reason: str
    addresses: Sequence[str]
    exported_at: datetime
    people: Sequence[str]
    postmasters: Sequence[str]


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
    """A certificate kept for an address. ``capabilities``, ``preferred``: what its owner said under a signature; None,
    False: nothing."""

    address: str
    id: UUID
    der: bytes
    key_id: UUID | None
    capabilities: list[str] | None = None
    preferred: bool = False


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


class Known(NamedTuple):
    """What is known of a thing that is wanted. ``open``: it is being fetched; else ``answer`` says how it went."""

    place: int
    open: bool
    answer: str


class Taken(NamedTuple):
    """A thing to fetch. ``name``: a URL, or an address; ``about``: DER CertID of an OCSP request, else empty."""

    digest: bytes
    lease: UUID
    kind: str
    name: str
    about: bytes
    host: str
    failures: int
    revision: int


class Crl(NamedTuple):
    """A CRL as it came, not judged. ``der``: None when the caller has it already, or must ask again."""

    url: str
    fingerprint: bytes
    issuer: bytes
    issuer_key_id: bytes
    is_delta: bool
    this_update: datetime
    next_update: datetime | None
    fetched_at: datetime
    der: bytes | None


class OcspAnswer(NamedTuple):
    """An OCSP answer as it came, not judged."""

    cert_id: bytes
    der: bytes
    this_update: datetime
    next_update: datetime | None
    fetched_at: datetime


class StaleCrl(NamedTuple):
    """A CRL in use that is over, and no newer one has come."""

    url: str
    host: str
    next_update: datetime


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


async def want(
    gate: Gate, *, kinds: Sequence[str], names: Sequence[str], abouts: Sequence[bytes], hosts: Sequence[str]
) -> Sequence[Known]:
    """Note what is missing for the fetch station; a row for each place, from 1, in order."""
    rows = await gate.call("pki.want", kinds=kinds, names=names, abouts=abouts, hosts=hosts)
    return [Known._make(row) for row in rows]


async def take_wanted(gate: Gate, *, max: int, of_address: bool, lease_for: timedelta) -> Sequence[Taken]:
    """Lease what is due to be fetched: certificates of addresses, or all else."""
    rows = await gate.call("pki.take_wanted", max=max, of_address=of_address, lease_for=lease_for)
    return [Taken._make(row) for row in rows]


async def answer_wanted(gate: Gate, **arguments: Unpack[AnswerWanted]) -> bool:
    """An attempt brought nothing; False: the lease was lost and nothing has changed."""
    return bool((await gate.call("pki.answer_wanted", **arguments))[0][0])


async def store_crls(gate: Gate, **arguments: Unpack[StoreCrls]) -> bool:
    """Keep CRLs; False: the lease was lost and nothing has changed."""
    return bool((await gate.call("pki.store_crls", **arguments))[0][0])


async def store_ocsp_answer(gate: Gate, **arguments: Unpack[StoreOcspAnswer]) -> bool:
    """Keep an OCSP answer; False: the lease was lost and nothing has changed."""
    return bool((await gate.call("pki.store_ocsp_answer", **arguments))[0][0])


async def store_certificates(gate: Gate, **arguments: Unpack[StoreCertificates]) -> bool:
    """Keep certificates, as candidates; False: the lease was lost and nothing has changed."""
    return bool((await gate.call("pki.store_certificates", **arguments))[0][0])


async def crls(gate: Gate, *, issuers: Sequence[bytes] | None, known: Sequence[bytes], most: int) -> Sequence[Crl]:
    """The CRLs at hand of these issuers (None: of all), with the octets of some whose fingerprint is not ``known``, about
    ``most`` of them: ask again for the others."""
    return [Crl._make(row) for row in await gate.call("pki.crls", issuers=issuers, known=known, most=most)]


async def explain_crls(
    gate: Gate, *, token: bytes, issuers: Sequence[bytes] | None, known: Sequence[bytes], most: int
) -> Sequence[Crl]:
    """As crls, for a person. Raises Denied."""
    rows = await gate.call("pki.explain_crls", token=token, issuers=issuers, known=known, most=most)
    return [Crl._make(row) for row in rows]


async def ocsp_answers(gate: Gate, *, cert_ids: Sequence[bytes]) -> Sequence[OcspAnswer]:
    """The OCSP answers at hand for these CertIDs."""
    return [OcspAnswer._make(row) for row in await gate.call("pki.ocsp_answers", cert_ids=cert_ids)]


async def exports_untold(gate: Gate, *, max: int) -> Sequence[KeyExport]:
    """Private keys that were given out, and who is still to be told."""
    return [KeyExport._make(row) for row in await gate.call("pki.exports_untold", max=max)]


async def export_told(gate: Gate, *, id: UUID) -> None:
    """Who had to be told of an export is told."""
    await gate.call("pki.export_told", id=id)


async def explain_ocsp_answers(gate: Gate, *, token: bytes, cert_ids: Sequence[bytes]) -> Sequence[OcspAnswer]:
    """As ocsp_answers, for a person. Raises Denied."""
    rows = await gate.call("pki.explain_ocsp_answers", token=token, cert_ids=cert_ids)
    return [OcspAnswer._make(row) for row in rows]


async def stale_crls(gate: Gate) -> Sequence[StaleCrl]:
    """CRLs in use that are past their nextUpdate."""
    return [StaleCrl._make(row) for row in await gate.call("pki.stale_crls")]


async def tidy(gate: Gate) -> int:
    """Forget what nobody has asked for in a long time; how many things."""
    return int((await gate.call("pki.tidy"))[0][0])
