"""The acme.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/acme``.
    ``token``: a person's; empty from housekeeping, whose login role is its identity.

Raises
    DatabaseUnavailable; Denied by those with a token. See ``database/errors.py``.
"""

# ruff: noqa: A002 - functions and arguments have the names they have in SQL
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict, Unpack
from uuid import UUID

from letterlock.database.gate import Gate


class Due(NamedTuple):
    """An enrolment that can go on; see acme.due. ``code`` and ``fault`` both None: nothing was asked."""

    request: UUID
    organisation: UUID
    address: str
    csr: bytes | None
    key_id: UUID
    spki: bytes
    account: UUID
    account_spki: bytes
    directory: str
    state: str
    body: Any
    step: int
    ends_at: datetime
    answered_at: datetime | None
    reason: str
    code: int | None
    fields: Any
    answer: bytes | None
    fault: str | None


class Put(TypedDict):
    """Arguments of put. ``method`` empty: nothing is to be sent."""

    request: UUID
    step: int
    state: str
    body: Any
    due_at: datetime
    reason: str
    challenger: str
    token_part: str
    method: str
    url: str
    kind: str
    asked: bytes


class Finish(TypedDict):
    """Arguments of finish; the lists begin with the certificate, those above it follow."""

    request: UUID
    step: int
    spki: bytes
    addresses: Sequence[str]
    ids: Sequence[UUID]
    ders: Sequence[bytes]
    subjects: Sequence[str]
    issuers: Sequence[str]
    serials: Sequence[bytes]
    skis: Sequence[bytes | None]
    not_before: Sequence[datetime]
    not_after: Sequence[datetime]
    reason: str


class Exchange(NamedTuple):
    """What is to be said to an ACME server. ``revision``: of the settings at that moment."""

    request: UUID
    lease: UUID
    method: str
    url: str
    kind: str
    asked: bytes
    revision: int


class Awaited(NamedTuple):
    """An enrolment that waits for a challenge mail. ``token``: the part the server named; empty: not yet."""

    request: UUID
    token: str
    account_spki: bytes


async def account(gate: Gate, *, token: bytes, organisation: UUID, directory: str) -> UUID | None:
    """The key of an organisation's account at a directory; None: it has none. Raises Denied."""
    rows = await gate.call("acme.account", token=token, organisation=organisation, directory=directory)
    return rows[0][0] if rows else None


async def add_account(gate: Gate, *, token: bytes, organisation: UUID, directory: str, key_id: UUID) -> str:
    """An organisation has an account: 'done', 'already' or 'wrong-key'. Raises Denied."""
    rows = await gate.call(
        "acme.add_account", token=token, organisation=organisation, directory=directory, key_id=key_id
    )
    return str(rows[0][0])


async def begin(
    gate: Gate, *, token: bytes, request: UUID, account: UUID, directory: str, body: Any, ends_at: datetime
) -> str:
    """A request is carried out by ACME: 'done', 'not-found' or 'foreign'. Raises Denied."""
    rows = await gate.call(
        "acme.begin", token=token, request=request, account=account, directory=directory, body=body, ends_at=ends_at
    )
    return str(rows[0][0])


async def due(gate: Gate, *, at: datetime, max: int) -> Sequence[Due]:
    """Enrolments that can go on."""
    return [Due._make(row) for row in await gate.call("acme.due", at=at, max=max)]


async def put(gate: Gate, **arguments: Unpack[Put]) -> str:
    """An enrolment has come so far: 'done' or 'stale'."""
    return str((await gate.call("acme.put", **arguments))[0][0])


async def order_jws(gate: Gate, *, id: UUID, request: UUID, tbs: bytes) -> str:
    """What an account's key is to sign: 'done' or 'not-found'."""
    return str((await gate.call("acme.order_jws", id=id, request=request, tbs=tbs))[0][0])


async def finish(gate: Gate, **arguments: Unpack[Finish]) -> str:
    """The certificate has come: 'done', 'stale' or 'wrong-key'."""
    return str((await gate.call("acme.finish", **arguments))[0][0])


async def take_exchanges(gate: Gate, *, max: int, lease_for: timedelta) -> Sequence[Exchange]:
    """Lease what is to be said."""
    return [Exchange._make(row) for row in await gate.call("acme.take_exchanges", max=max, lease_for=lease_for)]


async def put_answer(
    gate: Gate, *, request: UUID, lease: UUID, code: int | None, fields: Any, answer: bytes | None, fault: str
) -> bool:
    """What the server said, or why it did not; False: the lease was lost."""
    rows = await gate.call(
        "acme.put_answer", request=request, lease=lease, code=code, fields=fields, answer=answer, fault=fault
    )
    return bool(rows[0][0])


async def challenge(gate: Gate, *, address: str, challenger: str) -> Sequence[Awaited]:
    """The enrolments that wait for a challenge mail from ``challenger`` to ``address``."""
    rows = await gate.call("acme.challenge", address=address, challenger=challenger)
    return [Awaited._make(row) for row in rows]


async def answer(gate: Gate, *, request: UUID, digest: bytes) -> str:
    """A challenge mail is replied to: 'done' or 'no'."""
    return str((await gate.call("acme.answer", request=request, digest=digest))[0][0])
