"""queue.accept: responsibility taken once, whole, durably, and only for what can be opened again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from letterlock.database.errors import SealingSessionUnknown
from letterlock.keyholder import calls as keyholder
from letterlock.queue import calls as queue
from tests.database.world import now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both

COUNTS = """SELECT (SELECT count(*) FROM queue.message), (SELECT count(*) FROM queue.recipient),
    (SELECT count(*) FROM queue.due)"""


def test_all_rows_of_a_batch_enter(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            first, second = await w.accept(["a@x.test", '"odd@one"@y.test'], ["c@z.test"])
            assert w.ask(COUNTS) == [(2, 3, 2)]
            assert w.ask("SELECT owner, n, address, domain, state FROM queue.recipient ORDER BY n") == [
                (first, 1, "a@x.test", "x.test", "pending"),
                (first, 2, '"odd@one"@y.test', "y.test", "pending"),
                (second, 3, "c@z.test", "z.test", "pending"),
            ]
            assert sorted(w.audited("queue.accept"), key=str) == sorted(
                [("ll_receive", None, first, True), ("ll_receive", None, second, True)], key=str
            )

    asyncio.run(scenario())


def test_accepting_twice_is_accepting_once(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = [uuid4(), uuid4()]
            await w.accept(["a@x.test"], ids=ids[:1])
            await w.accept(["a@x.test"], ["b@x.test"], ids=ids)  # the answer to the first was lost; one more has come
            assert w.ask(COUNTS) == [(2, 2, 2)]
            assert len(w.audited("queue.accept")) == 2

    asyncio.run(scenario())


def test_an_id_that_has_left_is_not_accepted_again(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = await w.accept(["a@x.test"])
            rows = await w.claim()
            assert await w.advance(rows, traces=[b""]) == ids
            dropped = await w.accept(["b@x.test"])
            assert await queue.drop(w.admin, token=await w.login(), id=dropped[0], reason="test") == "done"
            await w.accept(["a@x.test"], ["b@x.test"], ids=ids + dropped)
            assert await w.claim() == []

    asyncio.run(scenario())


def test_sessions_that_cannot_be_opened_again_are_refused(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["before@x.test"])
            good = w.sessions["ll_receive"]

            w.sessions["ll_receive"] = uuid4()
            with pytest.raises(SealingSessionUnknown):
                await w.accept(["unknown@x.test"])

            w.sessions["ll_receive"] = w.sessions["ll_flow"]
            with pytest.raises(SealingSessionUnknown):
                await w.accept(["of-another-role@x.test"])

            await w.open_session("ll_receive", not_after=now() - timedelta(seconds=1))
            with pytest.raises(SealingSessionUnknown):
                await w.accept(["over@x.test"])

            w.sessions["ll_receive"] = good
            w.day += timedelta(days=1)
            with pytest.raises(SealingSessionUnknown):
                await w.accept(["of-another-day@x.test"])
            w.day -= timedelta(days=1)

            await w.accept(["still-good@x.test"])
            assert await keyholder.mark_destroyed(w.keyholder, id=w.epoch) == "done"
            with pytest.raises(SealingSessionUnknown):
                await w.accept(["of-a-destroyed-epoch@x.test"])
            w.do("UPDATE keyholder.session SET void_at = NULL")
            with pytest.raises(SealingSessionUnknown):
                await w.accept(["of-a-destroyed-epoch@x.test"])
            assert w.ask(COUNTS) == [(2, 2, 2)]
            assert len(w.audited("queue.accept")) == 2

    asyncio.run(scenario())


def test_one_bad_session_refuses_the_whole_batch(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = [uuid4(), uuid4()]
            columns = w.content("ll_receive", ids)
            columns["sessions"][1] = uuid4()
            with pytest.raises(SealingSessionUnknown):
                await queue.accept(
                    w.receive,
                    **columns,
                    senders=["", ""],
                    recipient_of=[1, 2],
                    recipients=["a@x.test", "b@x.test"],
                    organisations=[None, None],
                )
            assert w.ask(COUNTS) == [(0, 0, 0)]

    asyncio.run(scenario())


@pytest.mark.req("I6")
def test_a_caller_cannot_make_accept_asynchronous(database: Database) -> None:
    """What the caller set is overruled inside, for the whole transaction: the commit waits for the disk."""

    async def scenario() -> None:
        async with world(database) as w:
            id_ = uuid4()
            columns = w.content("ll_receive", [id_])
            with database.login("ll_receive") as connection:
                connection.execute("SET synchronous_commit = off")
                arrays = [
                    *(
                        columns[name]
                        for name in ("ids", "sessions", "days", "wrapped_keys", "commitments", "envelopes")
                    ),
                    *(columns[name] for name in ("manifests", "sizes", "segments", "bodies")),
                    ["s@corp.test"],
                    [1],
                    ["a@x.test"],
                    [None],
                ]
                places = (
                    "%s::uuid[], %s::uuid[], %s::date[], %s, %s, %s, %s, %s::bigint[], %s::int[], %s, %s, %s::int[], %s"
                )
                with connection.transaction():
                    connection.execute(f"SELECT queue.accept({places}, %s::uuid[])".encode(), arrays)
                    assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
                assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)
            assert w.audited("queue.accept") == [("ll_receive", None, id_, True)]

    asyncio.run(scenario())
