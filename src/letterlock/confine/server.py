"""The fork server: started before its parent opens a connection or holds a key, it forks a limited child for each job.

Order
    ``ForkServer.start(work, limits)`` forks the server. ``run(name, job)`` hands it the ends of two pipes; the server
    forks, the child restricts itself (``limits.py``), reads the job, calls ``work[name]`` and writes the result. The
    server kills it at its time, and all of them when its parent ends.

Guarantees
    ``run`` returns what the work returned, or raises: ChildEnded when the child was killed or died, WorkFailed when the
    work raised, NoForkServer when there is none. It returns at latest GRACE after the limit of time.
    The child sees its job and what the server's memory held when it was started: nothing of other jobs.

Standards
    unix(7) (SCM_RIGHTS), pidfd_open(2).

Raises
    ChildEnded, WorkFailed, NoForkServer.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping

from letterlock.confine import limits as limiting
from letterlock.confine.errors import ChildEnded, NoForkServer, WorkFailed
from letterlock.confine.limits import Limits

Work = Callable[[bytes], bytes]
MAX_CHILDREN = 32
GRACE = 0.3
"""Seconds after a child's time at which its result is waited for no longer, should the server itself be late."""
_DONE, _FAILED = b"\0", b"\1"
_HEAD = struct.Struct(">cQ")


class ForkServer:
    """The parent's end. One server may be used by many threads."""

    def __init__(self, control: socket.socket, pid: int, limits: Limits, others: Mapping[str, Limits]) -> None:
        self._control = control
        self._pid = pid
        self._limits = limits
        self._others = others

    @classmethod
    def start(
        cls, work: Mapping[str, Work], limits: Limits | None = None, others: Mapping[str, Limits] | None = None
    ) -> ForkServer:
        """Fork the server. Everything the work needs must be imported already: a child cannot. ``others``: limits of
        work that is bound in another way, by its name."""
        bound, apart = limits or Limits(), others or {}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                limiting.die_with_parent()
                ours.close()
                _Server(theirs, work, bound, apart).serve()
            finally:
                os._exit(0)
        theirs.close()
        return cls(ours, pid, bound, apart)

    def run(self, name: str, job: bytes) -> bytes:
        """Do one job in a child of its own. Blocks; see ``run_async``."""
        job_end, job_pipe = os.pipe()
        result_pipe, result_end = os.pipe()
        try:
            socket.send_fds(self._control, [name.encode()], [job_end, result_end])
        except OSError as error:
            os.close(job_pipe)
            os.close(result_pipe)
            raise NoForkServer(detail=str(error)) from error
        finally:
            os.close(job_end)
            os.close(result_end)
        seconds = self._others.get(name, self._limits).seconds
        return _Exchange(job_pipe, result_pipe, job, seconds + GRACE).answer()

    async def run_async(self, name: str, job: bytes) -> bytes:
        """The same without blocking the loop."""
        return await asyncio.to_thread(self.run, name, job)

    def stop(self) -> None:
        """End the server and its children."""
        self._control.close()
        os.waitpid(self._pid, 0)


