"""A small HTTP server for a few public documents: one request a connection, GET, HEAD and small POST.

Guarantees
    A request has HEAD_OCTETS of header and BODY_OCTETS of body at most, comes within PATIENCE seconds, and is answered
    within as many; at most MOST_CONNECTIONS are served at once, others are closed unheard. What is not understood is
    answered with 400 and nothing else. Nothing of a request is written into an answer.

Standards
    RFC 9112 2.2, 3, 6.3 (framing; a request with Transfer-Encoding is refused), 9.6 (close); RFC 9110 8.8, 9.3, 15.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from letterlock.config.settings import Listen

HEAD_OCTETS = 8192
BODY_OCTETS = 4096
PATIENCE = 10.0
MOST_CONNECTIONS = 200

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    503: "Service Unavailable",
}


class Asked(NamedTuple):
    """A request. ``method``: GET or POST; ``path``: as it came, without query; ``kind``: its media type, lower case."""

    method: str
    path: str
    kind: str
    body: bytes


class Answer(NamedTuple):
    """An answer. ``fields``: further header fields."""

    code: int
    kind: str = "text/plain; charset=utf-8"
    body: bytes = b""
    fields: Mapping[str, str] = {}


class Refused(Exception):
    """A request that is not carried to the pages. ``code``: of the answer."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


Pages = Callable[[Asked], Awaitable[Answer]]


class HttpServer:
    """Serves ``pages`` on one address."""

    def __init__(self, pages: Pages, *, patience: float = PATIENCE) -> None:
        self._pages = pages
        self._patience = patience
        self._serving = 0
        self._server: asyncio.Server | None = None

    async def listen(self, where: Listen) -> None:
        """Serve until close(). Raises OSError."""
        host = None if where.host == "*" else where.host
        self._server = await asyncio.start_server(
            self._serve, host, where.port, limit=HEAD_OCTETS, family=socket.AF_UNSPEC, reuse_address=True
        )

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._serving >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._serving += 1
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(2 * self._patience):
                    writer.write(await self._exchange(reader))
                    await writer.drain()
        finally:
            self._serving -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader) -> bytes:
        bare = False
        try:
            async with asyncio.timeout(self._patience):
                asked, bare = await _read(reader)
            answer = await self._pages(asked)
        except (Refused, asyncio.LimitOverrunError) as refused:
            answer = Answer(refused.code if isinstance(refused, Refused) else 400)
        return _octets(answer, bare)


async def _read(reader: asyncio.StreamReader) -> tuple[Asked, bool]:
    """The request, and whether only the header of its answer is wanted. Raises Refused."""
    line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or not line.isascii():
        raise Refused(400)
    fields: dict[bytes, bytes] = {}
    for each in lines:
        name, colon, value = each.partition(b":")
        name = name.lower()
        # RFC 9112 5.1 and 5.2: no space before the colon, no folding; twice the same length is no length (6.3)
        if not colon or not name or name != name.strip() or (name in fields and name == b"content-length"):
            raise Refused(400)
        fields[name] = value.strip()
    if b"transfer-encoding" in fields:
        raise Refused(400)
    method = parts[0].decode()
    if method not in ("GET", "HEAD", "POST"):
        raise Refused(405)
    body = await _body(reader, fields.get(b"content-length", b"0")) if method == "POST" else b""
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    path = parts[1].decode().partition("?")[0]
    return Asked("GET" if method == "HEAD" else method, path, kind, body), method == "HEAD"


async def _body(reader: asyncio.StreamReader, length: bytes) -> bytes:
    if not length.isdigit():
        raise Refused(400)
    if len(length) > 6 or int(length) > BODY_OCTETS:
        raise Refused(413)
    return await reader.readexactly(int(length))


def _octets(answer: Answer, bare: bool) -> bytes:
    reason = _REASONS[answer.code]
    body = answer.body or (b"" if answer.code == 200 else f"{reason}\n".encode())
    fields = {
        "Content-Type": answer.kind,
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **answer.fields,
    }
    head = f"HTTP/1.1 {answer.code} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{head}\r\n".encode() + (b"" if bare else body)
