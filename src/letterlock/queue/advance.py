"""One transaction: the message leaves; its deliveries, holds and notices enter.

Guarantees
    Nothing of a message is visible before all of it is: queue.advance is one transaction for the whole batch, and a message
    whose lease was lost is left out of it altogether.

See also
    ``database/sql/functions/queue/advance.sql``; ``flow/carry_out.py``, which fills an Advanced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from letterlock.database.connect import Gate
from letterlock.queue import calls
from letterlock.queue.columns import ContentColumns, columns
from letterlock.queue.message import Direction


@dataclass(slots=True)
class Finished:
    """One delivery: finished octets, sealed, for recipients who share a method and a next hop."""

    content: ContentColumns
    method: str
    direction: Direction
    domain: str
    next_hop: str
    tls_min: int
    expires_at: datetime
    recipients: list[tuple[str, UUID | None]]  # address, organisation


@dataclass(slots=True)
class Notice:
    """A message of our own making, sealed, to one recipient; it goes through the flow like any other."""

    content: ContentColumns
    recipient: str


@dataclass(slots=True)
class Advanced:
    """What becomes of one leased message. ``due_at``: when a held or deferred message is looked at again."""

    id: UUID
    state: Literal["gone", "held", "received"]
    due_at: datetime
    reason: str = ""
    trace: bytes = b""
    outcomes: list[tuple[str, Literal["held", "refused", "failed", "deposited", "answered"]]] = field(
        default_factory=list
    )
    deliveries: list[Finished] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


async def advance(gate: Gate, lease: UUID, batch: Sequence[Advanced]) -> set[UUID]:
    """Commit ``batch``; returns the ids that were still ours. Raises DatabaseUnavailable; nothing then has changed."""
    outcomes = [(n, address, state) for n, one in enumerate(batch, 1) for address, state in one.outcomes]
    deliveries = [(n, made) for n, one in enumerate(batch, 1) for made in one.deliveries]
    recipients = [(n, *who) for n, (_, made) in enumerate(deliveries, 1) for who in made.recipients]
    notices = [(n, made) for n, one in enumerate(batch, 1) for made in one.notices]
    delivered = columns([made.content for _, made in deliveries])
    noticed = columns([made.content for _, made in notices])
    done = await calls.advance(
        gate,
        lease=lease,
        ids=[one.id for one in batch],
        states=[one.state for one in batch],
        due_at=[one.due_at for one in batch],
        reasons=[one.reason for one in batch],
        traces=[one.trace for one in batch],
        outcome_of=[n for n, _, _ in outcomes],
        outcome_addresses=[address for _, address, _ in outcomes],
        outcome_states=[state for _, _, state in outcomes],
        delivery_of=[n for n, _ in deliveries],
        **{f"delivery_{name}": values for name, values in delivered.items()},
        delivery_methods=[made.method for _, made in deliveries],
        delivery_directions=[made.direction for _, made in deliveries],
        delivery_domains=[made.domain for _, made in deliveries],
        delivery_next_hops=[made.next_hop for _, made in deliveries],
        delivery_tls_min=[made.tls_min for _, made in deliveries],
        delivery_expires_at=[made.expires_at for _, made in deliveries],
        recipient_of=[n for n, _, _ in recipients],
        recipients=[address for _, address, _ in recipients],
        recipient_organisations=[organisation for _, _, organisation in recipients],
        notice_of=[n for n, _ in notices],
        **{f"notice_{name}": values for name, values in noticed.items()},
        notice_recipients=[made.recipient for _, made in notices],
    )
    return set(done)
