"""One place in the process table: keeps one process running in it, from the first start to the drain.

States
    ========= ==================================================================================================
    waiting   not started yet, or pausing before the next start
    starting  forked; has its secrets; has not said that it serves
    ready     serves; its heart beats each second
    draining  told to finish what it has in hand
    ended     gone for good: drained, or given up during the first start
    ========= ==================================================================================================

Guarantees
    A process that ends while it should run is started again, at once the first time (supervise/pace.py).
    A process whose event loop stands still for SILENT_FOR is killed, and so started again.
    During the first start a lasting fault (wrong configuration) is not repeated: wait_ready() raises its sentence.

Raises
    StartFailed, SettingsRefused from wait_ready().
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from letterlock.errors import LetterlockError, SystemFailure, UsageError
from letterlock.supervise import wire
from letterlock.supervise.pace import Pace
from letterlock.supervise.watch import wait_readable
from letterlock.telemetry import metrics

SILENT_FOR = 60.0
"""Seconds without a heartbeat after which a process is taken for stuck."""

FIRST_TRIES = 3
"""How often a process may die before it was ever ready; then the start of the whole installation has failed."""

UNREADY_PATIENCE = 3.0
"""Seconds that a process which is still starting has to end."""

State = Literal["waiting", "starting", "ready", "draining", "ended"]
Spawn = Callable[[str, str, socket.socket], Awaitable[None]]
"""(name, station module, the new process's end of its control socket)."""

_log = logging.getLogger("letterlock.supervise")


class StartFailed(SystemFailure):
    """A process of this installation could not start."""


class SettingsRefused(UsageError):
    """A process of this installation cannot work with these settings."""


class Slot:
    """One process of the table. ``begin`` makes the Begin of each new process; ``spawn`` forks it."""

    def __init__(self, name: str, module: str, *, spawn: Spawn, begin: Callable[[], wire.Begin]) -> None:
        self.name = name
        self.module = module
        self.state: State = "waiting"
        self.pid = 0
        self.restarts = 0
        self.metrics: metrics.Snapshot = []
        self.past_metrics: metrics.Snapshot = []
        self.beat_at = 0.0
        self._spawn = spawn
        self._begin = begin
        self._pace = Pace()
        self._changed = asyncio.Condition()
        self._was_ready = False
        self._fault: LetterlockError | None = None
        self._stopping = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin keeping a process here."""
        self._keeper = asyncio.create_task(self._keep(), name=f"slot {self.name}")

    async def wait_ready(self) -> None:
        """Until the process has been ready once. Raises StartFailed, SettingsRefused."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._was_ready or self.state == "ended")
        if not self._was_ready:
            raise self._fault or StartFailed(f"The process {self.name} ended while starting; its log lines say why.")

    async def drain(self, patience: float) -> None:
        """Have the process finish and end; kill it after ``patience`` seconds, one that does not serve yet earlier."""
        self._stopping.set()
        if self._keeper is None:
            return
        if self.state != "ready":
            patience = min(patience, UNREADY_PATIENCE)
        if self._writer is not None:
            self.state = "draining"
            self._say(wire.Stop())
        done, _ = await asyncio.wait({self._keeper}, timeout=patience)
        if not done:
            _log.error("process did not drain and is killed", extra={"event": "process.killed", "station": self.name})
            self.kill()
            await asyncio.wait({self._keeper}, timeout=5)

    def kill(self) -> None:
        """Kill the process now."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def check_heart(self, now: float) -> None:
        """Kill a process that has been silent too long; ``now`` by time.monotonic()."""
        if self.state in ("starting", "ready") and now - self.beat_at > SILENT_FOR:
            _log.error("process is stuck and is killed", extra={"event": "process.stuck", "station": self.name})
            self.kill()

    async def _keep(self) -> None:
        died_early = 0
        while not self._stopping.is_set():
            born = time.monotonic()
            status, failed = await self._live_once()
            await self._enter("waiting")
            if self._stopping.is_set():
                break
            said = failed.sentence if failed else _describe(status)
            _log.error("process ended", extra={"event": "process.ended", "station": self.name, "why": said})
            if not self._was_ready:
                died_early += 1
                if died_early >= FIRST_TRIES or (failed is not None and failed.lasting):
                    self._fault = _fault(failed) if failed else None
                    break
            self.restarts += 1
            # Counters never go back: what the ended process had counted is carried on.
            self.past_metrics = metrics.merge([self.past_metrics, metrics.carry(self.metrics)])
            self.metrics = []
            wait = self._pace.after(time.monotonic() - born)
            if wait:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), wait)
        await self._enter("ended")

    async def _live_once(self) -> tuple[int, wire.Failed | None]:
        """One life, from fork to end: its wait status and what it said about a failure."""
        ours, theirs = socket.socketpair()
        with theirs:
            await self._spawn(self.name, self.module, theirs)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        watch: int | None = None
        failed: wire.Failed | None = None
        try:
            hello = await wire.read(reader)
            if not isinstance(hello, wire.Hello):
                return 0, None
            try:
                watch = os.pidfd_open(hello.pid)
            except ProcessLookupError:  # it has ended already, and the reaper of strangers was quicker
                return 0, None
            self.pid = hello.pid
            self._say(self._begin())
            self.beat_at = time.monotonic()
            await self._enter("starting")
            if self._stopping.is_set():
                self._say(wire.Stop())
            failed = await self._listen(reader)
            await wait_readable(watch)
        except wire.WireBroken:
            self.kill()
            if watch is not None:
                await wait_readable(watch)
        finally:
            self._writer.close()
            self._writer = None
            if watch is not None:
                os.close(watch)
        pid, self.pid = self.pid, 0
        return _collect(pid), failed

    async def _listen(self, reader: asyncio.StreamReader) -> wire.Failed | None:
        failed = None
        while (word := await wire.read(reader)) is not None:
            self.beat_at = time.monotonic()
            if isinstance(word, wire.Ready):
                self._was_ready = True
                await self._enter("ready")
            elif isinstance(word, wire.Beat):
                self.metrics = word.metrics
            elif isinstance(word, wire.Failed):
                failed = word
        return failed

    def _say(self, word: wire.Word) -> None:
        if self._writer is not None:
            self._writer.write(wire.encode(word))

    async def _enter(self, state: State) -> None:
        async with self._changed:
            if not (self.state == "draining" and state in ("starting", "ready")):
                self.state = state
            self._changed.notify_all()


def _fault(failed: wire.Failed) -> LetterlockError:
    return SettingsRefused(failed.sentence) if failed.usage else StartFailed(failed.sentence)


def _collect(pid: int) -> int:
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return 0


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"
