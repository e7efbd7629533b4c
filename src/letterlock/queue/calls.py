"""The queue.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/queue``.
    Arrays of one call that describe the same things have one length. Columns of content are those of ``columns.py``.

Raises
    DatabaseUnavailable and the errors a function's head names, see ``database/errors.py``; Denied by those with a
    token.

See also
    ``accept.py``, ``claim.py``, ``advance.py``, ``settle.py``, which stations use instead of these.
"""

# ruff: noqa: A001, A002 - functions and arguments have the names they have in SQL
from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, TypedDict, Unpack
from uuid import UUID

from letterlock.database.gate import Gate


class ClaimedMessage(NamedTuple):
    """A message under a lease. ``state``: received, or held when its time is over. ``recipients``: those not
    decided."""

    id: UUID
    lease: UUID
    state: str
    attempts: int
    accepted_at: datetime
    released_by: str | None
    size: int
    segments: int
    session: UUID
    day: date
    commitment: bytes
    envelope: bytes
    manifest: bytes
    body: bytes
    recipients: list[str]
    mandatory: list[str]
    revision: int


class ClaimedDelivery(NamedTuple):
    """A delivery under a lease. ``recipients``: those still pending. ``attempts``: this one included."""

    id: UUID
    lease: UUID
    attempts: int
    message_id: UUID
    method: str
    direction: str
    domain: str
    next_hop: str
    tls_min: int
    accepted_at: datetime
    expires_at: datetime
    delayed: bool
    size: int
    segments: int
    session: UUID
    day: date
    commitment: bytes
    envelope: bytes
    manifest: bytes
    body: bytes
    recipients: list[str]


class Turn(NamedTuple):
    """What turn did: ids settled as asked (their segment files may go), and what it claimed."""

    settled: list[UUID]
    claimed: list[ClaimedDelivery]


class QueueRow(NamedTuple):
    """A message or a delivery (``kind``) as a person sees it. ``reason``: of a hold, or the last reply of a next
    hop."""

    kind: str
    id: UUID
    message_id: UUID
    state: str
    sender: str | None
    recipients: list[str]
    recipient_states: list[str]
    size: int
    accepted_at: datetime
    due_at: datetime | None
    attempts: int | None
    method: str | None
    direction: str | None
    domain: str | None
    next_hop: str | None
    expires_at: datetime | None
    reason: str | None
    released_by: str | None


class OpenedContent(NamedTuple):
    """The content columns of a held message, and its newest sealed trace."""

    id: UUID
    session: UUID
    day: date
    wrapped_key: bytes
    commitment: bytes
    envelope: bytes
    manifest: bytes
    size: int
    segments: int
    body: bytes
    trace: bytes | None


class SealedTrace(NamedTuple):
    """One decision about a message, sealed under the message's key."""

    message: UUID
    at: datetime
    session: UUID
    day: date
    wrapped_key: bytes
    commitment: bytes
    trace: bytes


class Notify(TypedDict):
    """Arguments of notify: one recipient each."""

    ids: Sequence[UUID]
    sessions: Sequence[UUID]
    days: Sequence[date]
    wrapped_keys: Sequence[bytes]
    commitments: Sequence[bytes]
    envelopes: Sequence[bytes]
    manifests: Sequence[bytes]
    sizes: Sequence[int]
    segments: Sequence[int]
    bodies: Sequence[bytes]
    recipients: Sequence[str]


class Accept(TypedDict):
    """Arguments of accept. ``recipient_of``: for each recipient its message, as a 1-based place in ``ids``."""

    ids: Sequence[UUID]
    sessions: Sequence[UUID]
    days: Sequence[date]
    wrapped_keys: Sequence[bytes]
    commitments: Sequence[bytes]
    envelopes: Sequence[bytes]
    manifests: Sequence[bytes]
    sizes: Sequence[int]
    segments: Sequence[int]
    bodies: Sequence[bytes]
    senders: Sequence[str]
    recipient_of: Sequence[int]
    recipients: Sequence[str]
    organisations: Sequence[UUID | None]


