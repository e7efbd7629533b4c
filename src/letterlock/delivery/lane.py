"""One connection to a next hop: greeting, TLS, then one message after the other, pipelined.

Order
    ``open`` connects and agrees on TLS; then the lane takes jobs from its Supply until it is told to retire. While the
    content of one message is on its way the next one is asked for, and its envelope rides behind the dot.

Guarantees
    No octet of a message is sent below the level of the TLS policy. Content that does not open, or has a bare CR or LF,
    breaks the connection before the end of data: the server never takes half a message for a whole one.
    Content is read piece by piece as the connection takes it; at most WRITE_OCTETS and one piece are in memory.

Standards
    RFC 5321 3.1, 3.2, 4.5.3.2 (time-outs); RFC 3207 4; RFC 2920 3.1.

See also
    ``smtp/client.py`` (the protocol), ``pool.py`` (whose lanes these are), ``tls_policy.py``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Generator
from typing import Protocol, cast

from letterlock.delivery import tls_policy
from letterlock.delivery.next_hop import Host
from letterlock.delivery.tls_policy import Level, TlsFailed, TlsNotOffered, TlsPolicy
from letterlock.errors import LetterlockError, SystemFailure, TemporaryError
from letterlock.mail import limits
from letterlock.smtp.answers import Answer, AnswerInvalid
from letterlock.smtp.client import ClientSession, Exchange, Phase
from letterlock.smtp.data import Octets, stuffed

WRITE_OCTETS = 256 << 10


class NextHopUnreachable(TemporaryError):
    """The next hop could not be reached."""

    status = "4.4.1"


class NextHopRefuses(TemporaryError):
    """The next hop's server accepts no mail now."""

    status = "4.4.0"

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Supply(Protocol):
    """Where a lane's work comes from."""

    def next(self, lane: Lane) -> Exchange | None:
        """The next message for this lane, when there is one."""

    def ended(self, lane: Lane) -> None:
        """The lane takes no more messages."""

    def has_socket(self, lane: Lane, open_: bool) -> None:
        """The lane's socket was opened, or is closed."""


