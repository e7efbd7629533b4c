"""A PostgreSQL for the tests: one server for the whole run, a database of its own for each test that asks.

Guarantees
    The server is the product's own (database/embedded.py), but does not wait for the disk. A test's database is a copy
    of one that was migrated once. What was started is stopped and deleted at the end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from letterlock.config.start import Credentials
from letterlock.database import place
from letterlock.database.connect import Gate, connect
from letterlock.database.embedded import Cluster
from letterlock.database.migrate import migrate
from letterlock.database.roles import allow_connecting, set_passwords

WHEEL = "wheel"
DISTRIBUTION = "distribution"
TEMPLATE = "migrated"
DEBIAN = Path("/usr/lib/postgresql")
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}


def distribution_programs() -> Path | None:
    """The bin folder of the distribution's newest PostgreSQL of at least 15."""
    found = [entry for entry in DEBIAN.glob("*/bin/postgres") if entry.parent.parent.name.isdecimal()]
    versions = sorted(int(entry.parent.parent.name) for entry in found)
    return DEBIAN / str(versions[-1]) / "bin" if versions and versions[-1] >= 15 else None


class Server:
    """One running server and its migrated template."""

    def __init__(self, programs: Path | None) -> None:
        """``programs``: None for the wheel's."""
        self.state = Path(tempfile.mkdtemp(prefix="ll-pg-"))
        before = os.environ.pop("LETTERLOCK_PG_BIN", None)
        try:
            if programs is not None:
                os.environ["LETTERLOCK_PG_BIN"] = str(programs)
            self.cluster = Cluster(self.state, databases="all", extra=FAST)
        finally:
            os.environ.pop("LETTERLOCK_PG_BIN", None)
            if before is not None:
                os.environ["LETTERLOCK_PG_BIN"] = before
        self._numbers = count(1)
        try:
            self.cluster.start()
            with self.superuser("postgres") as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            with self.superuser(TEMPLATE) as connection:
                migrate(connection)
                self.passwords = set_passwords(connection)
        except BaseException:
            self.remove()
            raise

    def superuser(self, dbname: str) -> psycopg.Connection[Any]:
        """A connection as superuser, autocommit."""
        return self.cluster.superuser(dbname)

    def fresh(self) -> Database:
        """A new database like the template."""
        name = f"test_{next(self._numbers)}"
        with self.superuser("postgres") as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE)
                )
            )
        database = Database(self, name)
        with database.superuser() as connection:
            allow_connecting(connection)  # a database's own rights are not copied
        return database

    def drop(self, database: Database) -> None:
        """Remove a database, whoever is still connected."""
        with self.superuser("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database.name)))

    def remove(self) -> None:
        """Stop and delete."""
        self.cluster.stop(immediate=True)
        place.remove(self.state)
        self.state.rmdir()


class Database:
    """One test's database."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def version(self) -> int:
        """The major version of its server."""
        return self.server.cluster.version()

    def superuser(self) -> psycopg.Connection[Any]:
        """A connection that may do everything, autocommit."""
        return self.server.superuser(self.name)

    def credentials(self, role: str) -> Credentials:
        """What a station of ``role`` would be handed."""
        cluster = self.server.cluster
        return Credentials(cluster.host, cluster.port, role, self.server.passwords[role], self.name)

    def login(self, role: str) -> psycopg.Connection[Any]:
        """A connection of ``role`` past the gate: what a captured process could do."""
        who = self.credentials(role)
        return psycopg.connect(
            host=who.host, port=who.port, user=role, password=who.password, dbname=self.name, autocommit=True
        )

    async def gate(self, role: str, size: int = 2) -> Gate:
        """A gate of ``role``; the caller closes it."""
        return await connect(self.credentials(role), size=size)

    @asynccontextmanager
    async def gates(self, *roles: str) -> AsyncIterator[dict[str, Gate]]:
        """A gate for each role, closed at the end."""
        async with AsyncExitStack() as stack:
            opened = {}
            for role in roles:
                opened[role] = await self.gate(role)
                stack.push_async_callback(opened[role].close)
            yield opened


class Servers:
    """The servers of one test run, started when first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}

    def get(self, which: str) -> Server:
        """The server of ``which`` programs. Fails when the distribution's are not installed."""
        if which not in self._running:
            programs = None
            if which == DISTRIBUTION:
                programs = distribution_programs()
                if programs is None:
                    raise AssertionError(
                        "The distribution's PostgreSQL (15 or later) is missing: install it, or set LETTERLOCK_TEST_FAST."
                    )
            self._running[which] = Server(programs)
        return self._running[which]

    def remove(self) -> None:
        """Stop and delete them all."""
        for server in self._running.values():
            server.remove()
        self._running.clear()
