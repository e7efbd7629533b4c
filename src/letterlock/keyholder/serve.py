"""The keyholder station: starts signers, opens the ring, agrees with the database, and answers on one socket.

Order
    The nursery of the signers is forked before any key is here. Then root key and ring; the database's clock and
    generation; what is over is destroyed, and what the database says was destroyed; today's epoch is made; only then
    the socket ``<run>/key.sock`` is opened. At the end it closes first, then the signers, then the audit file.

Guarantees
    It does not serve with a ring that is older than the database, or with a database whose answer it did not get.

Raises
    RingRefused, RootKeyMissing, PinMissing: lasting. DatabaseUnavailable and others: the supervisor starts it again.

See also
    ``desk.py`` (what is answered), ``destroy.py``, ``seal_audit.py`` (each second).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from letterlock.config.sockets import bind
from letterlock.config.start import Start
from letterlock.database.connect import connect
from letterlock.errors import LetterlockError
from letterlock.keyholder import ring as rings
from letterlock.keyholder.desk import Caller, Desk, Door
from letterlock.keyholder.destroy import LOOK_EVERY, Destroyer
from letterlock.keyholder.epochs import Epochs
from letterlock.keyholder.given import GivenLog
from letterlock.keyholder.leases import Leases
from letterlock.keyholder.ledger import Ledger
from letterlock.keyholder.nursery import Nursery, NurseryGone, harden
from letterlock.keyholder.orders import Orders
from letterlock.keyholder.pools import Pools
from letterlock.keyholder.private_keys import PrivateKeys
from letterlock.keyholder.records import Records
from letterlock.keyholder.ring import Ring
from letterlock.keyholder.seal_audit import SealKeeper
from letterlock.keyholder.sessions import Sessions
from letterlock.keyholder.signers import Signers
from letterlock.keyholder.token_keys import TokenKeys, attachment
from letterlock.vault.sealing import Clock

SOCKET_NAME = "key.sock"
CONNECTIONS = 4
_log = logging.getLogger("letterlock.keyholder")


async def run(start: Start) -> None:
    """Serve until ``start.stopping``."""
    nursery = Nursery.start()
    harden("ll-keyholder")
    try:
        ring = Ring.open(start.state, start.settings.keys.root)
        gate = await connect(start.database, size=CONNECTIONS)
        try:
            keyholder = Keyholder(start, ring, Ledger(gate), nursery)
            await keyholder.serve()
        finally:
            await gate.close()
    finally:
        nursery.close()


class Keyholder:
    """The parts, put together. ``records`` is the database; tests put their own in its place."""

    def __init__(self, start: Start, ring: Ring, records: Records, nursery: Nursery, clock: Clock = time.time) -> None:
        self._start = start
        self._callers: set[Caller] = set()
        self.given = GivenLog(start.state / "audit", clock)
        self.epochs = Epochs(ring, records, self._forget)
        self.sessions = Sessions(self.epochs, records, clock)
        self.leases = Leases(records, self.sessions, clock)
        self.signers = Signers(nursery, len(os.sched_getaffinity(0)))
        self.pools = Pools(nursery, self.signers, attachment(start.settings.pkcs11, start.state))
        self.private_keys = PrivateKeys(self.epochs, records, self.leases, self.pools, clock)
        self.destroyer = Destroyer(self.epochs, records, clock, rings.folder_of(start.state) / "looked")
        self.seals = SealKeeper(records, ring.seal_key, self.given, clock)
        self._clock = clock
        self.desk = Desk(
            records=records,
            sessions=self.sessions,
            leases=self.leases,
            private_keys=self.private_keys,
            orders=Orders(self.epochs, records, self.pools, self.given),
            token_keys=TokenKeys(self.epochs, records, self.pools),
            destroyer=self.destroyer,
            given=self.given,
            mark_key=ring.mark_key,
            condition=self.condition,
            count=start.meter,
        )

    def _forget(self) -> None:
        self.sessions.forget()
        self.leases.forget()

    def condition(self) -> dict[str, Any]:
        """How ring, clocks and signers are, without secrets."""
        ring, looked = self.epochs.ring, self.destroyer.looked
        return {
            "generation": ring.generation.now,
            "epochs": len(ring.epochs),
            "looked_at": looked.at if looked else None,
            "stopped": looked.stopped if looked else "",
            "overdue": [str(epoch) for epoch in sorted(self.destroyer.overdue)],
            "signers": self.signers.alive,
            "signer_deaths": self.signers.deaths,
            "sealed_rows": self.seals.sealed,
        }

    async def serve(self) -> None:
        """Everything from agreeing with the database to the end."""
        await self.epochs.settle()
        await self.destroyer.look()
        await self.epochs.current("queue", self._clock())
        await self.seals.compare()
        await self.pools.start()
        server = await self._listen(self._start.run / SOCKET_NAME)
        tasks = [
            asyncio.create_task(self.seals.keep()),
            asyncio.create_task(_repeat(self._look, LOOK_EVERY)),
            asyncio.create_task(_repeat(self._check, 1.0)),
        ]
        self._start.ready()
        try:
            await self._until_told(tasks)
        finally:
            server.close()
            await asyncio.gather(*(caller.finish() for caller in self._callers), return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.pools.close()
            with contextlib.suppress(LetterlockError):
                await self.seals.seal()
            self.given.close()

    async def _listen(self, path: Path) -> asyncio.Server:
        door = Door(self._start.key_tokens)
        return await asyncio.get_running_loop().create_unix_server(
            lambda: Caller(self.desk, door, self._callers), sock=bind(path, admins=True)
        )

    async def _until_told(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until it is to stop, a task has failed, or no signer can be made any more."""
        stopping = asyncio.create_task(self._start.stopping.wait())
        hopeless = asyncio.create_task(self.pools.wait_hopeless())
        done, _ = await asyncio.wait([stopping, hopeless, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        hopeless.cancel()
        if hopeless in done and stopping not in done:
            raise NurseryGone
        for task in tasks:
            if task in done:
                task.result()

    async def _look(self) -> None:
        try:
            await self.destroyer.look()
            await self.epochs.current("queue", self._clock())
        except LetterlockError as error:
            _log.warning("epochs were not looked at: %s", error, extra={"event": "keyholder.failed", "why": error})

    async def _check(self) -> None:
        self.pools.check()


async def _repeat(do: Callable[[], Awaitable[None]], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        await do()
