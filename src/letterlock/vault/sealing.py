"""Sealing sessions: what a process needs to seal new messages, and for how long it may.

States
    ======== ===================================================================================================
    fresh    younger than USED_FOR less RENEWED_BEFORE: used for every new message
    ageing   ``keep`` asks the keyholder for the next one; this one is used until that has come
    over     ``not_after`` is past (USED_FOR and one hour after it was made): nothing is sealed any more
    ======== ===================================================================================================

Guarantees
    A process holds the key of one session at a time (and of an older one only while a message begun with it is being
    written). It is asked for anew ahead of its time, so that mail is accepted for at least an hour after the keyholder
    went away; then ``session`` raises SealingUnavailable, which the SMTP server answers with 451. A session is
    never asked for before a fork: its keeper is started by the station itself.

Raises
    SealingUnavailable.

See also
    ``keyholder/sessions.py`` (makes them), ``database/sql/functions/queue/accept.sql`` (refuses unknown ones).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Protocol
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from letterlock.errors import LetterlockError
from letterlock.vault.errors import SealingUnavailable
from letterlock.vault.keys import GATEWAY, Kind, MessageKey, Part, Secret, associated_data, seal

USED_FOR = 600.0
"""Seconds a session is used when the keyholder answers."""

AWAY_FOR = 3600.0
"""Seconds more that it may be used when the keyholder does not."""

RENEWED_BEFORE = 120.0
"""Seconds before the end of USED_FOR at which the next one is asked for."""

RETRY_AFTER = 1.0
LONGEST_SLEEP = 1.0

_log = logging.getLogger("letterlock.vault.sealing")

Clock = Callable[[], float]
"""Seconds since the Unix epoch."""


class SealingSession:
    """One sealing session key, its id, and the epoch it hangs on.

    ``day``: of the epoch, stored with each content and part of every seal. ``made_at``, ``not_after``: seconds since
    the Unix epoch.
    """

    __slots__ = ("_clock", "_key", "day", "epoch", "id", "kind", "made_at", "not_after", "organisation")

    def __init__(
        self,
        session: UUID,
        key: Secret,
        *,
        epoch: UUID,
        day: date,
        made_at: float,
        not_after: float,
        kind: int = Kind.QUEUE,
        organisation: UUID = GATEWAY,
        clock: Clock = time.time,
    ) -> None:
        self.id = session
        self.epoch = epoch
        self.day = day
        self.kind = kind
        self.organisation = organisation
        self.made_at = made_at
        self.not_after = not_after
        self._key = AESGCM(key.octets)
        self._clock = clock

    def __repr__(self) -> str:
        return f"SealingSession(id={self.id})"

    def is_over(self) -> bool:
        """Whether nothing may be sealed with it any more."""
        return self._clock() >= self.not_after

    def check(self) -> None:
        """Return while it may be used. Raises SealingUnavailable."""
        if self.is_over():
            raise SealingUnavailable(detail=f"sealing session {self.id} is over")

    def message_key(self, octets: bytes, content: UUID) -> MessageKey:
        """The keys derived from 32 fresh octets for ``content``."""
        return MessageKey(octets, content=content, day=self.day, kind=self.kind, organisation=self.organisation)

    def wrap(self, octets: bytes, content: UUID, nonce: bytes | None = None) -> bytes:
        """60 octets: the message key of ``content`` under the session key. Raises SealingUnavailable."""
        self.check()
        data = associated_data(
            kind=self.kind,
            organisation=self.organisation.bytes,
            content=content.bytes,
            part=Part.KEY,
            day=self.day.toordinal(),
        )
        return seal(self._key, octets, data, nonce)


class SessionSource(Protocol):
    """Who gives sessions: ``vault.opening.KeyholderClient``."""

    async def session(self, cls: str = "queue") -> SealingSession:
        """A new session of the class. Raises LetterlockError."""
        ...


class Sealer:
    """The sealing session of this process, kept fresh."""

    def __init__(self, clock: Clock = time.time, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._session: SealingSession | None = None

    def session(self, day: date | None = None) -> SealingSession:
        """The session to seal with; ``day``: of the epoch wanted, the queue's when None. Raises SealingUnavailable."""
        held = self._session
        if held is None or held.is_over() or (day is not None and day != held.day):
            raise SealingUnavailable(detail="no valid sealing session")
        return held

    def reject(self, session: UUID) -> None:
        """The database does not know this session (any more): ``keep`` asks for another one within a second."""
        if self._session is not None and self._session.id == session:
            self._session = None

    def is_due(self) -> bool:
        """Whether the next session should be asked for."""
        held = self._session
        if held is None:
            return True
        age = self._clock() - held.made_at
        return age >= USED_FOR - RENEWED_BEFORE or age < 0  # a clock set back makes a session of the future

    async def renew(self, keyholder: SessionSource) -> bool:
        """Ask for the next session when it is time; whether this process holds one that is not due."""
        if self.is_due():
            try:
                self._session = await keyholder.session()
            except LetterlockError as error:
                _log.warning("no new sealing session: %s", error)
        return not self.is_due()

    async def keep(self, keyholder: SessionSource) -> None:
        """Renew for ever; run as a task of the station, cancelled at its end."""
        while True:
            if await self.renew(keyholder):
                await self._sleep(LONGEST_SLEEP)
            else:
                await self._sleep(RETRY_AFTER)
