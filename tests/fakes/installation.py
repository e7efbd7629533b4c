"""A whole gateway in a folder of its own: made by ``init``, run by ``run``, asked by the command line and SMTP only.

Order
    ``Installation.create()`` → ``start()`` → ``submit()``, ``receive()``, ``ask()`` → ``stop()`` → ``remove()``.

Guarantees
    Ports are free loopback ports; nothing outside ``folder`` is written. Only processes below the one started here are
    ever signalled.

See also
    ``next_hop.py``, the server that takes what this gateway sends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

READY = "letterlock ready"
INTERNET = "127.0.0.2"
"""The address a client of the Internet comes from: loopback, but outside relay_networks."""


class CommandFailed(AssertionError):
    """A command of the command line ended otherwise than the test wanted."""


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """One state folder and, between start() and stop(), the processes that serve it."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.port = free_port()
        self.status_port = free_port()
        self.log = folder / "log"
        self.run: subprocess.Popen[bytes] | None = None
        self.output: list[str] = []
        self._printed = threading.Condition()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LETTERLOCK_")},
            **{name: os.environ[name] for name in ("LETTERLOCK_PG_BIN",) if name in os.environ},
            "TMPDIR": str(folder / "tmp"),  # so that a look into the folder sees all that was written
            "LETTERLOCK_SMTP_LISTEN": f"127.0.0.1:{self.port}",
            "LETTERLOCK_HTTP_STATUS": f"127.0.0.1:{self.status_port}",
            **(environment or {}),
        }

    @classmethod
    def create(cls, environment: Mapping[str, str] | None = None) -> Installation:
        """A new folder with a fresh installation in it, not running. The path is short, as unix sockets want it."""
        folder = Path(tempfile.mkdtemp(prefix="ll-"))
        folder.chmod(0o755)  # the database may run as another user, who must be able to pass
        (folder / "tmp").mkdir(mode=0o700)
        made = cls(folder, environment)
        try:
            made.cli("init", state=False, more=("--state", str(made.state)))
        except BaseException:
            made.remove()
            raise
        return made

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Stop what runs and delete the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # the command line

    def cli(
        self,
        *arguments: str,
        code: int | None = 0,
        state: bool = True,
        more: Iterable[str] = (),
        text: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end. Raises CommandFailed unless it exits with ``code`` (None: whatever)."""
        where = ["--state", str(self.state)] if state else []
        done = subprocess.run(
            [sys.executable, "-m", "letterlock", *where, *arguments, *more],
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=120,
            check=False,
        )
        if code is not None and done.returncode != code:
            raise CommandFailed(f"{arguments} ended {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        return done

    def ask(self, *arguments: str, code: int | None = 0) -> Any:
        """What a command answers with --json. ``code``: as for cli()."""
        return json.loads(self.cli(*arguments, "--json", code=code).stdout)

    # running

    def start(self, *, within: float = 60.0) -> float:
        """Start it and wait for the ready line. Returns the seconds it took."""
        began = time.monotonic()
        self.log.mkdir(exist_ok=True)
        with (self.log / "stderr").open("ab") as errors:
            self.run = subprocess.Popen(
                [sys.executable, "-m", "letterlock", "--state", str(self.state), "run"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment,
                start_new_session=True,
            )
        self.output = []
        threading.Thread(target=self._read, args=(self.run,), daemon=True).start()
        with self._printed:
            ready = self._printed.wait_for(lambda: READY in self.output or self.run.poll() is not None, within)
        if not ready or READY not in self.output:
            raise AssertionError(f"not ready within {within} s: {self.output[-20:]}\n{self._circumstances()}")
        return time.monotonic() - began

    def _circumstances(self) -> str:
        """What a failed start leaves to be read: the log, who is ready, the processes, the database's own words."""
        words = [self.errors()[-4000:], str(self.status("/readyz"))]
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                words.append(f"{process.pid} {process.status()} {process.name()} {process.cmdline()[:6]}")
        words += [path.read_text(errors="replace")[-2000:] for path in self.state.glob("database*/postgres.log")]
        return "\n".join(words)

    def _read(self, run: subprocess.Popen[bytes]) -> None:
        assert run.stdout is not None
        with run.stdout, (self.log / "stdout").open("ab") as copy:
            for line in run.stdout:
                copy.write(line)
                with self._printed:
                    self.output.append(line.decode(errors="replace").rstrip())
                    self._printed.notify_all()
        run.wait()
        with self._printed:
            self._printed.notify_all()

    def stop(self, *, within: float = 60.0) -> int:
        """SIGTERM, wait, and return the exit code; 0 when it did not run."""
        if self.run is None:
            return 0
        run, self.run = self.run, None
        run.send_signal(signal.SIGTERM)
        return run.wait(within)

    def kill(self) -> None:
        """SIGKILL to it and all below it: a power cut as far as processes can have one."""
        if self.run is None:
            return
        run, self.run = self.run, None
        for process in self._tree(run.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        run.wait(30)
        self._reap_strays()

    def restart(self) -> float:
        """Stop and start again."""
        self.stop()
        return self.start()

    def errors(self) -> str:
        """What it wrote to standard error so far."""
        path = self.log / "stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    # its processes

    @staticmethod
    def _tree(root: int) -> list[psutil.Process]:
        try:
            top = psutil.Process(root)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def processes(self) -> list[psutil.Process]:
        """The process started here and all below it."""
        return [] if self.run is None else self._tree(self.run.pid)

    def _reap_strays(self) -> None:
        """Processes of this folder that lost their parent in the kill; found by the folder in their command line."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            strays = [p for p in psutil.process_iter() if self._ours(p)]
            for process in strays:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if not strays:
                return
            psutil.wait_procs(strays, timeout=1)

    def _ours(self, process: psutil.Process) -> bool:
        try:
            return str(self.state) in " ".join(process.cmdline())
        except psutil.Error:
            return False

    # asking it

    def status(self, path: str) -> tuple[int, str]:
        """GET from the status port: (status code, body). Code 0: nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_until_ready(self, within: float = 30.0) -> float:
        """Seconds until /readyz says 200 again."""
        began = time.monotonic()
        while self.status("/readyz")[0] != 200:
            if time.monotonic() - began > within:
                raise AssertionError(f"/readyz is not 200 after {within} s: {self.status('/readyz')}")
            time.sleep(0.05)
        return time.monotonic() - began

    def queue(self) -> list[dict[str, Any]]:
        """``queue list --json``."""
        answer = self.ask("queue", "list")
        return list(answer)

    def wait_until_empty(self, within: float = 30.0) -> None:
        """Until the queue lists nothing. Raises AssertionError after ``within`` seconds."""
        end = time.monotonic() + within
        while left := self.queue():
            if time.monotonic() > end:
                raise AssertionError(f"{len(left)} still queued after {within} s, the first: {left[:2]}")
            time.sleep(0.2)

    # mail in

    def smtp(self, source: str = "127.0.0.1", timeout: float = 30.0) -> smtplib.SMTP:
        """A client connected to the SMTP port, EHLO said."""
        client = smtplib.SMTP("127.0.0.1", self.port, timeout=timeout, source_address=(source, 0))
        client.ehlo("client.test")
        return client

    def submit(
        self,
        sender: str,
        recipients: str | Iterable[str],
        octets: bytes,
        *,
        mail: Iterable[str] = (),
        rcpt: Iterable[str] = (),
        source: str = "127.0.0.1",
    ) -> None:
        """Give it one message as a client that may relay. Raises smtplib's errors when it is refused."""
        to = [recipients] if isinstance(recipients, str) else list(recipients)
        with self.smtp(source) as client:
            refused = client.sendmail(sender, to, octets, list(mail), list(rcpt))
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)

    def receive(self, sender: str, recipients: str | Iterable[str], octets: bytes) -> None:
        """Give it one message as a stranger of the Internet."""
        self.submit(sender, recipients, octets, source=INTERNET)
