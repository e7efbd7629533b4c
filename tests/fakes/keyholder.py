"""A whole keyholder in the test's own process, with signers as real children and FakeRecords as its database.

Order
    ``with running(path) as house`` inside a coroutine is ``async with``; ``house.client("flow")`` asks it over its socket.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

from letterlock.config.settings import Settings
from letterlock.config.start import Credentials, Start
from letterlock.keyholder import ring as rings
from letterlock.keyholder.nursery import Nursery
from letterlock.keyholder.records import Records
from letterlock.keyholder.ring import Ring
from letterlock.keyholder.serve import SOCKET_NAME, Keyholder
from letterlock.mail.envelope import Envelope
from letterlock.vault.content import SealedContent, seal_small
from letterlock.vault.keys import new_id
from letterlock.vault.opening import KeyholderClient
from letterlock.vault.sealing import SealingSession
from tests.fakes.records import FakeRecords, SetClock, envelope

TOKENS = {
    role: hashlib.sha256(role.encode()).digest() for role in ("smtpd", "flow", "delivery", "admin", "housekeeping")
}
ORGANISATION = UUID("018f0000-0000-7000-8000-000000000001")


def start_of(
    state: Path, *, ready: object = None, stopping: asyncio.Event | None = None, settings: Settings | None = None
) -> Start:
    """A Start for a station under test; its sockets lie in ``state``."""
    return Start(
        settings=settings or Settings(),
        name="keyholder",
        number=0,
        worker=UUID(int=0),
        state=state,
        run=state,
        database=Credentials("/nowhere", 0, "ll_keyholder", "", "letterlock"),
        key_tokens={role: hashlib.sha256(token).digest() for role, token in TOKENS.items()},
        ready=ready if callable(ready) else lambda: None,
        stopping=stopping or asyncio.Event(),
    )


@dataclass
class House:
    """A keyholder that serves. ``records``: its FakeRecords, if it has such."""

    keyholder: Keyholder
    records: FakeRecords
    clock: SetClock
    state: Path
    clients: list[KeyholderClient]
    serving: asyncio.Task[None]

    def client(self, role: str, token: bytes | None = None) -> KeyholderClient:
        """A process of that role."""
        made = KeyholderClient(self.state / SOCKET_NAME, token or TOKENS[role], clock=self.clock, patience=0.2)
        self.clients.append(made)
        return made

    def lease(
        self,
        session: SealingSession,
        role: str = "ll_flow",
        sealed: Envelope | bytes | None = None,
        lease: UUID | None = None,
    ) -> tuple[UUID, SealedContent]:
        """A message sealed in ``session`` and leased to ``role``: lease and content."""
        lease = lease or new_id()
        octets = sealed if isinstance(sealed, bytes) else (sealed or envelope()).encode()
        content = seal_small(session, new_id(), octets, [b"the content"])
        self.records.leased[role, lease, content.id] = content
        return lease, content


@asynccontextmanager
async def running(
    state: Path, records: Records | None = None, clock: SetClock | None = None, settings: Settings | None = None
) -> AsyncIterator[House]:
    """A keyholder over the ring in ``state``, which is made when there is none."""
    clock = clock or SetClock()
    records = records or FakeRecords(clock)
    fake = records if isinstance(records, FakeRecords) else FakeRecords(clock)
    rings.create(state)
    serving, stopping = asyncio.Event(), asyncio.Event()
    nursery = Nursery.start()
    keyholder = Keyholder(
        start_of(state, ready=serving.set, stopping=stopping, settings=settings),
        Ring.open(state),
        records,
        nursery,
        clock,
    )
    task = asyncio.create_task(keyholder.serve())
    house = House(keyholder, fake, clock, state, [], task)
    try:
        waiting = asyncio.create_task(serving.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not serving.is_set():
            task.result()
        yield house
    finally:
        stopping.set()
        await asyncio.gather(task, return_exceptions=True)
        for client in house.clients:
            client.close()
        nursery.close()


def queue_day(clock: SetClock) -> date:
    """The day of the queue's current epoch."""
    return date.fromtimestamp(clock.now + 7 * 86_400)
