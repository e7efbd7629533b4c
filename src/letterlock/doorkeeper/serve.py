"""The doorkeeper station: one unix socket; who is admitted gets a token, and what an administrator's commands need.

Order
    A connection says ``Local`` and is answered ``Admitted`` or ``Refused``; then it is closed.

Guarantees
    The token is 32 random octets; the database gets its SHA-256 only, and has committed the login (audited) before the
    token is answered. It ends after 15 minutes without use, 8 hours in all. Nobody but the installation's user, root
    and the group's members can get one, whoever may open the socket; a refusal is in the log.

See also
    ``local.py`` (who is admitted), ``accounts/door.py`` (the client); database/sql/functions/accounts/assert_login.sql.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec

from letterlock.accounts import calls
from letterlock.accounts.door import SOCKET_NAME
from letterlock.config import approved
from letterlock.config.start import Start
from letterlock.database.connect import connect
from letterlock.doorkeeper import local
from letterlock.doorkeeper.errors import NotAdmitted
from letterlock.errors import LetterlockError
from letterlock.vault import frames
from letterlock.vault.errors import FrameInvalid

IDLE = timedelta(minutes=15)
ABSOLUTE = timedelta(hours=8)
ANSWER_WITHIN = 10.0
"""Seconds."""

_LONGEST_QUESTION = 1024
_log = logging.getLogger("letterlock.doorkeeper")

AssertLogin = Callable[[str, bytes], Awaitable[bool]]
"""(principal, SHA-256 of the token): the login stands in the database; False: it is refused there."""


async def run(start: Start) -> None:
    """Serve until ``start.stopping``."""
    gate = await connect(start.database, size=1)

    async def assert_login(principal: str, token_hash: bytes) -> bool:
        session = await calls.assert_login(
            gate, principal=principal, role="ll_admin", token_hash=token_hash, idle=IDLE, absolute=ABSOLUTE
        )
        return session is not None

    door = Doorkeeper(start, assert_login)
    try:
        await door.serve()
    finally:
        await gate.close()


class Doorkeeper:
    """Answers at the door. ``user``: the uid that is the installation's own."""

    def __init__(self, start: Start, assert_login: AssertLogin, own_uid: int | None = None) -> None:
        self._start = start
        self._assert_login = assert_login
        self._own_uid = os.geteuid() if own_uid is None else own_uid
        self._talks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Listen, say ready, and answer until told to stop."""
        channel = bind(self._start.run / SOCKET_NAME)
        accepting = asyncio.create_task(self._accept(channel))
        self._start.ready()
        stopping = asyncio.create_task(self._start.stopping.wait())
        try:
            await asyncio.wait([accepting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if accepting.done():
                accepting.result()
        finally:
            for task in (accepting, stopping):
                task.cancel()
            await asyncio.gather(accepting, stopping, return_exceptions=True)
            channel.close()
            if self._talks:
                await asyncio.wait(self._talks, timeout=ANSWER_WITHIN)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            channel, _ = await loop.sock_accept(listening)
            task = asyncio.create_task(self._talk(channel))
            self._talks.add(task)
            task.add_done_callback(self._talks.discard)

    async def _talk(self, channel: socket.socket) -> None:
        with channel, contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(ANSWER_WITHIN):
                answer = await self._answer(channel)
                await asyncio.get_running_loop().sock_sendall(channel, frames.encode(answer))

    async def _answer(self, channel: socket.socket) -> msgspec.Struct:
        try:
            await _read_question(channel)
            principal = local.admit(local.peer_of(channel), own_uid=self._own_uid)
            return await self._admit(principal)
        except LetterlockError as error:
            _log.warning("nobody was admitted: %s", error, extra={"event": "doorkeeper.refused", "why": error})
            return frames.Refused(0, "refused" if error.permanent else "unavailable", error.public)

    async def _admit(self, principal: str) -> frames.Admitted:
        credentials = self._start.admin_database
        if credentials is None:
            raise NotAdmitted("This installation has no administrator's connection to the database.")
        token = os.urandom(frames.TOKEN_OCTETS)
        if not await self._assert_login(principal, hashlib.sha256(token).digest()):
            raise NotAdmitted("The database does not accept the login.")
        _log.info("an administrator was admitted", extra={"event": "doorkeeper.admitted"})
        return frames.Admitted(
            principal=principal,
            token=token,
            host=credentials.host,
            port=credentials.port,
            user=credentials.user,
            password=credentials.password,
            dbname=credentials.dbname,
            key_token=self._start.admin_key_token,
            profile=approved.kept(),
        )


async def _read_question(channel: socket.socket) -> frames.Local:
    """The one question there is. Raises FrameInvalid."""
    reader: frames.FrameReader[frames.Local] = frames.FrameReader(frames.Local, _LONGEST_QUESTION)
    loop = asyncio.get_running_loop()
    while octets := await loop.sock_recv(channel, _LONGEST_QUESTION):
        for question in reader.feed(octets):
            return question
    raise FrameInvalid(detail="the connection was closed")


def bind(path: Path) -> socket.socket:
    """A listening unix socket that every user of the machine may open; who is admitted, the kernel's answer decides."""
    path.unlink(missing_ok=True)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.bind(str(path))
    path.chmod(0o666)
    channel.listen(16)
    channel.setblocking(False)
    return channel
