"""What flow hands over: sent at once, settled in batches, answered; what the next hop does not take at once goes back.

Order
    Hello, Welcome; for each Hand an attempt. Taken: journalled, then gathered into one queue.settle_handed; after its
    commit flow is answered. Not taken, for whatever reason: flow is answered, and stores it.

Guarantees
    No report is made here and nothing is tried twice: whatever is not simply taken takes the ordinary way.
    A flow that goes away changes nothing: what it handed over is sent and settled, and its successor is told when.
    It listens only after the journal of its predecessor is settled.

See also
    ``queue/handover.py``, ``flow/hand.py`` (the other end), ``agent.py`` (what comes through the queue).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple, cast
from uuid import UUID

import msgspec

from letterlock.config.sockets import bind
from letterlock.config.start import Start
from letterlock.delivery.attempt import Attempt, Fates, Station
from letterlock.delivery.bounce import Fated
from letterlock.delivery.journal import Journal
from letterlock.delivery.outcome import Outcome
from letterlock.errors import LetterlockError
from letterlock.queue import calls, handover
from letterlock.queue.message import Dispatch, decode_dispatch
from letterlock.queue.settle import Settled
from letterlock.vault.errors import FrameInvalid

IN_HAND = 400
PER_HOP = 120
REST_SECONDS = 60.0  # nothing is taken for a destination that could not be reached
MOST_RESTS = 10_000  # destinations remembered
GATHER_FOR = 0.006  # seconds a commit waits, at most, for as many as went with the last
MOST = 60  # of one commit
AGAIN_AFTER = 0.5
DRAIN_FOR = 20.0  # seconds that what is in hand may take when the station stops

_NO_ID = UUID(int=0)
_log = logging.getLogger("letterlock.delivery")


class _HandedAttempt(Attempt):
    """One attempt at what was handed over; ``ended`` is told done or not, and nothing else follows."""

    def __init__(
        self,
        station: Station,
        word: handover.Hand,
        content: list[bytes],
        note: Callable[[calls.ClaimedDelivery, list[str], bool], int],
        ended: Callable[[Attempt, Settled, int], None],
    ) -> None:
        super().__init__(station, _row(word, sum(map(len, content))), None, note, ended)
        self.word = word
        self._content = content
        self.reached = True

    def _open(self) -> None:
        self._dispatch: Dispatch = decode_dispatch(self.word.dispatch)
        self._waiting = list(self._dispatch.recipients)
        if len(self._waiting) != 1:
            raise LetterlockError("A message for several recipients was handed over.", detail=str(self.row.id))

    def _octets(self) -> Iterator[bytes]:
        return iter(self._content)

    def _follow(self, outcomes: list[Outcome]) -> None:
        fated = Fated(self._waiting[0], outcomes[0])
        taken = outcomes[0].verdict == "delivered"
        self.reached = outcomes[0].connected
        row = self.row
        settled = Settled(row.id, row.lease, taken, row.domain, outcomes[0].reply)
        journal = 0
        if taken:
            address = fated.recipient.address
            settled.outcomes = [(address, "delivered")]
            journal = self._note(row, [address], True)
        self._end(settled, Fates([fated] if taken else [], [] if taken else [fated], []), journal)


class _Taken(NamedTuple):
    """One that the next hop took and that is not settled yet."""

    attempt: _HandedAttempt
    settled: Settled
    journal: int


class Hands:
    """Everything handed over to one delivery process."""

    def __init__(self, start: Start, station: Station, journal: Journal) -> None:
        self._start = start
        self._station = station
        self._journal = journal
        self._givers: dict[bytes, _Giver] = {}  # the newest connection of each worker
        self._server: asyncio.Server | None = None
        self._in_hand: dict[_HandedAttempt, _Giver] = {}
        self._to: Counter[str] = Counter()
        self._rests: dict[str, float] = {}  # destination: until when
        self._taken: list[_Taken] = []
        self._settling: asyncio.Task[None] | None = None
        self._usual = 1
        self._enough: asyncio.Event = asyncio.Event()
        self._idle = asyncio.Event()

    async def listen(self, path: Path) -> None:
        """From now on flow may call."""
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Giver(self), sock=bind(path))

    async def serve(self) -> None:
        """Until the station stops and nothing is in hand, or DRAIN_FOR is over; then flow is left alone."""
        await self._start.stopping.wait()  # from now on nothing new is taken
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_FOR):
                while self._in_hand:
                    self._idle.clear()
                    await self._idle.wait()
        if self._server is not None:
            self._server.close()
        for giver in list(self._givers.values()):
            giver.close()

    # what a giver says

    def knows(self, token: bytes) -> bool:
        """Whether it is the token both ends were given."""
        return bool(self._start.hand_token) and hmac.compare_digest(token, self._start.hand_token)

    def welcome(self, giver: _Giver) -> None:
        """A flow process, or its successor."""
        self._givers[giver.worker] = giver
        held = {attempt.word.lease for attempt, by in self._in_hand.items() if by.worker == giver.worker}
        giver.say(handover.Welcome(sorted(held)))

    def gone(self, giver: _Giver) -> None:
        """It went away."""
        if self._givers.get(giver.worker) is giver:
            del self._givers[giver.worker]

    def take(self, giver: _Giver, word: handover.Hand, content: list[bytes]) -> None:
        """Send it, or say at once that it is not taken."""
        destination = word.next_hop or word.domain
        now = asyncio.get_running_loop().time()
        if (
            self._start.stopping.is_set()
            or len(self._in_hand) >= IN_HAND
            or self._to[destination] >= PER_HOP
            or self._rests.get(destination, 0.0) > now
        ):
            giver.say(handover.Answer(not_taken=[word.id]))
            return
        self._rests.pop(destination, None)
        attempt = _HandedAttempt(self._station, word, content, self._note, self._ended)
        self._in_hand[attempt] = giver
        self._to[destination] += 1
        attempt.begin()

    # what becomes of it

    def _note(self, row: calls.ClaimedDelivery, recipients: list[str], complete: bool) -> int:
        return self._journal.note(row.lease, row.id, recipients, complete, handed=True)

    def _ended(self, attempt: Attempt, settled: Settled, journal: int) -> None:
        assert isinstance(attempt, _HandedAttempt)
        destination = attempt.word.next_hop or attempt.word.domain
        self._to[destination] -= 1
        if not self._to[destination]:
            del self._to[destination]
        if settled.done:
            self._taken.append(_Taken(attempt, settled, journal))
            if len(self._taken) >= self._usual:
                self._enough.set()
            if self._settling is None:
                self._settling = asyncio.create_task(self._settle_all())
            return
        if not attempt.reached:
            now = asyncio.get_running_loop().time()
            if len(self._rests) >= MOST_RESTS:  # whoever writes to many dead domains must not fill our memory
                self._rests = {name: until for name, until in self._rests.items() if until > now}
            if len(self._rests) < MOST_RESTS:
                self._rests[destination] = now + REST_SECONDS
        self._answer({attempt: False})

    async def _settle_all(self) -> None:
        """Gather, commit, answer; one commit in flight."""
        try:
            while self._taken:
                if len(self._taken) < self._usual:
                    self._enough.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._enough.wait(), GATHER_FOR)
                batch, self._taken = self._taken[:MOST], self._taken[MOST:]
                self._usual = len(batch)
                try:
                    await self._settle(batch)
                except LetterlockError as error:  # the journal keeps them until it is done
                    _log.warning("what was taken could not be settled yet: %s", error)
                    self._taken = batch + self._taken
                    await asyncio.sleep(AGAIN_AFTER)
        finally:
            self._settling = None

    async def _settle(self, batch: list[_Taken]) -> None:
        await calls.settle_handed(
            self._station.gate,
            ids=[each.settled.id for each in batch],
            addresses=[each.settled.outcomes[0][0] for each in batch],
            replies=[each.settled.reply for each in batch],
            traces=[each.attempt.word.trace for each in batch],
        )
        for each in batch:
            self._journal.settled(each.journal)
        self._answer({each.attempt: True for each in batch})

    def _answer(self, ended: dict[_HandedAttempt, bool]) -> None:
        """Tell each giver what became of its own, and successors when nothing of a lease is left."""
        answers: dict[_Giver, handover.Answer] = {}
        for attempt, taken in ended.items():
            giver = self._in_hand.pop(attempt)
            answer = answers.setdefault(giver, handover.Answer([], []))
            (answer.settled if taken else answer.not_taken).append(attempt.word.id)
        for giver, answer in answers.items():
            if giver.is_open:
                giver.say(answer)
                continue
            successor = self._givers.get(giver.worker)
            left = {attempt.word.lease for attempt, by in self._in_hand.items() if by is giver}
            for lease in {attempt.word.lease for attempt in ended} - left:
                if successor is not None:
                    successor.say(handover.Over(lease))
        if not self._in_hand:
            self._idle.set()


class _Giver(asyncio.Protocol):
    """One connection of a flow process."""

    def __init__(self, hands: Hands) -> None:
        self.worker = b""
        self._hands = hands
        self._reader = handover.FrameReader()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._hands.gone(self)

    def data_received(self, octets: bytes) -> None:
        try:
            for word, content in self._reader.feed(octets):
                if self.worker and isinstance(word, handover.Hand):
                    self._hands.take(self, word, content)
                elif not self.worker and isinstance(word, handover.Hello) and self._hands.knows(word.token):
                    self.worker = word.worker
                    self._hands.welcome(self)
                else:
                    raise FrameInvalid(detail="a word that is not expected here")
        except (FrameInvalid, msgspec.DecodeError) as error:
            _log.warning("a connection of flow was closed: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def say(self, word: handover.Word) -> None:
        """Send one word."""
        if self._transport is not None:
            self._transport.writelines(handover.frame(word))

    def close(self) -> None:
        """Say no more."""
        if self._transport is not None:
            self._transport.close()


def _row(word: handover.Hand, size: int) -> calls.ClaimedDelivery:
    """The word as an attempt wants it: the columns a stored delivery would have."""
    return calls.ClaimedDelivery(
        id=UUID(bytes=word.id),
        lease=UUID(bytes=word.lease),
        attempts=1,
        message_id=UUID(bytes=word.id),
        method=word.method,
        direction=word.direction,
        domain=word.domain,
        next_hop=word.next_hop,
        tls_min=word.tls_min,
        accepted_at=datetime.fromtimestamp(word.accepted_at, UTC),
        expires_at=datetime.fromtimestamp(word.expires_at, UTC),
        delayed=False,
        size=size,
        segments=0,
        session=_NO_ID,
        day=date.min,
        commitment=b"",
        envelope=b"",
        manifest=b"",
        body=b"",
        recipients=[],
    )
