"""queue.advance: a message leaves only whole, only under its lease, and its deliveries enter with the same commit."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from letterlock.database.errors import RecipientUnaccounted, SealingSessionUnknown
from tests.database.world import World, now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both

COUNTS = """SELECT (SELECT count(*) FROM queue.message), (SELECT count(*) FROM queue.delivery),
    (SELECT count(*) FROM queue.due WHERE stage = 1), (SELECT count(*) FROM queue.due WHERE stage = 2),
    (SELECT count(*) FROM queue.recipient)"""


def test_the_message_leaves_and_its_deliveries_enter(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["a@x.test", "b@x.test"])
            rows = await w.claim()
            assert await w.advance(rows) == [id_]
            assert w.ask(COUNTS) == [(0, 1, 0, 1, 2)]
            (delivery,) = await w.claim_deliveries()
            assert delivery.message_id == id_
            assert delivery.recipients == ["a@x.test", "b@x.test"]
            assert (delivery.method, delivery.direction, delivery.tls_min) == ("smime", "outgoing", 1)
            assert delivery.accepted_at == rows[0].accepted_at
            ((message, session, trace),) = w.ask("SELECT message, session, trace FROM queue.trace")
            assert (message, session, trace) == (id_, w.sessions["ll_receive"], b"trace")
            assert w.audited("queue.advance") == [("ll_flow", None, id_, True)]

    asyncio.run(scenario())


def test_a_lost_lease_does_nothing(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = await w.accept(["a@x.test"], ["b@x.test"])
            rows = await w.claim()
            w.do("UPDATE queue.due SET due_at = now() WHERE id = %s", rows[0].id)
            (again,) = await w.claim()
            advanced = await w.advance(rows, notice_of=[1], notice_recipients=["s@corp.test"], **_notice(w))
            assert advanced == [rows[1].id]
            assert w.ask(COUNTS) == [(1, 1, 1, 1, 2)]  # neither its delivery nor its notice entered
            assert [row[2] for row in w.audited("queue.advance")] == [rows[1].id]
            assert await w.advance([again]) == [again.id]
            assert sorted(map(str, ids)) == sorted(str(row[2]) for row in w.audited("queue.advance"))

    asyncio.run(scenario())


def _notice(w: World) -> dict[str, Any]:
    return w.content("ll_flow", [uuid4()], "notice_")


def test_a_message_does_not_leave_while_a_recipient_is_forgotten(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test", "forgotten@x.test"], ["c@x.test"])
            rows = await w.claim()
            before = w.ask(COUNTS)
            arguments: dict[str, Any] = {"recipient_of": [1, 2], "recipients": ["a@x.test", "c@x.test"]}
            with pytest.raises(RecipientUnaccounted) as refused:
                await w.advance(rows, **arguments, recipient_organisations=[None, None])
            assert str(rows[0].id) in refused.value.detail
            assert w.ask(COUNTS) == before  # the other one did not leave either
            assert w.audited("queue.advance") == []

    asyncio.run(scenario())


def test_outcomes_without_delivery_leave_and_are_audited(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["a@x.test", "no@x.test", "deposit@x.test"])
            rows = await w.claim()
            await w.advance(
                rows,
                recipient_of=[1],
                recipients=["a@x.test"],
                recipient_organisations=[None],
                outcome_of=[1, 1],
                outcome_addresses=["no@x.test", "deposit@x.test"],
                outcome_states=["refused", "deposited"],
            )
            assert w.ask(COUNTS) == [(0, 1, 0, 1, 1)]
            assert w.audited("queue.refused") == [("ll_flow", None, id_, True)]
            assert w.audited("queue.deposited") == [("ll_flow", None, id_, True)]

    asyncio.run(scenario())


def test_part_of_a_message_is_held_and_the_rest_goes(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["go@x.test", "stay@x.test"])
            rows = await w.claim()
            gone = w.transition(rows)  # for its delivery's columns
            await w.advance(
                rows,
                "held",
                **{name: value for name, value in gone.items() if name.startswith("delivery_")},
                due_at=[now() + timedelta(hours=1)],
                reasons=["no-method"],
                recipient_of=[1],
                recipients=["go@x.test"],
                recipient_organisations=[None],
                outcome_of=[1],
                outcome_addresses=["stay@x.test"],
                outcome_states=["held"],
            )
            assert w.ask(COUNTS) == [(1, 1, 1, 1, 2)]
            assert w.ask("SELECT state, reason FROM queue.message") == [("held", "no-method")]
            assert await w.claim() == []
            w.do("UPDATE queue.due SET due_at = now() WHERE id = %s", id_)
            (row,) = await w.claim()
            assert (row.state, row.recipients) == ("held", ["stay@x.test"])
            (delivery,) = await w.claim_deliveries()
            assert delivery.recipients == ["go@x.test"]

    asyncio.run(scenario())


def test_a_deferred_message_comes_again(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["a@x.test"])
            await w.advance(await w.claim(), "received", due_at=[now()], traces=[b""])
            (row,) = await w.claim()
            assert (row.id, row.state, row.attempts, row.recipients) == (id_, "received", 2, ["a@x.test"])
            assert w.ask("SELECT count(*) FROM queue.trace") == [(0,)]

    asyncio.run(scenario())


def test_notices_enter_the_queue_as_messages(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test"])
            rows = await w.claim()
            await w.advance(rows, notice_of=[1], notice_recipients=["sender@corp.test"], **_notice(w))
            (notice,) = await w.claim()
            assert notice.recipients == ["sender@corp.test"]
            assert notice.session == w.sessions["ll_flow"]
            assert w.ask("SELECT sender FROM queue.message") == [("",)]
            assert w.audited("queue.notice") == [("ll_flow", None, notice.id, True)]

    asyncio.run(scenario())


def test_deliveries_of_an_unknown_session_are_refused(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test"])
            rows = await w.claim()
            with pytest.raises(SealingSessionUnknown):
                await w.advance(rows, delivery_sessions=[uuid4()])
            with pytest.raises(SealingSessionUnknown):
                await w.advance(rows, delivery_sessions=[w.sessions["ll_receive"]])  # another role's
            assert w.ask(COUNTS) == [(1, 0, 1, 0, 1)]

    asyncio.run(scenario())
