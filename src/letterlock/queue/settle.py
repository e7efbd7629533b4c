"""What became of leased deliveries goes in, the next ones come out: one round trip, one transaction.

Guarantees
    A delivery leaves the queue only by the commit of queue.settle, under the lease it was tried with; a report of failure or
    delay enters in the same transaction.

See also
    ``database/sql/functions/queue/turn.sql``; ``delivery/agent.py``, which makes Settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from letterlock.database.connect import Gate
from letterlock.queue import calls
from letterlock.queue.advance import Notice
from letterlock.queue.columns import columns


@dataclass(slots=True)
class Settled:
    """The result of one attempt. ``done``: no recipient is left; else ``due_at`` is the next attempt.

    ``rest_until``: nothing is sent to ``domain`` before. ``delayed``: a delay report is among ``notices``.
    """

    id: UUID
    lease: UUID
    done: bool
    domain: str
    reply: str = ""
    due_at: datetime | None = None
    outcomes: list[tuple[str, Literal["delivered", "failed"]]] = field(default_factory=list)
    rest_until: datetime | None = None
    delayed: bool = False
    notices: list[Notice] = field(default_factory=list)


def _arguments(batch: Sequence[Settled]) -> dict[str, Any]:
    outcomes = [(n, address, state) for n, one in enumerate(batch, 1) for address, state in one.outcomes]
    rests = {one.domain: one.rest_until for one in batch if one.rest_until is not None}
    notices = [(n, made) for n, one in enumerate(batch, 1) for made in one.notices]
    noticed = columns([made.content for _, made in notices])
    now = datetime.now(UTC)
    return {
        "lease": [one.lease for one in batch],
        "ids": [one.id for one in batch],
        "done": [one.done for one in batch],
        "due_at": [one.due_at or now for one in batch],
        "replies": [one.reply for one in batch],
        "delayed": [one.delayed for one in batch],
        "outcome_of": [n for n, _, _ in outcomes],
        "outcome_addresses": [address for _, address, _ in outcomes],
        "outcome_states": [state for _, _, state in outcomes],
        "backoff_domains": list(rests),
        "backoff_until": list(rests.values()),
        "notice_of": [n for n, _ in notices],
        **{f"notice_{name}": values for name, values in noticed.items()},
        "notice_recipients": [made.recipient for _, made in notices],
    }


async def settle(gate: Gate, batch: Sequence[Settled]) -> set[UUID]:
    """Commit ``batch``; the ids that were still ours. Raises DatabaseUnavailable; nothing then has changed."""
    return set(await calls.settle(gate, **_arguments(batch)))


async def turn(
    gate: Gate, batch: Sequence[Settled], *, most: int, octets: int, lease_for: timedelta, worker: UUID
) -> tuple[set[UUID], list[calls.ClaimedDelivery]]:
    """settle(), then lease at most ``most`` deliveries of together at most ``octets``. Raises DatabaseUnavailable."""
    settled, rows = await calls.turn(
        gate, **_arguments(batch), max=most, octets=octets, lease_for=lease_for, worker=worker
    )
    return set(settled), rows
