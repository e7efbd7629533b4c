"""Enrolments with their real parts in one process: database, keyholder, fetch station, TLS; an ACME server that is strict.

Order
    ``with_house(database, folder, story)``: the story gets a House at Work. ``ask`` makes a request, ``turn`` lets
    housekeeping and the fetch station go on until nothing is left to do, ``bring`` gives a mail to the flow.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from letterlock.decision.known import Opened as KnownOpened
from letterlock.fetch.acme import Exchanges
from letterlock.fetch.reach import Reach
from letterlock.flow import challenge as flow_challenge
from letterlock.flow.work import Opened
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.mail.message import Message
from letterlock.pki.acme import calls as acme
from letterlock.pki.acme import drive
from letterlock.pki.ca import calls, pending, profile
from letterlock.pki.ca.issue import Subject
from letterlock.policy import calls as policy
from letterlock.queue.advance import Advanced
from letterlock.vault.keys import new_id
from tests.fakes.acme_house import AcmeHouse
from tests.fakes.office import Desks, now, office
from tests.fakes.postgres import Database
from tests.fakes.tls import Certificates

ALICE = "alice@inside.test"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@dataclass
class AtWork:
    """``replies``: what the flow sent in answer to challenge mails."""

    desks: Desks
    house: AcmeHouse
    exchanges: Exchanges
    replies: list[bytes] = field(default_factory=list)

    async def set(self, name: str, value: object) -> None:
        """A setting of the gateway."""
        gate, token = self.desks.person.gate, self.desks.person.token
        await policy.set(gate, token=token, level="gateway", scope="", name=name, value=value)

    async def ask(self, address: str = ALICE) -> calls.Request:
        """A request that housekeeping has begun to carry out, as far as it goes."""
        wish = pending.Wish("acme", "", "smime", self.desks.organisation)
        _, request_id = await pending.ask(self.desks.person, Subject(address), wish)
        assert request_id is not None
        await pending.carry_out(self.desks.housekeeping, await self.request(request_id), now())
        return await self.request(request_id)

    async def request(self, request_id: UUID) -> calls.Request:
        gate, token = self.desks.person.gate, self.desks.person.token
        return (await calls.requests(gate, token=token, id=request_id))[0]

    async def turn(self, at: datetime | None = None, most: int = 40) -> None:
        """Go on until there is nothing to do at that time."""
        for _ in range(most):
            went = await drive.work(self.desks.housekeeping, at or now())
            if not went and not await self.talk():
                return

    async def pass_time(self, minutes: int = 5) -> None:
        """So many minutes go by."""
        begin = now()
        for minute in range(minutes):
            await self.turn(begin + timedelta(minutes=minute))

    async def talk(self) -> int:
        """Say what waits to be said; how much it was."""
        gate = self.desks.scene.world.fetch
        taken = await acme.take_exchanges(gate, max=4, lease_for=drive.LONGEST_WAIT)
        for each in taken:
            await self.exchanges.answer(each)
        return len(taken)

    async def bring(
        self,
        octets: bytes,
        *,
        attempts: int = 1,
        to: Sequence[str] = (ALICE,),
        known: KnownOpened = KnownOpened(),
        **opened: Any,
    ) -> Any:
        """What the flow does with a mail; None: its ordinary way."""
        recipients = tuple(Recipient(each) for each in to)
        row = SimpleNamespace(id=new_id(), attempts=attempts, revision=1)
        work: Any = SimpleNamespace(
            row=row,
            key=SimpleNamespace(seal_part=lambda _part, trace: trace),
            envelope=Envelope("bounces@acme.test", recipients, origin="internet"),
            recipients=recipients,
            message=Message(octets),
        )
        crafts: Any = SimpleNamespace(gate=self.desks.scene.world.flow)
        return await flow_challenge.take(crafts, work, Opened(work.message, known, **opened))

    async def answer(self) -> Advanced:
        """The server's last challenge mail comes, and its reply goes to the server."""
        end: Advanced = await self.bring(self.house.mails[-1])
        self.house.take(self.replies[-1])
        self.hurry()
        return end

    def hurry(self) -> None:
        """The head start of replies is over."""
        self.desks.scene.world.do("UPDATE acme.enrolment SET answered_at = answered_at - interval '1 hour'")


def with_house(
    database: Database, folder: Path, patch: pytest.MonkeyPatch, story: Callable[[AtWork], Awaitable[None]]
) -> None:
    """Tell a story of a house at work, its directory set and reachable."""

    async def tell() -> None:
        certificates = Certificates(folder, "localhost")
        house = AcmeHouse(certificates.server_context())
        async with office(database, folder / "state") as desks:
            exchanges = Exchanges(desks.scene.world.fetch)
            exchanges.reach, exchanges.directory = (
                Reach(LOOPBACK, _loopback, certificates.client_context()),
                house.directory,
            )
            work = AtWork(desks, house, exchanges)

            async def seal(_crafts: object, _envelope: bytes, parts: Sequence[bytes]) -> object:
                work.replies.append(b"".join(parts))
                return object()

            patch.setattr(flow_challenge, "seal", seal)
            body = profile.plain(profile.made({"key": "ec-p256"}))
            gate, token = desks.person.gate, desks.person.token
            await calls.set_profile(gate, token=token, organisation=desks.organisation, name="smime", body=body)
            await work.set("acme_directory", house.directory)
            try:
                await story(work)
            finally:
                house.close()

    asyncio.run(tell())


async def _loopback(_host: str) -> Sequence[str]:
    return ["127.0.0.1"]
