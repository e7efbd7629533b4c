"""The status port: /livez, /readyz and /metrics by HTTP on one loopback address.

Guarantees
    It answers GET and HEAD and nothing else, reads 8 KiB of request at most within 5 s, and says nothing but states,
    counters and the isolation level: no address, subject or key. It refuses to be bound to anything but loopback.

Standards
    RFC 9112 (a close after each answer), Prometheus text format 0.0.4.

Raises
    StatusPortTaken, StatusPortPublic.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import Callable
from typing import Any

from letterlock.errors import SystemFailure, UsageError

LONGEST_REQUEST = 8192
PATIENCE = 5.0


class StatusPortTaken(SystemFailure):
    """The status port is in use."""


class StatusPortPublic(UsageError):
    """The status port may only be bound to a loopback address."""


Answer = tuple[int, str, bytes]
"""Status code, content type, body."""

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_TEXT = "text/plain; charset=utf-8"


def as_json(code: int, value: Any) -> Answer:
    """A JSON answer."""
    return code, "application/json", json.dumps(value, indent=2).encode() + b"\n"


def as_metrics(text: str) -> Answer:
    """An answer in the Prometheus text format."""
    return 200, "text/plain; version=0.0.4; charset=utf-8", text.encode()


class StatusServer:
    """``pages``: what each path answers, asked anew for each request."""

    def __init__(self, pages: dict[str, Callable[[], Answer]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Serve until close(). Raises StatusPortTaken, StatusPortPublic."""
        if not _is_loopback(host):
            raise StatusPortPublic(f"[http] status is {host}:{port}; it must be a loopback address such as 127.0.0.1.")
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=LONGEST_REQUEST)
        except OSError as fault:
            raise StatusPortTaken(
                f"The status port {host}:{port} cannot be opened ({fault.strerror}): change [http] status in the file."
            ) from None

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            method, path = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", ""][:2]
            code, kind, body = self._answer(method, path.split("?", 1)[0])
            fields = f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            fields += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
            writer.write(fields.encode() + (b"" if method == "HEAD" else body))
            await asyncio.wait_for(writer.drain(), PATIENCE)
        writer.close()

    def _answer(self, method: str, path: str) -> Answer:
        page = self._pages.get(path)
        if page is None:
            return 404, _TEXT, b"not found\n"
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"only GET\n"
        return page()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
