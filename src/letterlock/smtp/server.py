"""The server's side of SMTP, without input or output: octets in, replies out, decisions asked of a Door.

States
    ======== =========================================================================================================
    command  waits for a command line
    data     takes the content of DATA, up to CRLF "." CRLF
    chunk    takes the octets of one BDAT command
    waiting  the content is with its sink; the answer to it comes by ``answer``; further input is held back
    tls      STARTTLS was answered; only ``tls_started`` leads out; all input meanwhile is dropped
    closed   nothing is read any more; what is in ``outgoing`` is still to be sent
    ======== =========================================================================================================

Guarantees
    Nothing received before TLS is used after it; input that came together with STARTTLS ends the connection (RFC 3207).
    Content is never read as commands: DATA with input behind it ends the connection, a refused BDAT is read to its end.
    The answers to a burst of commands lie in ``outgoing`` together (RFC 2920 3.2: one write).
    Whatever the Door or the sink raises becomes a reply; text of an exception that is not ours never does.

Standards
    RFC 5321, 1870, 2034, 2920, 3030, 3207, 3461, 6152, 6531. Not offered: BINARYMIME, AUTH, LMTP.

See also
    ``verbs.py`` for the commands, ``syntax.py`` for the grammar, ``data.py`` for content, ``door.py`` for the Door.
"""

from __future__ import annotations

from letterlock.errors import LetterlockError
from letterlock.mail import limits, reply
from letterlock.mail.reply import Reply
from letterlock.smtp import syntax, verbs
from letterlock.smtp.data import HEADROOM, ChunkDecoder, DataDecoder
from letterlock.smtp.door import ContentSink, Door, Profile, State, Transaction
from letterlock.smtp.syntax import CommandRefused


