"""Forks signers: a process made before the keyholder has any key, so that none of its children has one either.

Order
    ``Nursery.start`` is the first thing the keyholder does. Each ``fork`` sends one end of a socket pair over; the
    nursery forks a signer that serves on it and answers its process id. It ends when the keyholder's end closes, and so
    does each signer when its own socket does.

Guarantees
    Nursery and signers have no other descriptor than their sockets (and standard output and error), write no core,
    may not be traced by processes of the same user, gain no privileges.

Standards
    unix(7) (SCM_RIGHTS), prctl(2), signal(7) (children of a process that ignores SIGCHLD leave no zombies).
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import socket
from pathlib import Path
from typing import NoReturn

from letterlock.errors import SystemFailure
from letterlock.keyholder import signer

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_FIRST_DESCRIPTOR = 3
_MOST_DESCRIPTORS = 1 << 20


class NurseryGone(SystemFailure):
    """The process that starts signers is gone."""


def harden(name: str) -> None:
    """No core file, no tracing by the same user, no new privileges; ``name``: what ps shows."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)


class Nursery:
    """The keyholder's end."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self.pid = pid
        self._control = control
        self._asking = asyncio.Lock()

    @classmethod
    def start(cls) -> Nursery:
        """Fork the nursery. Nothing secret may be in this process yet."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _become(_raise_signers, theirs, "ll-nursery")
        theirs.close()
        ours.setblocking(False)
        return cls(ours, pid)

    async def fork(self) -> tuple[socket.socket, int]:
        """A new signer: its socket and its process id. Raises NurseryGone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        async with self._asking:
            try:
                with theirs:
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
                    self._control.sendmsg([b"fork"], rights)
                answer = await asyncio.get_running_loop().sock_recv(self._control, 16)
            except OSError as error:
                ours.close()
                raise NurseryGone(detail=str(error)) from error
            except BaseException:  # cancelled: nobody will have the socket
                ours.close()
                raise
        if not answer:
            ours.close()
            raise NurseryGone
        ours.setblocking(False)
        return ours, int(answer)

    def close(self) -> None:
        """Let the nursery end."""
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _become(work: object, channel: socket.socket, name: str) -> NoReturn:
    """In a new child: keep nothing but ``channel``, do ``work`` with it, and end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        # The terminal's interrupt goes to all; ours is that the socket closes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        kept = channel.fileno()
        os.closerange(_FIRST_DESCRIPTOR, kept)
        os.closerange(kept + 1, _MOST_DESCRIPTORS)
        harden(name)
        assert callable(work)
        work(channel)
        code = 0
    finally:
        os._exit(code)


def _raise_signers(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    while True:
        request, rights, _flags, _address = control.recvmsg(16, room, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return
        for level, kind, data in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptor = array.array("i", data)[0]
                pid = os.fork()
                if pid == 0:
                    _become(signer.serve, socket.socket(fileno=descriptor), "ll-signer")
                os.close(descriptor)
                control.send(str(pid).encode())
