"""The ca.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/ca``.
    ``token``: a person's; empty from housekeeping, whose login role is its identity.

Raises
    DatabaseUnavailable; Denied by those with a token. See ``database/errors.py``.
"""

# ruff: noqa: A002 - functions and arguments have the names they have in SQL
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Unpack
from uuid import UUID

from letterlock.database.gate import Gate
from letterlock.pki.ca.arguments import (
    NewAuthority,
    NewIssued,
    NewRequest,
    RequestChange,
)
from letterlock.policy.calls import EffectiveValue


class Authority(NamedTuple):
    """One of our authorities. ``label``: its name in URLs; ``crl_next``: when its next list is due; ``generation``: counts
    those that follow one another under one name."""

    id: UUID
    organisation: UUID
    name: str
    kind: str
    parent: UUID | None
    label: str
    url: str
    der: bytes
    key_id: UUID
    not_after: datetime
    crl_number: int
    crl_next: datetime
    crl_until: datetime | None
    generation: int = 1
    revoked_at: datetime | None = None
    reason: str | None = None


class Issued(NamedTuple):
    """A certificate that one of our authorities gave out."""

    id: UUID
    authority: UUID
    serial: bytes
    certificate: UUID | None
    der: bytes
    address: str
    profile: str
    key_id: UUID | None
    request: UUID | None
    not_before: datetime
    not_after: datetime
    issued_by: str
    issued_at: datetime
    revoked_at: datetime | None
    reason: str | None


class Revoked(NamedTuple):
    """An entry of a list of revocations."""

    serial: bytes
    revoked_at: datetime
    reason: str


class AnswerDue(NamedTuple):
    """A certificate whose OCSP answer is to be made."""

    id: UUID
    authority: UUID
    der: bytes
    revoked_at: datetime | None
    reason: str | None


class StoredProfile(NamedTuple):
    """A profile that was set, as plain values."""

    organisation: UUID
    name: str
    body: Any


class Request(NamedTuple):
    """A request for a certificate; states as in 0009_ca.sql."""

    id: UUID
    organisation: UUID
    handler: str
    authority: str
    profile: str
    address: str
    name: str
    source: str
    state: str
    reason: str
    tries: int
    due_at: datetime
    key_id: UUID | None
    csr: bytes | None
    issued: UUID | None
    requested_by: str
    requested_at: datetime


class Renewal(NamedTuple):
    """A certificate near its end. ``authority``: the name of the one that gave it out."""

    id: UUID
    authority: str
    profile: str
    address: str
    der: bytes
    not_after: datetime
    warned: bool


class Ending(NamedTuple):
    """A certificate that ends soon; see ca.ending. ``handler`` empty: a person brought it; ``open``: request under way."""

    id: UUID
    address: str
    not_after: datetime
    handler: str
    profile: str
    authority: str
    name: str
    organisation: UUID | None
    open: UUID | None
    open_state: str | None
    failed_at: datetime | None
    warned: list[int]


class Warned(NamedTuple):
    """A warning to be mailed. ``mail``: its id in the queue; ``contact``: in whose name."""

    mail: UUID
    recipient: str
    address: str
    contact: str
    subject: str
    issuer: str
    fingerprint: bytes
    not_after: datetime
    handler: str
    open: UUID | None
    open_state: str | None


async def add_authority(gate: Gate, **arguments: Unpack[NewAuthority]) -> str:
    """An authority exists: 'done', 'taken' or 'wrong-key'. Raises Denied."""
    return str((await gate.call("ca.add_authority", **arguments))[0][0])


async def authorities(gate: Gate, *, token: bytes) -> Sequence[Authority]:
    """Our authorities, roots first. Raises Denied."""
    return [Authority._make(row) for row in await gate.call("ca.authorities", token=token)]


