"""Accepting in groups: one commit in flight, nothing lost or said too early, one bad message alone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from datetime import date
from typing import Any

import pytest

from letterlock.errors import PermanentError, TemporaryError
from letterlock.queue import accept
from letterlock.queue.accept import Acceptor, Entering
from letterlock.vault.content import SealedContent

ORGANISATION = uuid.UUID(int=1)


class Away(TemporaryError):
    """The database is away."""


class Unknown(TemporaryError):
    """The session is unknown."""


class Bad(PermanentError):
    """This message cannot be stored."""


def entering(name: str, size: int = 10) -> Entering:
    content = SealedContent(
        uuid.uuid4(), uuid.UUID(int=2), date(2030, 1, 1), b"w", b"c", b"e", b"m", size, 0, b"x" * size
    )
    return Entering(content, f"{name}@a.test", [(f"{name}{n}@b.test", ORGANISATION) for n in range(2)])


class Database:
    """queue.accept; ``calls``: the senders of each call; ``raising``: sender to what a call with it raises."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.raising: dict[str, list[Exception]] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.arrays: dict[str, list[Any]] = {}

    async def __call__(self, **arrays: list[Any]) -> None:
        self.calls.append(arrays["senders"])
        self.arrays = arrays
        await self.open.wait()
        for sender in arrays["senders"]:
            if self.raising.get(sender):
                raise self.raising[sender].pop(0)


def run(work: Coroutine[Any, Any, None]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(10):
            await work

    asyncio.run(timed())


@pytest.mark.req("A1")
def test_what_gathers_during_a_commit_makes_the_next() -> None:
    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database)
        database.open.clear()
        first = [acceptor.submit(entering(f"a{n}")) for n in range(3)]
        await asyncio.sleep(0.01)
        second = [acceptor.submit(entering(f"b{n}")) for n in range(5)]
        await asyncio.sleep(0.01)
        assert [len(call) for call in database.calls] == [3]
        assert not any(future.done() for future in first + second)
        database.open.set()
        await asyncio.gather(*first, *second)
        assert [len(call) for call in database.calls] == [3, 5]
        await acceptor.finish()

    run(work())


@pytest.mark.req("A1")
def test_as_many_as_last_time_are_waited_for_but_not_long() -> None:
    async def work() -> None:
        loop, database = asyncio.get_running_loop(), Database()
        acceptor = Acceptor(database)
        await asyncio.gather(*(acceptor.submit(entering(f"a{n}")) for n in range(3)))
        first = acceptor.submit(entering("b0"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert [len(call) for call in database.calls] == [3]
        await asyncio.gather(first, *(acceptor.submit(entering(f"b{n}")) for n in (1, 2)))
        assert [len(call) for call in database.calls] == [3, 3]
        started = loop.time()
        await acceptor.submit(entering("c0"))
        assert loop.time() - started >= accept.GATHER_FOR
        for n in range(1, 4):  # alone by now: nothing is waited for
            future = acceptor.submit(entering(f"c{n}"))
            for _ in range(5):
                await asyncio.sleep(0)
            assert future.done()
        assert [len(call) for call in database.calls] == [3, 3, 1, 1, 1, 1]

    run(work())


def test_the_arrays() -> None:
    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database)
        messages = [entering("a"), entering("b")]
        await asyncio.gather(*(acceptor.submit(message) for message in messages))
        arrays = database.arrays
        assert arrays["ids"] == [message.content.id for message in messages]
        assert arrays["bodies"] == [message.content.body for message in messages]
        assert arrays["senders"] == ["a@a.test", "b@a.test"]
        assert arrays["recipient_of"] == [1, 1, 2, 2]
        assert arrays["recipients"] == ["a0@b.test", "a1@b.test", "b0@b.test", "b1@b.test"]
        assert arrays["organisations"] == [ORGANISATION] * 4
        assert set(arrays) == {
            "ids", "sessions", "days", "wrapped_keys", "commitments", "envelopes", "manifests", "sizes", "segments",
            "bodies", "senders", "recipient_of", "recipients", "organisations",
        }  # fmt: skip

    run(work())


def test_a_call_is_not_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database)
        await asyncio.gather(*(acceptor.submit(entering(f"a{n}", 60)) for n in range(10)))
        assert [len(call) for call in database.calls] == [3, 3, 3, 1]
        monkeypatch.setattr(accept, "MAX_OCTETS", 1)
        await asyncio.gather(*(acceptor.submit(entering(f"a{n}", 60)) for n in range(3)))
        assert [len(call) for call in database.calls[4:]] == [1, 1, 1]

    monkeypatch.setattr(accept, "MAX_OCTETS", 200)
    run(work())


@pytest.mark.req("A1")
def test_a_broken_connection_is_asked_again_with_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit may have happened; queue.accept does nothing for an id it has."""

    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database, away=Away)
        message = entering("a")
        database.raising["a@a.test"] = [Away(), Away()]
        await acceptor.submit(message)
        assert database.calls == [["a@a.test"]] * 3
        assert database.arrays["ids"] == [message.content.id]

    monkeypatch.setattr(accept, "RETRY_AFTER", 0.001)
    run(work())


@pytest.mark.req("A1")
def test_an_absence_too_long_refuses_all_that_waits_and_the_next_commit_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database, away=Away)
        database.raising["a@a.test"] = [Away() for _ in range(1000)]
        found = await asyncio.gather(
            acceptor.submit(entering("a")), acceptor.submit(entering("b")), return_exceptions=True
        )
        assert [type(one) for one in found] == [Away, Away]
        await acceptor.submit(entering("c"))

    monkeypatch.setattr(accept, "RETRY_AFTER", 0.001)
    monkeypatch.setattr(accept, "RETRY_FOR", 0.01)
    run(work())


def test_a_temporary_refusal_is_the_whole_batch_s() -> None:
    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database, away=Away)
        database.raising["b@a.test"] = [Unknown()]
        found = await asyncio.gather(*(acceptor.submit(entering(n)) for n in "abc"), return_exceptions=True)
        assert [type(one) for one in found] == [Unknown] * 3
        assert len(database.calls) == 1

    run(work())


@pytest.mark.parametrize("error", [Bad, ValueError])
def test_one_bad_message_does_not_take_others_with_it(error: type[Exception]) -> None:
    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database, away=Away)
        database.raising["b@a.test"] = [error(), error()]
        found = await asyncio.gather(*(acceptor.submit(entering(n)) for n in "abc"), return_exceptions=True)
        assert [type(one) for one in found] == [type(None), error, type(None)]
        assert database.calls == [["a@a.test", "b@a.test", "c@a.test"], ["a@a.test"], ["b@a.test"], ["c@a.test"]]

    run(work())


def test_a_caller_who_went_away_disturbs_nobody() -> None:
    async def work() -> None:
        database = Database()
        acceptor = Acceptor(database)
        gone, stays = acceptor.submit(entering("a")), acceptor.submit(entering("b"))
        gone.cancel()
        await stays
        assert database.calls == [["a@a.test", "b@a.test"]]

    run(work())
