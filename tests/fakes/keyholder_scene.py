"""A whole keyholder over a real database, with mail that is sealed as the SMTP server does and leased as flow does.

Order
    ``async with scene(database, state) as s``; ``s.house`` is the keyholder and its clients, ``s.world`` the other roles.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from letterlock.database.roles import allow_connecting
from letterlock.keyholder.ledger import Ledger
from letterlock.mail.envelope import Envelope, Origin, Recipient
from letterlock.queue import calls as queue
from letterlock.queue.columns import columns
from letterlock.vault.content import ContentWriter, SealedContent
from letterlock.vault.keys import new_id
from letterlock.vault.sealing import SealingSession
from letterlock.vault.segments import FileSegmentStore
from tests.database.world import World
from tests.fakes.keyholder import House, running
from tests.fakes.postgres import Database
from tests.fakes.records import SetClock

SENDER, RECIPIENT = "alice@ours.test", "bob@theirs.test"
ROLES = ("ll_receive", "ll_flow", "ll_deliver", "ll_admin", "ll_login", "ll_keyholder", "ll_fetch", "ll_housekeeping")


class Travelling(Ledger):
    """A ledger whose database keeps the test's time, so that both clocks can go together."""

    def __init__(self, gate: object, clock: SetClock) -> None:
        super().__init__(gate)  # type: ignore[arg-type]  # it is a Gate
        self._clock = clock

    async def clock(self) -> float:
        """The test's time."""
        return self._clock.now


@dataclass
class Scene:
    """A keyholder over a database, the gates of the other roles, and where segments lie."""

    house: House
    world: World
    clock: SetClock
    store: FileSegmentStore

    async def session(self) -> SealingSession:
        return await self.house.client("smtpd").session()

    async def seal(
        self, session: SealingSession, size: int = 1000, origin: Origin = "submission"
    ) -> tuple[SealedContent, bytes]:
        """A message of noise, sealed as the SMTP server does."""
        octets = os.urandom(size)
        writer = ContentWriter(session, self.store, new_id())
        writer.write(octets)
        envelope = Envelope(SENDER, (Recipient(RECIPIENT),), origin)
        return await writer.finish(envelope.encode()), octets

    async def accept(self, *contents: SealedContent) -> None:
        """queue.accept, as the SMTP server does."""
        await queue.accept(
            self.world.receive,
            **columns(contents),
            senders=[SENDER] * len(contents),
            recipient_of=[*range(1, len(contents) + 1)],
            recipients=[RECIPIENT] * len(contents),
            organisations=[None] * len(contents),
        )

    async def empty(self) -> None:
        """Everything queued leaves, as if delivered."""
        self.world.do("DELETE FROM queue.due")
        self.world.do("DELETE FROM queue.recipient")
        self.world.do("DELETE FROM queue.message")


@asynccontextmanager
async def scene(database: Database, state: Path, clock: SetClock | None = None) -> AsyncIterator[Scene]:
    """A keyholder over ``database`` and the ring in ``state``; with ``clock``, the database's time is the test's too."""
    async with database.gates(*ROLES) as gates:
        gate = gates["ll_keyholder"]
        ledger = Ledger(gate) if clock is None else Travelling(gate, clock)
        clock = clock or SetClock(time.time())
        async with running(state, ledger, clock) as house:
            world = World(database, gates, UUID(int=0), None)  # type: ignore[arg-type]  # its own epoch is not used
            yield Scene(house, world, clock, FileSegmentStore(state / "segments"))


def copy_of(database: Database) -> Database:
    """The database as it is now, under another name. Nobody may be connected."""
    made = Database(database.server, f"{database.name}_copy")
    with database.server.superuser("postgres") as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {made.name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {made.name} TEMPLATE {database.name} STRATEGY file_copy")
    with made.superuser() as connection:
        allow_connecting(connection)
    return made
