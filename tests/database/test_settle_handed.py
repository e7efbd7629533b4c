"""queue.settle_handed: what the next hop took leaves at once, whoever holds a lease; twice is once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from letterlock.queue import calls as queue
from tests.database.world import World, world
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.postgres_both, pytest.mark.req("A1")]

COUNTS = """SELECT (SELECT count(*) FROM queue.message), (SELECT count(*) FROM queue.due),
    (SELECT count(*) FROM queue.recipient), (SELECT count(*) FROM queue.trace)"""


async def _settle(w: World, *pairs: tuple[object, str]) -> list[object]:
    return list(
        await queue.settle_handed(
            w.deliver,
            ids=[id_ for id_, _ in pairs],  # type: ignore[misc]
            addresses=[address for _, address in pairs],
            replies=["250 2.0.0 ok"] * len(pairs),
            traces=[b"sealed trace"] * len(pairs),
        )
    )


def test_what_was_taken_leaves_its_trace_and_an_audit_row(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = await w.accept(["a@x.test"], ["b@x.test"])
            await w.claim()
            assert sorted(map(str, await _settle(w, (ids[0], "a@x.test"), (ids[1], "b@x.test")))) == sorted(
                map(str, ids)
            )
            assert w.ask(COUNTS) == [(0, 0, 0, 2)]
            assert w.ask("SELECT DISTINCT trace FROM queue.trace") == [(b"sealed trace",)]
            found = w.ask(
                "SELECT object, detail ->> 'recipient', detail ->> 'reply', db_role FROM audit.entry"
                " WHERE action = 'queue.delivered'"
            )
            expected = [
                (id_, who, "250 2.0.0 ok", "ll_deliver") for id_, who in zip(ids, ["a@x.test", "b@x.test"], strict=True)
            ]
            assert sorted(found) == sorted(expected)
            await w.accept(["a@x.test"], ids=[ids[0]])  # the same id is never accepted again
            assert w.ask(COUNTS) == [(0, 0, 0, 2)]

    asyncio.run(scenario())


def test_twice_is_once_and_a_stranger_is_nothing(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["a@x.test"])
            assert await _settle(w, (id_, "other@x.test"), (uuid4(), "a@x.test")) == []
            assert w.ask(COUNTS) == [(1, 1, 1, 0)]
            assert await _settle(w, (id_, "a@x.test")) == [id_]
            assert await _settle(w, (id_, "a@x.test")) == []
            assert len(w.audited("queue.delivered")) == 1

    asyncio.run(scenario())


def test_it_is_a_fact_whoever_has_leased_or_held_the_message_since(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["a@x.test"])
            (row,) = await w.claim()
            assert await queue.hold(w.admin, token=await w.login(), id=id_, reason="stop") == "done"
            assert await _settle(w, (id_, "a@x.test")) == [id_]
            assert await w.advance([row]) == []  # nothing of it is left to be advanced
            assert w.ask(COUNTS) == [(0, 0, 0, 1)]

    asyncio.run(scenario())


def test_a_message_with_another_recipient_stays(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["a@x.test", "b@x.test"])
            assert await _settle(w, (id_, "a@x.test")) == []
            assert w.ask("SELECT address FROM queue.recipient") == [("b@x.test",)]
            assert len(w.audited("queue.delivered")) == 1

    asyncio.run(scenario())


def test_leases_that_are_kept_are_not_freed(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test"])
            (kept,) = await w.claim()
            await w.accept(["b@x.test"])
            (lost,) = await w.claim()
            assert await queue.free_leases(w.flow, worker=w.worker, kept=[kept.lease]) == 1
            assert [row.id for row in await w.claim()] == [lost.id]

    asyncio.run(scenario())


def test_a_claim_of_something_is_flushed(database: Database) -> None:
    """What is claimed may be sent before anything else is committed, so its lease must be on disk."""

    async def scenario() -> None:
        async with world(database) as w:
            with database.login("ll_flow") as connection:
                connection.execute("SET synchronous_commit = off")
                for accepted in (0, 1):
                    if accepted:
                        await w.accept(["a@x.test"])
                    with connection.transaction():
                        found = connection.execute(
                            "SELECT id FROM queue.claim_messages(9, 1000000, '1 minute', gen_random_uuid())"
                        ).fetchall()
                        assert len(found) == accepted
                        commit = "on" if accepted else "off"
                        assert connection.execute("SHOW synchronous_commit").fetchone() == (commit,)

    asyncio.run(scenario())
