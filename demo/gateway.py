"""The gateway of the demo, driven as an administrator drives it: by the ``letterlock`` command, and nothing else.

Raises
    GatewayError, with the command and what it said.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

READY = "letterlock ready"
START_WITHIN = 90.0
HERE, INTERNET = "127.0.0.1", "127.0.0.2"
"""Where our own mail programs sit, and where strangers come from: both loopback, only the first may relay."""


class GatewayError(Exception):
    """A command did not do what the demo needs."""


class Gateway:
    """One installation in ``state``, reachable on a free loopback port."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = _free_port()
        self.log = state.parent / "gateway.log"
        self._run: subprocess.Popen[str] | None = None
        self._environment = {
            **os.environ,
            "LETTERLOCK_SMTP_LISTEN": f"{HERE}:{self.port}",
            "LETTERLOCK_HTTP_STATUS": f"{HERE}:{_free_port()}",
        }
        self.command("init")

    def command(self, *words: str) -> str:
        """Run ``letterlock --state DIR WORDS`` to its end; what it printed."""
        done = subprocess.run(
            self._line(*words), capture_output=True, text=True, env=self._environment, check=False, timeout=120
        )
        if done.returncode != 0:
            raise GatewayError(f"letterlock {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def ask(self, *words: str) -> Any:
        """The answer of a command as data."""
        return json.loads(self.command(*words, "--json"))

    def start(self) -> float:
        """Start it; returns the seconds until it said that it is ready."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._run = subprocess.Popen(
                self._line("run"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        ready = threading.Event()
        ended = threading.Event()
        threading.Thread(target=_read, args=(self._run, ready, ended), daemon=True).start()
        while not ready.wait(0.05):
            if ended.is_set() or time.monotonic() - began > START_WITHIN:
                raise GatewayError(f"the gateway did not get ready; the end of {self.log}:\n{self.tail()}")
        return time.monotonic() - began

    def stop(self) -> None:
        """Have it drain and end."""
        if self._run is not None and self._run.poll() is None:
            self._run.send_signal(signal.SIGTERM)
            try:
                self._run.wait(60)
            except subprocess.TimeoutExpired:
                self._run.kill()
        self._run = None

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:]) if self.log.exists() else ""

    def send(self, sender: str, to: str, octets: bytes, source: str) -> None:
        """Hand in one mail by SMTP, from one of our own programs (HERE) or as a stranger (INTERNET)."""
        with smtplib.SMTP(HERE, self.port, timeout=30, source_address=(source, 0)) as client:
            client.sendmail(sender, [to], octets)

    def _line(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "letterlock", "--state", str(self.state), *words]


def _read(run: subprocess.Popen[str], ready: threading.Event, ended: threading.Event) -> None:
    assert run.stdout is not None
    for line in run.stdout:
        if line.strip() == READY:
            ready.set()
    ended.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])