class ServerSession:
    """One connection. The caller reads ``take``, ``state``, ``closed``, ``held`` and ``patience`` after each call."""

    def __init__(self, door: Door, profile: Profile) -> None:
        self.profile = profile
        self.state = State.COMMAND
        self.outgoing: list[bytes] = [f"220 {profile.hostname} ESMTP Letterlock\r\n".encode("ascii")]
        self.hello = ""
        self.extended = False
        self.tls = ""
        self.certificate = ""
        self.forwarded: dict[str, str] = {}
        self.transaction: Transaction | None = None
        self.decoder: DataDecoder | ChunkDecoder | None = None
        self.sink: ContentSink | None = None
        self.stopping = False
        self.door = door
        self._backlog = bytearray()
        self._busy = False
        self._errors = 0
        self._idle_commands = 0

    @property
    def held(self) -> int:
        """Octets received but not yet looked at; the caller stops reading when they grow (MAX_HELD_OCTETS)."""
        return len(self._backlog)

    @property
    def patience(self) -> float:
        """Seconds to wait for the peer's next octets (RFC 5321 4.5.3.2); 0 while it waits for us."""
        if self.state is State.WAITING:
            return 0
        allowed = self.profile.command_seconds
        return min(allowed, limits.CONTENT_SECONDS) if self.state in (State.DATA, State.CHUNK) else allowed

    @property
    def closed(self) -> bool:
        """True when the connection is to be closed once ``outgoing`` is sent."""
        return self.state is State.CLOSED

    def take(self) -> bytes:
        """The octets to send now; empty when there are none."""
        octets = self.outgoing[0] if len(self.outgoing) == 1 else b"".join(self.outgoing)
        self.outgoing.clear()
        return octets

    def receive(self, buffer: bytearray, start: int, end: int) -> None:
        """Octets from the peer: ``buffer[start:end]``, with HEADROOM free octets before; not used after return."""
        if self.state is State.WAITING:
            self._backlog += memoryview(buffer)[start:end]
            return
        if self._backlog:
            self._backlog += memoryview(buffer)[start:end]
            buffer, start, end = self._unhold()
        self._process(buffer, start, end)

    def answer(self, answer: Reply) -> None:
        """The reply to the content that ``finish`` handed over; goes on with what came meanwhile."""
        if self.state is not State.WAITING:
            return
        self.state = State.COMMAND
        self.sink = None
        self.reset()
        if answer.positive:
            self._errors = self._idle_commands = 0
        self.say(answer)
        if self.stopping:
            self.close(reply.SHUTTING_DOWN)
        elif self._backlog and not self._busy:
            self._process(*self._unhold())

    def close(self, answer: Reply) -> None:
        """Say ``answer`` (421 or 221) and read nothing more."""
        self.say(answer)
        self.reset()
        self.state = State.CLOSED

    def stop(self) -> None:
        """Close with 421 as soon as no transaction is open."""
        self.stopping = True
        if self.state is State.COMMAND and self.transaction is None:
            self.close(reply.SHUTTING_DOWN)

    def lost(self) -> None:
        """The connection is gone; content that did not end is abandoned, content that waits for its answer is not."""
        if self.state is not State.WAITING:
            self.reset()
        self.state = State.CLOSED

    def tls_started(self, tls: str, certificate: str, profile: Profile) -> None:
        """TLS is on; ``certificate``: the verified subject or "". All said before is forgotten (RFC 3207 4.2)."""
        self.tls, self.certificate, self.profile = tls, certificate, profile
        self.hello, self.extended = "", False
        self._backlog.clear()
        self.reset()
        if self.state is State.TLS:
            self.state = State.COMMAND

    def _unhold(self) -> tuple[bytearray, int, int]:
        buffer = bytearray(HEADROOM) + self._backlog
        self._backlog.clear()
        return buffer, HEADROOM, len(buffer)

    def _process(self, buffer: bytearray, start: int, end: int) -> None:
        self._busy = True
        while start < end:
            if self.state is State.COMMAND:
                start = self._line(buffer, start, end)
            elif self.state in (State.DATA, State.CHUNK):
                start = self.content(buffer, start, end)
            elif self.state is State.WAITING:
                self._backlog += memoryview(buffer)[start:end]
                break
            else:
                break
        self._busy = False

    def _line(self, buffer: bytearray, start: int, end: int) -> int:
        """One command line, ended by CRLF alone; returns where the next begins."""
        stop = buffer.find(b"\r\n", start, end)
        after = stop + 2
        if self.profile.normalise and (feed := buffer.find(b"\n", start, end)) >= 0 and feed != stop + 1:
            stop, after = feed, feed + 1
        if stop >= 0:
            self._command(buffer[start:stop], more=after < end)
            return after
        if end - start > self.profile.max_command_octets:
            self.close(reply.LINE_TOO_LONG)
        elif buffer.endswith(b"\n", start, end):
            self.close(reply.BAD_LINE)  # it will not send a CRLF, and waits for an answer
        else:
            self._backlog += memoryview(buffer)[start:end]
        return end

    def _command(self, line: bytearray, *, more: bool) -> None:
        """``more``: the peer has sent further octets already."""
        try:
            if len(line) > self.profile.max_command_octets:
                raise CommandRefused(reply.LINE_TOO_LONG)
            verb, _, argument = syntax.text_of(line).partition(" ")
            handler = verbs.HANDLERS.get(verb.upper())
            if handler is None:
                raise CommandRefused(reply.UNKNOWN_COMMAND)
            handler(self, argument.rstrip(" "), more)
        except LetterlockError as error:
            self.refuse(syntax.reply_of(error))
        except Exception as error:
            self.door.fault(error)
            self.refuse(reply.NOT_NOW)

    def content(self, buffer: bytearray, start: int, end: int) -> int:
        """Octets of content; returns where commands begin again."""
        decoder = self.decoder
        assert decoder is not None
        after = decoder.feed(buffer, start, end)
        if decoder.fault and self.sink:
            self.abandon()
        if decoder.hopeless:
            self.close(decoder.fault or reply.TOO_BIG)
            return end
        if isinstance(decoder, ChunkDecoder):
            if not decoder.left:
                self._end_of_chunk(decoder)
        elif after < 0:
            return end
        else:
            self._end_of_content(decoder)
        return after

    def _end_of_chunk(self, decoder: ChunkDecoder) -> None:
        if decoder.last:
            self._end_of_content(decoder)
            return
        self.state = State.COMMAND
        if decoder.fault:
            self.refuse(decoder.fault)
            if self.transaction is None:
                self.decoder = None
        else:
            self.say(reply.CHUNK_OK)

    def _end_of_content(self, decoder: DataDecoder | ChunkDecoder) -> None:
        self.state = State.COMMAND
        if decoder.fault:
            self.reset()
            self.refuse(decoder.fault)
            return
        assert self.sink is not None
        self.state = State.WAITING
        try:
            self.sink.finish()
        except LetterlockError as error:
            self.answer(syntax.reply_of(error))
        except Exception as error:
            self.door.fault(error)
            self.answer(reply.NOT_NOW)

    def write(self, octets: bytes) -> None:
        """The decoder's way to the sink; a fault there refuses the content, it does not stop the reading."""
        assert self.sink is not None
        assert self.decoder is not None
        try:
            self.sink.write(octets)
        except LetterlockError as error:
            self.decoder.refuse(syntax.reply_of(error))
        except Exception as error:
            self.door.fault(error)
            self.decoder.refuse(reply.NOT_NOW)

    def say(self, answer: Reply) -> None:
        """One more reply to send."""
        self.outgoing.append(answer.octets)

    def refuse(self, answer: Reply) -> None:
        """Say no; too many permanent noes end the connection."""
        self.say(answer)
        self.door.refused(answer)
        if answer.code >= 500:
            self._errors += 1
            if self._errors >= self.profile.max_errors:
                self.close(reply.TOO_MANY_ERRORS)

    def idle(self, answer: Reply) -> None:
        """Answer a command that brings no message nearer."""
        self.say(answer)
        self._idle_commands += 1
        if self._idle_commands >= limits.MAX_IDLE_COMMANDS:
            self.close(reply.TOO_MANY_ERRORS)

    def abandon(self) -> None:
        """The content that was coming is not wanted any more."""
        if self.sink:
            self.sink.abandon()
            self.sink = None

    def reset(self) -> None:
        """Forget the transaction (RFC 5321 4.1.1.5), and with it what XFORWARD said about it."""
        self.abandon()
        self.transaction = None
        self.decoder = None
        self.forwarded = {}
