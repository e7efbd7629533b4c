"""The client's side of SMTP, without input or output: jobs in, octets out; replies in, one answer per recipient out.

States (of an Exchange)
    envelope  MAIL, RCPT, DATA are sent; ``touched`` once MAIL was answered. Lost before that, nothing happened
    content   354 came and a recipient was taken: content is to be sent
    dot       all content and the end of data are sent; lost now: nobody knows (RFC 5321 4.5.4.1, 6.1)
    done      each recipient has its answer, or ``error`` says why none has one

Guarantees
    Parameters are sent only to a server that announced them; a message that needs more than the server can is refused
    here, before MAIL. Nothing is sent that is not a valid address, and no CR or LF but CRLF (see ``data.py``).
    With PIPELINING the envelope of the next message may ride with the dot of this one: one round trip per message.
    Content is never followed by QUIT in one write, nor DATA by content before its 354 (RFC 2920 3.1).

Standards
    RFC 5321, 1870 (SIZE), 2920, 3207, 3461 (DSN), 6152 (8BITMIME), 6531 (SMTPUTF8).

See also
    ``delivery/pool.py``, which owns connections; ``delivery/outcome.py`` for what an answer means.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Literal

from letterlock.errors import LetterlockError, PermanentError, TemporaryError
from letterlock.mail import limits
from letterlock.mail.address import Address
from letterlock.mail.envelope import Recipient
from letterlock.smtp import syntax
from letterlock.smtp.answers import Answer, AnswerInvalid, AnswerReader
from letterlock.smtp.data import Octets

Phase = Enum("Phase", ["ENVELOPE", "CONTENT", "DOT", "DONE"])


class NeedsEightBit(PermanentError):
    """The next hop's server cannot take a message with 8-bit content."""

    code = 554
    status = "5.6.3"  # RFC 3463 3.7: conversion required but not supported


class NeedsUtf8(PermanentError):
    """The next hop's server cannot take internationalised addresses or header fields."""

    code = 554
    status = "5.6.7"


class TooBigForNextHop(PermanentError):
    """The message is bigger than the next hop's server takes."""

    code = 552
    status = "5.3.4"


class ConnectionBroke(TemporaryError):
    """The connection to the next hop was lost."""

    status = "4.4.2"


class Unconfirmed(TemporaryError):
    """The connection to the next hop was lost before it confirmed the message."""

    status = "4.4.2"


@dataclass(frozen=True, slots=True)
class Job:
    """One message to send. ``content``: gives its octets in pieces, anew each time; ``size``: of them all."""

    sender: str  # "" for the null reverse-path
    recipients: tuple[Recipient, ...]
    content: Callable[[], Iterable[bytes]]
    size: int
    body: Literal["7BIT", "8BITMIME"] = "7BIT"
    smtputf8: bool = False
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""
    normalise: bool = False  # bare CR and LF become CRLF instead of a refusal


class Exchange:
    """One job on one connection. ``done`` is called once, when ``answers`` or ``error`` is final."""

    def __init__(self, job: Job, done: Callable[[Exchange], None]) -> None:
        self.job = job
        self.phase = Phase.ENVELOPE
        self.mail: Answer | None = None
        self.error: LetterlockError | None = None
        self.answers: list[Answer | None] = [None] * len(job.recipients)
        self.taken = 0  # recipients whose RCPT was accepted
        self.reports = False  # the server makes the reports that were asked for (RFC 3461)
        self._done = done

    @property
    def touched(self) -> bool:
        """MAIL was answered, by more than a server's good-bye (RFC 5321 3.8)."""
        return self.mail is not None and self.mail.code != 421

    def finish(self, error: LetterlockError | None = None) -> None:
        """All is known; a second time nothing happens."""
        if self.phase is Phase.DONE:
            return
        self.phase = Phase.DONE
        self.error = error
        self._done(self)

    def settle(self, answer: Answer) -> None:
        """``answer`` is final for every recipient taken so far."""
        for place, before in enumerate(self.answers):
            if before is not None and before.positive:
                self.answers[place] = answer
        self.finish()


_Expected = tuple[Callable[[Answer], None], float]
"""A reply to come: whom to tell, and how long it may take (seconds)."""