async def order_signature(
    gate: Gate, *, token: bytes, id: UUID, kind: str, key_id: UUID, request: UUID | None, tbs: bytes
) -> str:
    """What the keyholder is to sign: 'done', 'not-found' or, of housekeeping, 'denied'. Raises Denied."""
    rows = await gate.call("ca.order_signature", token=token, id=id, kind=kind, key_id=key_id, request=request, tbs=tbs)
    return str(rows[0][0])


async def add_issued(gate: Gate, **arguments: Unpack[NewIssued]) -> str:
    """Keep what was given out: 'done', 'already' or 'not-found'. Raises Denied."""
    return str((await gate.call("ca.add_issued", **arguments))[0][0])


async def issued(gate: Gate, *, token: bytes, address: str | None, id: UUID | None, max: int) -> Sequence[Issued]:
    """What was given out, the newest first. Raises Denied."""
    return [Issued._make(row) for row in await gate.call("ca.issued", token=token, address=address, id=id, max=max)]


async def revoke(gate: Gate, *, token: bytes, id: UUID, reason: str) -> str:
    """Valid no more: 'done', 'already' or 'not-found'. Raises Denied."""
    return str((await gate.call("ca.revoke", token=token, id=id, reason=reason))[0][0])


async def revoke_authority(gate: Gate, *, token: bytes, id: UUID, serial: bytes, reason: str) -> str:
    """An authority may issue no more: 'done', 'already' or 'not-found'. Raises Denied."""
    return str((await gate.call("ca.revoke_authority", token=token, id=id, serial=serial, reason=reason))[0][0])


async def confirm(gate: Gate, *, token: bytes, id: UUID) -> str:
    """The owner has the key now: 'done', 'already' or 'not-found'. Raises Denied."""
    return str((await gate.call("ca.confirm", token=token, id=id))[0][0])


async def revoked(gate: Gate, *, token: bytes, authority: UUID) -> Sequence[Revoked]:
    """What an authority's next list says. Raises Denied."""
    return [Revoked._make(row) for row in await gate.call("ca.revoked", token=token, authority=authority)]


async def put_list(
    gate: Gate,
    *,
    token: bytes,
    authority: UUID,
    number: int,
    crl: bytes,
    issuer: bytes,
    since: datetime,
    next: datetime,
    until: datetime,
) -> str:
    """Publish a list of revocations: 'done' or 'stale'. Raises Denied."""
    arguments = {"number": number, "crl": crl, "issuer": issuer, "since": since, "next": next, "until": until}
    return str((await gate.call("ca.put_list", token=token, authority=authority, **arguments))[0][0])


async def answers_due(gate: Gate, *, token: bytes, max: int) -> Sequence[AnswerDue]:
    """Certificates whose OCSP answer is to be made. Raises Denied."""
    return [AnswerDue._make(row) for row in await gate.call("ca.answers_due", token=token, max=max)]


async def put_answer(
    gate: Gate, *, token: bytes, id: UUID, revoked: bool, answer_sha1: bytes, answer_sha256: bytes, next: datetime
) -> str:
    """Publish an OCSP answer: 'done' or 'stale'. Raises Denied."""
    rows = await gate.call(
        "ca.put_answer",
        token=token,
        id=id,
        revoked=revoked,
        answer_sha1=answer_sha1,
        answer_sha256=answer_sha256,
        next=next,
    )
    return str(rows[0][0])


async def published_list(gate: Gate, *, label: str) -> tuple[bytes, datetime] | None:
    """The list of revocations under a label, and until when it holds."""
    rows = await gate.call("ca.published_list", label=label)
    return (rows[0][0], rows[0][1]) if rows else None


async def published_certificate(gate: Gate, *, label: str) -> bytes | None:
    """The certificate of the authority under a label."""
    rows = await gate.call("ca.published_certificate", label=label)
    return rows[0][0] if rows else None


async def published_answer(gate: Gate, *, key_hash: bytes, number: bytes) -> bytes | None:
    """The OCSP answer about a certificate."""
    rows = await gate.call("ca.published_answer", key_hash=key_hash, number=number)
    return rows[0][0] if rows else None


