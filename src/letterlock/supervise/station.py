"""What a forked process does: takes its orders, runs its station, tells the supervisor that it lives, ends when told.

Order
    The station's ``prepare()`` if it has one, Hello, Begin, then its ``run(start)``; its ``ready()`` becomes Ready, each
    second a Beat with the metrics.
    Stop, or SIGTERM, sets ``start.stopping``; the station returns and the process ends with code 0.

Guarantees
    When the supervisor ends, the kernel ends this process. SIGINT is the supervisor's matter: Ctrl-C drains.
    A failure to start is said in one sentence (Failed); a traceback goes to the log without values.

See also
    ``config/start.py`` (what a station is given), ``supervise/slot.py`` (the other end).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec
import uvloop

from letterlock.config.settings import Settings
from letterlock.config.start import Credentials, Start
from letterlock.errors import LetterlockError, UsageError
from letterlock.supervise import wire
from letterlock.telemetry import log, metrics

BEAT_EACH = 1.0
"""Seconds between two heartbeats."""

_log = logging.getLogger("letterlock.station")

Station = Callable[[Start], Awaitable[None]]


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a Start that can travel: everything but the callables."""

    settings: Settings
    name: str
    number: int
    worker: UUID
    state: Path
    run: Path
    database: Credentials
    key_token: bytes = b""
    key_tokens: dict[str, bytes] = {}
    hand_token: bytes = b""
    admin_database: Credentials | None = None
    admin_key_token: bytes = b""

    def __repr__(self) -> str:
        return f"Orders({self.name!r}, {self.number})"


def _to_plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(type(value).__name__)


def _from_plain(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(kind.__name__)


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_plain)
_decoder = msgspec.msgpack.Decoder(Orders, dec_hook=_from_plain)


def encode_orders(orders: Orders) -> bytes:
    """For Begin.start."""
    return _encoder.encode(orders)


def live(channel: socket.socket, name: str, module: str) -> int:
    """The whole life of a forked process; its exit code."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.configure(name)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    try:
        station = importlib.import_module(module)
        if hasattr(station, "prepare"):  # before it holds a secret: what it forks then has none
            station.prepare()
        channel.sendall(wire.encode(wire.Hello(os.getpid())))
        begin = wire.read_blocking(channel)
        if not isinstance(begin, wire.Begin):
            return 0
        orders = _decoder.decode(begin.start)
        log.configure(f"{orders.name}-{orders.number}", orders.settings.run.log)
        return uvloop.run(_serve(channel, orders, cast(Station, station.run)))
    except Exception:
        _log.exception("process failed")
        return 1
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()


async def _serve(channel: socket.socket, orders: Orders, station: Station) -> int:
    reader, writer = await asyncio.open_connection(sock=channel)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    registry = metrics.Registry()
    start = Start(
        settings=orders.settings,
        name=orders.name,
        number=orders.number,
        worker=orders.worker,
        state=orders.state,
        run=orders.run,
        database=orders.database,
        key_token=orders.key_token,
        key_tokens=orders.key_tokens,
        hand_token=orders.hand_token,
        admin_database=orders.admin_database,
        admin_key_token=orders.admin_key_token,
        ready=lambda: writer.write(wire.encode(wire.Ready())),
        stopping=stopping,
        meter=registry,
    )
    side = [
        asyncio.create_task(_listen(reader, stopping)),
        asyncio.create_task(_beat(writer, registry)),
    ]
    code = 0
    try:
        await station(start)
    except (LetterlockError, OSError) as fault:
        _log.warning("station failed", extra={"event": "station.failed", "why": str(fault)})
        lasting = isinstance(fault, LetterlockError) and fault.permanent
        usage = isinstance(fault, UsageError)
        writer.write(wire.encode(wire.Failed(f"{orders.name}: {fault}", lasting=lasting, usage=usage)))
        code = 3
    finally:
        for task in side:
            task.cancel()
        writer.write(wire.encode(wire.Beat(registry.snapshot())))
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(writer.drain(), 1)
        writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1)
    return code


async def _listen(reader: asyncio.StreamReader, stopping: asyncio.Event) -> None:
    while (word := await wire.read(reader)) is not None:
        if isinstance(word, wire.Stop):
            stopping.set()
    os._exit(0)  # the supervisor has gone, and the kernel is about to end us anyway


async def _beat(writer: asyncio.StreamWriter, registry: metrics.Registry) -> None:
    while True:
        writer.write(wire.encode(wire.Beat(registry.snapshot())))
        await writer.drain()
        await asyncio.sleep(BEAT_EACH)