class ClientSession:
    """One connection. ``content_wanted`` is called when an exchange may send its content."""

    def __init__(self, hostname: str, content_wanted: Callable[[Exchange], None]) -> None:
        self.hostname = hostname
        self.outgoing: list[Octets] = []
        self.extensions: dict[str, str] = {}
        self.closing = False  # the server said 421, or QUIT was sent
        self.exchanges: deque[Exchange] = deque()  # oldest first; two at most
        self._content_wanted = content_wanted
        self._reader = AnswerReader()
        self._expected: deque[_Expected] = deque()
        self._tls_next = False  # STARTTLS was agreed on: nothing more may come in clear
        self._unfinished = False  # a transaction was begun and not ended: RSET before the next

    @property
    def patience(self) -> float:
        """Seconds the next reply may take; 0 when none is expected (RFC 5321 4.5.3.2). After 421 or QUIT: not long."""
        patience = self._expected[0][1] if self._expected else 0.0
        return min(patience, limits.QUIT_SECONDS) if self.closing else patience

    @property
    def pipelines(self) -> bool:
        """The server announced PIPELINING."""
        return "PIPELINING" in self.extensions

    def take(self) -> list[Octets]:
        """The octets to send now."""
        octets, self.outgoing = self.outgoing, []
        return octets

    def receive(self, octets: bytes) -> None:
        """Replies came. Raises AnswerInvalid."""
        for answer in self._reader.feed(octets):
            if answer.code == 421:
                self.closing = True
            if self._expected:
                tell, _ = self._expected.popleft()
                tell(answer)
            elif answer.code != 421:
                raise AnswerInvalid(detail="a reply to nothing")
        if self._tls_next and self._reader.pending:
            raise AnswerInvalid(detail="input behind the reply to STARTTLS")

    def lost(self, error: LetterlockError | None = None) -> None:
        """The connection is gone: every open exchange ends, with ``error`` or what fits its phase."""
        self.closing = True
        self._expected.clear()
        while self.exchanges:
            exchange = self.exchanges.popleft()
            exchange.finish(error or (Unconfirmed() if exchange.phase is Phase.DOT else ConnectionBroke()))

    # The beginning and the end of a connection

    def greeting(self, tell: Callable[[Answer], None]) -> None:
        """The server speaks first."""
        self._expect(tell, limits.GREETING_SECONDS)

    def hello(self, tell: Callable[[Answer], None], *, extended: bool = True) -> None:
        """EHLO, or HELO for a server that does not know it."""
        self._tls_next = False

        def learn(answer: Answer) -> None:
            self.extensions = {}
            if extended and answer.positive:
                for line in answer.lines[1:]:
                    keyword, _, value = line.strip().partition(" ")
                    self.extensions[keyword.upper()] = value
            tell(answer)

        self._command(f"{'EHLO' if extended else 'HELO'} {self.hostname}", learn, limits.HELLO_SECONDS)

    def starttls(self, tell: Callable[[Answer], None]) -> None:
        """STARTTLS. Octets that come with the reply would be somebody else's: AnswerInvalid (RFC 3207 6)."""

        def agree(answer: Answer) -> None:
            self._tls_next = answer.positive
            tell(answer)

        self._command("STARTTLS", agree, limits.HELLO_SECONDS)

    def quit(self) -> None:
        """QUIT; its answer is not waited for."""
        self.closing = True
        self._command("QUIT", lambda answer: None, limits.QUIT_SECONDS)

    # Messages

    def begin(self, exchange: Exchange) -> None:
        """Send the envelope, behind the dot of the exchange before when there is one."""
        try:
            commands = _commands(exchange.job, self.extensions)
        except LetterlockError as error:
            exchange.finish(error)
            return
        exchange.reports = "DSN" in self.extensions
        self.exchanges.append(exchange)
        if self._unfinished:
            self._command("RSET", lambda answer: None, limits.MAIL_SECONDS)
        self._unfinished = True
        if not self.pipelines:
            self._step(exchange, deque(commands))
            return
        self.outgoing.append(("\r\n".join(commands) + "\r\n").encode("utf-8"))
        expect = self._expected.append
        expect((partial(self._mail_answered, exchange), limits.MAIL_SECONDS))
        for place in range(len(exchange.answers)):
            expect((partial(self._recipient_answered, exchange, place), limits.RECIPIENT_SECONDS))
        expect((partial(self._data_answered, exchange), limits.DATA_SECONDS))

    def end(self, exchange: Exchange) -> None:
        """All content was sent, the end of data included."""
        exchange.phase = Phase.DOT
        self._unfinished = False
        self._expect(partial(self._dot_answered, exchange), limits.DOT_SECONDS)

    def _step(self, exchange: Exchange, commands: deque[str]) -> None:
        """One command after the other, for a server without PIPELINING."""
        command = commands.popleft()
        place = len(exchange.answers) - len(commands)  # of the recipient, when it is RCPT
        if not commands:
            if exchange.taken:
                self._command(command, partial(self._data_answered, exchange), limits.DATA_SECONDS)
            else:
                self._gone(exchange)
                exchange.finish()
        elif command.startswith("MAIL"):

            def mail_answered(answer: Answer) -> None:
                self._mail_answered(exchange, answer)
                if answer.positive:
                    self._step(exchange, commands)
                else:
                    self._gone(exchange)
                    exchange.finish()

            self._command(command, mail_answered, limits.MAIL_SECONDS)
        else:

            def recipient_answered(answer: Answer) -> None:
                self._recipient_answered(exchange, place, answer)
                self._step(exchange, commands)

            self._command(command, recipient_answered, limits.RECIPIENT_SECONDS)

    def _mail_answered(self, exchange: Exchange, answer: Answer) -> None:
        exchange.mail = answer
        if not answer.positive:
            self._unfinished = False
            exchange.answers = [answer] * len(exchange.answers)

    def _recipient_answered(self, exchange: Exchange, place: int, answer: Answer) -> None:
        before = exchange.answers[place]
        if before is None:  # else MAIL was refused, and this only says so again
            exchange.answers[place] = answer
            exchange.taken += answer.positive

    def _data_answered(self, exchange: Exchange, answer: Answer) -> None:
        if answer.code == 354:
            if exchange.taken:
                exchange.phase = Phase.CONTENT
                self._content_wanted(exchange)
                return
            self.outgoing.append(b".\r\n")  # RFC 2920 3.1: it waits for content although it took no recipient
            self._unfinished = False
            self._expect(lambda ignored: None, limits.DOT_SECONDS)
            self._gone(exchange)
            exchange.finish()
        else:
            self._gone(exchange)
            exchange.settle(answer if not answer.positive else Answer(451, ("4.5.0 DATA was answered oddly",)))

    def _dot_answered(self, exchange: Exchange, answer: Answer) -> None:
        self._gone(exchange)
        exchange.settle(answer)

    def _gone(self, exchange: Exchange) -> None:
        if exchange in self.exchanges:
            self.exchanges.remove(exchange)

    def _command(self, command: str, tell: Callable[[Answer], None], patience: float) -> None:
        self.outgoing.append(f"{command}\r\n".encode())
        self._expect(tell, patience)

    def _expect(self, tell: Callable[[Answer], None], patience: float) -> None:
        self._expected.append((tell, patience))


