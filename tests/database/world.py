"""A small world to test in: an epoch, sealing sessions, a person with a token, and messages made of noise.

To the database content is octets that it cannot read, so here it is noise; what is sealed for real is tested with the vault.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from letterlock.accounts import calls as accounts
from letterlock.database.connect import Gate
from letterlock.database.roles import LOGIN_ROLES
from letterlock.keyholder import calls as keyholder
from letterlock.queue import calls as queue
from tests.fakes.postgres import Database

SEALING_ROLES = ("ll_receive", "ll_flow", "ll_deliver")
LEASE_FOR = timedelta(minutes=1)
MANY_OCTETS = 8 << 20


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


@dataclass
class World:
    """``gates`` by role; ``sessions``: the sealing session of each role that seals; ``day``: of their epoch."""

    database: Database
    gates: dict[str, Gate]
    epoch: UUID
    day: date
    sessions: dict[str, UUID] = field(default_factory=dict)
    worker: UUID = field(default_factory=uuid4)

    @property
    def receive(self) -> Gate:
        """Of the SMTP server."""
        return self.gates["ll_receive"]

    @property
    def flow(self) -> Gate:
        """Of the flow."""
        return self.gates["ll_flow"]

    @property
    def deliver(self) -> Gate:
        """Of the delivery."""
        return self.gates["ll_deliver"]

    @property
    def admin(self) -> Gate:
        """Of the administration."""
        return self.gates["ll_admin"]

    @property
    def keyholder(self) -> Gate:
        """Of the keyholder."""
        return self.gates["ll_keyholder"]

    @property
    def fetch(self) -> Gate:
        """Of the fetch station."""
        return self.gates["ll_fetch"]

    @property
    def housekeeping(self) -> Gate:
        """Of the housekeeping."""
        return self.gates["ll_housekeeping"]

    async def open_session(self, role: str, not_after: datetime | None = None) -> UUID:
        """A new sealing session of ``role``, from now on its own here."""
        self.sessions[role] = uuid4()
        answer = await keyholder.open_session(
            self.keyholder,
            id=self.sessions[role],
            epoch=self.epoch,
            class_="queue",
            role=role,
            not_after=not_after or now() + timedelta(minutes=10),
            wrapped_key=os.urandom(60),
        )
        assert answer == "done"
        return self.sessions[role]

    async def login(self, principal: str = "local:root", idle: timedelta = timedelta(minutes=15)) -> bytes:
        """A token of a person."""
        token = os.urandom(32)
        session = await accounts.assert_login(
            self.gates["ll_login"],
            principal=principal,
            role="ll_admin",
            token_hash=hashlib.sha256(token).digest(),
            idle=idle,
            absolute=timedelta(hours=8),
        )
        assert session is not None
        return token

    def content(self, role: str, ids: Sequence[UUID], prefix: str = "", size: int = 1000) -> dict[str, Any]:
        """The content columns of ``ids``, sealed in the session of ``role``."""
        n = len(ids)
        columns = {
            "ids": list(ids),
            "sessions": [self.sessions[role]] * n,
            "days": [self.day] * n,
            "wrapped_keys": [os.urandom(60) for _ in ids],
            "commitments": [os.urandom(32) for _ in ids],
            "envelopes": [os.urandom(120) for _ in ids],
            "manifests": [os.urandom(80) for _ in ids],
            "sizes": [size] * n,
            "segments": [0] * n,
            "bodies": [os.urandom(size + 28) for _ in ids],
        }
        return {prefix + name: values for name, values in columns.items()}

    async def accept(
        self, *recipients: Sequence[str], ids: Sequence[UUID] | None = None, size: int = 1000
    ) -> list[UUID]:
        """Accept a message for each list of recipients; their ids."""
        made = list(ids or [uuid4() for _ in recipients])
        await queue.accept(
            self.receive,
            **self.content("ll_receive", made, size=size),
            senders=["sender@corp.test"] * len(made),
            recipient_of=[n for n, who in enumerate(recipients, 1) for _ in who],
            recipients=[address for who in recipients for address in who],
            organisations=[None for who in recipients for _ in who],
        )
        return made

    async def claim(self, most: int = 20, octets: int = MANY_OCTETS) -> Sequence[queue.ClaimedMessage]:
        """Lease messages, as flow."""
        return await queue.claim_messages(self.flow, max=most, octets=octets, lease_for=LEASE_FOR, worker=self.worker)

    def transition(self, rows: Sequence[queue.ClaimedMessage], state: str = "gone", **more: Any) -> dict[str, Any]:
        """Arguments of advance for ``rows``: each gone with one delivery to all its recipients, unless said otherwise."""
        delivered = list(rows) if state == "gone" and "delivery_of" not in more else []
        ids = [uuid4() for _ in delivered]
        at = [place for place, row in enumerate(rows, 1) if row in delivered]
        who = [(n, address) for n, row in enumerate(delivered, 1) for address in row.recipients]
        arguments: dict[str, Any] = {
            "lease": rows[0].lease if rows else uuid4(),
            "ids": [row.id for row in rows],
            "states": [state] * len(rows),
            "due_at": [now()] * len(rows),
            "reasons": [""] * len(rows),
            "traces": [b"trace"] * len(rows),
            "outcome_of": [],
            "outcome_addresses": [],
            "outcome_states": [],
            "delivery_of": at,
            **self.content("ll_flow", ids, "delivery_"),
            "delivery_methods": ["smime"] * len(ids),
            "delivery_directions": ["outgoing"] * len(ids),
            "delivery_domains": ["example.test"] * len(ids),
            "delivery_next_hops": ["hop.test"] * len(ids),
            "delivery_tls_min": [1] * len(ids),
            "delivery_expires_at": [now() + timedelta(days=5)] * len(ids),
            "recipient_of": [n for n, _ in who],
            "recipients": [address for _, address in who],
            "recipient_organisations": [None for _ in who],
            "notice_of": [],
            **self.content("ll_flow", [], "notice_"),
            "notice_recipients": [],
        }
        return arguments | more

    async def advance(self, rows: Sequence[queue.ClaimedMessage], state: str = "gone", **more: Any) -> list[UUID]:
        """Carry it out; the ids really advanced."""
        return await queue.advance(self.flow, **self.transition(rows, state, **more))

    async def claim_deliveries(self, most: int = 20, octets: int = MANY_OCTETS) -> Sequence[queue.ClaimedDelivery]:
        """Lease deliveries, as delivery."""
        return await queue.claim_deliveries(
            self.deliver, max=most, octets=octets, lease_for=LEASE_FOR, worker=self.worker
        )

    def result(self, rows: Sequence[queue.ClaimedDelivery], **more: Any) -> dict[str, Any]:
        """Arguments of settle for ``rows``: all delivered, unless said otherwise."""
        who = [(n, address) for n, row in enumerate(rows, 1) for address in row.recipients]
        arguments: dict[str, Any] = {
            "lease": [row.lease for row in rows],
            "ids": [row.id for row in rows],
            "done": [True] * len(rows),
            "due_at": [None] * len(rows),
            "replies": ["250 2.0.0 ok"] * len(rows),
            "delayed": [False] * len(rows),
            "outcome_of": [n for n, _ in who],
            "outcome_addresses": [address for _, address in who],
            "outcome_states": ["delivered"] * len(who),
            "backoff_domains": [],
            "backoff_until": [],
            "notice_of": [],
            **self.content("ll_deliver", [], "notice_"),
            "notice_recipients": [],
        }
        return arguments | more

    async def settle(self, rows: Sequence[queue.ClaimedDelivery], **more: Any) -> list[UUID]:
        """Settle them; the ids settled as asked."""
        return await queue.settle(self.deliver, **self.result(rows, **more))

    async def turn(self, rows: Sequence[queue.ClaimedDelivery] = (), most: int = 20, **more: Any) -> queue.Turn:
        """Settle them and claim."""
        claim: dict[str, Any] = {"max": most, "octets": MANY_OCTETS, "lease_for": LEASE_FOR, "worker": self.worker}
        return await queue.turn(self.deliver, **self.result(rows, **more), **claim)

    async def held(self, *recipients: str) -> UUID:
        """A message held by flow."""
        (id_,) = await self.accept(recipients)
        (row,) = await self.claim()
        places = [1] * len(recipients)
        await self.advance(
            [row],
            "held",
            due_at=[now() + timedelta(days=5)],
            reasons=["no-method"],
            outcome_of=places,
            outcome_addresses=list(recipients),
            outcome_states=["held"] * len(recipients),
        )
        return id_

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a superuser reads."""
        with self.database.superuser() as connection:
            return connection.execute(query, values).fetchall()

    def do(self, statement: str, *values: Any) -> None:
        """What a superuser does: time travel, damage."""
        with self.database.superuser() as connection:
            connection.execute(statement, values)

    def audited(self, action: str) -> list[tuple[str, str | None, UUID | None, bool]]:
        """Role, principal, object and answer of each audit row of ``action``."""
        found = self.ask(
            "SELECT db_role, principal, object, ok FROM audit.entry WHERE action = %s ORDER BY xid, at, id", action
        )
        return [(row[0], row[1], row[2], row[3]) for row in found]


@asynccontextmanager
async def world(database: Database) -> AsyncIterator[World]:
    """A World on a fresh database."""
    async with database.gates(*LOGIN_ROLES) as gates:
        made = World(database, gates, uuid4(), now().date() + timedelta(days=7))
        await keyholder.register_epoch(gates["ll_keyholder"], id=made.epoch, class_="queue", day=made.day)
        for role in SEALING_ROLES:
            await made.open_session(role)
        yield made