async def set_profile(gate: Gate, *, token: bytes, organisation: UUID, name: str, body: Any) -> str:
    """Keep a profile: 'done'. Raises Denied."""
    return str((await gate.call("ca.set_profile", token=token, organisation=organisation, name=name, body=body))[0][0])


async def profiles(gate: Gate, *, token: bytes) -> Sequence[StoredProfile]:
    """The profiles that were set. Raises Denied."""
    return [StoredProfile._make(row) for row in await gate.call("ca.profiles", token=token)]


async def add_request(gate: Gate, **arguments: Unpack[NewRequest]) -> tuple[str, UUID | None]:
    """Somebody is to get a certificate: 'done' or 'already', and the request's id. Raises Denied."""
    row = (await gate.call("ca.add_request", **arguments))[0]
    return str(row[0]), row[1]


async def requests(
    gate: Gate, *, token: bytes, id: UUID | None = None, due: bool = False, all: bool = False, max: int = 1000
) -> Sequence[Request]:
    """Requests: one; those due; the open and failed ones; all. Raises Denied."""
    rows = await gate.call("ca.requests", token=token, id=id, due=due, all=all, max=max)
    return [Request._make(row) for row in rows]


async def decide_request(gate: Gate, *, token: bytes, id: UUID, verdict: str) -> str:
    """'approve', 'retry' or 'reject' a request: 'done', 'no' or 'not-found'. Raises Denied."""
    return str((await gate.call("ca.decide_request", token=token, id=id, verdict=verdict))[0][0])


async def put_request(gate: Gate, **arguments: Unpack[RequestChange]) -> str:
    """What became of a request: 'done' or 'not-found'. Raises Denied."""
    return str((await gate.call("ca.put_request", **arguments))[0][0])


async def want(gate: Gate, *, address: str) -> None:
    """An address shall get a certificate."""
    await gate.call("ca.want", address=address)


async def take_wanted(gate: Gate, *, max: int) -> Sequence[tuple[str, str, Any, str, str]]:
    """Addresses that shall get a certificate, with each setting that is set for them, as policy.settings_for has it."""
    return [(row[0], row[1], row[2], row[3], row[4]) for row in await gate.call("ca.take_wanted", max=max)]


async def renewals_due(gate: Gate, *, within: timedelta, max: int) -> Sequence[Renewal]:
    """Certificates near their end that nothing newer replaces."""
    return [Renewal._make(row) for row in await gate.call("ca.renewals_due", within=within, max=max)]


async def warned(gate: Gate, *, id: UUID) -> None:
    """An administrator was told that a certificate ends soon."""
    await gate.call("ca.warned", id=id)


async def settings_for(gate: Gate, *, token: bytes, addresses: Sequence[str]) -> Sequence[EffectiveValue]:
    """What is set for addresses. Raises Denied."""
    return [EffectiveValue._make(row) for row in await gate.call("ca.settings_for", token=token, addresses=addresses)]


async def ending(gate: Gate, *, at: datetime, within: timedelta, max: int) -> Sequence[Ending]:
    """Certificates with a key here that end soon and that nothing newer replaces."""
    return [Ending._make(row) for row in await gate.call("ca.ending", at=at, within=within, max=max)]


async def warn(
    gate: Gate,
    *,
    certificate: UUID,
    days: int,
    address: str,
    contact: str,
    recipients: Sequence[str],
    mails: Sequence[UUID],
) -> None:
    """Readers are to be told that a certificate ends."""
    given = {"address": address, "contact": contact, "recipients": recipients, "mails": mails}
    await gate.call("ca.warn", certificate=certificate, days=days, **given)


async def take_warnings(gate: Gate, *, max: int, lease_for: timedelta) -> Sequence[Warned]:
    """Lease warnings that are to be mailed."""
    return [Warned._make(row) for row in await gate.call("ca.take_warnings", max=max, lease_for=lease_for)]


async def mailed(gate: Gate, *, mails: Sequence[UUID]) -> None:
    """These warnings are in the queue."""
    await gate.call("ca.mailed", mails=mails)