class Notices(TypedDict):
    """Messages of our own making that enter with a transition; ``notice_of``: 1-based place in its ``ids``."""

    notice_of: Sequence[int]
    notice_ids: Sequence[UUID]
    notice_sessions: Sequence[UUID]
    notice_days: Sequence[date]
    notice_wrapped_keys: Sequence[bytes]
    notice_commitments: Sequence[bytes]
    notice_envelopes: Sequence[bytes]
    notice_manifests: Sequence[bytes]
    notice_sizes: Sequence[int]
    notice_segments: Sequence[int]
    notice_bodies: Sequence[bytes]
    notice_recipients: Sequence[str]


class Advance(Notices):
    """Arguments of advance. ``outcome_of``, ``delivery_of``: places in ``ids``; ``recipient_of``: in
    ``delivery_ids``."""

    lease: UUID
    ids: Sequence[UUID]
    states: Sequence[str]
    due_at: Sequence[datetime]
    reasons: Sequence[str]
    traces: Sequence[bytes]
    outcome_of: Sequence[int]
    outcome_addresses: Sequence[str]
    outcome_states: Sequence[str]
    delivery_of: Sequence[int]
    delivery_ids: Sequence[UUID]
    delivery_sessions: Sequence[UUID]
    delivery_days: Sequence[date]
    delivery_wrapped_keys: Sequence[bytes]
    delivery_commitments: Sequence[bytes]
    delivery_envelopes: Sequence[bytes]
    delivery_manifests: Sequence[bytes]
    delivery_sizes: Sequence[int]
    delivery_segments: Sequence[int]
    delivery_bodies: Sequence[bytes]
    delivery_methods: Sequence[str]
    delivery_directions: Sequence[str]
    delivery_domains: Sequence[str]
    delivery_next_hops: Sequence[str]
    delivery_tls_min: Sequence[int]
    delivery_expires_at: Sequence[datetime]
    recipient_of: Sequence[int]
    recipients: Sequence[str]
    recipient_organisations: Sequence[UUID | None]


class Settle(Notices):
    """Arguments of settle. ``due_at``: the next attempt of what is not ``done``; ``outcome_of``: places in ``ids``."""

    lease: Sequence[UUID]
    ids: Sequence[UUID]
    done: Sequence[bool]
    due_at: Sequence[datetime | None]
    replies: Sequence[str | None]
    delayed: Sequence[bool]
    outcome_of: Sequence[int]
    outcome_addresses: Sequence[str]
    outcome_states: Sequence[str]
    backoff_domains: Sequence[str]
    backoff_until: Sequence[datetime]


class Claim(TypedDict):
    """Arguments of a claim: at most ``max`` items and ``octets`` together (one at least)."""

    max: int
    octets: int
    lease_for: timedelta
    worker: UUID


class TurnArguments(Settle, Claim):
    """Arguments of turn."""


async def accept(gate: Gate, **arguments: Unpack[Accept]) -> None:
    """Take responsibility for messages; when it returns we may answer 250. Raises SealingSessionUnknown."""
    await gate.call("queue.accept", **arguments)


async def notify(gate: Gate, **arguments: Unpack[Notify]) -> None:
    """Notices of our own making enter; when it returns they are in the queue. Raises SealingSessionUnknown."""
    await gate.call("queue.notify", **arguments)


async def claim_messages(gate: Gate, **arguments: Unpack[Claim]) -> builtins.list[ClaimedMessage]:
    """Lease messages that are due."""
    return [ClaimedMessage._make(row) for row in await gate.call("queue.claim_messages", **arguments)]


async def advance(gate: Gate, **arguments: Unpack[Advance]) -> builtins.list[UUID]:
    """Messages leave or stay, deliveries and notices enter. Raises SealingSessionUnknown, RecipientUnaccounted."""
    return [row[0] for row in await gate.call("queue.advance", **arguments)]


async def claim_deliveries(gate: Gate, **arguments: Unpack[Claim]) -> builtins.list[ClaimedDelivery]:
    """Lease deliveries that are due."""
    return [ClaimedDelivery._make(row) for row in await gate.call("queue.claim_deliveries", **arguments)]


