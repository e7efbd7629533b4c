"""What the supervisor hands to a station when it starts it.

Guarantees
    Each station gets only what its row of the process table allows: its own role's credentials, the token by which the
    keyholder knows it, and nothing of another's. Fields that a station is not entitled to are None or empty. Secrets
    come over a pipe, never in arguments or environment, and show nothing in repr.

See also
    ``processes.py`` (the table), ``supervise/`` (fills this), ``keyholder/serve.py`` and ``doorkeeper/serve.py`` (the
    two stations that are handed more than their own token).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from letterlock.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to connect to the database as one role. ``host``: a name, an address, or the folder of a unix socket."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str


class Meter(Protocol):
    """Where a station counts and measures; telemetry.metrics.Registry is one."""

    def __call__(self, name: str, value: float, labels: Mapping[str, str], /) -> None:
        """Add ``value`` to what ``name`` counts or observes under ``labels``."""
        ...


def _unmeasured(name: str, value: float, labels: Mapping[str, str], /) -> None:
    """A Meter that forgets."""


def _nothing() -> None:
    """A ready() nobody waits for."""


@dataclass(frozen=True)
class Start:
    """One station's start. ``worker`` is the same for a slot (name and number) over restarts."""

    settings: Settings
    name: str
    number: int
    worker: UUID
    state: Path
    run: Path
    """Folder of the sockets; a short path (sockaddr_un holds 107 octets)."""
    database: Credentials
    key_token: bytes = field(default=b"", repr=False)
    """32 octets by which the keyholder knows the role of this station."""
    key_tokens: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Keyholder only: role ("smtpd", "flow", "delivery", "admin") to the SHA-256 of its token."""
    hand_token: bytes = field(default=b"", repr=False)
    """Flow and delivery: 32 octets by which they know each other (``queue/handover.py``)."""
    admin_database: Credentials | None = None
    """Doorkeeper only: credentials of ll_admin, handed to whom it admits."""
    admin_key_token: bytes = field(default=b"", repr=False)
    """Doorkeeper only: the token of the role "admin" at the keyholder, handed to whom it admits."""
    ready: Callable[[], None] = _nothing
    """Called once, when the station serves."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the station is to finish what it has begun and return."""
    meter: Meter = _unmeasured

    @property
    def hostname(self) -> str:
        """The name this server says it has (RFC 5321 2.3.5): as configured, else the machine's full name."""
        return self.settings.smtp.hostname or socket.getfqdn()
