"""Slots and the spawner: real processes, no database."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from letterlock.config.settings import Settings, Smtp
from letterlock.config.start import Credentials
from letterlock.supervise import linux, slot, wire
from letterlock.supervise.parents import Spawner
from letterlock.supervise.slot import SettingsRefused, Slot, StartFailed
from letterlock.supervise.station import Orders, encode_orders

MODULE = "tests.fakes.station"
ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _find_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))


def _slot(spawner: Spawner, state: Path, name: str) -> Slot:
    orders = Orders(
        settings=Settings(smtp=Smtp(hostname="mx.example.com")),
        name=name,
        number=0,
        worker=UUID(int=5),
        state=state,
        run=state,
        database=Credentials("/run", 5432, "ll_flow", "the-password", "letterlock"),
        key_token=b"\x01\x02",
    )
    encoded = encode_orders(orders)
    return Slot(f"{name}-0", MODULE, spawn=spawner.fork, begin=lambda: wire.Begin(encoded))


@contextlib.asynccontextmanager
async def _spawner() -> AsyncIterator[Spawner]:
    linux.adopt_orphans()
    spawner = Spawner([MODULE])
    await spawner.start()
    try:
        yield spawner
    finally:
        await spawner.stop()
        linux.adopt_orphans(False)  # other tests' processes would stay zombies, which nobody here collects


def _with_slot(name: str, work: Callable[[Spawner, Slot], Coroutine[Any, Any, None]], state: Path) -> None:
    async def run() -> None:
        async with _spawner() as spawner:
            one = _slot(spawner, state, name)
            one.start()
            try:
                await work(spawner, one)
            finally:
                await one.drain(2)

    asyncio.run(run())


async def wait_until(condition: Callable[[], object], within: float = 5.0) -> float:
    """Until the condition holds; the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def test_a_station_gets_its_orders_serves_and_drains(tmp_path: Path) -> None:
    async def work(_: Spawner, one: Slot) -> None:
        await one.wait_ready()
        assert (tmp_path / "good").read_text() == f"the-password 0102 {UUID(int=5)} mx.example.com"
        await wait_until(lambda: one.metrics)
        await one.drain(5)
        assert one.state == "ended"

    _with_slot("good", work, tmp_path)
    assert (tmp_path / "good.drained").exists()


def test_secrets_are_in_no_command_line_or_environment(tmp_path: Path) -> None:
    async def work(spawner: Spawner, one: Slot) -> None:
        await one.wait_ready()
        for pid in (spawner.pid, one.pid):
            for what in ("cmdline", "environ"):
                assert b"the-password" not in Path(f"/proc/{pid}/{what}").read_bytes()

    _with_slot("good", work, tmp_path)


def test_killed_it_is_back_at_once(tmp_path: Path) -> None:
    async def work(_: Spawner, one: Slot) -> None:
        await one.wait_ready()
        first = one.pid
        os.kill(first, signal.SIGKILL)
        await wait_until(lambda: one.state == "ready" and one.pid not in (0, first), within=2)
        assert one.restarts == 1

    _with_slot("good", work, tmp_path)


def test_spawner_killed_ends_no_station_and_comes_back(tmp_path: Path) -> None:
    async def work(spawner: Spawner, one: Slot) -> None:
        await one.wait_ready()
        station, first = one.pid, spawner.pid
        os.kill(first, signal.SIGKILL)
        await wait_until(lambda: spawner.state == "ready" and spawner.pid != first)
        assert one.pid == station
        assert one.restarts == 0
        os.kill(station, signal.SIGKILL)
        await wait_until(lambda: one.state == "ready" and one.pid not in (0, station))

    _with_slot("good", work, tmp_path)


def test_lasting_fault_at_the_first_start_is_said_and_not_repeated(tmp_path: Path) -> None:
    async def work(_: Spawner, one: Slot) -> None:
        with pytest.raises(SettingsRefused, match="certificate file /none"):
            await one.wait_ready()
        assert one.restarts == 0

    _with_slot("wrong", work, tmp_path)


def test_crash_at_the_first_start_gives_up_after_some_tries(tmp_path: Path) -> None:
    async def work(_: Spawner, one: Slot) -> None:
        with pytest.raises(StartFailed, match="crash-0 ended while starting"):
            await one.wait_ready()
        assert one.restarts == slot.FIRST_TRIES - 1

    _with_slot("crash", work, tmp_path)


def test_what_does_not_drain_is_killed(tmp_path: Path) -> None:
    async def work(_: Spawner, one: Slot) -> None:
        await one.wait_ready()
        began = time.monotonic()
        await one.drain(0.3)
        assert 0.3 <= time.monotonic() - began < 2
        assert one.state == "ended"

    _with_slot("deaf", work, tmp_path)


def test_stuck_process_is_killed_and_started_again(tmp_path: Path) -> None:
    async def work(_: Spawner, one: Slot) -> None:
        await one.wait_ready()
        first = one.pid
        os.kill(first, signal.SIGSTOP)
        one.check_heart(time.monotonic() + slot.SILENT_FOR - 5)
        assert one.pid == first
        one.check_heart(time.monotonic() + slot.SILENT_FOR + 5)
        await wait_until(lambda: one.state == "ready" and one.pid not in (0, first))

    _with_slot("good", work, tmp_path)


def test_supervisor_killed_takes_all_with_it(tmp_path: Path) -> None:
    """The kernel does it: nobody is left to tell them."""
    ours, theirs = socket.socketpair()
    supervisor = os.fork()
    if supervisor == 0:
        try:
            asyncio.run(_serve_and_tell(theirs, tmp_path))
        finally:
            os._exit(1)
    theirs.close()
    pids = [int(word) for word in ours.recv(100).split()]
    assert len(pids) == 2
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    deadline = time.monotonic() + 5
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ours.close()


async def _serve_and_tell(channel: socket.socket, state: Path) -> None:
    async with _spawner() as spawner:
        one = _slot(spawner, state, "good")
        one.start()
        await one.wait_ready()
        channel.sendall(f"{spawner.pid} {one.pid}".encode())
        await asyncio.sleep(60)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
