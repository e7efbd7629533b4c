"""What a child may use, and the calls that take everything else from it.

Guarantees
    After ``restrict`` the process holds no descriptor but 0 (the job), 1 (the result) and 2 (nothing); it can gain no
    privileges, open no socket, start no program, send no signal, watch no other process, write no core file; unless the
    limits say so it can open no file either. It is bound in memory and processor time.
    A filter that cannot be set ends the process: a child runs with all its limits or not at all.

Standards
    prctl(2), seccomp(2), setrlimit(2); Linux on x86-64 and AArch64.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from dataclasses import dataclass
from typing import Final

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """``memory``: octets beyond what the child has when it is forked. ``seconds``: of time, after which it is killed.
    ``files``: whether it may open files. ``written``: octets it may write to one."""

    memory: int = 256 << 20
    seconds: float = 2.0
    files: bool = False
    written: int = 0


# System call numbers: asm/unistd_64.h, asm-generic/unistd.h.
_NUMBERS: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
            "socketpair": 53, "accept4": 288, "sendmmsg": 307, "execve": 59, "execveat": 322, "kill": 62, "tkill": 200,
            "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_open": 434, "pidfd_send_signal": 424,
            "pidfd_getfd": 438, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "io_uring_setup": 425,
            "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249,
            "mount": 165, "unshare": 272, "setns": 308, "prctl": 157, "prlimit64": 302, "setrlimit": 160,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "socket": 198, "connect": 203, "accept": 202, "sendto": 206, "sendmsg": 211, "bind": 200, "listen": 201,
            "socketpair": 199, "accept4": 242, "sendmmsg": 269, "execve": 221, "execveat": 281, "kill": 129, "tkill": 130,
            "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "pidfd_open": 434, "pidfd_send_signal": 424,
            "pidfd_getfd": 438, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "io_uring_setup": 425,
            "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218,
            "mount": 40, "unshare": 97, "setns": 268, "prctl": 167, "prlimit64": 261, "setrlimit": 164,
        },
    ),
}  # fmt: skip
_FILES: Final[dict[str, dict[str, int]]] = {
    "x86_64": {"open": 2, "creat": 85, "openat": 257, "openat2": 437, "open_by_handle_at": 304, "unlink": 87,
               "unlinkat": 263, "rename": 82, "renameat": 264, "renameat2": 316, "link": 86, "linkat": 265, "symlink": 88,
               "symlinkat": 266, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "truncate": 76, "chmod": 90, "fchmodat": 268},
    "aarch64": {"openat": 56, "openat2": 437, "open_by_handle_at": 265, "unlinkat": 35, "renameat": 38, "renameat2": 276,
                "linkat": 37, "symlinkat": 36, "mkdirat": 34, "truncate": 45, "fchmodat": 53},
}  # fmt: skip

_RETURN_EPERM = 0x00050001
_RETURN_ALLOW = 0x7FFF0000
_RETURN_KILL = 0x80000000


def _filter(files: bool) -> bytes:
    """A BPF program: another architecture is killed, the listed calls answer EPERM, all others pass."""
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise OSError(f"no filter of system calls is known for {machine}")
    architecture, calls = _NUMBERS[machine]
    denied = sorted({*calls.values(), *(() if files else _FILES[machine].values())})
    load, jump_equal, jump_greater, give = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (jump_equal, 1, 0, architecture),
        (give, 0, 0, _RETURN_KILL),
        (load, 0, 0, 0),  # seccomp_data.nr
        (jump_greater, len(denied), 0, 0x40000000),  # the x32 names of the same calls
    ]
    for position, number in enumerate(denied):
        program.append((jump_equal, len(denied) - position, 0, number))
    program[4] = (jump_greater, len(denied) + 1, 0, 0x40000000)
    program += [(give, 0, 0, _RETURN_ALLOW), (give, 0, 0, _RETURN_EPERM)]
    return b"".join(struct.pack("<HBBI", *each) for each in program)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _prctl(option: int, value: int, program: object = None) -> None:
    argument = ctypes.byref(program) if isinstance(program, ctypes.Structure) else ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), argument, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def die_with_parent() -> None:
    """The kernel kills this process when the thread that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def only_descriptors(*kept: int) -> None:
    """Close every descriptor but these."""
    edge = 0
    for each in sorted({*kept, 1 << 20}):
        if edge < each:  # an empty range means all of them to the call beneath
            os.closerange(edge, each)
        edge = each + 1


def restrict(limits: Limits) -> None:
    """Take from this process what a job does not need, for ever. Raises OSError when that cannot be done."""
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - pathlib is not loaded in a child
        now = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    bound = now + limits.memory
    seconds = int(limits.seconds) + 2
    for what, soft, hard in (
        (resource.RLIMIT_AS, bound, bound),
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, limits.written, limits.written),
    ):
        resource.setrlimit(what, (soft, hard))
    if not limits.files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    octets = _filter(limits.files)
    program = _Program(len(octets) // 8, octets)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program)
