"""A certificate authority over a real database and a real keyholder: at a person's desk, and at housekeeping's.

Order
    ``async with office(database, state) as desks``; ``desks.person`` has a token, ``desks.housekeeping`` has none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from letterlock.pki.ca import calls, issue
from letterlock.pki.ca.issue import Founding, Office
from letterlock.policy import calls as policy
from tests.fakes.keyholder_scene import Scene, scene
from tests.fakes.postgres import Database

URL = "http://pki.test"


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


@dataclass
class Desks:
    """Who may work at the authority, and the scene around them."""

    person: Office
    housekeeping: Office
    organisation: UUID
    scene: Scene

    async def found(self, name: str = "Test", key: str = "ec-p256") -> calls.Authority:
        """A new authority; the one that issues. On an elliptic curve, since that is quick."""
        return (await issue.found(self.person, Founding(self.organisation, name, URL, key), now()))[1]


@asynccontextmanager
async def office(database: Database, state: Path) -> AsyncIterator[Desks]:
    """The desks, over a new keyholder."""
    async with scene(database, state) as made:
        token = await made.world.login()
        person = Office(made.world.admin, made.house.client("admin"), token)
        housekeeping = Office(made.world.housekeeping, made.house.client("housekeeping"))
        organisations = await policy.organisations(made.world.admin, token=token)
        await policy.add_domain(made.world.admin, token=token, name="inside.test", organisation=None, internal=True)
        yield Desks(person, housekeeping, organisations[0].id, made)
