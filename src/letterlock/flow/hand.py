"""Hands finished messages to delivery, keeps their octets until it says what became of them, stores what was not taken.

Order
    open: connect, Hello, Welcome. give: a batch at once. Settled: forgotten, the received file removed. Not taken: sealed
    and entered by queue.advance, as if it had never been handed over; the same octets.

Guarantees
    While delivery is away nothing is handed over; what it had not answered waits for its successor, which first settles
    what its journal says: only then is the rest stored. So a killed delivery sends no message twice but those whose 250
    was under way. A flow that is killed leaves its leases to its successor, which frees none that delivery still works on.
    At most IN_HAND messages and OCTETS_IN_HAND octets wait for an answer; more go through the queue.

See also
    ``queue/handover.py`` (what is said), ``delivery/handed.py`` (the other end), ``carry_out.py`` (what may go this way).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from letterlock.database.errors import SealingSessionUnknown
from letterlock.errors import LetterlockError
from letterlock.flow.sealing import seal
from letterlock.flow.work import ClaimedMessage
from letterlock.mail.message import Buffer
from letterlock.queue import handover
from letterlock.queue.advance import Advanced, Finished, advance
from letterlock.vault.errors import FrameInvalid

if TYPE_CHECKING:
    from letterlock.config.start import Start
    from letterlock.flow.crafts import Crafts

IN_HAND = 300
OCTETS_IN_HAND = 16 << 20
PATIENCE = 0.3  # seconds a message waits for room, while others are being taken
KNOCK_EVERY = 0.05  # seconds between two tries to reach delivery
AGAIN_AFTER = 0.5  # seconds after which storing is tried again

_log = logging.getLogger("letterlock.flow")


@dataclass(slots=True)
class Handed:
    """One finished message on its way: what delivery is told, its octets, and what else storing it would need."""

    row: ClaimedMessage
    word: handover.Hand
    octets: Sequence[Buffer]
    size: int
    recipient: tuple[str, UUID | None]  # address, organisation


class HandOver:
    """The hand-over of one flow process."""

    def __init__(self, start: Start, crafts: Crafts) -> None:
        self._worker = start.worker
        self._token = start.hand_token
        self._path = str(start.run / handover.SOCKET)
        self._crafts = crafts
        self._link: _Link | None = None
        self._waiting: dict[bytes, Handed] = {}
        self._octets = 0
        self._not_taken: list[Handed] = []
        self._storing: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._freeing: set[asyncio.Task[None]] = set()
        self._welcomed = asyncio.Event()
        self._answer_came = asyncio.Event()
        self._taken_at = 0.0  # when delivery last said that something was taken

    async def open(self) -> None:
        """Return when delivery has said what it still holds of our predecessor's; free the rest."""
        self._keeping = asyncio.create_task(self._keep(), name="hand")
        await self._welcomed.wait()
        await self._crafts.leases.free()

    async def close(self, seconds: float) -> None:
        """Wait for answers, ``seconds`` at most; the leases of what is left end by themselves."""
        until = asyncio.get_running_loop().time() + seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while self._waiting or self._not_taken or self._storing is not None:
                    self._answer_came.clear()
                    await self._answer_came.wait()
        for task in [each for each in (self._keeping, self._storing, *self._freeing) if each is not None]:
            task.cancel()
        if self._link is not None:
            self._link.abort()

    async def room(self, size: int) -> bool:
        """Whether a message of ``size`` octets may be handed over; waits a moment when others are being taken.

        Storing a message costs more than waiting for its turn; a next hop that takes nothing is not waited for.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while not self._has_room(size):
            now = loop.time()
            taking = self._link is not None and now - self._taken_at < PATIENCE
            if not taking or now >= until or size > handover.HANDED_OCTETS:
                return False
            self._answer_came.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answer_came.wait(), until - now)
        return True

    def _has_room(self, size: int) -> bool:
        return (
            self._link is not None
            and self._welcomed.is_set()
            and size <= handover.HANDED_OCTETS
            and len(self._waiting) < IN_HAND
            and (self._octets + size <= OCTETS_IN_HAND or not self._waiting)
        )

    def give(self, batch: Iterable[Handed]) -> None:
        """Hand these over; when delivery has gone meanwhile they are stored."""
        pieces: list[Buffer] = []
        for each in batch:
            self._crafts.leases.hold(each.row.lease)
            self._waiting[each.row.id.bytes] = each
            self._octets += each.size
            if self._link is None:
                self._store(each)
                continue
            try:
                pieces += handover.frame(each.word, each.octets)
            except FrameInvalid:  # a trace that long: it was never given
                self._store(each)
        if pieces and self._link is not None:
            self._link.write(pieces)

    # what delivery says

    def welcomed(self, link: _Link, leases: list[bytes]) -> None:
        """Delivery is there, and has settled what its predecessor's journal said."""
        self._link = link
        elsewhere = self._crafts.leases.elsewhere = {UUID(bytes=lease) for lease in leases}
        for each in [each for each in self._waiting.values() if each.row.lease not in elsewhere]:
            self._store(each)
        self._welcomed.set()

    def over(self, lease: bytes) -> None:
        """Nothing of ``lease`` is in hand there: what has no answer was not taken, what nobody knows is due."""
        self._crafts.leases.elsewhere.discard(UUID(bytes=lease))
        for each in [each for each in self._waiting.values() if each.word.lease == lease]:
            self._store(each)
        task = asyncio.create_task(self._free_later())
        self._freeing.add(task)
        task.add_done_callback(self._freeing.discard)

    def answered(self, answer: handover.Answer) -> None:
        """What became of some."""
        if answer.settled:
            self._taken_at = asyncio.get_running_loop().time()
        for known in answer.settled:
            handed = self._waiting.pop(known, None)
            if handed is not None:
                if handed.row.segments:
                    self._crafts.store.remove(handed.row.id)
                self._forget(handed)
        for known in answer.not_taken:
            handed = self._waiting.get(known)
            if handed is not None:
                self._store(handed)
        self._answer_came.set()

    def lost(self, link: _Link) -> None:
        """The connection is gone; what was not answered waits for the next."""
        if self._link is link:
            self._link = None

    # inside

    async def _keep(self) -> None:
        """A connection, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            link = _Link(self)
            try:
                await loop.create_unix_connection(lambda link=link: link, self._path)  # type: ignore[misc]
            except OSError:
                await asyncio.sleep(KNOCK_EVERY)
                continue
            link.write(handover.frame(handover.Hello(self._token, self._worker.bytes)))
            await link.gone.wait()
            await asyncio.sleep(KNOCK_EVERY)

    async def _free_later(self) -> None:
        try:
            await self._crafts.leases.free()
        except LetterlockError as error:
            _log.warning("the leases were not given back: %s", error)

    def _forget(self, handed: Handed) -> None:
        self._octets -= handed.size
        self._crafts.leases.let_go(handed.row.lease)

    def _store(self, handed: Handed) -> None:
        """It takes the ordinary way."""
        self._waiting.pop(handed.row.id.bytes, None)
        self._not_taken.append(handed)
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())

    async def _store_all(self) -> None:
        try:
            while self._not_taken:
                batch, self._not_taken = self._not_taken, []
                left = await self._store_batch(batch)
                if left:
                    self._not_taken = left + self._not_taken
                    await asyncio.sleep(AGAIN_AFTER)
        finally:
            self._storing = None
            self._answer_came.set()

    async def _store_batch(self, batch: list[Handed]) -> list[Handed]:
        """Enter each lease's messages in one transaction; those that must be tried again."""
        left: list[Handed] = []
        for lease in dict.fromkeys(each.row.lease for each in batch):
            mine = [each for each in batch if each.row.lease == lease]
            try:
                done = await advance(self._crafts.gate, lease, [await self._sealed(each) for each in mine])
            except LetterlockError as error:
                if isinstance(error, SealingSessionUnknown):
                    self._crafts.sealer.reject(self._crafts.sealer.session().id)
                _log.warning("what was not taken could not be stored yet: %s", error)
                left += mine
                continue
            for each in mine:
                if each.row.id in done and each.row.segments:
                    self._crafts.store.remove(each.row.id)
                self._forget(each)
        return left

    async def _sealed(self, handed: Handed) -> Advanced:
        word = handed.word
        content = await seal(self._crafts, word.dispatch, handed.octets)
        return Advanced(
            id=handed.row.id,
            state="gone",
            due_at=datetime.now(UTC),
            trace=word.trace,
            deliveries=[
                Finished(
                    content=content,
                    method=word.method,
                    direction="incoming" if word.direction == "incoming" else "outgoing",
                    domain=word.domain,
                    next_hop=word.next_hop,
                    tls_min=word.tls_min,
                    expires_at=datetime.fromtimestamp(word.expires_at, UTC),
                    recipients=[handed.recipient],
                )
            ],
        )


class _Link(asyncio.Protocol):
    """One connection to delivery."""

    def __init__(self, hand: HandOver) -> None:
        self.gone = asyncio.Event()
        self._hand = hand
        self._reader = handover.FrameReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._hand.lost(self)
        self.gone.set()

    def data_received(self, octets: bytes) -> None:
        try:
            for word, _ in self._reader.feed(octets):
                if isinstance(word, handover.Answer):
                    self._hand.answered(word)
                elif isinstance(word, handover.Welcome):
                    self._hand.welcomed(self, word.leases)
                elif isinstance(word, handover.Over):
                    self._hand.over(word.lease)
        except FrameInvalid as error:
            _log.warning("the connection to delivery was closed: %s", error)
            self.abort()

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Send these octets."""
        if self._transport is not None:
            self._transport.writelines(pieces)

    def abort(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()
