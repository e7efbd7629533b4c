"""The warm parent: a fresh interpreter that has imported every station, holds no secret, and forks on request.

Guarantees
    It reads nothing but Fork requests: no settings, no keys, no database. Its children share its memory pages (their
    imports cost nothing again), and are no children of it: it forks twice, so the kernel hands each to the supervisor.
    So its own death touches no running process, and the supervisor's death ends all at once.

Order
    ``warm`` imports, freezes the garbage collector's generations (so that a collection does not copy the shared pages),
    says Hello on the request socket and forks until that socket ends.

See also
    ``supervise/station.py`` (what the forked process does), ``supervise/wire.py``.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import socket
import sys
from collections.abc import Iterable
from typing import NoReturn

from letterlock.supervise import linux, station, wire

YOUNG_OBJECTS = 10_000
"""New objects between two collections of cycles: stations hardly make any, and with Python's 700 flow needs 4 % more."""


def warm(modules: Iterable[str]) -> None:
    """Import each module that exists, for all processes to come."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


def serve(requests: socket.socket, modules: Iterable[str], supervisor: int) -> int:
    """Fork on request until the supervisor closes the socket; the exit code."""
    linux.die_with_parent(supervisor)
    linux.name_process("ll-spawner")
    linux.no_core_dumps()
    warm(modules)
    try:
        requests.send(wire.encode(wire.Hello(os.getpid())))
    except BrokenPipeError:  # stopped before it was warm
        return 0
    while True:
        request = wire.receive_with_descriptor(requests)
        if request is None:
            return 0
        word, descriptor = request
        if isinstance(word, wire.Fork):
            _fork(requests, word, descriptor, supervisor)
        os.close(descriptor)


def _fork(requests: socket.socket, word: wire.Fork, descriptor: int, supervisor: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    # Nothing below may return into serve(): two processes would read the same requests.
    try:
        if os.fork() == 0:
            requests.close()
            _become(word, descriptor, supervisor)
    finally:
        os._exit(0)


def _become(word: wire.Fork, descriptor: int, supervisor: int) -> NoReturn:
    code = 70
    try:
        linux.die_with_parent(supervisor)
        linux.name_process(f"ll-{word.name}")
        code = station.live(socket.socket(fileno=descriptor), word.name, word.module)
    finally:
        os._exit(code)
