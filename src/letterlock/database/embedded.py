"""The PostgreSQL that comes along: make its cluster, start it, stop it.

Order
    Cluster(state) → start() → (migrate, set_passwords over superuser()) → stop().

Guarantees
    It listens on a unix socket only, in a folder closed to others. Who comes in: the cluster's superuser, by the OS
    users root and the installation's own; the process roles by password; nobody else.
    The log never shows a value: no statement, no parameter, no DETAIL.
    A start after kill -9 is repeated for up to 60 s, until what the old server left behind is gone; crash recovery
    has at most a quarter of a GiB of log to read. Stopping is a fast shutdown (SIGINT), after 30 s an immediate one
    (SIGQUIT), never SIGKILL. When we die without stopping it, it shuts down by itself (PR_SET_PDEATHSIG).

Standards
    PostgreSQL 19 (server setup), 21 (client authentication); prctl(2).

Raises
    DatabasePlaceUnusable, DatabaseNotStarted (with the server's own words).

See also
    ``place.py`` (where it lives), ``settings.py`` (its configuration).
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from letterlock.database import place as places
from letterlock.database.migrate import open_database
from letterlock.database.settings import SUPERUSER, authentication, configuration, identities
from letterlock.errors import SystemFailure

DATABASE = "letterlock"
START_FOR = 60.0
STOP_FOR = 30.0
STEP = 0.1
"""Seconds."""

LONGEST_LOCK = 4096  # octets; PostgreSQL writes some hundred
LONGEST_LOG = 4 << 20
"""Octets after which a start begins a new log and keeps one old."""

# What the old server's remains say; each goes away by itself.
_PASSING = (b"pre-existing shared memory block", b"lock file", b"is still in use", b"could not bind")

# Runs as root when we are: it becomes the database's user, asks for a signal when we die (lost at a change of user,
# so after it), and becomes PostgreSQL. Its arguments: our process id, uid, gid, programs.
_SHIM = """
import ctypes, os, signal, sys
parent, uid, gid = map(int, sys.argv[1:4])
if os.geteuid() != uid:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
ctypes.CDLL(None).prctl(1, signal.SIGINT)
os.umask(0o077)
if os.getppid() != parent:
    os._exit(0)
