"""The queue's statements look rows up by their ids, whatever the planner was told when the tables were empty."""

from __future__ import annotations

import asyncio

import pytest

from tests.database.world import World, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both

WAITING = 400


async def _looked_at(w: World) -> int:
    """Entries of the primary key of queue.due that flow and delivery have read so far."""
    await asyncio.sleep(1.2)  # a backend reports at its first statement after a second
    await w.claim(most=0)
    await w.turn(most=0)
    w.do("SELECT pg_stat_clear_snapshot()")
    (now,) = w.ask("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'due_pkey'")
    return int(now[0])


@pytest.mark.req("A1")
@pytest.mark.slow
def test_a_deep_queue_is_not_walked_for_each_batch(database: Database) -> None:
    """Generic plans made after a vacuum of emptied tables expect one row; they must not be walks through all of them."""

    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(*[["a@x.test"]] * WAITING)
            w.do("DELETE FROM queue.recipient")
            w.do("DELETE FROM queue.due")
            w.do("DELETE FROM queue.message")
            w.do("VACUUM (ANALYZE, TRUNCATE false) queue.due, queue.message, queue.delivery, queue.recipient")
            await w.accept(*[["a@x.test"]] * WAITING)
            before = await _looked_at(w)
            rounds = 10
            for _ in range(rounds):
                await w.advance(await w.claim(most=2))
                await w.turn(await w.claim_deliveries(most=2), most=0)
            # 248 entries with look-ups; 32,624 where a join walked the table in each statement
            assert await _looked_at(w) - before < rounds * 2 * 30, "the queue was walked"

    asyncio.run(scenario())
