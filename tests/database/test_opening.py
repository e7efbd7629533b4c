"""Looking into a held message takes two steps, leaves its mark whatever happens, and works once, for one, for a moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from letterlock.accounts import calls as accounts
from letterlock.database.errors import Denied
from letterlock.keyholder import calls as keyholder
from letterlock.queue import calls as queue
from tests.database.world import World, world
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.postgres_both, pytest.mark.req("I3")]


async def _granted(w: World, token: bytes, id_: UUID, purpose: str = "look") -> UUID:
    grant = await queue.request_open(w.admin, token=token, id=id_, purpose=purpose)
    assert grant is not None
    return grant


def test_ask_take_read(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            grant = await _granted(w, token, id_)
            assert await queue.read_open(w.admin, token=token, grant=grant) is None  # not before it is taken
            taken = await keyholder.take(w.keyholder, grant=grant, token=token)
            assert taken is not None
            assert (taken.id, taken.session, taken.epoch, taken.day) == (id_, w.sessions["ll_receive"], w.epoch, w.day)
            assert taken.session_role == "ll_receive"
            content = await queue.read_open(w.admin, token=token, grant=grant)
            assert content is not None
            assert (content.id, content.wrapped_key, content.envelope) == (id_, taken.wrapped_key, taken.envelope)
            assert content.trace == b"trace"
            assert [found.trace for found in await queue.traces(w.admin, token=token, grant=grant)] == [b"trace"]
            assert w.audited("queue.open") == [("ll_admin", "local:root", id_, True)]
            assert w.audited("keyholder.take") == [("ll_keyholder", "local:root", id_, True)]

    asyncio.run(scenario())


def test_the_trace_of_a_message_that_has_gone(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            (id_,) = await w.accept(["a@x.test"])
            await w.advance(await w.claim())
            assert await queue.request_open(w.admin, token=token, id=id_, purpose="look") is None
            grant = await _granted(w, token, id_, "trace")
            taken = await keyholder.take(w.keyholder, grant=grant, token=token)
            assert taken is not None
            assert taken.envelope == b""
            (found,) = await queue.traces(w.admin, token=token, grant=grant)
            assert (found.message, found.wrapped_key, found.trace) == (id_, taken.wrapped_key, b"trace")
            assert await queue.read_open(w.admin, token=token, grant=grant) is None

    asyncio.run(scenario())


@pytest.mark.req("I6")
def test_a_denial_is_an_answer_and_is_audited(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            (id_,) = await w.accept(["a@x.test"])
            assert await queue.request_open(w.admin, token=token, id=id_, purpose="look") is None  # not held
            assert await queue.request_open(w.admin, token=token, id=uuid4(), purpose="trace") is None
            assert [row[3] for row in w.audited("queue.open")] == [False, False]
            with pytest.raises(Denied):
                await queue.request_open(w.admin, token=b"x" * 32, id=id_, purpose="look")
            assert w.audited("queue.open")[-1] == ("ll_admin", None, None, False)
            assert w.ask("SELECT count(*) FROM queue.open_grant") == [(0,)]

    asyncio.run(scenario())


def test_a_denial_inside_a_rolled_back_transaction_gives_nothing(database: Database) -> None:
    """The hole of the textbook design: open, read, roll back. Here what is read before the commit is nothing."""

    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            with database.login("ll_admin") as connection:
                with connection.transaction(force_rollback=True):
                    ((grant,),) = connection.execute(
                        "SELECT queue.request_open(%s, %s, 'look')", [token, id_]
                    ).fetchall()
                    assert grant is not None
                    assert await keyholder.take(w.keyholder, grant=grant, token=token) is None
                    assert connection.execute("SELECT * FROM queue.read_open(%s, %s)", [token, grant]).fetchall() == []
                assert await keyholder.take(w.keyholder, grant=grant, token=token) is None

    asyncio.run(scenario())


def test_a_grant_of_another_caller_is_refused(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            mine, theirs = await w.login("local:root"), await w.login("local:eve")
            grant = await _granted(w, mine, await w.held("a@x.test"))
            assert await keyholder.take(w.keyholder, grant=grant, token=theirs) is None
            assert await keyholder.take(w.keyholder, grant=grant, token=b"") is None
            assert await keyholder.take(w.keyholder, grant=uuid4(), token=mine) is None
            assert [row[3] for row in w.audited("keyholder.take")] == [False, False, False]
            assert await keyholder.take(w.keyholder, grant=grant, token=mine) is not None
            assert await queue.read_open(w.admin, token=theirs, grant=grant) is None
            assert await queue.traces(w.admin, token=theirs, grant=grant) == []

    asyncio.run(scenario())


def test_of_fifty_at_once_one_takes_a_grant(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            grant = await _granted(w, token, await w.held("a@x.test"))
            wide = await database.gate("ll_keyholder", size=10)
            taken = await asyncio.gather(*(keyholder.take(wide, grant=grant, token=token) for _ in range(50)))
            await wide.close()
            assert len([one for one in taken if one is not None]) == 1
            assert sorted(row[3] for row in w.audited("keyholder.take")) == [False] * 49 + [True]

    asyncio.run(scenario())


@pytest.mark.parametrize("verb", ["release", "drop"])
def test_a_grant_is_void_once_the_message_is_not_held(database: Database, verb: str) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            before, after = await _granted(w, token, id_), await _granted(w, token, id_)
            assert await keyholder.take(w.keyholder, grant=before, token=token) is not None
            assert await getattr(queue, verb)(w.admin, token=token, id=id_, reason="test") == "done"
            assert await keyholder.take(w.keyholder, grant=after, token=token) is None
            assert await queue.read_open(w.admin, token=token, grant=before) is None

    asyncio.run(scenario())


def test_a_grant_is_void_once_the_token_has_ended(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            id_ = await w.held("a@x.test")
            token = await w.login()
            grant = await _granted(w, token, id_)
            assert await accounts.end_session(w.admin, token=token) == "done"
            assert await keyholder.take(w.keyholder, grant=grant, token=token) is None

            token = await w.login()
            grant = await _granted(w, token, id_)
            w.do("UPDATE accounts.session SET used_at = now() - interval '20 minutes'")
            assert await keyholder.take(w.keyholder, grant=grant, token=token) is None

            token = await w.login()
            grant = await _granted(w, token, id_)
            w.do("UPDATE accounts.session SET expires_at = now()")
            assert await keyholder.take(w.keyholder, grant=grant, token=token) is None

    asyncio.run(scenario())


def test_a_grant_older_than_ten_seconds_is_refused(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            grant = await _granted(w, token, await w.held("a@x.test"))
            w.do("UPDATE queue.open_grant SET made_at = made_at - interval '9 seconds'")
            young = await _granted(w, token, await w.held("b@x.test"))
            w.do("UPDATE queue.open_grant SET made_at = made_at - interval '2 seconds'")
            assert await keyholder.take(w.keyholder, grant=grant, token=token) is None
            assert await keyholder.take(w.keyholder, grant=young, token=token) is not None

    asyncio.run(scenario())


def test_what_was_taken_is_read_for_a_minute(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            grant = await _granted(w, token, await w.held("a@x.test"))
            await keyholder.take(w.keyholder, grant=grant, token=token)
            w.do("UPDATE queue.open_grant SET taken_at = taken_at - interval '61 seconds'")
            assert await queue.read_open(w.admin, token=token, grant=grant) is None

    asyncio.run(scenario())


def test_a_session_has_a_budget_of_openings(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            w.do("UPDATE accounts.session SET openings_left = 1")
            assert await queue.request_open(w.admin, token=token, id=id_, purpose="look") is not None
            assert await queue.request_open(w.admin, token=token, id=id_, purpose="look") is None

    asyncio.run(scenario())


@pytest.mark.req("I6")
def test_asynchronous_commit_by_the_caller_does_not_lose_the_audit_row(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            id_ = await w.held("a@x.test")
            for role, call in (
                ("ll_admin", "SELECT queue.request_open(%s, %s, 'look')"),
                ("ll_keyholder", "SELECT keyholder.take(%s, %s)"),
            ):
                with database.login(role) as connection:
                    connection.execute("SET synchronous_commit = off")
                    with connection.transaction():
                        values = [token, id_] if role == "ll_admin" else [uuid4(), token]
                        connection.execute(call.encode(), values)
                        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)

    asyncio.run(scenario())


def test_destroyed_epochs_give_no_key(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            grant = await _granted(w, token, await w.held("a@x.test"))
            await keyholder.mark_destroyed(w.keyholder, id=w.epoch)
            assert await keyholder.take(w.keyholder, grant=grant, token=token) is None
            assert w.ask("SELECT count(*) FROM keyholder.session WHERE wrapped_key IS NOT NULL") == [(0,)]

    asyncio.run(scenario())


def test_leases_are_the_asking_roles(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = await w.accept(["a@x.test"], ["b@x.test"])
            rows = await w.claim(most=1)
            lease, mine = rows[0].lease, rows[0].id

            async def checked(role: str, lease: UUID) -> list[UUID]:
                found = await keyholder.check_leases(w.keyholder, role=role, lease=lease, ids=ids)
                return [one.id for one in found]

            assert await checked("ll_flow", lease) == [mine]
            assert await checked("ll_deliver", lease) == []
            assert await checked("ll_receive", lease) == []
            assert await checked("ll_flow", uuid4()) == []
            w.do("UPDATE queue.due SET due_at = now() - interval '1 second' WHERE id = %s", mine)
            assert await checked("ll_flow", lease) == []
            w.do("UPDATE queue.due SET due_at = now() + interval '1 minute' WHERE id = %s", mine)

            await w.advance(rows)
            (delivery,) = await w.claim_deliveries()
            found = await keyholder.check_leases(
                w.keyholder, role="ll_deliver", lease=delivery.lease, ids=[delivery.id, mine]
            )
            assert [(one.id, one.session_role, one.envelope) for one in found] == [
                (delivery.id, "ll_flow", delivery.envelope)
            ]

    asyncio.run(scenario())


def test_a_token_works_for_its_own_role_only(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login(idle=timedelta(hours=9))
            ((idle, lasts),) = w.ask("SELECT idle, expires_at - made_at FROM accounts.session")
            assert (idle, lasts) == (timedelta(minutes=15), timedelta(hours=8))
            w.do("UPDATE accounts.session SET role = 'll_portal'")
            with pytest.raises(Denied):
                await queue.list(w.admin, token=token, state=None, max=1)

    asyncio.run(scenario())
