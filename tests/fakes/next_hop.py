"""A next hop: an SMTP server that keeps what it is given and fails where it is told to.

Guarantees
    ``arrivals`` holds every message for which this server answered 250 to the final dot, dot-unstuffed, in order; and
    those a Fault with ``keep`` swallowed without an answer.
    A fault is used only for connections, senders and recipients it names, at most ``times`` times.
    ``close`` makes the port refuse connections and resets what is open; ``open`` listens on the same port again.

Standards
    RFC 5321 (commands, dot transparency), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

STAGES = ("connect", "ehlo", "starttls", "mail", "rcpt", "data", "body", "dot", "rset", "quit")
EXTENSIONS = ("PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")
DOT = b"\r\n.\r\n"


@dataclass
class Fault:
    """What to do at one stage instead of the usual; see NextHop.fail()."""

    stage: str
    reply: str = ""
    delay: float = 0.0  # seconds before the reply
    reset: bool = False
    drop: bool = False
    keep: bool = False
    times: int = -1  # -1: always
    sender: str = ""
    recipient: str = ""
    used: int = 0

    def fits(self, stage: str, sender: str, recipients: Iterable[str]) -> bool:
        """True when this fault is meant for this moment."""
        return (
            self.stage == stage
            and (self.times < 0 or self.used < self.times)
            and (not self.sender or self.sender == sender)
            and (not self.recipient or any(r == self.recipient or r.endswith(self.recipient) for r in recipients))
        )


@dataclass(frozen=True)
class Arrival:
    """One message as it came: envelope and octets."""

    sender: str
    mail_parameters: tuple[str, ...]
    recipients: tuple[str, ...]
    recipient_parameters: tuple[tuple[str, ...], ...]
    octets: bytes
    at: float  # time.monotonic()
    connection: int
    tls: str
    answered: bool = True

    @property
    def mail(self) -> EmailMessage:
        """The message parsed by the standard library, for looking at fields."""
        return BytesParser(policy=default).parsebytes(self.octets)

    @property
    def header(self) -> bytes:
        """The header block with its last CRLF."""
        return self.octets.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def subject(self) -> str:
        """The decoded Subject, '' without one."""
        return str(self.mail["Subject"] or "")


@dataclass
class _Peer:
    """One connection's state."""

    sock: socket.socket
    number: int
    buffer: bytes = b""
    tls: str = ""
    in_mail: bool = False
    sender: str = ""
    mail_parameters: tuple[str, ...] = ()
    recipients: list[str] = field(default_factory=list)
    recipient_parameters: list[tuple[str, ...]] = field(default_factory=list)

    def clear(self) -> None:
        self.in_mail, self.sender, self.mail_parameters = False, "", ()
        self.recipients, self.recipient_parameters = [], []

    def say(self, text: str) -> None:
        self.sock.sendall(text.encode() + b"\r\n")

    def more(self) -> None:
        octets = self.sock.recv(1 << 18)
        if not octets:
            raise ConnectionError("peer is gone")
        self.buffer += octets

    def line(self) -> str:
        while b"\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def reset(self) -> None:
        """Have it closed with RST, as a crashed host's successor would. The thread that serves it closes it: closing a
        socket in which another thread waits leaves the connection standing."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.shutdown(socket.SHUT_RD)


class _Ended(Exception):
    """The conversation is over by our own will."""


class NextHop:
    """``with NextHop() as hop: hop.port``; threads inside, safe to ask from any thread."""

    def __init__(
        self, *, port: int = 0, tls: ssl.SSLContext | None = None, extensions: Iterable[str] = EXTENSIONS
    ) -> None:
        self.port = port
        self.tls = tls
        self.extensions = tuple(extensions)
        self.arrivals: list[Arrival] = []
        self.commands: list[tuple[int, str]] = []
        self.connections = 0
        self.on_arrival: Callable[[Arrival], None] | None = None
        self._faults: list[Fault] = []
        self._changed = threading.Condition()
        self._listener: socket.socket | None = None
        self._peers: dict[int, _Peer] = {}

    def __enter__(self) -> NextHop:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Listen; the port of the first time is kept."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and reset the open ones."""
        if self._listener is not None:
            # shutdown wakes the thread in accept(); close alone would not
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._changed:
            self._listener = None
            peers = list(self._peers.values())
        for peer in peers:
            peer.reset()

    def fail(self, stage: str, **how: object) -> Fault:
        """At ``stage`` (one of STAGES) do something else. ``reply``: this line; ``delay``: seconds first; ``reset`` or
        ``drop``: end the connection so; ``keep``: record the message although the dot is not answered; ``times``;
        ``sender``, ``recipient`` (address, or its end): only for these."""
        if stage not in STAGES:
            raise ValueError(stage)
        fault = Fault(stage, **how)
        with self._changed:
            self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """No more faults."""
        with self._changed:
            self._faults.clear()

    def wait_for(self, fits: Callable[[Arrival], bool], *, count: int = 1, within: float = 20.0) -> list[Arrival]:
        """The arrivals that fit, once there are ``count``. Raises AssertionError after ``within`` seconds."""
        end = time.monotonic() + within
        with self._changed:
            while True:
                found = [arrival for arrival in self.arrivals if fits(arrival)]
                if len(found) >= count:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    seen = [(a.sender, a.recipients, a.subject) for a in self.arrivals[-10:]]
                    raise AssertionError(f"{len(found)} of {count} arrived within {within} s; the last of all: {seen}")
                self._changed.wait(left)

    def wait_for_recipient(self, recipient: str, *, count: int = 1, within: float = 20.0) -> list[Arrival]:
        """The arrivals for one address."""
        return self.wait_for(lambda arrival: recipient in arrival.recipients, count=count, within=within)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                if self._listener is not listener:  # closed meanwhile
                    sock.close()
                    return
                self.connections += 1
                peer = _Peer(sock, self.connections)
                self._peers[peer.number] = peer
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: _Peer) -> None:
        try:
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.sock.settimeout(600)
            self._meet(peer, "connect", "220 next-hop.test ESMTP")
            while True:
                self._command(peer, peer.line())
        except (OSError, _Ended, ValueError):
            pass
        finally:
            with self._changed:
                self._peers.pop(peer.number, None)
            with contextlib.suppress(OSError):
                peer.sock.close()

    def _meet(self, peer: _Peer, stage: str, usual: str) -> bool:
        """Answer ``usual`` or do what a fault says; True when the usual answer was given."""
        return self._answer(peer, self._take(peer, stage), usual)

    @staticmethod
    def _answer(peer: _Peer, fault: Fault | None, usual: str) -> bool:
        if fault is None:
            peer.say(usual)
            return True
        time.sleep(fault.delay)
        if fault.reset:
            peer.reset()
            raise _Ended
        if fault.drop:
            raise _Ended
        peer.say(fault.reply or usual)
        return not fault.reply

    def _take(self, peer: _Peer, stage: str) -> Fault | None:
        with self._changed:
            for fault in self._faults:
                if fault.fits(stage, peer.sender, peer.recipients):
                    fault.used += 1
                    return fault
        return None

    def _command(self, peer: _Peer, line: str) -> None:
        with self._changed:
            self.commands.append((peer.number, line))
        verb, _, rest = line.partition(" ")
        handler = getattr(self, f"_on_{verb.lower()}", None)
        if handler is None:
            peer.say("500 5.5.1 what?")
        else:
            handler(peer, rest)

    def _on_ehlo(self, peer: _Peer, _rest: str) -> None:
        offered = [*self.extensions, *(["STARTTLS"] if self.tls and not peer.tls else [])]
        lines = ["next-hop.test", *offered]
        peer.clear()
        self._meet(peer, "ehlo", "\r\n".join([*(f"250-{text}" for text in lines[:-1]), f"250 {lines[-1]}"]))

    def _on_helo(self, peer: _Peer, _rest: str) -> None:
        self._meet(peer, "ehlo", "250 next-hop.test")

    def _on_starttls(self, peer: _Peer, _rest: str) -> None:
        if self.tls is None:
            peer.say("502 5.5.1 no TLS here")
        elif self._meet(peer, "starttls", "220 2.0.0 go ahead"):
            wrapped = self.tls.wrap_socket(peer.sock, server_side=True)
            peer.sock, peer.buffer, peer.tls = wrapped, b"", wrapped.version() or ""

    def _on_mail(self, peer: _Peer, rest: str) -> None:
        peer.clear()
        address, *parameters = rest.split(" ")
        peer.sender, peer.mail_parameters = _path(address), tuple(parameters)
        peer.in_mail = self._meet(peer, "mail", "250 2.1.0 ok")

    def _on_rcpt(self, peer: _Peer, rest: str) -> None:
        if not peer.in_mail:
            peer.say("503 5.5.1 no sender")
            return
        address, *parameters = rest.split(" ")
        before, peer.recipients = peer.recipients, [_path(address)]  # a fault names this recipient only
        taken = self._meet(peer, "rcpt", "250 2.1.5 ok")
        peer.recipients = [*before, *peer.recipients] if taken else before
        if taken:
            peer.recipient_parameters.append(tuple(parameters))

    def _on_data(self, peer: _Peer, _rest: str) -> None:
        if not peer.recipients:
            peer.say("503 5.5.1 no recipients")
            return
        if not self._meet(peer, "data", "354 go"):
            return
        if self._take(peer, "body") is not None:  # break in the middle of the content
            peer.more()
            peer.reset()
            raise _Ended
        self._finish(peer, self._content(peer))

    def _content(self, peer: _Peer) -> bytes:
        parts = bytearray(b"\r\n" + peer.buffer)
        at = 0
        while (found := parts.find(DOT, at)) < 0:
            at = max(0, len(parts) - 4)
            peer.buffer = b""
            peer.more()
            parts += peer.buffer
        peer.buffer = bytes(parts[found + len(DOT) :])
        return bytes(parts[: found + 2]).replace(b"\r\n.", b"\r\n")[2:]

    def _finish(self, peer: _Peer, octets: bytes) -> None:
        fault = self._take(peer, "dot")
        taken = fault is None or not (fault.reply or fault.reset or fault.drop)
        if taken or (fault is not None and fault.keep):
            self._record(peer, octets, answered=taken)
        self._answer(peer, fault, "250 2.0.0 taken")
        peer.clear()

    def _record(self, peer: _Peer, octets: bytes, *, answered: bool) -> None:
        arrival = Arrival(
            peer.sender, peer.mail_parameters, tuple(peer.recipients), tuple(peer.recipient_parameters),
            octets, time.monotonic(), peer.number, peer.tls, answered,
        )  # fmt: skip
        with self._changed:
            self.arrivals.append(arrival)
            self._changed.notify_all()
        if self.on_arrival is not None:
            self.on_arrival(arrival)

    def _on_rset(self, peer: _Peer, _rest: str) -> None:
        peer.clear()
        self._meet(peer, "rset", "250 2.0.0 ok")

    def _on_noop(self, peer: _Peer, _rest: str) -> None:
        peer.say("250 2.0.0 ok")

    def _on_quit(self, peer: _Peer, _rest: str) -> None:
        self._meet(peer, "quit", "221 2.0.0 bye")
        raise _Ended


def _path(text: str) -> str:
    """The address of MAIL FROM:<a@b> or RCPT TO:<a@b>."""
    return text.partition(":")[2].strip().removeprefix("<").removesuffix(">")
