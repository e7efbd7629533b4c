"""The epochs of ring and database together: agreed at the start, made when needed, ended for good.

Guarantees
    An epoch's key is on disk before the database knows the epoch, and the database knows it before anything is sealed
    in it. A key is destroyed on disk before the database says so. Each change is one generation (ring.py).

Order
    ``settle`` before serving; then ``current`` and ``destroy``.

Raises
    RingRefused from settle; LetterlockError when the database does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from letterlock.keyholder.errors import RingRefused
from letterlock.keyholder.records import Records
from letterlock.keyholder.ring import Epoch, Ring

QUEUE_DAYS = 7
"""A queue epoch's day is this many days after mail is accepted into it."""

_Result = TypeVar("_Result")
_log = logging.getLogger("letterlock.keyholder.epochs")


def day_at(moment: float) -> date:
    """The UTC day of a time in seconds since the Unix epoch."""
    return datetime.fromtimestamp(moment, UTC).date()


class Epochs:
    """Makes and ends epochs. ``forget`` is called when one has ended, so that caches drop what hangs on it."""

    def __init__(self, ring: Ring, records: Records, forget: Callable[[], None] = lambda: None) -> None:
        self.ring = ring
        self._records = records
        self._forget = forget
        self._registered: set[UUID] = set()
        self._changing = asyncio.Lock()
        self._ended: set[UUID] = set()

    async def settle(self) -> None:
        """Make ring and database agree, or refuse. Raises RingRefused when the ring is an old copy."""
        noted = await self._records.ring_generation()
        known = self.ring.generation
        if noted > max(known.now, known.becoming):
            raise RingRefused(
                "The key ring is older than the database: it may hold keys that were destroyed since. "
                "Put the newest copy of the key folder in place.",
                detail=f"ring {known.now}, database {noted}",
            )
        was_restored = noted < known.now
        if was_restored:
            _log.error(
                "the database is older than the key ring: sessions, grants and leases are void, the queue is on hold",
                extra={"event": "keyholder.restored"},
            )
            await self._records.restored()
        await self._change(lambda: self._compare(was_restored))

    async def _compare(self, was_restored: bool) -> None:
        begun = set(self.ring.generation.destroying)
        rows = await self._records.epochs()
        for row in rows:
            held = row.id in self.ring.epochs
            if row.destroyed or str(row.id) in begun:
                if held:
                    self.ring.drop_epoch(row.id)
                if not row.destroyed:
                    await self._records.mark_destroyed(row.id)
                self._ended.add(row.id)
            elif held:
                self._registered.add(row.id)
            elif was_restored:
                # The copy is from before this key was destroyed.
                await self._records.mark_destroyed(row.id)
            else:
                _log.error("a key file is missing", extra={"event": "keyholder.epoch-missing", "epoch": row.id})
        for epoch in list(self.ring.epochs.values()):
            if epoch.id not in self._registered:
                await self._register(epoch)
        # Whatever was begun is ended now; of some the database may never have known.
        self._ended.update(UUID(name) for name in begun)

    async def current(self, cls: str, now: float) -> Epoch:
        """The epoch to seal into at ``now``, made if there is none. Only the class queue has one for all."""
        if cls != "queue":
            raise RingRefused("There is no current epoch of this class.", detail=cls)
        day = day_at(now) + timedelta(days=QUEUE_DAYS)
        epoch = self.ring.epoch_of(cls, day)
        if epoch is None or epoch.id not in self._registered:
            epoch = await self._make(cls, day)
        return epoch

    async def _make(self, cls: str, day: date) -> Epoch:
        async def make() -> Epoch:
            epoch = self.ring.epoch_of(cls, day)
            if epoch is None:
                epoch = self.ring.add_epoch(cls, day)
                _log.info("epoch made", extra={"event": "keyholder.epoch-made", "epoch": epoch.id})
            if epoch.id not in self._registered:
                await self._register(epoch)
            return epoch

        return await self._change(make)

    async def permanent(self, organisation: UUID) -> AESGCM:
        """The permanent key of an organisation, made if there is none."""

        async def make() -> AESGCM:
            held = self.ring.permanent(organisation)
            return held if held is not None else self.ring.add_permanent(organisation)

        held = self.ring.permanent(organisation)
        return held if held is not None else await self._change(make)

    async def destroy(self, epochs: Iterable[UUID]) -> None:
        """Make the keys of ``epochs`` unrecoverable, here and in what was cached of them."""
        ending = tuple(epochs)

        async def end() -> None:
            for epoch in ending:
                self.ring.drop_epoch(epoch)
                self._registered.discard(epoch)
                self._forget()
                await self._records.mark_destroyed(epoch)
                self._ended.add(epoch)
                _log.info("epoch destroyed", extra={"event": "keyholder.epoch-destroyed", "epoch": epoch})

        if ending:
            await self._change(end, ending)

    async def _register(self, epoch: Epoch) -> None:
        await self._records.register_epoch(epoch.id, epoch.cls, epoch.day)
        self._registered.add(epoch.id)

    async def _change(self, do: Callable[[], Awaitable[_Result]], destroying: tuple[UUID, ...] = ()) -> _Result:
        """One generation. What fails in the middle is begun again by the next change."""
        async with self._changing:
            number = self.ring.begin(destroying)
            result = await do()
            await self._records.note_generation(number)
            self.ring.finish(number, self._ended)
            self._ended.clear()
            return result
