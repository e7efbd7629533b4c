"""The few Linux calls that Python has no name for, as far as processes that watch one another need them.

Guarantees
    A process that has called die_with_parent() is killed by the kernel when its parent ends, however that ends.

Standards
    prctl(2), pidfd_open(2), unix(7).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int | bytes) -> None:
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when ``parent`` (a process id) ends; ends it now when that has happened already.

    A process that was forked twice gets its new parent a moment later: this waits for that, 2 s at most. Only then is
    the signal asked for: asked for earlier, the end of the process between would be taken for the parent's.
    """
    patience = time.monotonic() + 2
    while os.getppid() != parent:
        if time.monotonic() > patience:
            os._exit(1)
        time.sleep(0.0005)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended between the two calls
        os._exit(1)


def adopt_orphans(adopt: bool = True) -> None:
    """Processes whose parent ended become this process's children instead of init's; or no longer."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(adopt))


def name_process(name: str) -> None:
    """The name that ps and /proc show; the kernel keeps 15 octets."""
    _prctl(_PR_SET_NAME, name.encode()[:15])


def no_core_dumps() -> None:
    """Memory with keys in it is never written to a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def all_descriptors() -> None:
    """As many open files as we may have: each connection is one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Reaper:
    """Collects ended children that nobody waits for: those the kernel gave us when their own parents died.

    A child that somebody waits for is collected by that somebody within moments; so whoever is found ended at two calls
    in a row, a second apart, is a stranger.
    """

    def __init__(self) -> None:
        self._seen = 0

    def look(self) -> None:
        """To be called each second."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None and found.si_pid == self._seen:
                os.waitpid(found.si_pid, os.WNOHANG)
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            found = None
        self._seen = found.si_pid if found is not None else 0

    @staticmethod
    def look_last() -> None:
        """To be called when nobody waits for any child any more: collects all that have ended."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
