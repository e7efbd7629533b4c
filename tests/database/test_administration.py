"""What an administrator does to the queue: shown, held, released, tried again, dropped; and each of it written down."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from letterlock.accounts import calls as accounts
from letterlock.database.errors import Denied
from letterlock.policy import calls as policy
from letterlock.queue import calls as queue
from letterlock.vault import calls as vault
from tests.database.world import now, world
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.postgres_both, pytest.mark.req("G4")]


@pytest.mark.req("I7")
def test_list_and_show_tell_everything_but_content(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            held = await w.held("held@x.test")
            (gone,) = await w.accept(["a@x.test", "b@x.test"])
            await w.advance(await w.claim())
            rows = await queue.list(w.admin, token=token, state=None, max=10)
            assert [(row.kind, row.state, row.recipients) for row in rows] == [
                ("message", "held", ["held@x.test"]),
                ("delivery", "due", ["a@x.test", "b@x.test"]),
            ]
            assert (rows[0].reason, rows[0].sender, rows[0].recipient_states) == (
                "no-method",
                "sender@corp.test",
                ["held"],
            )
            (delivery,) = await queue.show(w.admin, token=token, id=gone)
            assert (delivery.kind, delivery.message_id, delivery.method, delivery.next_hop) == (
                "delivery",
                gone,
                "smime",
                "hop.test",
            )
            await w.claim_deliveries()
            (delivery,) = await queue.show(w.admin, token=token, id=delivery.id)
            assert (delivery.state, delivery.attempts) == ("leased", 1)
            assert [row.id for row in await queue.list(w.admin, token=token, state="held", max=10)] == [held]
            assert await queue.show(w.admin, token=token, id=uuid4()) == []

    asyncio.run(scenario())


def test_hold_stops_even_what_is_leased(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            (id_,) = await w.accept(["a@x.test"])
            rows = await w.claim()
            assert await queue.hold(w.admin, token=token, id=id_, reason="look at it") == "done"
            assert await w.advance(rows) == []  # flow has lost it
            assert await queue.hold(w.admin, token=token, id=id_, reason="again") == "wrong-state"
            assert w.ask("SELECT state, reason FROM queue.message") == [("held", "look at it")]
            ((due_at,),) = w.ask("SELECT due_at FROM queue.due")
            assert timedelta(days=4, hours=23) < due_at - now() < timedelta(days=5)
            assert w.audited("queue.hold") == [
                ("ll_admin", "local:root", id_, True),
                ("ll_admin", "local:root", id_, False),
            ]

    asyncio.run(scenario())


def test_hold_lasts_as_long_as_its_setting_says(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            await policy.set(w.admin, token=token, level="gateway", scope="", name="hold_life", value=3600)
            (id_,) = await w.accept(["a@x.test"])
            assert await queue.hold(w.admin, token=token, id=id_, reason="") == "done"
            ((due_at,),) = w.ask("SELECT due_at FROM queue.due")
            assert timedelta(minutes=59) < due_at - now() < timedelta(hours=1)

    asyncio.run(scenario())


def test_release_lets_a_held_message_be_decided_anew(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login("local:alice")
            id_ = await w.held("a@x.test")
            assert await w.claim() == []
            assert await queue.release(w.admin, token=token, id=id_, reason="fine") == "done"
            (row,) = await w.claim()
            assert (row.id, row.state, row.released_by, row.recipients) == (
                id_,
                "received",
                "local:alice",
                ["a@x.test"],
            )
            assert await queue.release(w.admin, token=token, id=id_, reason="again") == "wrong-state"
            assert await queue.release(w.admin, token=token, id=uuid4(), reason="") == "not-found"
            assert [row[3] for row in w.audited("queue.release")] == [True, False, False]
            # held once more: who released it before does not count
            await w.advance([row], "held", outcome_of=[1], outcome_addresses=["a@x.test"], outcome_states=["held"])
            assert w.ask("SELECT released_by FROM queue.message") == [(None,)]

    asyncio.run(scenario())


def test_retry_makes_due_what_waits(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            await w.accept(["a@x.test"])
            await w.advance(await w.claim())
            (row,) = await w.claim_deliveries()
            assert await queue.retry(w.admin, token=token, id=row.id, reason="") == "wrong-state"  # at work
            later = now() + timedelta(hours=1)
            await w.settle(
                [row],
                done=[False],
                due_at=[later],
                outcome_of=[],
                outcome_addresses=[],
                outcome_states=[],
                backoff_domains=["example.test"],
                backoff_until=[later],
            )
            assert await w.claim_deliveries() == []
            assert await queue.retry(w.admin, token=token, id=row.id, reason="") == "done"
            assert [again.id for again in await w.claim_deliveries()] == [row.id]
            assert await queue.retry(w.admin, token=token, id=uuid4(), reason="") == "not-found"
            assert await queue.retry(w.admin, token=token, id=await w.held("b@x.test"), reason="") == "wrong-state"

    asyncio.run(scenario())


def test_drop_removes_all_of_it(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            (message,) = await w.accept(["a@x.test"])
            rows = await w.claim()
            assert await queue.drop(w.admin, token=token, id=message, reason="spam") == "done"
            assert await w.advance(rows) == []
            await w.accept(["b@x.test"])
            await w.advance(await w.claim())
            (delivery,) = await w.claim_deliveries()
            assert await queue.drop(w.admin, token=token, id=delivery.id, reason="spam") == "done"
            assert await w.settle([delivery]) == []
            assert await queue.drop(w.admin, token=token, id=delivery.id, reason="spam") == "not-found"
            assert w.ask(
                "SELECT (SELECT count(*) FROM queue.message) + (SELECT count(*) FROM queue.delivery)"
                " + (SELECT count(*) FROM queue.due) + (SELECT count(*) FROM queue.recipient)"
            ) == [(0,)]
            assert [row[2:] for row in w.audited("queue.drop")] == [
                (message, True),
                (delivery.id, True),
                (delivery.id, False),
            ]

    asyncio.run(scenario())


@pytest.mark.req("I6")
@pytest.mark.parametrize("verb", ["hold", "release", "retry", "drop", "show"])
def test_without_a_token_nothing_happens_and_it_is_written_down(database: Database, verb: str) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            await accounts.end_session(w.admin, token=token)
            more = {} if verb == "show" else {"reason": "test"}
            before = w.ask("SELECT state, due_at FROM queue.message JOIN queue.due USING (id)")
            for wrong in (token, b"\0" * 32, b"' OR true --"):
                with pytest.raises(Denied):
                    await getattr(queue, verb)(w.admin, token=wrong, id=id_, **more)
            assert w.ask("SELECT state, due_at FROM queue.message JOIN queue.due USING (id)") == before
            action = "queue.read" if verb == "show" else "queue.change"
            assert w.audited(action) == [
                ("ll_admin", "local:root", None, False),  # whose token it was is known
                ("ll_admin", None, None, False),
                ("ll_admin", None, None, False),
            ]

    asyncio.run(scenario())


def test_a_permission_a_session_does_not_have_is_denied(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            w.do("UPDATE accounts.session SET permissions = '{queue.read}'")
            assert len(await queue.show(w.admin, token=token, id=id_)) == 1
            with pytest.raises(Denied):
                await queue.release(w.admin, token=token, id=id_, reason="")

    asyncio.run(scenario())


def test_tidy_and_expire_remove_what_is_over_and_nothing_else(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            await queue.request_open(w.admin, token=token, id=id_, purpose="look")
            assert await queue.tidy(w.housekeeping) == 0
            assert await accounts.expire(w.housekeeping) == 0
            w.do("UPDATE queue.open_grant SET made_at = now() - interval '25 hours'")
            w.do("INSERT INTO queue.backoff VALUES ('old.test', now() - interval '2 hours'), ('new.test', now())")
            w.do("UPDATE queue.trace SET day = current_date - 2")
            w.do("UPDATE accounts.session SET ended_at = now() - interval '25 hours'")
            assert await queue.tidy(w.housekeeping) == 3
            assert await accounts.expire(w.housekeeping) == 1
            assert w.ask("SELECT count(*) FROM queue.message") == [(1,)]
            assert w.ask("SELECT domain FROM queue.backoff") == [("new.test",)]

    asyncio.run(scenario())


def test_unknown_contents_are_those_without_a_row(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            message = await w.held("a@x.test")
            await w.accept(["b@x.test"])
            await w.advance(await w.claim())
            (delivery,) = await w.claim_deliveries()
            stray = uuid4()
            asked = [message, delivery.id, stray]
            assert await vault.unknown_contents(w.housekeeping, ids=asked) == [stray]
            assert await vault.unknown_contents(w.housekeeping, ids=[]) == []

    asyncio.run(scenario())