os.execv(sys.argv[4], sys.argv[4:])
"""


class DatabaseNotStarted(SystemFailure):
    """The embedded database does not start."""


class Cluster:
    """One embedded PostgreSQL. Not thread-safe; start it from a thread that lives as long as it shall."""

    def __init__(
        self, state: Path, *, log: Path | None = None, databases: str = DATABASE, extra: dict[str, str] | None = None
    ) -> None:
        """``log``: a file to append its words to (None: <folder>/postgres.log). ``databases``: which the process
        roles may enter, in the words of pg_hba.conf. ``extra``: settings that override ours; tests use both."""
        self.place = places.choose(state)
        self.log = log or self.place.folder / "postgres.log"
        self._databases = databases
        self._extra = extra or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None

    @property
    def host(self) -> str:
        """The folder of its socket: libpq's host. Known once it is started."""
        assert self._socket is not None, "not started"
        return str(self._socket)

    @property
    def port(self) -> int:
        """Only a part of the socket's name."""
        return 5432

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def superuser(self, dbname: str = DATABASE) -> psycopg.Connection[Any]:
        """A connection as the cluster's superuser, autocommit. Raises DatabaseUnavailable."""
        return open_database(host=self.host, port=self.port, user=SUPERUSER, dbname=dbname)

    def initialise(self) -> None:
        """Make the cluster unless it is there. Raises DatabaseNotStarted."""
        data = self.place.data
        if (data / "PG_VERSION").exists():
            made_by, programs = int(_lock_text(data / "PG_VERSION") or 0), self.version()
            if made_by != programs:
                raise DatabaseNotStarted(
                    f"The database was made by PostgreSQL {made_by}, but the programs are of {programs}: "
                    f"use those of {made_by}, or move the data with pg_upgrade."
                )
            return
        if not data.exists():
            data.mkdir(mode=0o700)
            if self.place.is_own_user:
                os.chown(data, self.place.user.pw_uid, self.place.user.pw_gid)
        # C.UTF-8 by PostgreSQL itself (17 and later) and C before: no locale of the machine, so the data may move
        # between machines without their indexes going wrong.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command = ["-D", str(data), "-U", SUPERUSER, "-E", "UTF8", "-k", "-A", "reject"]
        if self._extra.get("fsync") == "off":
            command.append("--no-sync")
        made = self._run("initdb", *command, *(locale if self.version() >= 17 else ["--no-locale"]))
        if made.returncode != 0:
            raise DatabaseNotStarted(detail=f"initdb: {_last_words(made.stdout)}")

    def version(self) -> int:
        """The major version of its programs."""
        answer = self._run("postgres", "--version").stdout.split()
        return int(answer[2].split(b".")[0].rstrip(b"abcdefghijklmnopqrstuvwxyz"))

    def start(self) -> None:
        """Start and wait until it answers. Raises DatabaseNotStarted after 60 s, or at once when waiting cannot
        help."""
        for pause in self._starting():
            time.sleep(pause)
        self._finish_start()

    async def start_waiting(self) -> None:
        """As start(), for an event loop."""
        for pause in self._starting():
            await asyncio.sleep(pause)
        self._finish_start()

    def stop(self, *, immediate: bool = False) -> None:
        """Fast shutdown, after 30 s (or at once) an immediate one. Harmless when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, patience in ((signal.SIGINT, STOP_FOR), (signal.SIGQUIT, STOP_FOR))[immediate:]:
            if process.poll() is None:
                process.send_signal(number)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
            break
        if self._socket is not None and self._socket.parent != self.place.folder:
            for left in self._socket.iterdir():
                left.unlink()
            self._socket.rmdir()

    def _starting(self) -> Iterator[float]:
        """Steps of a start; yields how long to pause before the next."""
        self.initialise()
        if self._socket is None or not self._socket.is_dir():
            self._socket = places.socket_folder(self.place)  # and over restarts the same: others know it
        self._configure()
        deadline = time.monotonic() + START_FOR
        # a former server that we have not buried still holds its lock file
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            yield STEP / 5
        while True:
            self._forget_dead()
            said_before = self.log.stat().st_size if self.log.exists() else 0
            self._process = self._launch()
            while self._process.poll() is None:
                if self._is_ready(self._process.pid):
                    return
                if time.monotonic() > deadline:
                    self.stop()
                    raise DatabaseNotStarted(detail=f"not ready after {START_FOR:.0f} s; see {self.log}")
                yield STEP / 5
            said = self.log.read_bytes()[said_before:]
            if time.monotonic() > deadline or not any(words in said for words in _PASSING):
                self._process = None
                raise DatabaseNotStarted(detail=_last_words(said) or "it ended without a word")
            yield STEP

    def _forget_dead(self) -> None:
        """Remove the lock files, the data's and the socket's, of a postmaster that is no more.

        PostgreSQL takes any process with the number in it for the old postmaster: a dead one that nobody has collected
        yet, or, after a container was started again, some other process of the same user; it then never starts. That no
        server process has the data open any more it sees by its shared memory, with the file or without.
        """
        assert self._socket is not None
        for path in (self.place.data / "postmaster.pid", self._socket / f".s.PGSQL.{self.port}.lock"):
            try:
                process = int(_lock_text(path).partition("\n")[0])
            except ValueError:
                continue
            if not _is_postmaster(process, self.place.data):
                path.unlink(missing_ok=True)

    def _configure(self) -> None:
        """Our configuration replaces what is there, at each start: an upgrade changes it, an edit does not last."""
        assert self._socket is not None
        texts = {
            "postgresql.conf": configuration(self._socket, self.version(), self._extra),
            "pg_hba.conf": authentication(self._databases),
            "pg_ident.conf": identities(),
        }
        for name, text in texts.items():
            self._replace(name, text)
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))

    def _replace(self, name: str, text: str) -> None:
        """A file in the data directory, put there whole.

        The directory is another user's, who may have left a link under any name: nothing that exists is written to.
        """
        fresh = self.place.data / f"{name}.new"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if self.place.is_own_user:
                os.fchown(descriptor, self.place.user.pw_uid, self.place.user.pw_gid)
        fresh.replace(self.place.data / name)

    def _launch(self) -> subprocess.Popen[bytes]:
        program = str(self.place.programs / "postgres")
        user = self.place.user
        who = [str(os.getpid()), str(user.pw_uid), str(user.pw_gid)]
        shim = [sys.executable, "-I", "-S", "-c", _SHIM, *who, program, "-D", str(self.place.data)]
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            return subprocess.Popen(  # noqa: S603 - our own shim and a program of the place
                shim,
                cwd="/",
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        user = self.place.user
        switch: dict[str, Any] = {}
        if self.place.is_own_user:
            switch = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return subprocess.run(  # noqa: S603 - a program of the place
            [str(self.place.programs / program), *arguments],
            cwd="/",
            env=self._environment(),
            check=False,
            umask=0o077,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **switch,
        )

    def _environment(self) -> dict[str, str]:
        # nothing of ours: no PG* variable that would change what the programs do, no secret
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGCONNECT_TIMEOUT": "10"}

    def _is_ready(self, pid: int) -> bool:
        # postmaster.pid: line 1 its process, line 8 "ready" once it answers (miscadmin.h, LOCK_FILE_LINE_PM_STATUS)
        lines = _lock_text(self.place.data / "postmaster.pid").splitlines()
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _finish_start(self) -> None:
        try:
            self._make_database()
        except BaseException:
            self.stop()
            raise

    def _make_database(self) -> None:
        with self.superuser("postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
                connection.execute(f"CREATE DATABASE {DATABASE}")


def _lock_text(path: Path) -> str:
    """A small file's text; empty when there is none, or something that PostgreSQL would not have made.

    We may be root, and the folder is the database's own user's: whoever has captured the database must not make us wait
    for a pipe, or read elsewhere.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, LONGEST_LOCK).decode(errors="replace") if regular else ""
    finally:
        os.close(descriptor)


def _is_postmaster(process: int, data: Path) -> bool:
    """Whether ``process`` (an id) lives and serves ``data``; also when that cannot be seen."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
    return state not in "ZX" and os.fsencode(data) in words


def _last_words(said: bytes) -> str:
    """The last lines of a log that tell of a fault, two at most, else its last line."""
    lines = said.decode(errors="replace").strip().splitlines()
    marks = ("FATAL", "PANIC", "ERROR", "error:", "invalid value", "cannot", "denied", "No space")
    grave = [line.strip() for line in lines if any(mark in line for mark in marks)]
    return "; ".join(grave[-2:]) or (lines or [""])[-1].strip()
