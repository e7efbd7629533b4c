"""The keyholder with a real database: destruction that holds against copies, rings and databases out of step, clocks.

Order
    Each story runs a whole keyholder (signers too) over a database of its own, and real clients at its socket.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from uuid import UUID

import pytest

from letterlock.database.errors import SealingSessionUnknown
from letterlock.keyholder.errors import RingRefused
from letterlock.keyholder.ring import Ring
from letterlock.vault.content import SealedContent, open_content
from letterlock.vault.errors import ContentRefused, KeyholderUnavailable, SealingUnavailable
from letterlock.vault.keys import new_id, session_data, unseal
from letterlock.vault.sealing import Sealer
from tests.fakes.keyholder_scene import copy_of, scene
from tests.fakes.postgres import Database
from tests.fakes.records import SetClock

pytestmark = [pytest.mark.slow]

SIZES = (1000, 3_000_000)


def try_every_key(database: Database, ring: Ring) -> int:
    """How many sealing sessions in a database open with any key of a ring, by somebody who has both."""
    opened = 0
    with database.superuser() as connection:
        rows = connection.execute("SELECT id, epoch, role, not_after, wrapped_key FROM keyholder.session").fetchall()
    for session, epoch, role, not_after, wrapped in rows:
        data = session_data(
            kind=1,
            role=role,
            organisation=UUID(int=0),
            epoch=epoch,
            session=session,
            not_after=round(not_after.timestamp()),
        )
        for held in ring.epochs.values():
            try:
                opened += len(unseal(held.key, wrapped or b"", data)) == 32
            except ContentRefused:
                continue
    return opened


@pytest.mark.req("I1", "I2", "I3", "A3")
def test_destroyed_epoch_and_a_copy_taken_before(database: Database, tmp_path: Path) -> None:
    """Story: a backup of database and segment files from before the key was destroyed is noise."""
    clock = SetClock(time.time())
    state, backup = tmp_path / "state", tmp_path / "backup"
    state.mkdir()

    async def before() -> dict[UUID, tuple[SealedContent, bytes]]:
        async with scene(database, state, clock) as s:
            session = await s.session()
            sealed = [await s.seal(session, size) for size in SIZES]
            await s.accept(*[content for content, _ in sealed])
            claimed = await s.world.claim()
            keys = await s.house.client("flow").message_keys(claimed[0].lease, [row.id for row in claimed])
            octets = {content.id: octets for content, octets in sealed}
            for row in claimed:
                assert b"".join(open_content(keys[row.id], row, s.store)) == octets[row.id]
            return {content.id: (content, octets) for content, octets in sealed}

    async def until_destroyed() -> None:
        async with scene(database, state, clock) as s:
            await s.empty()
            for _ in range(9):
                clock.pass_days(1)
                assert await s.house.keyholder.destroyer.look()
                await s.house.keyholder.epochs.current("queue", clock.now)

    async def with_the_copy(copy: Database, contents: dict[UUID, tuple[SealedContent, bytes]]) -> None:
        async with scene(copy, state, clock) as s:
            lease = new_id()  # forged, by somebody who may write everything
            s.world.do("UPDATE queue.due SET lease = %s, due_at = now() + interval '1 minute'", lease)
            assert len(s.world.ask("SELECT id FROM queue.due WHERE lease = %s", lease)) == len(contents)
            assert await s.house.client("flow").message_keys(lease, list(contents)) == {}

    contents = asyncio.run(before())
    copy = copy_of(database)
    shutil.copytree(state / "segments", backup)
    assert try_every_key(copy, Ring.open(state)) > 0  # with the key it opens: the attempt is a fair one
    asyncio.run(until_destroyed())
    shutil.rmtree(state / "segments")
    shutil.copytree(backup, state / "segments")
    assert try_every_key(copy, Ring.open(state)) == 0
    asyncio.run(with_the_copy(copy, contents))
    assert try_every_key(copy, Ring.open(state)) == 0
    copy.server.drop(copy)


@pytest.mark.req("I3")
def test_yesterdays_ring_with_todays_database(database: Database, tmp_path: Path) -> None:
    clock = SetClock(time.time())

    async def day() -> None:
        async with scene(database, tmp_path, clock):
            clock.pass_days(1)

    async def serve() -> None:
        async with scene(database, tmp_path, clock):
            raise AssertionError("it serves")

    asyncio.run(day())
    shutil.copytree(tmp_path / "keys", tmp_path / "yesterday")
    asyncio.run(day())
    shutil.move(tmp_path / "keys", tmp_path / "today")
    shutil.move(tmp_path / "yesterday", tmp_path / "keys")
    with pytest.raises(RingRefused, match="older than the database"):
        asyncio.run(serve())
    shutil.rmtree(tmp_path / "keys")
    shutil.move(tmp_path / "today", tmp_path / "keys")
    asyncio.run(day())


@pytest.mark.req("I3")
def test_restored_database_forgets_who_was_about(database: Database, tmp_path: Path) -> None:
    clock = SetClock(time.time())

    async def before() -> tuple[SealedContent, SealedContent]:
        async with scene(database, tmp_path, clock) as s:
            session = await s.session()
            (accepted, _), (late, _) = await s.seal(session), await s.seal(session)
            await s.accept(accepted)
            return accepted, late

    async def after(copy: Database, accepted: SealedContent, late: SealedContent) -> None:
        async with scene(copy, tmp_path, clock) as s:
            with pytest.raises(SealingSessionUnknown):
                await s.accept(late)
            assert s.world.audited("keyholder.restored")
            assert await s.world.claim() == []  # the queue is on hold
            fresh, _ = await s.seal(await s.session())
            await s.accept(fresh)

    accepted, late = asyncio.run(before())
    copy = copy_of(database)
    clock.pass_days(1)
    asyncio.run(before())
    asyncio.run(after(copy, accepted, late))
    copy.server.drop(copy)


@pytest.mark.req("I3")
@pytest.mark.parametrize("days", [730, -730])
@pytest.mark.parametrize("both", [True, False])
def test_clock_jumps_destroy_nothing(days: float, both: bool, database: Database, tmp_path: Path) -> None:
    clock = SetClock(time.time())

    async def tell() -> None:
        async with scene(database, tmp_path, clock if both else None) as s:
            keyholder = s.house.keyholder
            assert await keyholder.destroyer.look()
            session = await s.session()
            content, octets = await s.seal(session)
            files = set((tmp_path / "keys/epochs").iterdir())
            s.clock.pass_days(days)
            for _ in range(3):
                assert not await keyholder.destroyer.look()
                s.clock.now += 60
            s.clock.pass_days(-days)
            assert not await keyholder.destroyer.look()
            assert set((tmp_path / "keys/epochs").iterdir()) >= files
            await s.accept(content)
            (row,) = await s.world.claim()
            keys = await s.house.client("flow").message_keys(row.lease, [row.id])
            assert b"".join(open_content(keys[row.id], row, s.store)) == octets
            assert "the" in (await s.house.client("admin").inquire())["stopped"]
            await s.house.client("admin").confirm_time()
            assert await keyholder.destroyer.look()

    asyncio.run(tell())


@pytest.mark.req("A3", "I3")
def test_keyholder_away_for_an_hour(database: Database, tmp_path: Path) -> None:
    clock = SetClock(time.time())
    sealer = Sealer(clock)

    async def tell() -> None:
        async with scene(database, tmp_path, clock) as s:
            smtpd = s.house.client("smtpd")
            assert await sealer.renew(smtpd)
            clock.now += 400
        left_at = clock.now
        async with database.gates("ll_receive") as gates:
            s.world.gates = gates
            while clock.now - left_at < 3600:
                await sealer.renew(smtpd)
                content, _ = await s.seal(sealer.session())
                await s.accept(content)  # the database takes it: its own clock has not moved
                clock.now += 300
        clock.now = left_at + 4200
        assert not await sealer.renew(smtpd)
        with pytest.raises(SealingUnavailable) as caught:
            sealer.session()
        assert caught.value.code == 451
        with pytest.raises(KeyholderUnavailable):
            await smtpd.session()
        async with scene(database, tmp_path, clock) as s:
            assert await sealer.renew(s.house.client("smtpd"))
            await s.accept((await s.seal(sealer.session()))[0])

    asyncio.run(tell())
