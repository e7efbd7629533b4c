"""Envelope and sealed content in, all or nothing; after it is done we may answer 250.

States
    waiting    handed to ``submit``; not sent to the database
    in flight  in the one commit that runs; what comes meanwhile waits and makes the next one
    accepted   committed with fsync: the future has its result, and the message is ours (RFC 5321 4.2.5, 6.1)

Order
    A call costs the database as much as six messages in it, so calls should be few. Clients that were answered together
    come back together, one after the other: a commit waits GATHER_FOR at most until as many messages are there as went
    with the last one. A client alone never waits, and where fewer come than before, one wait teaches it.

Guarantees
    A future's result means committed, never less. When the connection to the database broke during a commit, the same
    ids are sent again (queue.accept is idempotent by id) for RETRY_FOR seconds; then the message may or may not be ours,
    and its segment file must stay. One message that the database refuses does not take others of its batch with it.

Raises
    Into the future: whatever queue.accept raises.

See also
    ``database/sql/functions/queue/accept.sql``; design rule "one commit in flight".
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from letterlock.errors import LetterlockError
from letterlock.queue.columns import ContentColumns, columns

MAX_MESSAGES = 200
MAX_OCTETS = 8 << 20
"""Of the bodies in one call; only what lies in a row counts."""

GATHER_FOR = 0.005
"""Seconds; less than the commit takes that would otherwise be made for the first to come."""

RETRY_FOR = 10.0
"""Seconds a commit is tried again when the database is away."""

RETRY_AFTER = 0.1


class Entering(NamedTuple):
    """One message to accept. ``recipients``: address and organisation of each."""

    content: ContentColumns
    sender: str
    recipients: Sequence[tuple[str, UUID]]


class AcceptCall(Protocol):
    """queue.calls.accept with its gate."""

    async def __call__(self, **arrays: list[Any]) -> object:
        """All of the messages in these arrays, or none."""
        ...


def _end_wait(enough: asyncio.Future[None]) -> None:
    if not enough.done():
        enough.set_result(None)


class Acceptor:
    """Gathers messages into commits. One for each process."""

    def __init__(self, accept: AcceptCall, *, away: type[Exception] | tuple[type[Exception], ...] = ()) -> None:
        """``away``: what ``accept`` raises when it does not know whether it committed, or could not ask."""
        self._accept = accept
        self._away = away
        self._waiting: deque[tuple[Entering, asyncio.Future[None]]] = deque()
        self._commit: asyncio.Task[None] | None = None
        self._usual = 1  # messages in the last commit
        self._enough: asyncio.Future[None] | None = None  # while a commit waits for as many again

    def submit(self, message: Entering) -> asyncio.Future[None]:
        """The future is done when the message is committed, or refused."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((message, future))
        if self._enough is not None and len(self._waiting) >= self._usual:
            _end_wait(self._enough)
        if self._commit is None:
            self._commit = loop.create_task(self._run())
        return future

    async def finish(self) -> None:
        """Return when nothing waits or is in flight."""
        while self._commit is not None:
            await asyncio.wait((self._commit,))

    async def _run(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < self._usual:
                    await self._wait_gathered()
                batch = self._gathered()
                self._usual = len(batch)
                try:
                    await self._send([message for message, _ in batch])
                except Exception as error:
                    await self._refused(batch, error)
                else:
                    for _, future in batch:
                        if not future.done():
                            future.set_result(None)
        finally:
            self._commit = None

    async def _wait_gathered(self) -> None:
        loop = asyncio.get_running_loop()
        self._enough = loop.create_future()
        timer = loop.call_later(GATHER_FOR, _end_wait, self._enough)
        try:
            await self._enough
        finally:
            timer.cancel()
            self._enough = None

    def _gathered(self) -> list[tuple[Entering, asyncio.Future[None]]]:
        batch, octets = [self._waiting.popleft()], 0
        octets = len(batch[0][0].content.body)
        while self._waiting and len(batch) < MAX_MESSAGES:
            octets += len(self._waiting[0][0].content.body)
            if octets > MAX_OCTETS:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _send(self, messages: Sequence[Entering]) -> None:
        recipient_of, recipients, organisations = [], [], []
        for place, message in enumerate(messages, 1):
            for address, organisation in message.recipients:
                recipient_of.append(place)
                recipients.append(address)
                organisations.append(organisation)
        arrays: dict[str, list[Any]] = columns([message.content for message in messages])
        arrays.update(
            senders=[message.sender for message in messages],
            recipient_of=recipient_of,
            recipients=recipients,
            organisations=organisations,
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + RETRY_FOR
        while True:
            try:
                await self._accept(**arrays)
            except self._away:
                if loop.time() >= until:
                    raise
                await asyncio.sleep(RETRY_AFTER)
            else:
                return

    async def _refused(self, batch: list[tuple[Entering, asyncio.Future[None]]], error: Exception) -> None:
        """Temporary refusals hold for the whole batch; any other may be one message's fault, so each is asked alone."""
        whole = len(batch) == 1 or isinstance(error, self._away)
        if whole or (isinstance(error, LetterlockError) and not error.permanent):
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for message, future in batch:
            try:
                await self._send([message])
            except Exception as own:
                if not future.done():
                    future.set_exception(own)
            else:
                if not future.done():
                    future.set_result(None)
