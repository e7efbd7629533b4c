"""How a command gets at an installation: through the doorkeeper of the one that runs, or by starting what it needs.

Order
    When a gateway runs in the state folder, its doorkeeper is asked; a user to whom the installation is closed, a member
    of letterlock-admin, can only ask. When none does, PostgreSQL, keyholder and
    doorkeeper are started by the supervisor's own code, without any listener, and stopped at the end; a gateway or
    another command that wants to start meanwhile waits.

Guarantees
    What a command may do is what the database lets ``local:<os user>`` do, running or not; the token is given back at
    the end, so it speaks for nobody afterwards.

Raises
    NotInstalled, AlreadyRunning, StartFailed, DoorClosed, NotLetIn.

See also
    ``accounts/door.py``, ``doorkeeper/serve.py``; ``supervise/supervisor.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from letterlock.accounts import calls
from letterlock.accounts.door import Admission, DoorClosed, open_door
from letterlock.config import approved
from letterlock.database.connect import Gate
from letterlock.database.connect import connect as connect_database
from letterlock.errors import LetterlockError
from letterlock.supervise import installation, place
from letterlock.supervise.supervisor import Supervisor
from letterlock.telemetry import log
from letterlock.vault.opening import KeyholderClient

KEY_SOCKET = "key.sock"
RUNNING_WITHIN = 20.0
"""Seconds that a gateway which is just starting or restarting has to let a command in."""


@dataclass(frozen=True)
class Door:
    """What a command works with. ``token``: first argument of the database's functions for people."""

    gate: Gate
    token: bytes = field(repr=False)
    keyholder: KeyholderClient
    principal: str
    state: Path


@contextlib.asynccontextmanager
async def connect(state: Path) -> AsyncIterator[Door]:
    """A Door to the installation in ``state``."""
    place.require_installation(state)
    if _is_closed(state):
        async with _walk_in(state, await open_door(place.socket_folder(state))) as door:
            yield door
        return
    if _is_running(state):
        async with _walk_in(state, await _ask_running(state)) as door:
            yield door
        return
    settings = installation.enter(state)
    log.configure("offline", "error")
    supervisor = Supervisor(state, settings, offline=True)
    try:
        try:
            await supervisor.start()
        except place.AlreadyRunning:  # a gateway was started in this very moment
            admission = await _ask_running(state)
        else:
            admission = await open_door(place.socket_folder(state))
        async with _walk_in(state, admission) as door:
            yield door
    finally:
        await supervisor.stop()


@contextlib.asynccontextmanager
async def prove_anew(door: Door) -> AsyncIterator[bytes]:
    """A token of this moment, for what asks for a fresh proof: the doorkeeper looks again who is at its socket."""
    admission = await open_door(place.socket_folder(door.state))
    try:
        yield admission.token
    finally:
        with contextlib.suppress(LetterlockError):
            await calls.end_session(door.gate, token=admission.token)


def _is_closed(state: Path) -> bool:
    """Whether the installation is another user's: whether it runs cannot be seen then, nor can it be started."""
    lock = state / place.LOCK_FILE
    return lock.exists() and not os.access(lock, os.R_OK)


def _is_running(state: Path) -> bool:
    holder = place.lock_holder(state)
    return holder is not None and holder[1] == "run"


async def _ask_running(state: Path) -> Admission:
    """Ask the doorkeeper of a gateway that runs, or that is about to. Raises DoorClosed, NotLetIn."""
    deadline = time.monotonic() + RUNNING_WITHIN
    while True:
        try:
            return await open_door(place.socket_folder(state))
        except DoorClosed:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _walk_in(state: Path, admission: Admission) -> AsyncIterator[Door]:
    approved.keep(admission.profile)
    gate = await connect_database(admission.database)
    keyholder = KeyholderClient(place.socket_folder(state) / KEY_SOCKET, admission.key_token)
    try:
        yield Door(gate, admission.token, keyholder, admission.principal, state)
        with contextlib.suppress(LetterlockError):  # it ends by itself in any case
            await calls.end_session(gate, token=admission.token)
    finally:
        keyholder.close()
        await gate.close()
