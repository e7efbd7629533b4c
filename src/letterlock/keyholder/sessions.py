"""Makes sealing sessions, and opens what was sealed in them.

Guarantees
    A session key goes once, to the process it is made for, and only to seal with; it is kept nowhere but wrapped under
    its epoch's key, bound to class, role, organisation, epoch, session and not-after. When the epoch's key is gone,
    ``forget`` empties the cache, and nothing sealed under it opens any more.

Raises
    ContentRefused when a wrap does not open; LetterlockError when the database does not answer.

See also
    ``vault/sealing.py`` (how long a session is used), ``epochs.py``.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from datetime import date
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from letterlock.keyholder.epochs import Epochs
from letterlock.keyholder.records import Leased, Records
from letterlock.keyholder.ring import CLASSES
from letterlock.vault import frames
from letterlock.vault.errors import ContentRefused
from letterlock.vault.keys import KEY_OCTETS, Part, associated_data, new_id, seal, session_data, unseal
from letterlock.vault.sealing import AWAY_FOR, USED_FOR, Clock

_KEPT_SESSIONS = 4096


class _Opened(NamedTuple):
    """A session key and what it was proved to be bound to. ``kind``, ``ordinal``: of class and day, as they travel."""

    key: AESGCM
    epoch: UUID
    cls: str
    day: date
    kind: int
    ordinal: int
    organisation: bytes


class Sessions:
    """Sealing sessions of all roles."""

    def __init__(self, epochs: Epochs, records: Records, clock: Clock) -> None:
        self._epochs = epochs
        self._records = records
        self._clock = clock
        self._opened: OrderedDict[UUID, _Opened] = OrderedDict()

    async def open(self, serial: int, role: str, cls: str) -> frames.SessionGiven:
        """A new session of ``role`` (a database role) in the current epoch of ``cls``."""
        now = self._clock()
        epoch = await self._epochs.current(cls, now)
        session, key = new_id(), os.urandom(KEY_OCTETS)
        # By the slower of the two clocks: the database keeps no later not-after than 71 minutes ahead of its own, and
        # what it keeps must be what the wrap is bound to, or nothing sealed in the session would ever open.
        not_after = int(min(now, await self._records.clock()) + USED_FOR + AWAY_FOR)
        data = session_data(
            kind=CLASSES[cls],
            role=role,
            organisation=epoch.organisation,
            epoch=epoch.id,
            session=session,
            not_after=not_after,
        )
        await self._records.open_session(session, epoch.id, cls, role, not_after, seal(epoch.key, key, data))
        return frames.SessionGiven(
            serial=serial,
            session=session.bytes,
            key=key,
            epoch=epoch.id.bytes,
            day=epoch.day.toordinal(),
            kind=CLASSES[cls],
            organisation=epoch.organisation.bytes,
            made_at=now,
            not_after=float(not_after),
        )

    def unwrap(self, row: Leased) -> frames.OneKey:
        """The message key of a row the database vouches for. Raises ContentRefused."""
        opened = self._opened.get(row.session)
        if opened is None:
            opened = self._open(row)
        if opened.epoch != row.epoch or opened.cls != row.cls or opened.day != row.day:
            raise ContentRefused(detail=f"session {row.session} is of another epoch")
        key, _, _, _, kind, day, organisation = opened
        content = row.id.bytes
        data = associated_data(kind=kind, organisation=organisation, content=content, part=Part.KEY, day=day)
        return frames.OneKey(content, unseal(key, row.wrapped_key, data), day, kind, organisation)

    def _open(self, row: Leased) -> _Opened:
        epoch = self._epochs.ring.epochs.get(row.epoch)
        if epoch is None or row.cls not in CLASSES:
            raise ContentRefused(detail=f"the key of epoch {row.epoch} is gone")
        data = session_data(
            kind=CLASSES[row.cls],
            role=row.session_role,
            organisation=epoch.organisation,
            epoch=row.epoch,
            session=row.session,
            not_after=row.session_not_after,
        )
        key = AESGCM(unseal(epoch.key, row.session_wrapped, data))
        kind, organisation = int(CLASSES[row.cls]), epoch.organisation.bytes
        opened = _Opened(key, row.epoch, row.cls, epoch.day, kind, epoch.day.toordinal(), organisation)
        self._opened[row.session] = opened
        if len(self._opened) > _KEPT_SESSIONS:
            self._opened.popitem(last=False)
        return opened

    def forget(self) -> None:
        """Drop every opened session key: an epoch has ended."""
        self._opened.clear()
