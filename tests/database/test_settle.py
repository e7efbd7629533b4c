"""queue.settle and queue.turn: responsibility ends once, under the lease, and never for a recipient without an outcome."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.database.world import World, now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both

EMPTY = [(0, 0, 0, 0)]
COUNTS = """SELECT (SELECT count(*) FROM queue.message), (SELECT count(*) FROM queue.delivery),
    (SELECT count(*) FROM queue.due), (SELECT count(*) FROM queue.recipient)"""


async def _deliveries(w: World, *recipients: list[str]) -> None:
    await w.accept(*recipients)
    await w.advance(await w.claim())


def test_delivered_leaves_nothing_but_the_audit(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _deliveries(w, ["a@x.test", "b@x.test"], ["c@x.test"])
            rows = await w.claim_deliveries()
            assert sorted(await w.settle(rows)) == sorted(row.id for row in rows)
            assert w.ask(COUNTS) == EMPTY
            found = w.ask(
                "SELECT detail ->> 'recipient', detail ->> 'reply' FROM audit.entry WHERE action = 'queue.delivered'"
            )
            assert sorted(found) == [(who, "250 2.0.0 ok") for who in ("a@x.test", "b@x.test", "c@x.test")]

    asyncio.run(scenario())


def test_a_lost_lease_settles_nothing(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _deliveries(w, ["a@x.test"], ["b@x.test"])
            rows = list(await w.claim_deliveries())
            w.do("UPDATE queue.due SET due_at = now() WHERE id = %s", rows[0].id)
            (again,) = await w.claim_deliveries()
            notice = w.content("ll_deliver", [uuid4()], "notice_")
            settled = await w.settle(rows, notice_of=[1], notice_recipients=["s@corp.test"], **notice)
            assert settled == [rows[1].id]
            assert w.ask(COUNTS) == [(0, 1, 1, 1)]
            assert len(w.audited("queue.delivered")) == 1
            assert await w.settle([again]) == [again.id]

    asyncio.run(scenario())


def test_not_done_is_tried_again_at_its_time(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _deliveries(w, ["yes@x.test", "later@x.test"])
            (row,) = await w.claim_deliveries()
            settled = await w.settle(
                [row],
                done=[False],
                due_at=[now() + timedelta(minutes=10)],
                replies=["451 4.7.1 later"],
                delayed=[True],
                outcome_of=[1],
                outcome_addresses=["yes@x.test"],
                outcome_states=["delivered"],
            )
            assert settled == [row.id]
            assert await w.claim_deliveries() == []
            assert w.ask("SELECT reply, delayed FROM queue.delivery") == [("451 4.7.1 later", True)]
            w.do("UPDATE queue.due SET due_at = now()")
            (again,) = await w.claim_deliveries()
            assert (again.recipients, again.attempts, again.delayed) == (["later@x.test"], 2, True)
            assert again.body == row.body  # the same octets on every attempt
            assert w.audited("queue.deferred") == [("ll_deliver", None, row.id, True)]

    asyncio.run(scenario())


def test_done_does_not_lose_a_recipient_without_outcome(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _deliveries(w, ["said@x.test", "unsaid@x.test"])
            (row,) = await w.claim_deliveries()
            settled = await w.settle(
                [row], outcome_of=[1], outcome_addresses=["said@x.test"], outcome_states=["delivered"]
            )
            assert settled == []  # so its segments stay
            assert await w.claim_deliveries() == []
            w.do("UPDATE queue.due SET due_at = now()")
            (again,) = await w.claim_deliveries()
            assert again.recipients == ["unsaid@x.test"]

    asyncio.run(scenario())


def test_a_failure_and_its_report_are_one_transaction(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _deliveries(w, ["a@x.test"])
            (row,) = await w.claim_deliveries()
            notice = w.content("ll_deliver", [uuid4()], "notice_")
            await w.settle(
                [row],
                replies=["550 5.1.1 no such user"],
                outcome_states=["failed"],
                notice_of=[1],
                notice_recipients=["sender@corp.test"],
                **notice,
            )
            (report,) = await w.claim()
            assert report.id == notice["notice_ids"][0]
            assert report.recipients == ["sender@corp.test"]
            assert w.audited("queue.failed") == [("ll_deliver", None, row.id, True)]

    asyncio.run(scenario())


def test_turn_settles_and_claims(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            assert await w.turn() == ([], [])
            await _deliveries(w, ["a@x.test"], ["b@x.test"], ["c@x.test"])
            settled, rows = await w.turn(most=2)
            assert settled == []
            assert len(rows) == 2
            settled, last = await w.turn(rows)
            assert sorted(settled) == sorted(row.id for row in rows)
            assert sorted(who for row in (*rows, *last) for who in row.recipients) == [
                "a@x.test",
                "b@x.test",
                "c@x.test",
            ]
            settled, none = await w.turn(last)
            assert settled == [last[0].id]
            assert none == []
            assert w.ask(COUNTS) == EMPTY

    asyncio.run(scenario())


def test_turn_notes_back_off_before_it_claims(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _deliveries(w, ["a@x.test"], ["b@x.test"])
            _, rows = await w.turn(most=1)
            until = now() + timedelta(minutes=5)
            _, claimed = await w.turn(
                rows,
                done=[False],
                due_at=[until],
                outcome_of=[],
                outcome_addresses=[],
                outcome_states=[],
                backoff_domains=["example.test", "example.test"],
                backoff_until=[until - timedelta(minutes=1), until],
            )
            assert claimed == []
            assert w.ask("SELECT domain, not_before FROM queue.backoff") == [("example.test", until)]

    asyncio.run(scenario())


@pytest.mark.parametrize(("batch", "wanted"), [(1, "on"), (0, "off")])
def test_turn_is_synchronous_exactly_when_it_settles(database: Database, batch: int, wanted: str) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _deliveries(w, ["a@x.test"])
            await w.claim_deliveries()
            rows = [] if batch == 0 else w.ask("SELECT lease, id FROM queue.due")
            with database.login("ll_deliver") as connection:
                connection.execute("SET synchronous_commit = local")
                with connection.transaction():
                    connection.execute(
                        """SELECT queue.turn(%s::uuid[], %s::uuid[], %s::boolean[], %s::timestamptz[], %s::text[],
                        %s::boolean[], %s::int[], %s::text[], %s::text[], '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                        '{}', '{}', '{}', '{}', '{}', '{}', 20, 1000000, interval '1 minute', gen_random_uuid())""",
                        [
                            [row[0] for row in rows],
                            [row[1] for row in rows],
                            [True] * batch,
                            [None] * batch,
                            ["250 ok"] * batch,
                            [False] * batch,
                            [1] * batch,
                            ["a@x.test"] * batch,
                            ["delivered"] * batch,
                        ],
                    )
                    assert connection.execute("SHOW synchronous_commit").fetchone() == (wanted,)

    asyncio.run(scenario())


@pytest.mark.req("I6")
def test_a_caller_cannot_make_settle_asynchronous(database: Database) -> None:
    with database.login("ll_deliver") as connection:
        connection.execute("SET synchronous_commit = off")
        with connection.transaction():
            nothing = ", ".join(["'{}'"] * 23)
            connection.execute(f"SELECT queue.settle({nothing})".encode())
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
