"""The keyholder's client: one connection, made again when it breaks; requests asked again, or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from letterlock.vault import frames
from letterlock.vault.errors import KeyholderUnavailable, KeyRefused
from letterlock.vault.keys import new_id
from letterlock.vault.opening import KeyholderClient

TOKEN = b"t" * 32


class FakeKeyholder:
    """Answers MarkKey; ``deaf`` requests are met with a closed connection, and counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.deaf = 0
        self.frames: list[list[Any]] = []
        self.serving: set[Any] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await self._hear(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words: frames.FrameReader[Any] = frames.FrameReader(frames.Hello | frames.Request)
        heard: list[Any] = []
        self.frames.append(heard)
        while octets := await reader.read(65_536):
            for word in words.feed(octets):
                heard.append(word)
                if isinstance(word, frames.Hello):
                    assert word.token == TOKEN
                elif self.deaf:
                    self.deaf -= 1
                    return
                elif isinstance(word, frames.Use):
                    done = [self._do(job) for job in reversed(word.jobs)]
                    writer.write(frames.encode(frames.Used(done)))
                else:
                    writer.write(frames.encode(frames.MarkGiven(word.serial, b"m" * 32)))

    def _do(self, job: frames.Job) -> frames.Done:
        if job.algorithm in ("refused", "unavailable"):
            return frames.Done(job.serial, b"", job.algorithm, "A sentence.")
        return frames.Done(job.serial, job.octets[::-1])

    async def listen(self) -> asyncio.AbstractServer:
        return await asyncio.start_unix_server(self._serve, str(self.path))


def with_both(state: Path, story: Callable[[FakeKeyholder, KeyholderClient], Awaitable[None]]) -> None:
    async def tell() -> None:
        keyholder = FakeKeyholder(state / "key.sock")
        client = KeyholderClient(keyholder.path, TOKEN, patience=0.3)
        server = await keyholder.listen()
        try:
            await story(keyholder, client)
        finally:
            client.close()
            server.close()
            await asyncio.gather(*keyholder.serving)

    asyncio.run(tell())
    (state / "key.sock").unlink(missing_ok=True)
    uvloop.run(tell())  # the stations run on it; its transports are none of asyncio's classes


def test_many_at_once_over_one_connection(tmp_path: Path) -> None:
    async def story(keyholder: FakeKeyholder, client: KeyholderClient) -> None:
        found = await asyncio.gather(*(client.mark_key() for _ in range(20)))
        assert {secret.octets for secret in found} == {b"m" * 32}
        assert len(keyholder.frames) == 1

    with_both(tmp_path, story)


def test_uses_of_one_turn_are_one_frame(tmp_path: Path) -> None:
    async def story(keyholder: FakeKeyholder, client: KeyholderClient) -> None:
        await client.mark_key()
        ids = [new_id() for _ in range(3)]
        found = await asyncio.gather(*(client.sign(*ids, b"%d-tbs" % number, "ed25519") for number in range(40)))
        assert found == [(b"%d-tbs" % number)[::-1] for number in range(40)]
        uses = [word for word in keyholder.frames[0] if isinstance(word, frames.Use)]
        assert [len(use.jobs) for use in uses] == [32, 8]

    with_both(tmp_path, story)


def test_refusals(tmp_path: Path) -> None:
    async def story(_: FakeKeyholder, client: KeyholderClient) -> None:
        with pytest.raises(KeyRefused, match="A sentence"):
            await client.unwrap(new_id(), new_id(), new_id(), "refused", b"x", 32)
        with pytest.raises(KeyholderUnavailable, match="A sentence"):
            await client.agree(new_id(), new_id(), new_id(), "unavailable", b"x")
        with pytest.raises(KeyRefused):
            await client.sign(new_id(), new_id(), new_id(), bytes(frames.LONGEST_JOB + 1), "ed25519")

    with_both(tmp_path, story)


def test_what_a_dying_keyholder_left_unanswered_is_asked_again(tmp_path: Path) -> None:
    async def story(keyholder: FakeKeyholder, client: KeyholderClient) -> None:
        await client.mark_key()
        keyholder.deaf = 1
        ids = [new_id() for _ in range(3)]
        found = await asyncio.gather(client.mark_key(), client.sign(*ids, b"abc", "ed25519"))
        assert found[1] == b"cba"
        assert len(keyholder.frames) == 2
        keyholder.deaf = 2
        with pytest.raises(KeyholderUnavailable):
            await client.mark_key()
        await client.mark_key()

    with_both(tmp_path, story)


def test_what_counts_is_not_asked_again(tmp_path: Path) -> None:
    async def story(keyholder: FakeKeyholder, client: KeyholderClient) -> None:
        for ask in (client.take(new_id(), b"token"), client.import_key(b"token", new_id(), b"pkcs8")):
            before = len(keyholder.frames)
            keyholder.deaf = 1
            with pytest.raises(KeyholderUnavailable):
                await ask
            assert keyholder.deaf == 0
            assert len(keyholder.frames) == before + 1

    with_both(tmp_path, story)


def test_a_keyholder_that_starts_is_waited_for(tmp_path: Path) -> None:
    async def tell() -> None:
        keyholder = FakeKeyholder(tmp_path / "key.sock")
        client = KeyholderClient(keyholder.path, TOKEN, patience=5)
        asking = asyncio.create_task(client.mark_key())
        await asyncio.sleep(0)
        assert not asking.done()
        server = await keyholder.listen()
        await asking
        client.close()
        server.close()
        await asyncio.gather(*keyholder.serving)

    asyncio.run(tell())


def test_a_keyholder_that_stays_away_is_not_waited_for_long(tmp_path: Path) -> None:
    async def tell() -> None:
        client = KeyholderClient(tmp_path / "none", TOKEN, patience=0.1)
        found = await asyncio.gather(*(client.mark_key() for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in found] == [KeyholderUnavailable] * 3
        assert found[0].code == 451  # type: ignore[union-attr]  # it is ours
        client.close()

    asyncio.run(asyncio.wait_for(tell(), 3))
