"""Open a Gate for one login role.

Guarantees
    The connection speaks UTF-8 and UTC, shows warnings (a denial is one), and gives up connecting after ten seconds.
    Over TCP the server is verified (sslmode verify-full; PGSSLROOTCERT names its anchors, else the system's).

Raises
    DatabaseUnavailable when the first connection fails; later ones when a call needs them.

See also
    ``gate.py``; ``config/start.py`` for the credentials of a station.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

import msgspec
import psycopg
from psycopg.types.json import set_json_loads

from letterlock.database.gate import Gate

__all__ = ["CONNECT_FOR", "Credentials", "Gate", "connect", "transport"]

CONNECT_FOR = 10
"""Seconds."""


class Credentials(Protocol):
    """Where the database is and who asks. ``host``: a folder for a unix socket (absolute path), or a host name."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def dbname(self) -> str: ...


async def connect(credentials: Credentials, *, size: int = 2) -> Gate:
    """A Gate of at most ``size`` connections, the first of them open. Raises DatabaseUnavailable."""

    async def dial() -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            host=credentials.host,
            port=credentials.port,
            user=credentials.user,
            password=credentials.password,
            dbname=credentials.dbname,
            autocommit=True,
            connect_timeout=CONNECT_FOR,
            application_name="letterlock",
            client_encoding="UTF8",
            options="-c client_min_messages=warning -c timezone=UTC",
            **transport(credentials.host),
        )
        set_json_loads(msgspec.json.decode, connection)
        return connection

    gate = Gate(dial, size)
    await gate.check()
    return gate


def transport(host: str) -> dict[str, Any]:
    """libpq parameters that make a connection to ``host`` safe: nothing for a socket, verified TLS for the network."""
    if host.startswith("/"):
        return {}
    return {"sslmode": "verify-full", "sslrootcert": os.environ.get("PGSSLROOTCERT", "system")}
