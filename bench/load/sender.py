"""The sending half of a load: one epoll loop, N connections, MAIL, RCPT and DATA in one packet.

Guarantees
    What had no 250 is sent again (after a 4xx, or when the connection broke); an id whose final dot went out without a
    reply is *ambiguous*: its duplicate at the sink is legal SMTP.
    With a rate the latency counts from the due time, so a stalled server cannot hide (no coordinated omission).

See also
    RFC 5321 4.5.4.1, RFC 2920.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import resource
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from load import corpus

GIVE_UP_UNCONNECTED = 8.0  # seconds without any connection


class Connection:
    """One client connection and the message under way on it."""

    __slots__ = ("buffer", "codes", "dot_sent", "mask", "message", "out", "sent", "sock", "state", "wait_until", "wire")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.state = "idle"
        self.buffer = b""
        self.codes: list[int] = []
        self.out: collections.deque[Any] = collections.deque()
        self.message: int | None = None
        self.wire: corpus.Wire | None = None
        self.dot_sent = False
        self.mask = 0
        self.sent = 0
        self.wait_until = 0.0


class Sender:
    """Sends ``options.count`` messages, or until ``enough()``; see run()."""

    def __init__(self, options: argparse.Namespace, run: bytes, enough: Callable[[], bool] = lambda: False) -> None:
        self.options = options
        self.enough = enough
        self.wanted: int = options.count
        self.run_id = run
        recipients = options.rcpt.split(",")
        self.pool = corpus.build(options.kind, options.seed, options.sender, recipients, options.variants)
        self.plan = corpus.order(options.kind, options.seed, options.count)
        self.due = [number / options.rate for number in range(options.count)] if options.rate else []
        self.poll = select.epoll()
        self.by_descriptor: dict[int, Connection] = {}
        self.idle: list[Connection] = []
        self.next = 0
        self.again: collections.deque[int] = collections.deque()
        self.attempts: collections.Counter[int] = collections.Counter()
        self.latency = [0.0] * options.count
        self.begun = [0.0] * options.count
        self.accepted: set[int] = set()
        self.ambiguous: set[int] = set()
        self.rejected: dict[int, int] = {}
        self.tempfails = self.reconnects = self.octets = 0
        self.start = self.last_ok = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Send all; returns what happened to each message."""
        connections = [Connection() for _ in range(self.options.connections)]
        self.start = self.last_ok = time.monotonic()
        for connection in connections:
            self._connect(connection)
        while len(self.accepted) + len(self.rejected) < self.wanted:
            now = time.monotonic() - self.start
            if now > self.options.timeout or (self.next == 0 and now > GIVE_UP_UNCONNECTED):
                break
            if self.enough():
                self.wanted = self.next
            self._turn(now)
            self._wake(connections)
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.send(b"QUIT\r\n")
                connection.sock.close()
        return self._report()

    def _turn(self, now: float) -> None:
        wait = 0.05
        if self.idle and self.due and self.next < self.wanted:
            wait = max(0.0, min(0.05, self.due[self.next] - now))
        for descriptor, event in self.poll.poll(wait):
            connection = self.by_descriptor.get(descriptor)
            if connection is None:
                continue
            if event & select.EPOLLOUT:
                self._flush(connection)
            if connection.sock is not None and event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._read(connection)

    def _wake(self, connections: list[Connection]) -> None:
        if self.idle:
            idle, self.idle = self.idle, []
            for connection in idle:
                if connection.sock is not None:  # not dropped meanwhile
                    self._begin(connection)
        for connection in connections:
            if connection.state == "wait" and time.monotonic() >= connection.wait_until:
                self._connect(connection)
            elif connection.state == "done" and self.again:
                self._begin(connection)

    def _connect(self, connection: Connection, delay: float = 0.0) -> None:
        connection.buffer, connection.dot_sent = b"", False
        connection.codes.clear()
        connection.out.clear()
        if delay:
            connection.sock, connection.state = None, "wait"
            connection.wait_until = time.monotonic() + delay
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect((self.options.host, self.options.port))
        except OSError:
            sock.close()
            self._connect(connection, 0.1)
            return
        sock.setblocking(False)
        connection.sock, connection.state, connection.sent = sock, "banner", 0
        connection.mask = select.EPOLLIN
        self.by_descriptor[sock.fileno()] = connection
        self.poll.register(sock.fileno(), connection.mask)

    def _drop(self, connection: Connection, delay: float = 0.05) -> None:
        if connection.sock is not None:
            descriptor = connection.sock.fileno()
            self.by_descriptor.pop(descriptor, None)
            with contextlib.suppress(OSError, ValueError):
                self.poll.unregister(descriptor)
            connection.sock.close()
            connection.sock = None
        if connection.message is not None:
            if connection.dot_sent:
                self.ambiguous.add(connection.message)
            self.again.append(connection.message)
            connection.message = None
        self.reconnects += 1
        self._connect(connection, delay)

    def _flush(self, connection: Connection) -> None:
        sock = connection.sock
        assert sock is not None
        out = connection.out
        try:
            while out:
                sent = sock.send(out[0])
                if sent < len(out[0]):
                    out[0] = memoryview(out[0])[sent:]
                else:
                    out.popleft()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(connection)
            return
        wanted = select.EPOLLIN | (select.EPOLLOUT if out else 0)
        if wanted != connection.mask:
            connection.mask = wanted
            self.poll.modify(sock.fileno(), wanted)

    def _begin(self, connection: Connection) -> None:
        """An idle connection takes the next message."""
        options = self.options
        if options.msgs_per_conn and connection.sent >= options.msgs_per_conn:
            connection.out.append(b"QUIT\r\n")
            connection.state = "quit"
            self._flush(connection)
            return
        if self.again:
            number = self.again.popleft()
        elif self.next < self.wanted:
            now = time.monotonic()
            if self.due and now - self.start < self.due[self.next]:
                connection.state = "idle"
                self.idle.append(connection)
                return
            number = self.next
            self.next += 1
            self.begun[number] = self.start + self.due[number] if self.due else now
        else:
            connection.state = "done"
            return
        self._envelope(connection, number)

    def _envelope(self, connection: Connection, number: int) -> None:
        self.attempts[number] += 1
        pool = self.pool[self.plan[number]]
        wire = pool[number % len(pool)]
        connection.message, connection.wire, connection.dot_sent = number, wire, False
        sender = self.options.sender
        if self.options.verp:
            sender = sender.replace("@", f"+{corpus.identity(self.run_id, number).decode()}@", 1)
        connection.out.append(
            b"MAIL FROM:<%s> SIZE=%d\r\nRCPT TO:<%s>\r\nDATA\r\n"
            % (sender.encode(), len(wire.octets), wire.recipient.encode())
        )
        connection.state = "envelope"
        connection.sent += 1
        self._flush(connection)

    def _read(self, connection: Connection) -> None:
        assert connection.sock is not None
        try:
            octets = connection.sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(connection)
            return
        if not octets:
            self._drop(connection, 0.0 if connection.state == "quit" else 0.05)
            return
        buffer = connection.buffer + octets
        while (end := buffer.find(b"\n")) >= 0:
            line, buffer = buffer[:end], buffer[end + 1 :]
            if line[3:4] == b"-" or not line[:3].isdigit():
                continue
            connection.buffer = b""
            if connection.state == "envelope":
                self._envelope_reply(connection, int(line[:3]))
            else:
                self._reply(connection, int(line[:3]))
            if connection.sock is None:
                return
        connection.buffer = buffer

    def _envelope_reply(self, connection: Connection, code: int) -> None:
        connection.codes.append(code)
        if len(connection.codes) < 3:
            return
        codes, connection.codes = connection.codes, []
        number, wire = connection.message, connection.wire
        assert number is not None and wire is not None
        if codes[1] == 250 and codes[2] == 354:
            patched = bytearray(wire.octets)
            name = corpus.identity(self.run_id, number)
            for at in wire.offsets:
                patched[at : at + len(name)] = name
            connection.out.append(patched)
            connection.state, connection.dot_sent = "sent", True
        else:
            connection.message = None
            self._refused(number, next((code for code in codes if code not in (250, 354)), 554))
            connection.out.append(b"RSET\r\n" if codes[2] != 354 else b".\r\nRSET\r\n")
            connection.state = "rset"
        self._flush(connection)

    def _reply(self, connection: Connection, code: int) -> None:
        state = connection.state
        if state == "banner":
            if code != 220:
                self._drop(connection, 0.2)
                return
            connection.out.append(b"EHLO load.test\r\n")
            connection.state = "ehlo"
            self._flush(connection)
        elif state == "sent":
            self._done(connection, code)
            self._begin(connection)
        elif state == "quit":
            self._drop(connection, 0)
        elif state in ("ehlo", "rset"):
            self._begin(connection)

    def _done(self, connection: Connection, code: int) -> None:
        number, wire = connection.message, connection.wire
        assert number is not None and wire is not None
        connection.message = None
        if code != 250:
            self._refused(number, code)
            return
        self.last_ok = time.monotonic()
        if number not in self.accepted:
            self.latency[number] = self.last_ok - self.begun[number]
            self.accepted.add(number)
        self.octets += len(wire.octets)

    def _refused(self, number: int, code: int) -> None:
        if 400 <= code < 500 and self.attempts[number] <= self.options.retries:
            self.tempfails += 1
            self.again.append(number)
        else:
            self.rejected[number] = code

    def _report(self) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "T0": self.start,
            "last_ok": self.last_ok,
            "accepted": sorted(self.accepted),
            "ambiguous": sorted(self.ambiguous),
            "rejected": self.rejected,
            "tempfails": self.tempfails,
            "reconnects": self.reconnects,
            "acc_lat": self.latency,
            "t_start": self.begun,
            "bytes": self.octets,
            "started": self.next,
            "cpu": used.ru_utime + used.ru_stime,
            "kinds": dict(collections.Counter(self.plan)),
        }
