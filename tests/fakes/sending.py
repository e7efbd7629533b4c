"""Sending jobs through a Pool in a test, and a server that follows a script.

Guarantees
    Each connection to a Script does what its part says, the last part for all further ones; ``said`` holds the commands
    heard on each. ``with_pool`` closes the pool and sees that no connection is left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from letterlock.delivery.next_hop import Host
from letterlock.delivery.outcome import Outcome
from letterlock.delivery.pool import Pool
from letterlock.delivery.tls_policy import TlsPolicy
from letterlock.mail.envelope import Recipient
from letterlock.smtp.client import Job

T = TypeVar("T")
HELLO = b"250-hop.test\r\n250 PIPELINING\r\n"


def job(name: str = "bob", content: bytes = b"Subject: x\r\n\r\nbody\r\n", *others: str) -> Job:
    recipients = tuple(Recipient(f"{each}@b.test") for each in (name, *others))
    return Job("alice@a.test", recipients, lambda: [content], len(content))


async def sent(pool: Pool, hosts: list[Host], work: Job, floor: int = 0) -> list[Outcome]:
    """What ``pool`` tells about one job."""
    told: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
    pool.send(hosts, work, told.set_result, floor=floor)
    return await told


def with_pool(use: Callable[[Pool], Awaitable[T]], policy: TlsPolicy | None = None) -> T:
    async def run() -> T:
        pool = Pool("client.test", lambda destination: policy or TlsPolicy())
        try:
            async with asyncio.timeout(30):
                return await use(pool)
        finally:
            await pool.close()
            assert pool.connections == 0

    return asyncio.run(run())


def send(port: int, *jobs: Job, floor: int = 0, policy: TlsPolicy | None = None) -> list[list[Outcome]]:
    """All jobs at once."""
    return with_pool(
        lambda pool: asyncio.gather(*(sent(pool, [Host("127.0.0.1", port)], each, floor) for each in jobs)), policy
    )


def verdicts(found: list[list[Outcome]]) -> list[list[str]]:
    return [[one.verdict for one in each] for each in found]


class Script:
    """A server whose connections each do what the next coroutine says; ``said``: the commands of each connection."""

    def __init__(self, *parts: Callable[[Script, Wire], Coroutine[Any, Any, None]]) -> None:
        self.parts = list(parts)
        self.said: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Script:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        number = len(self.said)
        self.said.append(b"")
        try:
            await self.parts[min(number, len(self.parts) - 1)](self, Wire(self, number, reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Wire:
    """One connection of a Script."""

    def __init__(self, script: Script, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._script, self._number, self._reader, self._writer = script, number, reader, writer

    async def hear(self, end: bytes = b"\r\n") -> bytes:
        octets = await self._reader.readuntil(end)
        self._script.said[self._number] += octets
        return octets

    def say(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def hello(self) -> None:
        self.say(b"220 hop.test\r\n")
        await self.hear()
        self.say(HELLO)

    async def envelope(self) -> None:
        await self.hear(b"DATA\r\n")
        self.say(b"250 ok\r\n250 ok\r\n354 go\r\n")

    async def message(self) -> None:
        await self.envelope()
        await self.hear(b"\r\n.\r\n")
        self.say(b"250 2.0.0 taken\r\n")


async def well(_script: Script, wire: Wire) -> None:
    """Takes everything."""
    await wire.hello()
    while True:
        await wire.message()
