"""A directory that does not play by the rules costs a bounded time and memory, and gets no password in clear."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from letterlock.asn1 import der
from letterlock.fetch import ldap, reach
from letterlock.fetch.errors import FetchAbsent, FetchFailed, FetchRefused, HostUnreachable
from letterlock.fetch.reach import Reach
from letterlock.pki.url import Url

MOST = 50_000
WITHIN = 1.0
LISTED = [ipaddress.ip_network("127.0.0.1/32")]
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "TOTAL_FOR", WITHIN)


def _message(operation: bytes) -> bytes:
    return der.sequence(der.integer(2), operation)


def _entry(*values: bytes, name: str = "userCertificate;binary") -> bytes:
    attribute = der.sequence(der.octet_string(name.encode()), der.set_of(*map(der.octet_string, values)))
    return _message(der.tlv(0x64, der.octet_string(b"cn=x"), der.sequence(attribute)))


def _done(code: int = 0) -> bytes:
    return _message(der.tlv(0x65, der.tlv(0x0A, bytes([code])), der.octet_string(b""), der.octet_string(b"")))


def _search(behaviour: Behaviour, allowed: Sequence[reach.Network] = LISTED) -> list[bytes]:
    """What a search finds at a server that behaves so."""

    async def scenario() -> list[bytes]:
        async with _serving(behaviour) as where:
            began = time.monotonic()
            try:
                asked = ldap.of_address("dc=x", "a@x.test")
                return await ldap.search(Reach(allowed), where, asked, most=MOST)
            finally:
                assert time.monotonic() - began < WITHIN + 1

    return asyncio.run(scenario())


@asynccontextmanager
async def _serving(behaviour: Behaviour) -> AsyncIterator[Url]:
    """A server that behaves so; all of it has ended afterwards."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await behaviour(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Url("ldap", "127.0.0.1", server.sockets[0].getsockname()[1], "/dc=x")
    finally:
        server.close()
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def _saying(*pieces: bytes, each: float = 0.0) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(each)

    return behave


def _for_ever(piece: bytes, first: bytes = b"") -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()

    return behave


@pytest.mark.req("C14")
def test_what_is_asked_for_is_found_and_nothing_else() -> None:
    assert _search(_saying(_entry(b"one"), _entry(b"two", name="USERCERTIFICATE"), _done())) == [b"one", b"two"]
    with pytest.raises(FetchAbsent):
        _search(_saying(_entry(b"secret", name="userPassword"), _done()))
    with pytest.raises(FetchAbsent):
        _search(_saying(_done(32)))


@pytest.mark.req("C2", "C14")
@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        [b"\x30\x80\x02\x01\x02"],  # indefinite length
        [b"\x30\x84\xff\xff\xff\xff"],  # four gigabytes announced
        [b"\x30\x89\x01\x01\x01\x01\x01\x01\x01\x01\x01"],
        [b"\x30\x03\x02\x01\x02"],  # no operation
        [_message(b"\x64\x00")],
        [_message(der.tlv(0x64, der.octet_string(b"x"), der.sequence(der.sequence())))],
        [_message(b"\x65\x00")],
        [_message(b"\x65\x03\x0a\x01")],
        [_message(b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00")],  # a bind response nobody asked for
        [_message(b"\x78\x07\x0a\x01\x34\x04\x00\x04\x00")],  # notice of disconnection
        [_entry(b"x")],  # hangs up before the search is done
        [_done(50)],
        [b"\x30" * 5000],
        [_message(b"\x30" * 3000)],
    ],
)
def test_broken_answers(pieces: list[bytes]) -> None:
    with pytest.raises((FetchFailed, HostUnreachable)):
        _search(_saying(*pieces))


@pytest.mark.req("C2", "C14")
@pytest.mark.slow
def test_slow_and_endless_answers() -> None:
    drip = [bytes([octet]) for octet in _entry(b"x" * 500) + _done()]
    with pytest.raises(HostUnreachable):
        _search(_saying(*drip, each=0.02))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for piece in (_entry(b"x" * 1000), _entry(b"x"), b"\x30\x83\x01\x00\x00" + b"x" * 65536):
        with pytest.raises(FetchFailed):
            _search(_for_ever(piece))
    with pytest.raises(FetchFailed, match="more than"):
        _search(_for_ever(b"x" * 65536, first=b"\x30\x84\x7f\xff\xff\xff"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB


@pytest.mark.req("C14")
def test_referrals_lead_nowhere() -> None:
    """Neither a continuation reference nor a referral makes us ask another server."""
    reached: list[bytes] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(1000))
        port = writer.get_extra_info("sockname")[1]
        target = der.octet_string(f"ldap://127.0.0.1:{port}/dc=elsewhere".encode())
        writer.write(_message(der.tlv(0x73, target)))
        result = (der.tlv(0x0A, b"\x0a"), der.octet_string(b""), der.octet_string(b""), der.tlv(0xA3, target))
        writer.write(_message(der.tlv(0x65, *result)))
        await writer.drain()
        await reader.read()

    with pytest.raises(FetchAbsent):
        _search(behave)
    assert len(reached) == 1


@pytest.mark.req("C14")
def test_a_password_goes_to_our_own_only() -> None:
    """127.0.0.1 may be reached here as if it were public: nothing is sent to it in clear."""
    said: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read(1000))

    class Public(Reach):
        def check(self, text: str) -> reach.Address:
            return ipaddress.ip_address(text)

    async def scenario() -> None:
        async with _serving(listen) as where:
            secret = ldap.Secret("cn=me", "hush")
            with pytest.raises(FetchRefused) as caught:
                await ldap.search(Public(), where, ldap.of_address("dc=x", "a@x.test"), most=MOST, secret=secret)
            assert "without TLS" in caught.value.detail
            await asyncio.sleep(0.05)

    asyncio.run(scenario())
    assert b"hush" not in b"".join(said)
    assert "hush" not in repr(ldap.Secret("cn=me", "hush"))


@pytest.mark.req("C2")
def test_no_directory_inside() -> None:
    with pytest.raises(FetchRefused):
        _search(_saying(_done()), allowed=[])
