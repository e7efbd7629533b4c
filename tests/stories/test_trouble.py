"""A full disk, a database gone or standing still: the client hears 4xx and keeps its mail, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.stories.world import World, letter

BIG = "0123456789abcdef" * 4 + "\r\n"


@pytest.fixture
def own() -> Iterator[World]:
    """A world that may be hurt."""
    with World({"max_message_octets": "60M"}) as made:
        yield made


def _answer(world: World, size: int = 0, patience: float = 60.0) -> int:
    """The reply code one submission gets; 250 when it is accepted, 0 when there is no answer at all."""
    sender, to = world.address("inside.test"), world.address("outside.test", "late")
    try:
        with world.gateway.smtp(timeout=patience) as client:
            client.mail(sender)
            code, _ = client.rcpt(to)
            if code != 250:
                return code
            code, _ = client.data(letter(sender, to, text="small\r\n" + BIG * (size // len(BIG))))
            return code
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except (OSError, smtplib.SMTPException):
        return 0


def _wait_for(condition: Callable[[], bool], within: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, "it did not come back"
        time.sleep(0.1)
    return time.monotonic() - began


def _named(world: World, *names: str) -> list[psutil.Process]:
    found = []
    for process in world.gateway.processes():
        with contextlib.suppress(psutil.Error):
            if any(name in process.name() for name in names):
                found.append(process)
    return found


def _count_late(world: World) -> int:
    return len({r for a in world.hop.arrivals for r in a.recipients if r.startswith("late")})


@pytest.mark.req("A1", "A3")
@pytest.mark.slow
def test_a_file_that_cannot_grow_is_a_temporary_fault(own: World) -> None:
    """RLIMIT_FSIZE stands for a full disk where nobody may mount one: writing a segment file fails with EFBIG."""
    receivers = _named(own, "smtpd")
    assert receivers
    limits = {process.pid: resource.prlimit(process.pid, resource.RLIMIT_FSIZE) for process in receivers}
    for process in receivers:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 << 20, limits[process.pid][1]))
    assert _answer(own, 6 << 20) // 100 == 4
    for process in receivers:
        if psutil.pid_exists(process.pid):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits[process.pid])
    assert _answer(own, 6 << 20) == 250
    _wait_for(lambda: _count_late(own) == 1, 30)


def _full_disk(world_in: Callable[[], World]) -> None:
    with world_in() as world:
        accepted = sum(_answer(world, 300_000) == 250 for _ in range(3))
        free = shutil.disk_usage(world.gateway.state).free
        filler = world.gateway.folder / "filler"
        descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)  # no buffer: closing one would fail once more
        with contextlib.suppress(OSError):
            for _ in range(free // 65536 + 1):
                os.write(descriptor, bytes(65536))
        os.close(descriptor)
        answers = [_answer(world, 3 << 20) for _ in range(5)] + [_answer(world) for _ in range(5)]
        assert all(code == 250 or code // 100 == 4 or code == 0 for code in answers), answers
        assert any(code // 100 == 4 for code in answers), answers
        filler.unlink()
        world.gateway.wait_until_ready(60)
        _wait_for(lambda: _answer(world) == 250, 60)
        accepted += 1 + sum(code == 250 for code in answers)
        _wait_for(lambda: _count_late(world) >= accepted, 90)


if os.geteuid() == 0:  # only root may mount; elsewhere the test above stands for this one

    @pytest.mark.req("A1", "A3")
    @pytest.mark.slow
    def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
        mount = Path(tempfile.mkdtemp(prefix="ll-disk-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", str(mount)], check=True)
        try:
            monkeypatch.setattr(tempfile, "tempdir", str(mount))
            _full_disk(lambda: World({"max_message_octets": "60M"}))
        finally:
            subprocess.run(["umount", "-l", str(mount)], check=True)
            mount.rmdir()


@pytest.mark.req("A1")
@pytest.mark.slow
def test_a_database_that_was_killed(own: World) -> None:
    assert _answer(own) == 250
    for process in _named(own, "postgres"):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    answers = []

    def served() -> bool:
        answers.append(_answer(own))
        return answers[-1] == 250

    assert _wait_for(served, 30) < 5.0
    assert all(code == 250 or code == 0 or code // 100 == 4 for code in answers), answers
    _wait_for(lambda: _count_late(own) == 2, 30)


@pytest.mark.req("A1")
@pytest.mark.slow
def test_a_database_that_stands_still(own: World) -> None:
    assert _answer(own) == 250
    stopped = _named(own, "postgres")
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        code = _answer(own, patience=10)
    finally:
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    assert code == 0 or code // 100 == 4, code  # no answer is one: the client keeps its mail
    _wait_for(lambda: _answer(own) == 250, 30)
    _wait_for(lambda: _count_late(own) >= 2, 60)


@pytest.mark.req("A1")
@pytest.mark.slow
def test_it_drains_on_sigterm(own: World) -> None:
    accepted = sum(_answer(own) == 250 for _ in range(20))
    began = time.monotonic()
    assert own.gateway.stop() == 0
    assert time.monotonic() - began < 30
    own.gateway.start()
    _wait_for(lambda: _count_late(own) == accepted, 30)
