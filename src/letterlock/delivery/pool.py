"""Connections kept per destination, and the messages that wait for them.

Order
    ``send`` puts a message into its destination's queue; lanes take from it. A few lanes are opened at once, more only
    when messages wait longer than PATIENCE: a fast next hop is served best by few lanes that pipeline.

Guarantees
    Every recipient of every message handed to ``send`` gets an Outcome; nothing is forgotten when a connection breaks.
    They are told as soon as they are known, before anything else is done with the connection.
    A message whose MAIL was never answered on a connection that had worked before, or whose envelope rode behind
    another's dot, is tried once more on another connection: nothing of it can have been taken. Every other break is the
    caller's to retry. No reply after the end of data is a deferral: it may have been taken.
    The TLS level is never below the floor handed in; lanes of different policies are never mixed.

Standards
    RFC 5321 4.5.4.1 (sending strategy), 5.1 (several hosts), 4.2.4.2 (421).

See also
    ``lane.py`` (one connection), ``outcome.py`` (what an answer means), ``agent.py`` (who calls).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import NamedTuple

from letterlock.delivery import outcome
from letterlock.delivery.lane import Lane, NextHopRefuses
from letterlock.delivery.next_hop import Host
from letterlock.delivery.outcome import Outcome
from letterlock.delivery.tls_policy import TlsPolicy, never_below
from letterlock.errors import LetterlockError
from letterlock.smtp.client import ConnectionBroke, Exchange, Job

FEW_LANES = 4
MANY_LANES = 20
PATIENCE = 0.25
"""Seconds a message waits before a further lane is opened for it."""

LANE_MESSAGES = 1_000
LANE_SECONDS = 600.0
IDLE_SECONDS = 20.0
TICK = 0.25
CLOSE_SECONDS = 5.0

_IN_CLEAR = TlsPolicy()


class Stopped(ConnectionBroke):
    """The delivery station was stopped before the message was sent."""


Tell = Callable[[list[Outcome]], None]
"""Takes the outcomes of one message, one for each recipient in their order; it does not raise."""


class _Entry:
    """One message on its way through the pool."""

    __slots__ = ("again", "job", "since", "stale_counts", "tell")

    def __init__(self, job: Job, tell: Tell, now: float) -> None:
        self.job = job
        self.tell = tell
        self.since = now
        self.again = False  # it is on its second connection
        self.stale_counts = False  # its connection had worked before, or it rode behind a dot


class Key(NamedTuple):
    """What lanes may be shared for."""

    destination: str
    policy: TlsPolicy


class _Destination:
    """The queue and the lanes of one Key; the lanes' Supply."""

    def __init__(self, pool: Pool, key: Key, hosts: Sequence[Host]) -> None:
        self.pool = pool
        self.key = key
        self.hosts = hosts
        self.waiting: deque[_Entry] = deque()
        self.lanes: set[Lane] = set()
        self.idle_since: dict[Lane, float] = {}
        self.opening = 0

    def put(self, entry: _Entry, *, first: bool = False) -> None:
        """One more message waits."""
        if first:
            self.waiting.appendleft(entry)
        else:
            self.waiting.append(entry)
        for lane in self.lanes:
            if lane.idle:
                lane.work()
                break
        if self.waiting and len(self.lanes) + self.opening < FEW_LANES:
            self.open()

    def next(self, lane: Lane) -> Exchange | None:
        """The lane's next message (Supply)."""
        now = self.pool.now()
        self.idle_since.pop(lane, None)
        if self.pool.stopping or lane.sent >= LANE_MESSAGES or now - lane.opened_at > LANE_SECONDS:
            if lane.idle:
                lane.retire()
            return None
        if not self.waiting:
            self.idle_since[lane] = now
            return None
        entry = self.waiting.popleft()
        entry.stale_counts = lane.sent > 0
        return Exchange(entry.job, partial(self._done, entry, lane))

    def ended(self, lane: Lane) -> None:
        """The lane is no more (Supply)."""
        self.lanes.discard(lane)
        self.idle_since.pop(lane, None)
        if self.waiting and not self.lanes and not self.opening:
            self.open()

    def has_socket(self, lane: Lane, open_: bool) -> None:
        """The lane's socket was opened, or is closed (Supply)."""
        self.pool.count(lane, open_)

    def open(self) -> None:
        """Begin to open one more lane."""
        self.opening += 1
        self.pool.spawn(self._open())

    async def _open(self) -> None:
        lane: Lane | None = None
        failure = Outcome("deferred", 451, "4.4.1", "There is no host to deliver to.", connected=False)
        try:
            for host in self.hosts:
                try:
                    lane = await Lane.open(self.pool.hostname, host, self.key.policy, self)
                    break
                except NextHopRefuses as error:
                    said = outcome.of_reply(error.answer.code, error.answer.text, host.name)
                    failure = said._replace(verdict="deferred", connected=False)  # even 5xx: it is about the host
                except LetterlockError as error:
                    failure = outcome.of_error(error, host.name)
        finally:
            self.opening -= 1
        if lane is not None:
            self.lanes.add(lane)
            lane.work()
        elif not self.lanes and not self.opening:
            while self.waiting:
                self._tell(self.waiting.popleft(), failure)

    def look(self, now: float) -> bool:
        """Called each TICK; False when there is nothing left to look after."""
        for lane in list(self.lanes):
            lane.look(now)
            if now - self.idle_since.get(lane, now) > IDLE_SECONDS:
                lane.retire()
        late = bool(self.waiting) and now - self.waiting[0].since > PATIENCE
        if late and not self.opening and len(self.lanes) < MANY_LANES:
            self.open()
        return bool(self.waiting or self.lanes or self.opening)

    def stop(self) -> None:
        """Nothing more is begun; idle lanes say QUIT."""
        while self.waiting:
            self._tell(self.waiting.popleft(), outcome.of_error(Stopped()))
        for lane in list(self.lanes):
            lane.retire()

    def _done(self, entry: _Entry, lane: Lane, exchange: Exchange) -> None:
        if self._is_stale(entry, lane, exchange):
            entry.again = True
            for other in [other for other in self.lanes if other is not lane and other.idle]:
                other.retire()  # of the same age, and as likely dead
            self.put(entry, first=True)
            return
        found = []
        for answer in exchange.answers:
            if answer is not None and (exchange.error is None or not answer.positive):
                found.append(outcome.of_reply(answer.code, answer.text, lane.host.name, exchange.reports))
            else:
                one = outcome.of_error(exchange.error or ConnectionBroke(), lane.host.name)
                found.append(one._replace(connected=True))
        entry.tell(found)

    def _is_stale(self, entry: _Entry, lane: Lane, exchange: Exchange) -> bool:
        """Whether nothing of the message was looked at, on a connection that was not made for it."""
        if entry.again or not entry.stale_counts or self.pool.stopping:
            return False
        return not exchange.touched and (isinstance(exchange.error, ConnectionBroke) or exchange.mail is not None)

    @staticmethod
    def _tell(entry: _Entry, found: Outcome) -> None:
        entry.tell([found] * len(entry.job.recipients))


