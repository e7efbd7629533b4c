"""One connection: the protocol's events, who may what, and the answer to each message.

Guarantees
    250 to a message is said here and nowhere else, and only after queue.accept has committed (RFC 5321 4.2.5, 6.1).
    All connections of a process read into one buffer: a read is dealt with before the next begins, so an idle
    connection costs no buffer, and octets are looked at while they are in the cache.
    Between the answer to STARTTLS and the handshake nothing is read: what a client sent meanwhile meets the handshake.
    No exception ends in a traceback that could hold content; the peer gets 451 or 421.

Standards
    RFC 5321 3.1, 4.5.3.2 (time-outs), 3.8 (421); RFC 3207; RFC 3848 (protocol names).

See also
    ``smtp/server.py`` (the protocol), ``access.py`` (rights), ``intake.py`` (a message's way in), ``listener.py``.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from typing import TYPE_CHECKING, cast

from letterlock.errors import LetterlockError
from letterlock.mail import limits, reply
from letterlock.mail.address import Address
from letterlock.mail.envelope import Envelope, Trace
from letterlock.smtp.data import HEADROOM
from letterlock.smtp.door import Profile, State, Transaction
from letterlock.smtp.server import ServerSession
from letterlock.smtp.syntax import MailCommand, reply_of
from letterlock.smtpd import tls
from letterlock.smtpd.intake import Desk, Intake
from letterlock.telemetry.events import emit

if TYPE_CHECKING:
    from letterlock.smtpd.listener import Listener

READ_OCTETS = 128 << 10
LINGER_SECONDS = 20
"""How long the last reply may take to leave before the connection is cut."""

_log = logging.getLogger("letterlock.smtpd")
_NO_LABELS: dict[str, str] = {}
_buffer = bytearray(HEADROOM + READ_OCTETS)
_window = memoryview(_buffer)[HEADROOM:]


class Connection(asyncio.BufferedProtocol):
    """The Door and the transport of one ServerSession."""

    def __init__(self, listener: Listener, *, admitted: str = "") -> None:
        """``admitted``: the peer's address, when the listener has counted it already (before an implicit handshake)."""
        self.address = admitted
        self._listener = listener
        self._desk: Desk = listener.desk
        self._admitted = bool(admitted)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session: ServerSession | None = None
        self._certificate: tls.Certificate | None = None
        self._shaking = False  # from the answer to STARTTLS to the end of the handshake
        self._early: bytearray | None = None  # decrypted before start_tls has returned
        self._began_at = self._heard_at = self._loop.time()
        self._content_at = 0.0
        self._messages = 0
        self._stuck = False  # the peer does not read
        self._paused = False
        self._ended = False  # the peer has closed its side

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or refuse one connection too many."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._admitted:
            peer = transport.get_extra_info("peername")
            self.address = str(peer[0]) if peer else ""
        try:
            self._policy = self._desk.policy.current()
            refusal = None if self._admitted else self._listener.admit(self, self._policy)
        except LetterlockError:
            refusal = reply.UNAVAILABLE
        if refusal is not None:
            self._transport.write(refusal.octets)
            self._close()
            return
        secured = transport.get_extra_info("ssl_object")
        self._peer = self._policy.peer(self.address)
        self._session = ServerSession(self, self._profile())
        if secured is not None:
            self._secured(secured)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """The buffer of all connections."""
        return _window

    def buffer_updated(self, nbytes: int) -> None:
        """Octets came."""
        if self._early is not None:
            self._early += _window[:nbytes]
            return
        self._receive(_buffer, HEADROOM, HEADROOM + nbytes)

    def eof_received(self) -> bool:
        """The peer has nothing more to say; answers that are still owed are sent."""
        self._ended = True
        secured = self._session is None or bool(self._session.tls)
        return not secured and self._live.state is State.WAITING  # TLS cannot be half closed

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._listener.forget(self)
        if self._session is not None:
            self._session.lost()

    def pause_writing(self) -> None:
        """The peer does not read its answers: it gets no more of them."""
        self._stuck = True
        self._regulate()

    def resume_writing(self) -> None:
        """It reads again."""
        self._stuck = False
        self._regulate()

    # the listener's side

    @property
    def held(self) -> int:
        """Octets received but held back."""
        return self._session.held if self._session is not None else 0

    def stop(self) -> None:
        """Finish what was begun, then close."""
        if self._session is None or self._shaking:
            self._close()
        else:
            self._session.stop()
            self._flush()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def look(self, now: float) -> None:
        """Called each second: time-outs."""
        transport, session = self._transport, self._session
        if transport is None or self._shaking:  # the handshake has its own time-out
            return
        if transport.is_closing() or session is None:
            if now - self._heard_at > LINGER_SECONDS:
                transport.abort()
            return
        longest = self._policy.session_seconds
        dripping = session.state in (State.DATA, State.CHUNK) and now - self._content_at > limits.TRANSACTION_SECONDS
        if dripping or (session.patience and now - self._heard_at > session.patience):
            session.close(reply.TIMED_OUT)
            self._flush()
        elif now - self._began_at > longest:
            self.stop()

    # the protocol's side: its Door

    def mail(self, command: MailCommand) -> None:
        """A transaction may begin when it could also end: settings are known and something can be sealed."""
        policy = self._desk.policy.current()
        self._desk.sealer.session()
        if policy is not self._policy:
            self._policy = policy
            self._peer = policy.peer(self.address, self._certificate)
            self._live.profile = self._profile()

    def recipient(self, address: Address | None) -> Address:
        """Ask access.py."""
        return self._policy.recipient(self._peer, address)

    def content(self, transaction: Transaction) -> Intake:
        """The envelope is complete."""
        session, mail = self._live, transaction.mail
        forwarded = session.forwarded
        protocol = ("UTF8SMTP" if mail.smtputf8 else "ESMTP") if session.extended else "SMTP"
        envelope = Envelope(
            sender=str(mail.sender) if mail.sender else "",
            recipients=tuple(transaction.recipients.values()),
            origin="submission" if self._peer.relay else "internet",
            ret=mail.ret,
            envid=mail.envid,
            body=mail.body,
            smtputf8=mail.smtputf8,
            received_at=time.time(),
            trace=Trace(
                client=forwarded.get("ADDR") or self.address,
                helo=forwarded.get("HELO") or session.hello,
                protocol=protocol + "S" if session.tls and session.extended else protocol,
                tls=session.tls,
                certificate=session.certificate,
                by=self._desk.hostname,
            ),
        )
        self._content_at = self._loop.time()
        return Intake(self._desk, self._policy, envelope, self._outcome)

    def refused(self, answer: reply.Reply) -> None:
        """Count and log a refusal."""
        self._desk.meter("letterlock_messages_refused_total", 1, {"code": str(answer.code)})
        emit.message_refused(code=answer.code, status=answer.status, reason=answer.text)

    def fault(self, error: BaseException) -> None:
        """Log where it happened, not what: the text of a foreign exception could hold content."""
        at, frame = "", error.__traceback__
        while frame is not None:
            at, frame = f"{frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}", frame.tb_next
        _log.error("internal fault: %s at %s", type(error).__name__, at)

    # inside

    @property
    def _live(self) -> ServerSession:
        assert self._session is not None
        return self._session

    def _profile(self) -> Profile:
        starttls = self._desk.tls.context(self._loop.time()) is not None
        return self._policy.profile(self._peer, self._desk.hostname, starttls=starttls)

    def _receive(self, buffer: bytearray, start: int, end: int) -> None:
        self._heard_at = self._loop.time()
        session = self._live
        try:
            session.receive(buffer, start, end)
        except Exception as error:
            self.fault(error)
            session.close(reply.UNAVAILABLE)
        self._flush()

    def _flush(self) -> None:
        """Send what there is to say, and do what the session's state asks for."""
        transport, session = self._transport, self._session
        if transport is None or session is None or transport.is_closing():
            return
        if session.outgoing:
            transport.write(session.take())
        state = session.state
        if state is State.CLOSED or (self._ended and state is not State.WAITING):
            self._close()
        elif state is State.TLS and not self._shaking:
            self._start_tls()
        elif self._paused or session.held:
            self._regulate()

    def _regulate(self) -> None:
        """Read, or not: not while the peer does not read, nor while too much is held back."""
        if self._transport is None or self._transport.is_closing() or self._shaking:
            return
        pause = self._stuck or self._live.held > limits.MAX_HELD_OCTETS
        if pause and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not pause:
            self._transport.resume_reading()
        self._paused = pause

    def _close(self) -> None:
        self._heard_at = self._loop.time()
        if self._transport is not None:
            self._transport.close()

    def _start_tls(self) -> None:
        assert self._transport is not None
        context = self._desk.tls.context(self._loop.time())
        if context is None:
            self._close()
            return
        self._transport.pause_reading()
        self._shaking = True
        self._desk.spawn(self._loop.create_task(self._upgrade(self._transport, context)))

    async def _upgrade(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        # What was read up to here went to the session, which drops it; what comes from here on comes out of TLS, since
        # start_tls puts itself before us in its first step.
        self._early = bytearray()
        try:
            secured = await self._loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=limits.HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError) as error:
            _log.info("no TLS with %s: %s", self.address, getattr(error, "reason", None) or type(error).__name__)
            self._listener.forget(self)
            transport.abort()
            return
        if secured is None:
            return
        self._transport = secured
        self._secured(secured.get_extra_info("ssl_object"))
        early, self._early, self._shaking = self._early, None, False
        if early:
            self._receive(bytearray(HEADROOM) + early, HEADROOM, HEADROOM + len(early))
        else:
            self._flush()

    def _secured(self, connection: ssl.SSLObject) -> None:
        text, self._certificate = tls.describe(connection)
        self._peer = self._policy.peer(self.address, self._certificate)
        self._live.tls_started(text, self._certificate.subject if self._certificate else "", self._profile())

    def _outcome(self, intake: Intake, error: BaseException | None) -> None:
        """The one place that says 250 to a message."""
        if error is None:
            self._accepted(intake)
            answer = reply.ACCEPTED.because(f"Accepted as {intake.id}")
        elif isinstance(error, LetterlockError):
            _log.warning("message %s not accepted: %s", intake.id, error)
            answer = reply_of(error)
        else:
            self.fault(error)
            answer = reply.NOT_NOW
        if not answer.positive:
            self.refused(answer)
        self._heard_at = self._loop.time()
        self._live.answer(answer)
        self._flush()

    def _accepted(self, intake: Intake) -> None:
        self._messages += 1
        if self._messages >= self._policy.messages_per_connection:
            self._live.stopping = True
        meter, recipients = self._desk.meter, len(intake.envelope.recipients)
        meter("letterlock_messages_accepted_total", 1, _NO_LABELS)
        meter("letterlock_recipients_accepted_total", recipients, _NO_LABELS)
        meter("letterlock_accepted_octets", intake.size, _NO_LABELS)
        meter("letterlock_accept_seconds", time.monotonic() - intake.finished_at, _NO_LABELS)
        emit.message_accepted(
            id=intake.id,
            recipients=recipients,
            octets=intake.size,
            seconds=self._loop.time() - self._content_at,
            tls=intake.envelope.trace.tls,
        )
