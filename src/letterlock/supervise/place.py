"""Where an installation lives: its state folder, the lock that lets one supervisor in, the folder of its sockets,
and whether its addresses are free.

Guarantees
    One supervisor at a time: an flock that the kernel lifts when its holder dies, so nothing is left to clean up.
    What a killed predecessor left in the socket folder is removed once the lock is held.
    Stations share their ports (SO_REUSEPORT), which would let two installations share them unknowingly: the supervisor
    tries each address without sharing before it starts any station.
    Folders are made 0700 and no folder that exists is opened wider, but the socket folder: where there is a group
    letterlock-admin its members may pass it (0710), to the sockets that are given to them.

Standards
    unix(7): a socket's path has at most 107 octets. Where the state folder is deeper than that allows, the sockets live
    in a folder of their own below the user's runtime folder.

Raises
    AlreadyRunning (with the process id), NotInstalled, UnsafeFolder, AddressUnusable.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import socket
import stat
import time
from pathlib import Path
from typing import Literal

import msgspec

from letterlock.config.settings import Listen, Settings
from letterlock.config.sockets import let_admins_in
from letterlock.errors import SystemFailure, UsageError

SETTINGS_FILE = "letterlock.toml"
LOCK_FILE = "letterlock.lock"
LONGEST_SOCKET = 107
LONGEST_NAME = 32  # octets kept for the name of one socket in the folder, the slash included

Kind = Literal["run", "offline"]


class AlreadyRunning(SystemFailure):
    """Letterlock is running with this state folder already."""


class NotInstalled(UsageError):
    """There is no Letterlock installation in this folder."""


class UnsafeFolder(SystemFailure):
    """A folder for sockets is not ours alone."""


class AddressUnusable(SystemFailure):
    """An address to listen on is taken, or is none of this machine's."""


class _Holder(msgspec.Struct):
    pid: int
    kind: Kind


class Lock:
    """The lock of a state folder, held until release() or the end of the process."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    def release(self) -> None:
        """Let the next one in."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def state_folder(given: str | None) -> Path:
    """The state folder: ``given``, else LETTERLOCK_STATE, else ./letterlock-state; absolute."""
    return Path(given or os.environ.get("LETTERLOCK_STATE") or "letterlock-state").absolute()


def require_installation(state: Path) -> None:
    """Raises NotInstalled unless ``letterlock init`` has been here."""
    if not (state / SETTINGS_FILE).is_file():
        raise NotInstalled(
            f"There is no Letterlock installation in {state}: make one with 'letterlock --state {state} init'."
        )


def _try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def take_lock(state: Path, kind: Kind, *, wait_for: float = 30.0) -> Lock:
    """Become the one supervisor of ``state``.

    A command that works offline holds the lock for a moment only, so it is waited for, ``wait_for`` seconds at most.
    Raises AlreadyRunning.
    """
    path = state / LOCK_FILE
    deadline = time.monotonic() + wait_for
    while True:
        descriptor = _try_lock(path)
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(_Holder(os.getpid(), kind)), 0)
            return Lock(descriptor, path)
        holder = lock_holder(state)
        if (holder is not None and holder[1] == "run") or time.monotonic() > deadline:
            who = f" (process {holder[0]})" if holder else ""
            raise AlreadyRunning(f"Letterlock is already running with the state folder {state}{who}. Stop it first.")
        time.sleep(0.05)


def lock_holder(state: Path) -> tuple[int, Kind] | None:
    """Process id and kind of the supervisor that holds the lock, or None. Only a hint: it may end at any moment."""
    try:
        descriptor = os.open(state / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(msgspec.DecodeError):
                holder = msgspec.json.decode(os.pread(descriptor, 256, 0), type=_Holder)
                return holder.pid, holder.kind
            return 0, "offline"  # between taking the lock and writing the name
        return None
    finally:
        os.close(descriptor)


def socket_folder(state: Path) -> Path:
    """Where the sockets of the installation in ``state`` are; the same for every process and command of one user."""
    inside = state / "run"
    if len(os.fsencode(inside)) + LONGEST_NAME <= LONGEST_SOCKET:
        return inside
    digest = hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(runtime) + len("/letterlock-") + len(digest) + LONGEST_NAME <= LONGEST_SOCKET:
        return Path(runtime) / f"letterlock-{digest}"
    return Path("/tmp") / f"letterlock-{os.getuid()}-{digest}"  # noqa: S108  made 0700 and its owner checked below


def make_socket_folder(state: Path) -> Path:
    """The socket folder, empty, and open to those it shall be. To be called with the lock held. Raises UnsafeFolder."""
    folder = socket_folder(state)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o067:
        raise UnsafeFolder(f"The folder {folder} must belong to this user alone (mode 0700). Remove it and try again.")
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not let_admins_in(folder, 0o710):
        folder.chmod(0o700)
    return folder


def require_addresses(settings: Settings, *, wait_for: float = 3.0) -> None:
    """Try whether the stations' addresses are free, without SO_REUSEPORT and without listening.

    The processes of a supervisor that was killed may need a moment to end: a taken address is tried again for
    ``wait_for`` seconds. Raises AddressUnusable.
    """
    deadline = time.monotonic() + wait_for
    wanted = [("[smtp] listen", each) for each in settings.smtp.listen]
    wanted += [("[smtp] tls_listen", each) for each in settings.smtp.tls_listen]
    wanted += [("[reinject] listen", each) for each in settings.reinject.listen]
    wanted += [("[http] public", settings.http.public)] if settings.http.public else []
    for setting, address in wanted:
        while (fault := _fault_of(address)) is not None:
            if fault.errno != errno.EADDRINUSE:
                why = fault.strerror
            elif time.monotonic() > deadline:
                why = "another program listens there"
            else:
                time.sleep(0.1)
                continue
            raise AddressUnusable(f"{setting} is {address}, which cannot be used: {why}.")


def _fault_of(address: Listen) -> OSError | None:
    """Why ``address`` cannot be bound; None when it can."""
    if address.host != "*":
        return _try_to_bind(address.host, address.port)
    fault = _try_to_bind("::", address.port)
    if fault is not None and fault.errno == errno.EADDRINUSE:
        return fault
    return _try_to_bind("0.0.0.0", address.port)  # noqa: S104 - asked for


def _try_to_bind(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except OSError as fault:
        return fault
    return None
