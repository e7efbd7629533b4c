"""The taking half of a load: an SMTP server that finds each message's id, counts, and looks for the canary.

Guarantees
    Every id is counted once as an arrival; more are duplicates, and with ``--digest`` one whose octets differ from the
    first arrival's is listed in ``changed``.
    A bounce (null sender, or to a recipient not of this run) is never a delivery.
    A message whose octets show the canary is counted in ``plaintext``.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import random
import select
import socket
import time
from pathlib import Path
from typing import Any

from load import corpus

END = b"\r\n.\r\n"
EHLO = (
    b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE 209715200\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n"
)
HEAD_LIMIT = 65536
PROTECTED = (b"pkcs7-mime", b"multipart/encrypted", b"begin pgp message", b"application/pdf")


class Peer:
    """One connection from the filter."""

    __slots__ = (
        "carry", "digest", "head", "in_data", "kept", "line", "out",
        "recipient", "seam", "seen", "sender", "size", "sock",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.line = b""
        self.out = b""
        self.in_data = False
        self.sender = self.recipient = b""
        self.begin(keep=False, digest=False)
        self.in_data = False

    def begin(self, *, keep: bool, digest: bool) -> None:
        """Ready for the content of one message."""
        self.in_data = True
        self.head = bytearray()
        self.carry = b"\r\n"  # stands before the first line, so that an empty message ends too
        self.seam = b""
        self.size = -len(self.carry)
        self.seen = False
        self.kept: list[bytes] | None = [] if keep else None
        self.digest = hashlib.sha256() if digest else None

    def take(self, octets: bytes) -> None:
        """Count a run of content octets."""
        self.size += len(octets)
        if len(self.head) < HEAD_LIMIT:
            self.head += octets[:HEAD_LIMIT]
        if not self.seen:
            self.seen = corpus.CANARY in octets or corpus.CANARY in self.seam + octets[:32]
            self.seam = octets[-32:] if len(octets) >= 32 else (self.seam + octets)[-32:]
        if self.kept is not None:
            self.kept.append(octets)
        if self.digest is not None:
            self.digest.update(octets)


class Sink:
    """Serves until ``stop`` is set; ``count`` tells the parent how many ids are accounted for."""

    def __init__(self, options: argparse.Namespace, run: bytes, count: Any) -> None:
        self.options = options
        self.run_id = run
        self.count = count
        self.recipients = [address.encode() for address in options.rcpt.split(",")]
        self.random = random.Random(options.seed + 1)
        self.folder = Path(options.save_dir) if options.save_dir else None
        self.poll = select.epoll()
        self.peers: dict[int, Peer] = {}
        self.arrivals: dict[int, float] = {}
        self.digests: dict[int, bytes] = {}
        self.duplicates: collections.Counter[int] = collections.Counter()
        self.failed_once: set[int] = set()
        self.bounced: set[int] = set()
        self.dropped: set[int] = set()
        self.foreign = self.plaintext = self.encrypted = self.octets = self.unknown = 0
        self.kept = self.connections = 0
        self.changed: set[int] = set()
        self.duplicated_at: list[tuple[float, int]] = []

    def serve(self, ready: Any, stop: Any) -> dict[str, Any]:
        """Listen and take mail until told to stop; returns the account."""
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.options.sink_host, self.options.sink_port))
        listener.listen(512)
        listener.setblocking(False)
        self.poll.register(listener.fileno(), select.EPOLLIN)
        space = memoryview(bytearray(1 << 18))
        ready.set()
        while not stop.is_set():
            for descriptor, event in self.poll.poll(0.1):
                if descriptor == listener.fileno():
                    self._accept(listener)
                elif (peer := self.peers.get(descriptor)) is not None:
                    self._serve(peer, event, space)
        return self._report()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self.peers[sock.fileno()] = Peer(sock)
                self.poll.register(sock.fileno(), select.EPOLLIN)
                sock.send(b"220 sink.test ESMTP\r\n")

    def _serve(self, peer: Peer, event: int, space: memoryview) -> None:
        try:
            if event & select.EPOLLOUT:
                self._write(peer, b"")
                return
            size = peer.sock.recv_into(space)
            answer = self._consume(peer, bytes(space[:size])) if size else None
            if answer is None:
                self._close(peer)
            elif answer:
                if self.options.sink_delay:
                    time.sleep(self.options.sink_delay / 1000)
                self._write(peer, answer)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._close(peer)

    def _write(self, peer: Peer, octets: bytes) -> None:
        before = bool(peer.out)
        peer.out += octets
        with contextlib.suppress(BlockingIOError):
            peer.out = peer.out[peer.sock.send(peer.out) :]
        if bool(peer.out) != before:
            self.poll.modify(peer.sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if peer.out else 0))

    def _close(self, peer: Peer) -> None:
        descriptor = peer.sock.fileno()
        self.peers.pop(descriptor, None)
        with contextlib.suppress(OSError, ValueError):
            self.poll.unregister(descriptor)
        peer.sock.close()

    def _consume(self, peer: Peer, chunk: bytes) -> bytes | None:
        """Octets in, reply out; None closes."""
        answer = b""
        while chunk:
            if peer.in_data:
                octets = peer.carry + chunk
                end = octets.find(END)
                if end < 0:
                    peer.take(octets[:-4])
                    peer.carry = octets[-4:]
                    return answer
                peer.take(octets[: end + 2])
                peer.in_data = False
                reply = self._finish(peer)
                if self.options.sink_drop and self.random.random() < self.options.sink_drop:
                    self._note_dropped(peer)
                    return None
                answer += reply
                chunk = octets[end + len(END) :]
                continue
            lines = peer.line + chunk
            chunk = b""
            while not peer.in_data and (end := lines.find(b"\n")) >= 0:
                line, lines = lines[:end].rstrip(b"\r"), lines[end + 1 :]
                reply = self._command(peer, line)
                if reply is None:
                    self._write(peer, answer + b"221 2.0.0 Bye\r\n")  # QUIT may ride with the final dot
                    return None
                answer += reply
            peer.line, chunk = (b"", lines) if peer.in_data else (lines, b"")
        return answer

    def _command(self, peer: Peer, line: bytes) -> bytes | None:
        verb = line[:4].upper()
        if verb == b"MAIL":
            peer.sender = line
            return b"250 2.1.0 Ok\r\n"
        if verb == b"RCPT":
            peer.recipient = line
            return b"250 2.1.5 Ok\r\n"
        if verb == b"DATA":
            keep = self.folder is not None and self.kept < self.options.save
            peer.begin(keep=keep, digest=self.options.digest)
            return b"354 go\r\n"
        if verb == b"EHLO":
            return EHLO
        if verb == b"QUIT":
            return None
        return b"250 2.0.0 Ok\r\n" if verb in (b"RSET", b"NOOP", b"HELO") else b"502 5.5.2 no\r\n"

    def _finish(self, peer: Peer) -> bytes:
        now = time.monotonic()
        head = bytes(peer.head)
        found = (
            corpus.IDENTITY.search(head)
            or corpus.IDENTITY.search(peer.sender)
            or corpus.IDENTITY.search(peer.recipient)
        )
        if not found:
            self.unknown += 1
            return b"250 2.0.0 Ok (no id)\r\n"
        if found.group(1) != self.run_id:
            self.foreign += 1
            return b"250 2.0.0 Ok (other run)\r\n"
        number = int(found.group(2))
        if b"<>" in peer.sender or not any(address in peer.recipient for address in self.recipients):
            self.bounced.add(number)
            self._account()
            return b"250 2.0.0 Ok (bounce)\r\n"
        if self._fails_now(number):
            return b"451 4.3.0 try again\r\n"
        self._arrived(peer, number, now)
        lower = head[:8192].lower()
        self.encrypted += any(mark in lower for mark in PROTECTED)
        return b"250 2.0.0 Ok queued\r\n"

    def _fails_now(self, number: int) -> bool:
        chosen = (
            self.options.sink_tempfail
            and number not in self.failed_once
            and number not in self.arrivals
            and self.random.random() < self.options.sink_tempfail
        )
        if chosen:
            self.failed_once.add(number)
        return bool(chosen)

    def _arrived(self, peer: Peer, number: int, now: float) -> None:
        digest = peer.digest.digest() if peer.digest else b""
        if number in self.arrivals:
            self.duplicates[number] += 1
            self.duplicated_at.append((now, number))
            if digest != self.digests.get(number, b""):
                self.changed.add(number)
        else:
            self.arrivals[number] = now
            if digest:
                self.digests[number] = digest
            self._account()
        self.octets += peer.size
        self.plaintext += peer.seen
        if peer.kept is not None and self.folder is not None:
            (self.folder / f"{number:07d}.eml").write_bytes(b"".join(peer.kept).replace(b"\r\n..", b"\r\n.")[2:])
            self.kept += 1

    def _account(self) -> None:
        only_bounced = len(self.bounced - self.arrivals.keys()) if self.bounced else 0
        self.count.value = len(self.arrivals) + only_bounced

    def _note_dropped(self, peer: Peer) -> None:
        found = corpus.IDENTITY.search(bytes(peer.head))
        if found:
            self.dropped.add(int(found.group(2)))  # its repeat is the filter's duty, no fault

    def _report(self) -> dict[str, Any]:
        used = time.process_time()
        return {
            "arrivals": self.arrivals,
            "dups": dict(self.duplicates),
            "changed": sorted(self.changed),
            "dups_at": self.duplicated_at,
            "foreign": self.foreign,
            "plaintext": self.plaintext,
            "encrypted": self.encrypted,
            "bytes": self.octets,
            "unknown": self.unknown,
            "saved": self.kept,
            "tempfails": len(self.failed_once),
            "bounced": sorted(self.bounced),
            "dropped": sorted(self.dropped),
            "connections": self.connections,
            "cpu": used,
        }