class Pool:
    """All connections of one delivery process. One event loop; ``close`` at the end."""

    def __init__(self, hostname: str, policy: Callable[[str], TlsPolicy] = lambda destination: _IN_CLEAR) -> None:
        """``hostname``: what we say in EHLO, "" for the machine's; ``policy``: a destination's, before any floor."""
        self.hostname = hostname or socket.getfqdn()
        self.stopping = False
        self._closed = asyncio.Event()
        self._sockets: set[Lane] = set()
        self._policy = policy
        self._destinations: dict[Key, _Destination] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock: asyncio.TimerHandle | None = None

    def send(self, hosts: Sequence[Host], job: Job, tell: Tell, *, floor: int = 0, destination: str = "") -> None:
        """Send ``job`` to the first of ``hosts`` that takes mail; ``tell`` is called once, perhaps before this returns.

        ``floor``: the least TLS level (``tls_policy.Level``); ``destination``: what connections are shared by, the first
        host when empty. Raises ValueError for a floor that does not exist; nothing else.
        """
        loop = asyncio.get_running_loop()
        name = destination or (str(hosts[0]) if hosts else "")
        key = Key(name, never_below(self._policy(name), floor))
        entry = _Entry(job, tell, loop.time())
        if self.stopping:
            _Destination._tell(entry, outcome.of_error(Stopped()))
            return
        found = self._destinations.get(key)
        if found is None:
            found = self._destinations[key] = _Destination(self, key, hosts)
        found.hosts = hosts
        found.put(entry)
        if self._clock is None:
            self._clock = loop.call_later(TICK, self._tick)

    async def close(self) -> None:
        """Let messages that are being sent end, for CLOSE_SECONDS; refuse the others; QUIT."""
        self.stopping = True
        for destination in self._destinations.values():
            destination.stop()
        await self._wait_closed(CLOSE_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        for destination in list(self._destinations.values()):
            for lane in list(destination.lanes):
                lane.abort()
            destination.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wait_closed(1.0)
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._sockets)

    def count(self, lane: Lane, open_: bool) -> None:
        """A lane's socket was opened, or is closed."""
        if open_:
            self._sockets.add(lane)
        else:
            self._sockets.discard(lane)
            self._closed.set()

    async def _wait_closed(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sockets:
                    self._closed.clear()
                    await self._closed.wait()

    def now(self) -> float:
        """The event loop's clock."""
        return asyncio.get_running_loop().time()

    def spawn(self, work: Coroutine[object, None, None]) -> None:
        """Run a coroutine; it is kept until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key, destination in list(self._destinations.items()):
            if not destination.look(now):
                del self._destinations[key]
        self._clock = loop.call_later(TICK, self._tick) if self._destinations else None
