"""What the keyholder notes in the database: epochs and their end, sealing sessions, how far its ring has come."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from letterlock.database.errors import DatabaseFault, SealingSessionUnknown
from letterlock.keyholder import calls as keyholder
from letterlock.queue import calls as queue
from tests.database.world import now, world
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.postgres_both, pytest.mark.req("I3")]


def test_epochs_are_known_once(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            id_, day = uuid4(), now().date()
            call = {"id": id_, "class_": "queue", "day": day}
            assert await keyholder.register_epoch(w.keyholder, **call) == "done"  # type: ignore[arg-type]
            assert await keyholder.register_epoch(w.keyholder, **call) == "already"  # type: ignore[arg-type]
            assert [(one.id, one.day, one.destroyed_at) for one in await keyholder.epochs(w.keyholder)] == [
                (id_, day, None),
                (w.epoch, w.day, None),
            ]
            with pytest.raises(DatabaseFault):
                await keyholder.register_epoch(w.keyholder, id=uuid4(), class_="nonsense", day=day)

    asyncio.run(scenario())


def test_an_epoch_with_mail_on_it_is_overdue_and_never_destroyed(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            assert await keyholder.epochs_over(w.keyholder, day=w.day) == []
            after = w.day + timedelta(days=1)
            (over,) = await keyholder.epochs_over(w.keyholder, day=after)
            assert (over.id, over.verdict, over.waiting) == (w.epoch, "destroy", 0)
            await w.accept(["a@x.test"])
            (over,) = await keyholder.epochs_over(w.keyholder, day=after)
            assert (over.verdict, over.waiting) == ("overdue", 1)
            await w.advance(await w.claim())
            (over,) = await keyholder.epochs_over(w.keyholder, day=after)
            assert (over.verdict, over.waiting) == ("overdue", 1)  # its delivery
            await w.settle(await w.claim_deliveries())
            (over,) = await keyholder.epochs_over(w.keyholder, day=after)
            assert over.verdict == "destroy"
            assert await keyholder.mark_destroyed(w.keyholder, id=w.epoch) == "done"
            assert await keyholder.mark_destroyed(w.keyholder, id=w.epoch) == "already"
            assert await keyholder.mark_destroyed(w.keyholder, id=uuid4()) == "not-found"
            assert await keyholder.epochs_over(w.keyholder, day=after) == []
            assert w.ask("SELECT count(wrapped_key) FROM keyholder.session") == [(0,)]

    asyncio.run(scenario())


def test_a_sealing_session_needs_its_epoch_and_ends_in_time(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            session = {"id": uuid4(), "role": "ll_flow", "not_after": now() + timedelta(days=1), "wrapped_key": b"w"}

            async def open_session(**more: object) -> str:
                arguments = session | {"epoch": w.epoch, "class_": "queue"} | more
                return await keyholder.open_session(w.keyholder, **arguments)  # type: ignore[arg-type]

            assert await open_session(epoch=uuid4()) == "no-epoch"
            assert await open_session(class_="inbox") == "no-epoch"
            with pytest.raises(DatabaseFault):
                await open_session(role="postgres")
            assert await open_session() == "done"
            ((lasts,),) = w.ask("SELECT not_after - opened_at FROM keyholder.session WHERE id = %s", session["id"])
            assert lasts == timedelta(minutes=71)
            await keyholder.mark_destroyed(w.keyholder, id=w.epoch)
            assert await open_session(id=uuid4()) == "no-epoch"

    asyncio.run(scenario())


def test_the_ring_never_goes_back(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            assert await keyholder.ring_generation(w.keyholder) == 0
            assert await keyholder.note_generation(w.keyholder, generation=5)
            assert await keyholder.note_generation(w.keyholder, generation=5)
            assert not await keyholder.note_generation(w.keyholder, generation=4)
            assert await keyholder.ring_generation(w.keyholder) == 5

    asyncio.run(scenario())


def test_the_clock_goes_on_within_a_transaction(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            assert abs(await keyholder.clock(w.keyholder) - now()) < timedelta(seconds=5)

    asyncio.run(scenario())


def test_in_a_restored_database_nothing_lives_on(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            await w.accept(["delivered-since@x.test"])
            await w.advance(await w.claim())
            (delivery,) = await w.claim_deliveries()
            held = await w.held("held@x.test")
            await w.accept(["a@x.test"])
            (leased,) = await w.claim()
            grant = await queue.request_open(w.admin, token=token, id=held, purpose="look")
            assert grant is not None

            await keyholder.restored(w.keyholder)

            assert await w.claim() == []
            assert await w.claim_deliveries() == []
            assert await w.advance([leased]) == []
            assert await w.settle([delivery]) == []
            assert await keyholder.take(w.keyholder, grant=grant, token=token) is None
            with pytest.raises(SealingSessionUnknown):
                await w.accept(["b@x.test"])
            new = await w.login()
            rows = await queue.list(w.admin, token=new, state=None, max=10)
            assert sorted((row.kind, row.state) for row in rows) == [
                ("delivery", "due"),
                ("message", "held"),
                ("message", "held"),
            ]
            # an administrator has looked
            assert await queue.release(w.admin, token=new, id=leased.id, reason="") == "done"
            assert await queue.retry(w.admin, token=new, id=delivery.id, reason="") == "done"
            assert [row.id for row in await w.claim()] == [leased.id]
            assert [row.id for row in await w.claim_deliveries()] == [delivery.id]

    asyncio.run(scenario())
