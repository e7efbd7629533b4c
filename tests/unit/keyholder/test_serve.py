"""The keyholder as a whole: the order of its start, what stops it, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest
import uvloop

from letterlock.keyholder import ring as rings
from letterlock.keyholder.errors import RingRefused
from letterlock.keyholder.nursery import NurseryGone
from letterlock.keyholder.serve import SOCKET_NAME, bind
from letterlock.vault.content import open_content, seal_small
from letterlock.vault.errors import KeyholderUnavailable
from letterlock.vault.keys import new_id
from tests.fakes.keyholder import running
from tests.fakes.records import FakeRecords, SetClock


def test_agrees_destroys_and_makes_before_it_listens(tmp_path: Path) -> None:
    clock = SetClock()
    records = FakeRecords(clock)

    async def tell() -> None:
        async with running(tmp_path, records, clock) as house:
            first = next(iter(house.keyholder.epochs.ring.epochs))
        for _ in range(8):  # alive each day, so the time never jumps
            clock.pass_days(1)
            async with running(tmp_path, records, clock):
                pass
        records.calls.clear()
        async with running(tmp_path, records, clock) as house:
            assert records.calls.index("ring_generation") < records.calls.index("epochs_over")
            assert first not in house.keyholder.epochs.ring.epochs
            assert records.known_epochs[first].destroyed
            assert "open_session" not in records.calls

    asyncio.run(tell())


def test_works_on_uvloop(tmp_path: Path) -> None:
    async def tell() -> None:
        async with running(tmp_path) as house:
            session = await house.client("smtpd").session()
            lease, sealed = house.lease(session)
            keys = await house.client("flow").message_keys(lease, [sealed.id])
            assert list(open_content(keys[sealed.id], sealed, None)) == [b"the content"]

    uvloop.run(tell())


@pytest.mark.req("I3")
def test_old_ring_does_not_serve(tmp_path: Path) -> None:
    clock = SetClock()
    records = FakeRecords(clock)
    records.generation = 5

    async def tell() -> None:
        async with running(tmp_path, records, clock):
            raise AssertionError("it serves")

    with pytest.raises(RingRefused):
        asyncio.run(tell())
    assert not (tmp_path / SOCKET_NAME).exists()


def test_after_a_restart_what_was_sealed_before_opens(tmp_path: Path) -> None:
    clock = SetClock()
    records = FakeRecords(clock)

    async def tell() -> None:
        async with running(tmp_path, records, clock) as house:
            session = await house.client("smtpd").session()
        async with running(tmp_path, records, clock) as house:
            lease, sealed = house.lease(session)
            assert set(await house.client("flow").message_keys(lease, [sealed.id])) == {sealed.id}

    asyncio.run(tell())


@pytest.mark.req("I1")
def test_when_the_epoch_is_destroyed_nothing_opens_any_more(tmp_path: Path) -> None:
    async def tell() -> None:
        async with running(tmp_path) as house:
            session = await house.client("smtpd").session()
            lease, sealed = house.lease(session)
            flow = house.client("flow")
            assert len(await flow.message_keys(lease, [sealed.id])) == 1  # and is remembered
            await house.keyholder.epochs.destroy([session.epoch])
            assert await flow.message_keys(lease, [sealed.id]) == {}

    asyncio.run(tell())


def test_condition(tmp_path: Path) -> None:
    async def tell() -> None:
        async with running(tmp_path) as house:
            admin = house.client("admin")
            facts = await admin.inquire()
            assert (facts["epochs"], facts["stopped"], facts["signers"]) == (1, "", len(os.sched_getaffinity(0)))
            house.clock.pass_days(30)
            await house.keyholder.destroyer.look()
            assert "30.0 days" in (await admin.inquire())["stopped"]
            assert (await admin.confirm_time())["stopped"] == ""

    asyncio.run(tell())


def test_without_a_nursery_it_ends(tmp_path: Path) -> None:
    async def tell() -> None:
        rings.create(tmp_path)
        async with running(tmp_path) as house:
            pool = house.keyholder.signers
            os.kill(pool._nursery.pid, signal.SIGKILL)
            for member in list(pool._signers):
                os.kill(member.pid, signal.SIGKILL)
            with pytest.raises(NurseryGone):
                await asyncio.wait_for(house.serving, 10)
            with pytest.raises(KeyholderUnavailable):
                await house.client("flow").mark_key()

    asyncio.run(tell())


def test_drain_answers_what_was_asked(tmp_path: Path) -> None:
    async def tell() -> None:
        async with running(tmp_path) as house:
            flow = house.client("flow")
            await flow.session()
            asked = asyncio.create_task(flow.session())
            while house.records.calls.count("open_session") < 2:
                await asyncio.sleep(0)
        await asked

    asyncio.run(tell())


def test_bind_replaces_a_socket_that_was_left(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        for _ in range(2):
            channel = bind(tmp_path / "s")
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
            channel.close()
    finally:
        os.umask(old)


def test_seal_small_in_a_given_session(tmp_path: Path) -> None:
    """The day that is sealed is the day of the epoch the database knows."""

    async def tell() -> None:
        async with running(tmp_path) as house:
            session = await house.client("smtpd").session()
            sealed = seal_small(session, new_id(), b"", [b""])
            assert sealed.day == house.records.known_epochs[session.epoch].day

    asyncio.run(tell())