async def settle(gate: Gate, **arguments: Unpack[Settle]) -> builtins.list[UUID]:
    """What became of leased deliveries; the ids settled as asked. Raises SealingSessionUnknown."""
    return [row[0] for row in await gate.call("queue.settle", **arguments)]


async def turn(gate: Gate, **arguments: Unpack[TurnArguments]) -> Turn:
    """Settle, then claim, in one transaction. Raises SealingSessionUnknown."""
    first, *rest = await gate.call("queue.turn", **arguments)
    return Turn(first[0], [ClaimedDelivery._make(row[1:]) for row in rest])


async def settle_handed(
    gate: Gate, *, ids: Sequence[UUID], addresses: Sequence[str], replies: Sequence[str], traces: Sequence[bytes]
) -> builtins.list[UUID]:
    """The next hop took what flow handed over finished; the ids of messages that left."""
    rows = await gate.call("queue.settle_handed", ids=ids, addresses=addresses, replies=replies, traces=traces)
    return [row[0] for row in rows]


async def free_leases(gate: Gate, *, worker: UUID, kept: Sequence[UUID] = (), died: bool = False) -> int:
    """What this worker holds under other leases than ``kept`` is due now; how many. ``died``: the attempts count."""
    return int((await gate.call("queue.free_leases", worker=worker, kept=kept, died=died))[0][0])


async def list(gate: Gate, *, token: bytes, state: str | None, max: int) -> Sequence[QueueRow]:
    """What is in the queue, the oldest first. Raises Denied."""
    return [QueueRow._make(row) for row in await gate.call("queue.list", token=token, state=state, max=max)]


async def show(gate: Gate, *, token: bytes, id: UUID) -> Sequence[QueueRow]:
    """One message with its deliveries, or one delivery; empty: no such id. Raises Denied."""
    return [QueueRow._make(row) for row in await gate.call("queue.show", token=token, id=id)]


async def hold(gate: Gate, *, token: bytes, id: UUID, reason: str) -> str:
    """Stop a message: 'done', 'wrong-state' or 'not-found'. Raises Denied."""
    return str((await gate.call("queue.hold", token=token, id=id, reason=reason))[0][0])


async def release(gate: Gate, *, token: bytes, id: UUID, reason: str) -> str:
    """Let a held message go on: 'done', 'wrong-state' or 'not-found'. Raises Denied."""
    return str((await gate.call("queue.release", token=token, id=id, reason=reason))[0][0])


async def retry(gate: Gate, *, token: bytes, id: UUID, reason: str) -> str:
    """Try now: 'done', 'wrong-state' or 'not-found'. Raises Denied."""
    return str((await gate.call("queue.retry", token=token, id=id, reason=reason))[0][0])


async def drop(gate: Gate, *, token: bytes, id: UUID, reason: str) -> str:
    """Remove a message or delivery: 'done' or 'not-found'. Raises Denied."""
    return str((await gate.call("queue.drop", token=token, id=id, reason=reason))[0][0])


async def request_open(gate: Gate, *, token: bytes, id: UUID, purpose: str) -> UUID | None:
    """A grant to open a held message (or, for purpose 'trace', a trace); None: refused, audited. Raises Denied."""
    granted: UUID | None = (await gate.call("queue.request_open", token=token, id=id, purpose=purpose))[0][0]
    return granted


async def read_open(gate: Gate, *, token: bytes, grant: UUID) -> OpenedContent | None:
    """The sealed content for a grant that the keyholder took; None: no such thing now. Raises Denied."""
    rows = await gate.call("queue.read_open", token=token, grant=grant)
    return OpenedContent._make(rows[0]) if rows else None


async def traces(gate: Gate, *, token: bytes, grant: UUID) -> Sequence[SealedTrace]:
    """The sealed traces for a grant that the keyholder took, in order. Raises Denied."""
    return [SealedTrace._make(row) for row in await gate.call("queue.traces", token=token, grant=grant)]


async def tidy(gate: Gate) -> int:
    """Remove back-offs, grants and traces that are over; how many."""
    return int((await gate.call("queue.tidy"))[0][0])
