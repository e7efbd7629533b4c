"""A server that is asked for a CRL must not cost us more time or memory than the limits say."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import resource
import time
from collections.abc import Iterator

import pytest

from letterlock.fetch import http, reach
from letterlock.fetch.errors import FetchFailed, HostUnreachable
from letterlock.fetch.reach import Reach
from letterlock.pki import url
from tests.fakes.web import Asked, Web, endless, slowly

MOST = 100_000
WITHIN = 1.0


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "TOTAL_FOR", WITHIN)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


def _get(text: str, most: int = MOST) -> bytes:
    started = time.monotonic()
    try:
        return asyncio.run(http.get(Reach([ipaddress.ip_network("127.0.0.1/32")]), url.parse(text), most=most))
    finally:
        assert time.monotonic() - started < WITHIN + 1


@pytest.mark.req("C2")
@pytest.mark.slow
@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,  # a slow loris, head and body
        b"HTTP/1.1 200 OK\r\n" + b"X-Field: value\r\n" * 500,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 500,
    ],
)
def test_a_slow_answer_ends_with_the_time(web: Web, octets: bytes) -> None:
    at = web.handle("/", slowly(octets, 0.02))
    with pytest.raises(HostUnreachable, match="within"):
        _get(at)


@pytest.mark.req("C2")
@pytest.mark.slow
def test_silence_ends_with_the_time(web: Web) -> None:
    def silent(_: Asked) -> Iterator[bytes]:
        time.sleep(WITHIN + 2)
        yield b""

    with pytest.raises(HostUnreachable, match="within"):
        _get(web.handle("/", silent))


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Field: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"",
    ],
)
def test_an_endless_answer_is_cut(web: Web, head: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    at = web.handle("/", endless(head, b"a" * 65536))
    with pytest.raises((FetchFailed, HostUnreachable)):
        _get(at)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB


@pytest.mark.req("C2")
def test_interim_answers_without_end(web: Web) -> None:
    at = web.handle("/", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"))
    with pytest.raises(FetchFailed, match="without end"):
        _get(at)


@pytest.mark.req("C2")
def test_a_gzip_bomb_is_not_unpacked(web: Web) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < MOST
    with pytest.raises(FetchFailed, match="compressed"):
        _get(web.give("/", bomb, Content_Encoding="gzip"))
    assert b"accept-encoding: identity" in web.requests[0].head.lower()


@pytest.mark.req("C2")
def test_a_redirect_loop_ends(web: Web) -> None:
    at = web.redirect("/a", "/b")
    web.redirect("/b", "/a")
    with pytest.raises(FetchFailed, match="redirects"):
        _get(at)
    assert len(web.requests) == http.MAX_REDIRECTS + 1


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho",
        b"HTTP/1.1 abc\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"",
    ],
)
def test_a_broken_answer_is_none(web: Web, answer: bytes) -> None:
    with pytest.raises((FetchFailed, HostUnreachable)):
        _get(web.handle("/", lambda _: [answer]))


@pytest.mark.req("C2")
def test_a_reset_is_the_servers_trouble(web: Web) -> None:
    def reset(asked: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"
        asked.reset()

    with pytest.raises((FetchFailed, HostUnreachable)):
        _get(web.handle("/", reset))


def test_what_fits_is_taken(web: Web) -> None:
    assert _get(web.give("/", b"x" * MOST)) == b"x" * MOST
    with pytest.raises(FetchFailed, match="announces"):
        _get(web.give("/more", b"x" * (MOST + 1)))
