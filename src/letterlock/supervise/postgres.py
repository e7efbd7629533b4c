"""Keeps the embedded PostgreSQL running; stands for an external server by doing nothing.

States
    starting (initialising, recovering), ready, ended. An external server is always ready here: whether it answers is
    found out by those who ask it.

Guarantees
    A server that ends is started again, at once the first time (``pace.py``). Nothing else is restarted for that: each
    process's gate connects anew. It listens in a folder that stays the same over restarts.

Raises
    DatabaseNotStarted, DatabasePlaceUnusable at the first start.

See also
    ``database/embedded.py``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from letterlock.config.settings import Settings
from letterlock.database.connect import transport
from letterlock.database.embedded import DATABASE, Cluster
from letterlock.database.settings import SUPERUSER
from letterlock.errors import LetterlockError
from letterlock.supervise.pace import Pace
from letterlock.supervise.watch import wait_ended

_log = logging.getLogger("letterlock.supervise")

State = Literal["starting", "ready", "ended"]


class Postgres:
    """The database server of one installation."""

    def __init__(self, state: Path, settings: Settings) -> None:
        self.state: State = "starting"
        self.restarts = 0
        self.is_external = bool(settings.database.url)
        self._folder = state
        self._url = settings.database.url
        self._cluster: Cluster | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._pace = Pace()

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run, or is external."""
        return (self._cluster.pid or 0) if self._cluster is not None else 0

    async def start(self) -> dict[str, str]:
        """Start it; libpq parameters to connect as its administrator."""
        if self.is_external:
            self.state = "ready"
            return {"conninfo": self._url, **transport(urlsplit(self._url).hostname or "/")}
        self._cluster = Cluster(self._folder)
        await self._cluster.start_waiting()
        self.state = "ready"
        self._keeper = asyncio.create_task(self._keep(self._cluster), name="postgres")
        return {
            "host": self._cluster.host,
            "port": str(self._cluster.port),
            "user": SUPERUSER,
            "dbname": DATABASE,
        }

    async def stop(self) -> None:
        """A fast, clean shutdown."""
        self.state = "ended"
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.stop)

    async def _keep(self, cluster: Cluster) -> None:
        while True:
            born = time.monotonic()
            if cluster.pid is not None:
                await wait_ended(cluster.pid)
            self.state = "starting"
            self.restarts += 1
            _log.error("process ended", extra={"event": "process.ended", "station": "postgres"})
            await asyncio.sleep(self._pace.after(time.monotonic() - born))
            try:
                await cluster.start_waiting()
                self.state = "ready"
            except LetterlockError as fault:
                failed = {"event": "station.failed", "station": "postgres", "why": str(fault)}
                _log.warning("the database does not start", extra=failed)
