"""The small HTTP server: what it takes, what it refuses, and that nobody holds it up."""

from __future__ import annotations

import asyncio

import pytest

from letterlock.admin import http
from letterlock.admin.http import Answer, Asked, HttpServer
from letterlock.config.settings import Listen
from tests.fakes.installation import free_port


async def echo(asked: Asked) -> Answer:
    """What was asked, as it was understood."""
    return Answer(
        200, "text/plain", f"{asked.method} {asked.path} {asked.kind} ".encode() + asked.body, {"X-Ours": "1"}
    )


def answers(*requests: bytes, patience: float = 5.0) -> list[bytes]:
    async def tell() -> list[bytes]:
        port = free_port()
        server = HttpServer(echo, patience=patience)
        await server.listen(Listen("127.0.0.1", port))
        found = []
        try:
            for each in requests:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(each)
                try:
                    found.append(await reader.read())
                finally:
                    writer.close()
        finally:
            await server.close()
        return found

    return asyncio.run(tell())


def test_get_head_and_post() -> None:
    get, head, post = answers(
        b"GET /a/b?c HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /a HTTP/1.1\r\n\r\n",
        b"POST /p HTTP/1.1\r\nContent-Type: Application/X; a=b\r\nContent-Length: 3\r\n\r\nabc",
    )
    assert get.startswith(b"HTTP/1.1 200 OK\r\n")
    assert get.endswith(b"\r\n\r\nGET /a/b  ")
    assert b"X-Ours: 1\r\n" in get
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Length: 8\r\n" in head
    assert post.endswith(b"\r\n\r\nPOST /p application/x abc")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"DELETE / HTTP/1.1\r\n\r\n", 405),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n", 413),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_what_is_refused(request_: bytes, code: int) -> None:
    (answer,) = answers(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % code)


def test_who_says_nothing_is_not_waited_for() -> None:
    assert answers(b"GET / HTTP/1.1\r\n", patience=0.05) == [b""]


def test_more_than_can_be_served_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_CONNECTIONS", 0)
    with pytest.raises(ConnectionResetError):
        answers(b"GET / HTTP/1.1\r\n\r\n")