class Lane(asyncio.Protocol):
    """One connection. Made by ``open``."""

    def __init__(self, hostname: str, host: Host, supply: Supply) -> None:
        self.host = host
        self.tls = ""
        self.sent = 0  # messages begun
        self.opened_at = 0.0
        self.session = ClientSession(hostname, self._content_wanted)
        self._supply = supply
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._content: Generator[Octets] | None = None
        self._heard: asyncio.Future[Answer] | None = None  # the handshake waits for it
        self._greeted: asyncio.Future[Answer] = self._loop.create_future()
        self._ready = False
        self._paused = False
        self._gone = False
        self._progress_at = self._loop.time()

    # The beginning

    @classmethod
    async def open(cls, hostname: str, host: Host, policy: TlsPolicy, supply: Supply) -> Lane:
        """A lane that is ready for messages. Raises NextHopUnreachable, NextHopRefuses, TlsNotOffered, TlsFailed."""
        try:
            return await cls._open(hostname, host, policy, supply)
        except TlsFailed:
            if policy.level > Level.MAY:
                raise
            return await cls._open(hostname, host, policy._replace(level=Level.NONE), supply)  # RFC 7435 3

    @classmethod
    async def _open(cls, hostname: str, host: Host, policy: TlsPolicy, supply: Supply) -> Lane:
        lane = cls(hostname, host, supply)
        try:
            async with asyncio.timeout(limits.CONNECT_SECONDS):
                await lane._loop.create_connection(lambda: lane, host.name, host.port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that is none
            raise NextHopUnreachable(detail=f"{host.name}: {type(error).__name__}") from error
        try:
            await lane._handshake(policy)
        except BaseException:
            lane.abort()
            raise
        lane._ready = True
        lane.opened_at = lane._loop.time()
        return lane

    async def _handshake(self, policy: TlsPolicy) -> None:
        session = self.session
        greeting = await self._answered(self._greeted)
        if greeting.code != 220:
            raise NextHopRefuses(greeting)
        await self._hello()
        if policy.level is not Level.NONE and "STARTTLS" in session.extensions:
            answer = await self._hear(session.starttls)
            if answer.code == 220:
                await self._secure(policy)
                await self._hello()
            elif policy.level > Level.MAY:
                raise TlsNotOffered(detail=f"STARTTLS was answered {answer.code}")
        elif policy.level > Level.MAY:
            raise TlsNotOffered

    async def _hello(self) -> None:
        answer = await self._hear(self.session.hello)
        if 500 <= answer.code < 600:
            answer = await self._hear(lambda tell: self.session.hello(tell, extended=False))
        if answer.code != 250:
            raise NextHopRefuses(answer)

    async def _hear(self, ask: Callable[[Callable[[Answer], None]], None]) -> Answer:
        """Ask one thing and wait for its answer; ``look`` minds the time."""
        if self._gone:
            raise NextHopUnreachable(detail=f"{self.host.name}: connection lost")
        heard: asyncio.Future[Answer] = self._loop.create_future()
        self._heard = heard

        def tell(answer: Answer) -> None:
            if not heard.done():
                heard.set_result(answer)

        if self._gone:
            raise NextHopUnreachable(detail=f"{self.host.name}: connection lost")
        ask(tell)
        self._flush()
        return await self._answered(heard)

    async def _answered(self, heard: asyncio.Future[Answer]) -> Answer:
        """The answer, within the session's patience; raises NextHopUnreachable without one."""
        self._heard = heard
        if self._gone and not heard.done():
            raise NextHopUnreachable(detail=f"{self.host.name}: connection lost")
        try:
            async with asyncio.timeout(self.session.patience or limits.GREETING_SECONDS):
                return await heard
        except TimeoutError as error:
            raise NextHopUnreachable(detail=f"{self.host.name}: no answer") from error
        finally:
            self._heard = None

    async def _secure(self, policy: TlsPolicy) -> None:
        if self._gone or self._transport is None:
            raise TlsFailed(detail=f"{self.host.name}: connection lost")
        verify = policy.level >= Level.VERIFY
        context = tls_policy.context(verify, policy.anchors)
        try:
            secured = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_hostname=policy.name or self.host.name,
                ssl_handshake_timeout=limits.HANDSHAKE_SECONDS,
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a name no certificate can have
            self._supply.has_socket(self, False)  # asyncio does not tell of a connection that fails in its handshake
            reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
            raise TlsFailed(detail=f"{self.host.name}: {reason}") from error
        if secured is None:
            raise TlsFailed(detail=self.host.name)
        self._transport = secured
        connection = secured.get_extra_info("ssl_object")
        assert isinstance(connection, ssl.SSLObject)
        cipher = connection.cipher()
        self.tls = f"{connection.version()} {cipher[0] if cipher else ''}".strip()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_OCTETS)
        self._supply.has_socket(self, True)
        # The server speaks first, and may have spoken before the handshake gets to run: expect it from here on.
        self.session.greeting(self._greet)

    def _greet(self, answer: Answer) -> None:
        if not self._greeted.done():
            self._greeted.set_result(answer)

    def data_received(self, octets: bytes) -> None:
        """Replies came."""
        try:
            self.session.receive(octets)
        except AnswerInvalid as error:
            self._break(error)
            return
        if self._ready:
            self.work()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._supply.has_socket(self, False)
        self._end(None)

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._paused = False
        self._progress_at = self._loop.time()
        if self._content is not None:
            self._send_content()

    # the pool's side

    @property
    def idle(self) -> bool:
        """True when nothing is being sent or waited for."""
        return self._ready and not self._gone and not self.session.exchanges and not self.session.closing

    @property
    def secure(self) -> bool:
        """TLS is on."""
        return bool(self.tls)

    def work(self) -> None:
        """Take the next message, if this lane has none; send what there is to send."""
        session = self.session
        while not session.exchanges and self.idle:
            exchange = self._supply.next(self)
            if exchange is None:
                break
            self.sent += 1
            session.begin(exchange)
        self._flush()
        if session.closing and not session.exchanges and not session.patience:
            self._close()

    def retire(self) -> None:
        """Say QUIT when idle."""
        if self.idle:
            self.session.quit()
            self._flush()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()
        self._end(None)

    def look(self, now: float) -> None:
        """Called now and then: time-outs (RFC 5321 4.5.3.2)."""
        patience = limits.BLOCK_SECONDS if self._content is not None else self.session.patience
        if patience and now - self._progress_at > patience:
            self._break(None)

    # inside

    def _content_wanted(self, exchange: Exchange) -> None:
        self._content = stuffed(exchange.job.content(), normalise=exchange.job.normalise)
        self._send_content()

    def _send_content(self) -> None:
        """Write content until it ends or the peer falls behind; then the end of data and the next envelope."""
        assert self._transport is not None
        assert self._content is not None
        exchange = self.session.exchanges[0]
        pieces: list[Octets] = self.session.take()
        size = 0
        try:
            for piece in self._content:
                pieces.append(piece)
                size += len(piece)
                if size >= WRITE_OCTETS:
                    self._transport.writelines(pieces)
                    pieces, size = [], 0
                    if self._paused:
                        self._progress_at = self._loop.time()
                        return
        except LetterlockError as error:
            self._break(error)
            return
        except Exception as error:
            self._break(SystemFailure(detail=type(error).__name__))
            return
        self._content = None
        self.session.end(exchange)
        if self.session.pipelines and not self.session.closing:
            following = self._supply.next(self)
            if following is not None:
                self.sent += 1
                self.session.begin(following)
        self._transport.writelines([*pieces, *self.session.take()])
        self._progress_at = self._loop.time()

    def _flush(self) -> None:
        self._progress_at = self._loop.time()
        if self.session.outgoing and self._transport is not None:
            self._transport.writelines(self.session.take())

    def _break(self, error: LetterlockError | None) -> None:
        """End the connection without another word; ``error``: why the message being sent cannot be."""
        if self._transport is not None:
            self._transport.abort()
        self._end(error)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._end(None)

    def _end(self, error: LetterlockError | None) -> None:
        if self._gone:
            return
        self._gone = True
        if self._content is not None:
            self._content.close()
            self._content = None
        if self._heard is not None and not self._heard.done():
            self._heard.set_exception(error or NextHopUnreachable(detail=f"{self.host.name}: connection lost"))
        if error is not None and self.session.exchanges and self.session.exchanges[0].phase is Phase.CONTENT:
            self.session.exchanges[0].finish(error)
            self.session.exchanges.popleft()
        self.session.lost()
        self._supply.ended(self)