@functools.lru_cache(maxsize=4096)
def _path(address: str) -> str:
    """What stands between angle brackets. Raises AddressInvalid."""
    return str(Address.parse(address))


def _commands(job: Job, extensions: dict[str, str]) -> list[str]:
    """MAIL, RCPT for each recipient, DATA. Raises what the server could not take, and AddressInvalid."""
    sender = _path(job.sender) if job.sender else ""
    recipients = [_path(recipient.address) for recipient in job.recipients]
    words = [f"MAIL FROM:<{sender}>"]
    if "SIZE" in extensions:
        most = extensions["SIZE"]
        if most.isdecimal() and 0 < int(most[:20]) < job.size:
            raise TooBigForNextHop
        words.append(f"SIZE={job.size}")
    if job.body == "8BITMIME":
        if "8BITMIME" in extensions:
            words.append("BODY=8BITMIME")
        elif not _is_ascii(job):
            raise NeedsEightBit
    utf8 = _smtputf8(job, [sender, *recipients], extensions)
    if utf8:
        words.append("SMTPUTF8")
    reports = "DSN" in extensions
    if reports and job.ret:
        words.append(f"RET={job.ret}")
    if reports and job.envid:
        words.append(f"ENVID={syntax.to_xtext(job.envid)}")
    commands = [" ".join(words)]
    for address, recipient in zip(recipients, job.recipients, strict=True):
        wishes = _dsn(recipient, utf8) if reports and (recipient.notify or recipient.orcpt) else ""
        commands.append(f"RCPT TO:<{address}>{wishes}")
    commands.append("DATA")
    return commands


def _smtputf8(job: Job, addresses: list[str], extensions: dict[str, str]) -> bool:
    """Whether to ask for SMTPUTF8: for an address, or as the message's own sender did (RFC 6531 3.4)."""
    needed = not all(map(str.isascii, addresses))
    if "SMTPUTF8" in extensions:
        return needed or job.smtputf8
    if needed or (job.smtputf8 and not _is_ascii(job)):
        raise NeedsUtf8
    return False


def _is_ascii(job: Job) -> bool:
    return all(piece.isascii() for piece in job.content())


def _dsn(recipient: Recipient, utf8: bool) -> str:
    """NOTIFY and ORCPT as they came (RFC 3461 5.2.1)."""
    notify = f" NOTIFY={','.join(recipient.notify)}" if recipient.notify else ""
    kind, separator, address = recipient.orcpt.partition(";")
    if not separator:
        return notify
    if kind == "utf-8" and not address.isascii():  # RFC 6533 3: as it is, or each character by its number
        escaped = "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)
        return f"{notify} ORCPT=utf-8;{address if utf8 else syntax.to_xtext(escaped)}"
    return f"{notify} ORCPT={kind};{syntax.to_xtext(address)}"
