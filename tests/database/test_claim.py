"""Leases: who claims gets what nobody else has, for a time, and no more than it asked for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from letterlock.queue import calls as queue
from tests.database.world import MANY_OCTETS, now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both


def test_a_claim_returns_the_content_and_what_is_to_be_decided(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            (id_,) = await w.accept(["a@x.test", "b@y.test"], size=5000)
            (row,) = await w.claim()
            assert (row.id, row.state, row.attempts, row.released_by, row.size) == (id_, "received", 1, None, 5000)
            assert row.recipients == ["a@x.test", "b@y.test"]
            assert row.day == w.day
            assert row.session == w.sessions["ll_receive"]
            assert len(row.body) == 5028
            assert row.revision == 1
            assert abs(row.accepted_at - now()) < timedelta(minutes=1)

    asyncio.run(scenario())


def test_what_is_leased_is_nobody_elses_until_the_lease_ends(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test"])
            (first,) = await w.claim()
            assert await w.claim() == []
            w.do("UPDATE queue.due SET due_at = now()")
            (second,) = await w.claim()
            assert second.id == first.id
            assert second.lease != first.lease
            assert second.attempts == 2

    asyncio.run(scenario())


def test_claims_are_bounded_in_number_and_octets_but_never_starve(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(*[["a@x.test"]] * 5, size=1000)
            assert len(await w.claim(most=2)) == 2
            assert len(await w.claim(octets=2500)) == 2
            assert len(await w.claim(octets=1)) == 1  # larger than asked for, but alone

    asyncio.run(scenario())


def test_two_claimers_never_get_the_same(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = await w.accept(*[["a@x.test"]] * 200)
            other = await database.gate("ll_flow", size=8)

            async def claimer() -> list[object]:
                found: list[object] = []
                while rows := await queue.claim_messages(
                    other, max=7, octets=MANY_OCTETS, lease_for=timedelta(minutes=1), worker=uuid4()
                ):
                    found += [row.id for row in rows]
                return found

            found = await asyncio.gather(*(claimer() for _ in range(8)))
            await other.close()
            claimed = [id_ for part in found for id_ in part]
            assert sorted(claimed, key=str) == sorted(ids, key=str)

    asyncio.run(scenario())


def test_a_claimer_does_not_wait_for_what_another_looks_at(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = await w.accept(["a@x.test"], ["b@x.test"])
            with database.superuser() as connection, connection.transaction():
                connection.execute("SELECT 1 FROM queue.due WHERE id = %s FOR UPDATE", [ids[0]])
                rows = await asyncio.wait_for(w.claim(), 5)
            assert [row.id for row in rows] == ids[1:]

    asyncio.run(scenario())


def test_the_longest_due_comes_first(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            ids = await w.accept(*[["a@x.test"]] * 3)
            for age, id_ in enumerate(ids):
                w.do("UPDATE queue.due SET due_at = now() - make_interval(mins => %s) WHERE id = %s", age, id_)
            assert [row.id for row in await w.claim(most=1)] == ids[2:]

    asyncio.run(scenario())


def test_a_domain_in_back_off_is_passed_over(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test"], ["b@x.test"])
            rows = await w.claim()
            await w.advance(rows, delivery_domains=["slow.test", "quick.test"])
            w.do("INSERT INTO queue.backoff VALUES ('slow.test', now() + interval '1 hour'), ('quick.test', now())")
            assert [row.domain for row in await w.claim_deliveries()] == ["quick.test"]
            w.do("UPDATE queue.backoff SET not_before = now()")
            assert [row.domain for row in await w.claim_deliveries()] == ["slow.test"]

    asyncio.run(scenario())


def test_a_restarted_worker_frees_what_its_predecessor_held(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test"], ["b@x.test"])
            await w.claim(most=1)
            mine, w.worker = w.worker, uuid4()
            await w.claim(most=1)
            assert await queue.free_leases(w.deliver, worker=mine) == 0  # not of that stage
            assert await queue.free_leases(w.flow, worker=mine) == 1
            (again,) = await w.claim()
            assert again.attempts == 1  # a dead worker's attempt does not count

    asyncio.run(scenario())


def test_a_predecessor_that_died_counts_its_attempts(database: Database) -> None:
    """Else a message of which every process dies would be tried for ever."""

    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["a@x.test"])
            for died, attempts in ((False, 1), (True, 1), (True, 2), (False, 3)):
                (row,) = await w.claim()
                assert row.attempts == attempts
                assert await queue.free_leases(w.flow, worker=w.worker, died=died) == 1

    asyncio.run(scenario())
