"""One HTTP request and its answer, inside limits of size, time and place.

Guarantees
    At most ``most`` octets of a body are held and MAX_HEAD of a head; all of it, redirects too, ends within TOTAL_FOR.
    A body is taken as it comes: what says that it is compressed is refused and never unpacked.
    Redirects are followed MAX_REDIRECTS times, for GET only, to http and https (never back from https), each through
    the same check of addresses. No cookies, no credentials, no proxies, no connection used twice.

Standards
    RFC 9110 (semantics; 15.4 redirects), RFC 9112 (messages, by h11), RFC 6960 A.1 (OCSP over HTTP).

Raises
    FetchRefused, FetchFailed, HostUnreachable.

See also
    ``reach.py`` (addresses), docs/decisions/0014-fetching.md (why h11).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple
from urllib.parse import urljoin

import h11

from letterlock.fetch.errors import FetchFailed, FetchRefused, HostUnreachable
from letterlock.fetch.reach import Reach, limited
from letterlock.pki import url
from letterlock.pki.url import Url

MAX_HEAD: Final = 16 << 10
MAX_REDIRECTS: Final = 3
MAX_INTERIM: Final = 5
"""Answers before the answer (RFC 9110 15.2)."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_READ: Final = 64 << 10


class _Answer(NamedTuple):
    status: int
    location: str
    body: bytes
    fields: dict[str, str]


class Answered(NamedTuple):
    """An answer as it came, whatever it says. ``fields``: names in lower case, the first of each."""

    status: int
    fields: dict[str, str]
    body: bytes


async def get(reach: Reach, where: Url, *, most: int, accept: str = "*/*") -> bytes:
    """The body at a URL, of ``most`` octets at most."""
    async with _spoken(where):
        for _ in range(MAX_REDIRECTS + 1):
            request = h11.Request(method="GET", target=where.rest, headers=_head(where, accept))
            answer = await _exchange(reach, where, request, b"", most)
            if answer.status == 200:
                return answer.body
            if answer.status not in _REDIRECTS:
                raise _refusal(where, answer.status)
            where = _redirected(where, answer.location)
        raise FetchFailed(detail=f"more than {MAX_REDIRECTS} redirects, the last to {where.host}")


async def post(reach: Reach, where: Url, body: bytes, *, most: int, kind: str, accept: str) -> bytes:
    """The answer to ``body``, of ``most`` octets at most; it is not redirected. ``kind``: media type of ``body``."""
    headers = [*_head(where, accept), ("content-type", kind), ("content-length", str(len(body)))]
    async with _spoken(where):
        request = h11.Request(method="POST", target=where.rest, headers=headers)
        answer = await _exchange(reach, where, request, body, most)
        if answer.status != 200:
            raise _refusal(where, answer.status)
        return answer.body


async def ask(reach: Reach, where: Url, method: str, body: bytes, *, most: int, kind: str) -> Answered:
    """The answer to one request, of ``most`` octets at most, also a refusal or a redirect; none is followed."""
    headers = _head(where, "*/*")
    headers += [("content-type", kind), ("content-length", str(len(body)))] if body else []
    async with _spoken(where):
        request = h11.Request(method=method, target=where.rest, headers=headers)
        answer = await _exchange(reach, where, request, body, most, whole=True)
        return Answered(answer.status, answer.fields, answer.body)


@asynccontextmanager
async def _spoken(where: Url) -> AsyncIterator[None]:
    """The limit of time, and HTTP that is none as one of our errors."""
    try:
        async with limited(where.host):
            yield
    except h11.ProtocolError as error:
        raise FetchFailed(detail=f"{where.host} does not speak HTTP: {str(error)[:100]}") from error


def _head(where: Url, accept: str) -> list[tuple[str, str]]:
    host = f"[{where.host}]" if ":" in where.host else where.host
    port = "" if where.port == url.PORTS[where.scheme] else f":{where.port}"
    return [
        ("host", host + port),  # RFC 9110 7.2
        ("user-agent", "letterlock"),
        ("accept", accept),
        ("accept-encoding", "identity"),
        ("connection", "close"),
    ]


def _refusal(where: Url, status: int) -> FetchFailed:
    """5xx, 408 and 429 are the server's trouble (RFC 9110 15.6, RFC 6585 4); the others are about this one URL."""
    kind = HostUnreachable if status >= 500 or status in (408, 429) else FetchFailed
    return kind(detail=f"{where.host} answered {status}")


def _redirected(where: Url, location: str) -> Url:
    """Where a redirect leads. Raises FetchRefused unless we may follow it."""
    try:
        found = url.parse(urljoin(str(where), location))
    except (url.UrlRefused, ValueError) as error:
        raise FetchRefused(detail=f"{where.host} redirects to what is not fetched") from error
    if found.scheme not in ("http", "https") or (where.scheme == "https" and found.scheme == "http"):
        raise FetchRefused(detail=f"{where.host} redirects from {where.scheme} to {found.scheme}")
    return found


async def _exchange(
    reach: Reach, where: Url, request: h11.Request, body: bytes, most: int, *, whole: bool = False
) -> _Answer:
    """One request, one answer, one connection. ``whole``: the body of what is no success too."""
    tls = where.scheme == "https"
    async with reach.connection(where.host, where.port, tls=tls) as (reader, writer, _):
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        octets = connection.send(request) or b""
        if body:
            octets += connection.send(h11.Data(data=body)) or b""
        writer.write(octets + (connection.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        return await _read(reader, connection, where, most, whole=whole)


async def _read(
    reader: asyncio.StreamReader, connection: h11.Connection, where: Url, most: int, *, whole: bool
) -> _Answer:
    status, location, interim, size = 0, "", 0, 0
    fields: dict[str, str] = {}
    pieces: list[bytes] = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > MAX_INTERIM:
                raise FetchFailed(detail=f"{where.host} answers without end")
        elif isinstance(event, h11.Response):
            status, location = event.status_code, _checked(event, where, most)
            fields = {name.decode(): value.decode("latin-1") for name, value in reversed(list(event.headers))}
            if status != 200 and not whole:
                return _Answer(status, location, b"", fields)  # nobody reads such a body
        elif isinstance(event, h11.Data):
            size += len(event.data)
            if size > most:
                raise FetchFailed(detail=f"{where.host} sends more than {most} octets")
            pieces.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return _Answer(status, location, b"".join(pieces), fields)
        else:
            raise HostUnreachable(detail=f"{where.host} hung up")


def _checked(response: h11.Response, where: Url, most: int) -> str:
    """The Location of an answer whose other fields let us read on. Raises FetchFailed."""
    location = ""
    for name, value in response.headers:
        if name == b"content-encoding" and value.lower() not in (b"identity", b""):
            raise FetchFailed(detail=f"{where.host} sends compressed octets unasked")
        if name == b"content-length" and response.status_code == 200 and int(value) > most:
            raise FetchFailed(detail=f"{where.host} announces {int(value)} octets, more than {most}")
        if name == b"location":
            location = value.decode("ascii", "replace")
    return location
