"""Limited children: what they may, what they may not, and what becomes of a job when one dies."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letterlock.confine.errors import ChildEnded, NoForkServer, WorkFailed
from letterlock.confine.limits import Limits
from letterlock.confine.server import ForkServer

SECRET = bytearray(b"-")


def _descriptors(_: bytes) -> bytes:
    """The open ones, asked one by one: a child cannot list a folder."""
    found = []
    for each in range(4096):
        try:
            os.fstat(each)
        except OSError:
            continue
        found.append(each)
    return repr(found).encode()


def _spin(_: bytes) -> bytes:
    while True:
        pass


def _remember(job: bytes) -> bytes:
    before = bytes(SECRET)
    SECRET[:] = job
    return before


FORBIDDEN: dict[str, Callable[[], object]] = {
    "socket": lambda: socket.socket(socket.AF_INET),
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "socket pair": socket.socketpair,
    "read a file": lambda: Path("/etc/passwd").read_bytes(),
    "write a file": lambda: Path("/tmp/letterlock-child").write_bytes(b"x"),
    "remove a file": lambda: os.unlink("/nowhere"),
    "program": lambda: os.execv("/bin/true", ["true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
    "more descriptors": lambda: os.dup(1),
}
WORK = {
    "reverse": lambda job: job[::-1],
    "descriptors": _descriptors,
    "remember": _remember,
    "spin": _spin,
    "sleep": lambda _: bytes(time.sleep(60) or b""),
    "eat": lambda _: bytes(1 << 30),
    "abort": lambda _: os.abort(),
    "leave": lambda _: os._exit(0),
    "half": lambda _: bytes(os.write(1, b"\0\0\0\0\0\0\0\0\7abc") and os._exit(0)),
    **{name: lambda _, act=act: (act() and b"") or b"" for name, act in FORBIDDEN.items()},
}


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    running = ForkServer.start(WORK, Limits(seconds=1, memory=64 << 20))
    yield running
    running.stop()


@pytest.mark.parametrize("job", [b"", b"abc", bytes(range(256)) * 4_000])
def test_one_job_in_one_result_out(forks: ForkServer, job: bytes) -> None:
    assert forks.run("reverse", job) == job[::-1]
    assert asyncio.run(forks.run_async("reverse", job)) == job[::-1]


def test_a_child_has_nothing_but_its_pipes(forks: ForkServer) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert forks.run("descriptors", b"") == b"[0, 1, 2]"


def test_a_child_knows_nothing_of_other_jobs(forks: ForkServer) -> None:
    assert forks.run("remember", b"first") == b"-"
    assert forks.run("remember", b"second") == b"-"


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_a_child_may_not(forks: ForkServer, what: str) -> None:
    with pytest.raises(WorkFailed) as caught:
        forks.run(what, b"")
    assert caught.value.detail in ("PermissionError", "OSError")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["spin", "sleep"])
def test_a_child_is_killed_at_its_time(forks: ForkServer, what: str) -> None:
    began = time.monotonic()
    with pytest.raises(ChildEnded):
        forks.run(what, b"")
    assert 0.9 < time.monotonic() - began < 1.8


@pytest.mark.parametrize("what", ["abort", "leave", "half"])
def test_a_dead_child_is_no_result(forks: ForkServer, what: str) -> None:
    with pytest.raises(ChildEnded):
        forks.run(what, b"")
    assert forks.run("reverse", b"ab") == b"ba"


def test_memory_is_bounded(forks: ForkServer) -> None:
    with pytest.raises(WorkFailed) as caught:
        forks.run("eat", b"")
    assert caught.value.detail == "MemoryError"


def test_unknown_work_is_refused(forks: ForkServer) -> None:
    with pytest.raises(WorkFailed):
        forks.run("anything", b"")


@pytest.mark.slow
def test_children_work_beside_one_another(forks: ForkServer) -> None:
    async def several() -> list[object]:
        jobs = [forks.run_async("spin", b""), *(forks.run_async("reverse", b"%d" % n) for n in range(10))]
        return list(await asyncio.gather(*jobs, return_exceptions=True))

    first, *others = asyncio.run(several())
    assert isinstance(first, ChildEnded)
    assert others == [b"%d" % n for n in range(10)]


@pytest.mark.slow
def test_some_work_has_limits_of_its_own() -> None:
    work = {"spin": _spin, "long": lambda _: bytes(time.sleep(0.6) or b"")}
    forks = ForkServer.start(work, Limits(seconds=0.2), {"long": Limits(seconds=5)})
    try:
        assert forks.run("long", b"") == b""
        with pytest.raises(ChildEnded):
            forks.run("spin", b"")
    finally:
        forks.stop()


def test_a_child_may_read_files_where_the_limits_say_so(tmp_path: Path) -> None:
    (tmp_path / "font").write_bytes(b"octets")
    work = {"read": lambda job: Path(job.decode()).read_bytes(), "write": lambda job: bytes(os.truncate(job, 0) or b"")}
    forks = ForkServer.start(work, Limits(files=True))
    try:
        assert forks.run("read", str(tmp_path / "font").encode()) == b"octets"
    finally:
        forks.stop()


def test_a_stopped_server_is_said() -> None:
    forks = ForkServer.start({"reverse": lambda job: job[::-1]})
    forks.stop()
    with pytest.raises(NoForkServer):
        forks.run("reverse", b"")
