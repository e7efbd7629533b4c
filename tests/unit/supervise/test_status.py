"""The status port."""

from __future__ import annotations

import asyncio
import socket

import pytest

from letterlock.supervise import status

PAGES = {
    "/livez": lambda: (200, "text/plain", b"ok\n"),
    "/readyz": lambda: status.as_json(503, {"ready": False}),
    "/metrics": lambda: status.as_metrics("a 1\n"),
}


def _ask(request: bytes) -> bytes:
    async def ask() -> bytes:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = status.StatusServer(PAGES)
        await server.listen("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await server.close()
        return answer

    return asyncio.run(ask())


def test_pages() -> None:
    assert _ask(b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    ready = _ask(b"GET /readyz?verbose HTTP/1.1\r\n\r\n")
    assert ready.startswith(b"HTTP/1.1 503 ")
    assert ready.endswith(b'"ready": false\n}\n')
    assert b"version=0.0.4" in _ask(b"GET /metrics HTTP/1.0\r\n\r\n")


def test_head_has_no_body() -> None:
    assert _ask(b"HEAD /livez HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_octets", "code"),
    [(b"POST /livez HTTP/1.1\r\n\r\n", b"405"), (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"404"), (b"x\r\n\r\n", b"404")],
)
def test_nothing_else(request_octets: bytes, code: bytes) -> None:
    assert _ask(request_octets).split(b" ")[1] == code


def test_too_long_a_request_is_dropped() -> None:
    assert _ask(b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n") == b""


def test_port_in_use_and_public_address_are_said() -> None:
    async def listen(host: str, port: int) -> None:
        server = status.StatusServer(PAGES)
        try:
            await server.listen(host, port)
        finally:
            await server.close()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(status.StatusPortTaken, match=r"change .http. status"):
            asyncio.run(listen("127.0.0.1", taken.getsockname()[1]))
    with pytest.raises(status.StatusPortPublic, match="loopback"):
        asyncio.run(listen("0.0.0.0", 1))
