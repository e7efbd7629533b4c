"""``letterlock run``: the gateway, until SIGTERM or Ctrl-C.

Guarantees
    ``letterlock ready`` appears on standard output once every process answers, and nothing else does. SIGTERM or SIGINT
    drains; another one later than IMPATIENT_AFTER ends everything at once.
    Exit codes: 0 drained, 2 wrong settings, 3 could not start.

    With ``crypto_profile = "fips"`` the log says first what is not used.

See also
    ``docs/walks/run.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from typing import Any

from letterlock.config import approved
from letterlock.supervise import installation, place
from letterlock.supervise.supervisor import Supervisor
from letterlock.telemetry import log

_log = logging.getLogger("letterlock.run")

IMPATIENT_AFTER = 2.0
"""Seconds. Ctrl-C reaches us from the terminal and often again from the program that started us: that is one wish."""


def add_parser(subparsers: Any) -> None:
    """``run`` has no arguments of its own."""
    subparsers.add_parser("run", help="run the gateway until SIGTERM")


async def run(arguments: argparse.Namespace, _door: None) -> int:
    """Start, wait for a signal, stop."""
    state = place.state_folder(arguments.state)
    settings = installation.enter(state)
    log.configure("supervisor", settings.run.log)
    if settings.run.crypto_profile == "fips":
        names = ", ".join(dict.fromkeys(each.name for each in approved.TABLE if not each.approved))
        _log.info("crypto_profile is fips; not used: %s", names, extra={"event": "gateway.restricted"})
    stop = _on_signal()
    supervisor = Supervisor(state, settings)
    starting = asyncio.create_task(supervisor.start())
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            print("letterlock ready", flush=True)
            await waiting
    finally:
        starting.cancel()
        waiting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await supervisor.stop()
    return 0


def _on_signal() -> asyncio.Event:
    """An event that the first signal sets; a later one ends this process, and the kernel then all others."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    first_at = loop.time()

    def asked() -> None:
        nonlocal first_at
        if not stop.is_set():
            first_at = loop.time()
            stop.set()
        elif loop.time() - first_at > IMPATIENT_AFTER:
            os._exit(130)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return stop