class _Exchange:
    """Writes a job and reads its result at the same time, until a deadline."""

    def __init__(self, job_pipe: int, result_pipe: int, job: bytes, seconds: float) -> None:
        self._out, self._in = job_pipe, result_pipe
        self._left = memoryview(_HEAD.pack(_DONE, len(job)) + job)
        self._deadline = time.monotonic() + seconds
        self._got = bytearray()

    def answer(self) -> bytes:
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        try:
            self._exchange()
        finally:
            if self._out >= 0:
                os.close(self._out)
            os.close(self._in)
        if len(self._got) < _HEAD.size:
            raise ChildEnded
        kind, length = _HEAD.unpack_from(self._got)
        if len(self._got) != _HEAD.size + length:
            raise ChildEnded
        body = bytes(self._got[_HEAD.size :])
        if kind != _DONE:
            raise WorkFailed(detail=body[:200].decode("utf-8", "replace"))
        return body

    def _exchange(self) -> None:
        poll = select.poll()
        poll.register(self._in, select.POLLIN)
        poll.register(self._out, select.POLLOUT)
        while (wait := self._deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(wait * 1000):
                if descriptor == self._in:
                    piece = os.read(self._in, 1 << 16)
                    if not piece:
                        return
                    self._got += piece
                elif descriptor == self._out:
                    self._write(poll)

    def _write(self, poll: select.poll) -> None:
        try:
            self._left = self._left[os.write(self._out, self._left[: 1 << 16]) :]
        except BrokenPipeError:  # the child is gone; what it said last is still to be read
            self._left = self._left[:0]
        if not self._left:
            poll.unregister(self._out)
            os.close(self._out)
            self._out = -1


class _Server:
    """The forked server: one thread, no keys, no connections."""

    def __init__(
        self, control: socket.socket, work: Mapping[str, Work], limits: Limits, others: Mapping[str, Limits]
    ) -> None:
        self._control = control
        self._work = work
        self._limits = limits
        self._others = others
        self._ends: dict[int, tuple[int, float]] = {}  # by pidfd: process and its time

    def serve(self) -> None:
        """Until the parent closes its end."""
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        for each in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(each, signal.SIG_DFL)
        limiting.only_descriptors(0, 1, 2, self._control.fileno())
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(self._wait()):
                if descriptor != self._control.fileno():
                    self._collect(descriptor, poll)
                elif not self._take(poll):
                    self._end_all()
                    return
            self._end_late()

    def _wait(self) -> float | None:
        if not self._ends:
            return None
        return max(0.0, min(end for _, end in self._ends.values()) - time.monotonic()) * 1000 + 1

    def _take(self, poll: select.poll) -> bool:
        """One job: fork its child. False when the parent is gone."""
        name, descriptors, _, _ = socket.recv_fds(self._control, 256, 2)
        if not name:
            return False
        if len(descriptors) == 2 and len(self._ends) < MAX_CHILDREN:
            limits = self._others.get(name.decode(), self._limits)
            pid = os.fork()
            if pid == 0:
                _be_child(self._work.get(name.decode()), descriptors[0], descriptors[1], limits)
            watched = os.pidfd_open(pid)
            self._ends[watched] = (pid, time.monotonic() + limits.seconds)
            poll.register(watched, select.POLLIN)
        for each in descriptors:
            os.close(each)
        return True

    def _collect(self, watched: int, poll: select.poll) -> None:
        pid, _ = self._ends.pop(watched)
        poll.unregister(watched)
        os.close(watched)
        os.waitpid(pid, 0)

    def _end_late(self) -> None:
        now = time.monotonic()
        for pid, end in self._ends.values():
            if now >= end:
                os.kill(pid, signal.SIGKILL)

    def _end_all(self) -> None:
        for pid, _ in self._ends.values():
            os.kill(pid, signal.SIGKILL)


def _be_child(work: Work | None, job_end: int, result_end: int, limits: Limits) -> None:
    """The child's whole life."""
    code = 1
    try:
        limiting.die_with_parent()
        nothing = os.open("/dev/null", os.O_RDWR)
        job_end, result_end = (os.dup2(each, 10 + place) for place, each in enumerate((job_end, result_end)))
        for source, target in ((job_end, 0), (result_end, 1), (nothing, 2)):
            os.dup2(source, target)
        limiting.only_descriptors(0, 1, 2)
        limiting.restrict(limits)
        try:
            if work is None:
                raise LookupError("no such work")
            _say(_DONE, work(_read_job()))
            code = 0
        except Exception as error:  # hostile octets raise anything; the kind is all that is told
            _say(_FAILED, type(error).__name__.encode())
    finally:
        os._exit(code)


def _read_job() -> bytes:
    _, length = _HEAD.unpack(_read_exactly(_HEAD.size))
    return _read_exactly(length)


def _read_exactly(length: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < length:
        piece = os.read(0, min(1 << 20, length - len(pieces)))
        if not piece:
            raise EOFError
        pieces += piece
    return bytes(pieces)


def _say(kind: bytes, body: bytes) -> None:
    left = memoryview(_HEAD.pack(kind, len(body)) + body)
    while left:
        left = left[os.write(1, left) :]
