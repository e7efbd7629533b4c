"""The supervisor's own interpreters: the spawner, kept running, and the one-shot ``prepare``.

Guarantees
    Both are fresh interpreters in a session of their own, so a Ctrl-C in a terminal reaches the supervisor alone. Both
    end when the supervisor ends. What prepare needs and gives travels through pipes.

Raises
    StartFailed when prepare fails, with its own sentence.

See also
    ``spawner.py`` and ``internal.py`` (what runs in them).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from letterlock.config import approved
from letterlock.config.start import Credentials
from letterlock.supervise import wire
from letterlock.supervise.pace import Pace
from letterlock.supervise.slot import StartFailed

_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
"""mallopt(3): buffers of a mebibyte are used again. Given back to the kernel after each message and faulted in anew for the
next, they cost delivery a fifth of its time with large mail. Octets."""

PROFILE_VARIABLE = "LETTERLOCK_RUN_CRYPTO_PROFILE"

_log = logging.getLogger("letterlock.supervise")


class Errand(msgspec.Struct):
    """What prepare is given: whose child it is, libpq parameters to connect as the database's administrator, log level."""

    supervisor: int
    administrator: dict[str, str]
    log: str


class Prepared(msgspec.Struct):
    """What prepare gives: credentials per role, or the sentence why not."""

    credentials: dict[str, Credentials] = {}
    fault: str = ""


def command(word: str, *arguments: str) -> list[str]:
    """The command line of an interpreter of our own. -P: never import from the working folder."""
    return [sys.executable, "-P", "-m", "letterlock", word, *arguments]


def environment() -> dict[str, str]:
    """Ours, without the address of an external database: the administrator's password may be in it.

    With the profile of algorithms that this process keeps: what is forked before it gets its orders keeps it too.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LETTERLOCK_DATABASE")}
    return ours | _ALLOCATION | {PROFILE_VARIABLE: approved.kept()}


async def prepare(administrator: dict[str, str], log: str) -> dict[str, Credentials]:
    """Migrate the database and give each login role a new password: role to credentials. Raises StartFailed."""
    process = await asyncio.create_subprocess_exec(
        *command("_prepare"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    errand = Errand(os.getpid(), administrator, log)
    try:
        answer, _ = await process.communicate(msgspec.json.encode(errand))
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    try:
        prepared = msgspec.json.decode(answer, type=Prepared)
    except msgspec.DecodeError:
        raise StartFailed(
            f"Preparing the database failed (exit code {process.returncode}); see the log above."
        ) from None
    if prepared.fault:
        raise StartFailed(prepared.fault)
    return prepared.credentials


class Spawner:
    """The warm parent, started again whenever it ends; fork() waits until there is one."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = list(modules)
        self._requests: socket.socket | None = None
        self._warm = asyncio.Event()
        self._pace = Pace()
        self._keeper: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def state(self) -> Literal["ready", "starting", "ended"]:
        """Whether it can fork at this moment."""
        if self._warm.is_set():
            return "ready"
        return "ended" if self._stopping else "starting"

    async def start(self) -> None:
        """Start it; returns when it can fork. Raises StartFailed."""
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name="spawner")

    async def fork(self, name: str, module: str, theirs: socket.socket) -> None:
        """Have a process forked that runs ``module`` with ``theirs`` as its control socket."""
        while True:
            await self._warm.wait()
            assert self._requests is not None
            try:
                wire.send_with_descriptor(self._requests, wire.Fork(name, module), theirs.fileno())
            except OSError:  # it has just died; its keeper will notice
                self._warm.clear()
            else:
                return

    async def stop(self) -> None:
        """End it. The processes it forked are not its children and stay."""
        self._stopping = True
        self._warm.clear()
        if self._keeper is not None:
            self._keeper.cancel()
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # it has nothing to finish
            await self._process.wait()

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            line = command("_spawn", str(theirs.fileno()), str(os.getpid()), *self._modules)
            self._process = await asyncio.create_subprocess_exec(
                *line,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment(),
                start_new_session=True,
            )
        hello = await asyncio.get_running_loop().sock_recv(ours, 64)
        if not hello:
            ours.close()
            code = await self._process.wait()
            raise StartFailed(f"The spawner could not start (exit code {code}); see the log above.")
        self._requests = ours
        self._warm.set()

    async def _keep(self) -> None:
        while True:
            born = time.monotonic()
            assert self._process is not None
            await self._process.wait()
            self._warm.clear()
            if self._requests is not None:
                self._requests.close()
            _log.error("process ended", extra={"event": "process.ended", "station": "spawner"})
            self.restarts += 1
            await asyncio.sleep(self._pace.after(time.monotonic() - born))
            with contextlib.suppress(StartFailed):
                await self._launch()
