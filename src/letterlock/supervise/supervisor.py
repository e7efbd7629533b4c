"""The supervisor: brings an installation up, keeps it up, takes it down.

Order
    Lock, socket folder, free addresses; PostgreSQL and ``prepare``, beside them the spawner; the keyholder; all others.
    Down the other way round: the stations drain together, then the doorkeeper and the keyholder, then PostgreSQL.

Guarantees
    ``start`` returns when every process has said that it serves. What ends later is started again (``slot.py``,
    ``parents.py``, ``postgres.py``); none of these takes another with it. After kill -9 of this process the kernel ends
    all the others, and the next start finds nothing in its way.
    Offline, only what a command needs is started (``processes.py``), and nothing listens on the network.

Raises
    StartFailed and what ``place.py`` raises; each says what to do.

See also
    ``docs/walks/run.md``.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from letterlock import __version__, processes
from letterlock.config.settings import Database, Settings
from letterlock.config.start import Credentials
from letterlock.supervise import linux, place, status, wire
from letterlock.supervise.parents import Spawner, prepare
from letterlock.supervise.postgres import Postgres
from letterlock.supervise.slot import Slot, StartFailed
from letterlock.supervise.station import Orders, encode_orders
from letterlock.telemetry import metrics

ISOLATION = "single user"
"""Processes run as one operating system user and are not protected from one another (SECURITY.md)."""

START_WITHIN = 60.0
"""Seconds after which a start that is still not complete has failed."""

DRAIN_WITHIN = 30.0
"""Seconds that stations have to finish what they have in hand."""

LAST = ("doorkeeper", "keyholder")

_log = logging.getLogger("letterlock.supervise")


class Supervisor:
    """One installation, running. ``offline``: only what commands need."""

    def __init__(self, state: Path, settings: Settings, *, offline: bool = False) -> None:
        self._state = state
        # A command's output is its answer: only errors are logged beside it.
        self._settings = replace(settings, run=replace(settings.run, log="error")) if offline else settings
        self._offline = offline
        self._lock: place.Lock | None = None
        self._run = state
        self._slots: list[Slot] = []
        self._key_tokens = {
            role: secrets.token_bytes(32)
            for role in [*(row.key_role for row in processes.TABLE if row.key_role), processes.ADMIN_KEY_ROLE]
        }
        self._hand_token = secrets.token_bytes(32)
        self._passwords: dict[str, Credentials] = {}
        self._spawner = Spawner([row.module for row in self._rows()])
        self._postgres = Postgres(state, settings)
        self._status: status.StatusServer | None = None
        self._watch: asyncio.Task[None] | None = None
        self._started_at = time.time()

    def _rows(self) -> list[processes.Process]:
        return [row for row in processes.TABLE if row.offline or not self._offline]

    async def start(self, *, processes_too: bool = True) -> None:
        """Bring everything up, or the database only. Raises StartFailed; then stop() cleans up."""
        linux.no_core_dumps()
        linux.all_descriptors()
        linux.adopt_orphans()
        self._lock = await asyncio.to_thread(place.take_lock, self._state, "offline" if self._offline else "run")
        self._run = place.make_socket_folder(self._state)
        self._watch = asyncio.create_task(self._look_after(), name="watch")
        if not self._offline:
            await self._open_status()
        if processes_too and not self._offline:
            await asyncio.to_thread(place.require_addresses, self._settings)
        try:
            async with asyncio.timeout(START_WITHIN):
                await (self._bring_up() if processes_too else self._prepare_database())
        except TimeoutError:
            waiting = ", ".join(slot.name for slot in self._slots if slot.state != "ready") or "PostgreSQL"
            raise StartFailed(f"The start took longer than {START_WITHIN:.0f} s: {waiting} is not ready.") from None

    async def _bring_up(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._spawner.start())
                group.create_task(self._prepare_database())
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        for row in self._rows():
            for number in range(row.how_many(self._settings)):
                self._slots.append(self._slot(row, number))
        first = [slot for slot in self._slots if slot.name.rpartition("-")[0] == "keyholder"]
        await _start_all(first)
        await _start_all(slot for slot in self._slots if slot not in first)
        _log.info("ready", extra={"event": "gateway.ready", "seconds": round(time.time() - self._started_at, 3)})

    async def _prepare_database(self) -> None:
        self._passwords = await prepare(await self._postgres.start(), self._settings.run.log)

    def _slot(self, row: processes.Process, number: int) -> Slot:
        name = f"{row.name}-{number}"
        orders = encode_orders(self._orders(row, name, number))
        return Slot(name, row.module, spawn=self._spawner.fork, begin=lambda: wire.Begin(orders))

    def _orders(self, row: processes.Process, name: str, number: int) -> Orders:
        """What this process may have, and nothing else."""
        keyholder, doorkeeper = row.name == "keyholder", row.name == "doorkeeper"
        return Orders(
            settings=replace(self._settings, database=Database()),
            name=row.name,
            number=number,
            worker=self._worker(name),
            state=self._state,
            run=self._run,
            database=self._passwords[row.role],
            key_token=self._key_tokens.get(row.key_role, b""),
            key_tokens={role: hashlib.sha256(token).digest() for role, token in self._key_tokens.items()}
            if keyholder
            else {},
            hand_token=self._hand_token if row.hands_over else b"",
            admin_database=self._passwords[processes.ADMIN_ROLE] if doorkeeper else None,
            admin_key_token=self._key_tokens[processes.ADMIN_KEY_ROLE] if doorkeeper else b"",
        )

    def _worker(self, name: str) -> UUID:
        """The same for a slot over restarts, another one for another installation on the same database."""
        return uuid5(NAMESPACE_URL, f"letterlock:{socket.gethostname()}:{self._state.resolve()}:{name}")

    async def stop(self) -> None:
        """Drain and end everything; safe at any moment after the start began."""
        drained = [slot for slot in self._slots if slot.name.rpartition("-")[0] not in LAST]
        await asyncio.gather(*(slot.drain(DRAIN_WITHIN) for slot in drained))
        for name in LAST:
            await asyncio.gather(*(s.drain(5.0) for s in self._slots if s.name.rpartition("-")[0] == name))
        await self._spawner.stop()
        await self._postgres.stop()
        if self._status is not None:
            await self._status.close()
        if self._watch is not None:
            self._watch.cancel()
            linux.Reaper.look_last()
        if self._lock is not None:
            self._lock.release()
        _log.info("stopped", extra={"event": "gateway.stopped"})

    async def _look_after(self) -> None:
        """Each second: hearts, and children that came to us when their parents died."""
        reaper = linux.Reaper()
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for slot in self._slots:
                slot.check_heart(now)
            reaper.look()

    async def _open_status(self) -> None:
        host, port = self._settings.http.status
        server = status.StatusServer(
            {
                "/livez": lambda: (200, "text/plain; charset=utf-8", b"ok\n"),
                "/readyz": lambda: status.as_json(200 if self.is_ready() else 503, self.report()),
                "/metrics": lambda: status.as_metrics(self._metrics()),
            }
        )
        await server.listen(host, port)
        self._status = server

    def is_ready(self) -> bool:
        """Whether every process serves at this moment."""
        return (
            bool(self._slots) and self._postgres.state == "ready" and all(slot.state == "ready" for slot in self._slots)
        )

    def report(self) -> dict[str, Any]:
        """What /readyz says."""
        return {
            "ready": self.is_ready(),
            "version": __version__,
            "isolation": ISOLATION,
            "processes": {
                "postgres": {
                    "state": self._postgres.state,
                    "pid": self._postgres.pid,
                    "restarts": self._postgres.restarts,
                },
                "spawner": {"state": self._spawner.state, "pid": self._spawner.pid, "restarts": self._spawner.restarts},
                **{
                    slot.name: {"state": slot.state, "pid": slot.pid, "restarts": slot.restarts} for slot in self._slots
                },
            },
        }

    def _metrics(self) -> str:
        own = metrics.Registry()
        for name, found in self.report()["processes"].items():
            own.set("letterlock_process_ready", float(found["state"] == "ready"), {"process": name})
            own.set("letterlock_process_restarts", float(found["restarts"]), {"process": name})
        snapshots = [own.snapshot()]
        for slot in self._slots:
            snapshots += [slot.metrics, slot.past_metrics]
        return metrics.render(snapshots)


async def _start_all(slots: Iterable[Slot]) -> None:
    """Start these and wait until all serve. Raises StartFailed of the first that cannot."""
    chosen = list(slots)
    for slot in chosen:
        slot.start()
    waits = [asyncio.create_task(slot.wait_ready()) for slot in chosen]
    try:
        for done in asyncio.as_completed(waits):
            await done
    finally:
        for wait in waits:
            wait.cancel()
