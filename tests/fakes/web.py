"""A web server on loopback that answers as it is told, also as no honest server would.

Guarantees
    ``requests`` holds the head of each request in order. What a handler does not send is not sent: no header is added
    to a raw answer. ``close`` ends all connections.

Standards
    RFC 9112 as far as a client needs it; a body is read by Content-Length.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

Handler = Callable[["Asked"], Iterable[bytes]]
"""From a request to the octets of the answer, piece by piece."""


@dataclass
class Asked:
    """One request. ``reset``: called by a handler, it breaks the connection off instead of closing it."""

    method: str
    target: str
    head: bytes
    body: bytes
    connection: socket.socket

    def reset(self) -> None:
        """RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass
class Web:
    """Listens from the beginning to ``close``. ``tls``: it speaks TLS."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    requests: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._listener = socket.create_server((self.host, self.port))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, path: str = "/", host: str = "") -> str:
        """The URL of a path here."""
        return f"{'https' if self.tls else 'http'}://{host or self.host}:{self.port}{path}"

    def give(self, path: str, body: bytes, status: str = "200 OK", **fields: str) -> str:
        """Answer with ``body``; the URL."""
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        octets = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body
        return self.handle(path, lambda _: [octets])

    def redirect(self, path: str, to: str, status: str = "302 Found") -> str:
        """Answer with a redirect; the URL."""
        return self.give(path, b"", status, Location=to)

    def handle(self, path: str, handler: Handler) -> str:
        """Answer by a handler; a path that ends in * stands for all that begin so. The URL."""
        self._handlers[path] = handler
        return self.url(path)

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for each in self.requests if each.target == path)

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._connections:
            with contextlib.suppress(OSError):
                each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
            asked = _read(connection)
            if asked is None:
                return
            self.requests.append(asked)
            for piece in self._find(asked.target)(asked):
                connection.sendall(piece)

    def _find(self, target: str) -> Handler:
        found = self._handlers.get(target)
        stars = (one for path, one in self._handlers.items() if path.endswith("*") and target.startswith(path[:-1]))
        return found or next(stars, _nothing)


def _nothing(_: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def _read(connection: socket.socket) -> Asked | None:
    octets = b""
    while b"\r\n\r\n" not in octets:
        piece = connection.recv(65536)
        if not piece:
            return None
        octets += piece
    head, _, body = octets.partition(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
    return Asked(method, target, head, body, connection)


def slowly(octets: bytes, each: float) -> Handler:
    """One octet after the other, ``each`` seconds between."""

    def drip(_: Asked) -> Iterator[bytes]:
        for octet in octets:
            yield bytes([octet])
            time.sleep(each)

    return drip


def endless(head: bytes, piece: bytes) -> Handler:
    """The head, then ``piece`` for ever."""

    def flow(_: Asked) -> Iterator[bytes]:
        yield head
        while True:
            yield piece

    return flow
