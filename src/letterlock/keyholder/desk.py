"""Where the keyholder is asked: which role may ask what, and the connection it asks over.

States
    A connection is strange until its first frame names a role by its token; then it asks, until it closes. Strange
    connections, other users' processes and broken frames are closed without a word.

Guarantees
    The caller's process belongs to our own user, to root, or to a user named at the start (SO_PEERCRED), and its
    token's SHA-256 is that of a role (compared in constant time). A role asks only what MAY lists. Whatever goes wrong
    with one request is answered to that request; the sentence of a Refused holds nothing secret.

Standards
    unix(7) (SO_PEERCRED).

See also
    ``vault/frames.py`` (what is said), ``leases.py``, ``private_keys.py``, ``sessions.py`` (who does it).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast
from uuid import UUID

import msgspec

from letterlock.config.sockets import is_admin
from letterlock.errors import LetterlockError
from letterlock.keyholder.certify import Parcel
from letterlock.keyholder.destroy import Destroyer
from letterlock.keyholder.given import GivenLog
from letterlock.keyholder.leases import Leases
from letterlock.keyholder.orders import Orders
from letterlock.keyholder.private_keys import PrivateKeys
from letterlock.keyholder.records import Records
from letterlock.keyholder.sessions import Sessions
from letterlock.keyholder.token_keys import TokenKeys
from letterlock.vault import frames
from letterlock.vault.errors import FrameInvalid, KeyRefused
from letterlock.vault.keys import Secret

DATABASE_ROLES = {
    "smtpd": "ll_receive",
    "flow": "ll_flow",
    "delivery": "ll_deliver",
    "admin": "ll_admin",
    "housekeeping": "ll_housekeeping",
}
"""Each role here, and the role by which the database knows it."""

_SESSION, _KEYS, _USE, _MARK = frames.OpenSession, frames.MessageKeys, frames.Use, frames.MarkKey
_MAKE, _CARRY_OUT = frames.MakeKey, frames.CarryOut
MAY: Mapping[str, frozenset[type]] = {
    "smtpd": frozenset({_SESSION, _MARK}),
    "flow": frozenset({_SESSION, _KEYS, _USE, _MARK}),
    "delivery": frozenset({_SESSION, _KEYS}),
    "admin": frozenset(
        {frames.Take, frames.ImportKey, frames.Inquire, frames.ConfirmTime, _MAKE, _CARRY_OUT, frames.ExportKey}
        | {frames.AdoptKey, frames.ListToken}
    ),
    "housekeeping": frozenset({_SESSION, _MAKE, _CARRY_OUT}),
}
"""What each role may ask."""

MOST_IDS = 1000
NAMED_WITHIN = 5.0
"""Seconds a connection may stay strange."""

_log = logging.getLogger("letterlock.keyholder.desk")

Count = Callable[[str, float, Mapping[str, str]], None]


class Desk:
    """Answers requests."""

    def __init__(
        self,
        *,
        records: Records,
        sessions: Sessions,
        leases: Leases,
        private_keys: PrivateKeys,
        orders: Orders,
        token_keys: TokenKeys,
        destroyer: Destroyer,
        given: GivenLog,
        mark_key: Secret,
        condition: Callable[[], dict[str, Any]],
        count: Count,
    ) -> None:
        self._records = records
        self._sessions = sessions
        self._leases = leases
        self._private_keys = private_keys
        self._orders = orders
        self._token_keys = token_keys
        self._destroyer = destroyer
        self._given = given
        self._mark_key = mark_key
        self._condition = condition
        self._count = count
        self._answers: dict[type, Callable[[str, Any], Awaitable[msgspec.Struct]]] = {
            frames.OpenSession: self._session,
            frames.MessageKeys: self._keys,
            frames.MarkKey: self._mark,
            frames.Take: self._take,
            frames.ImportKey: self._import,
            frames.Inquire: self._inquire,
            frames.MakeKey: self._make,
            frames.CarryOut: self._carry_out,
            frames.ExportKey: self._export,
            frames.ConfirmTime: self._confirm,
            frames.AdoptKey: self._adopt,
            frames.ListToken: self._list_token,
        }

    async def answer(self, role: str, request: Any, emit: Callable[[msgspec.Struct], None]) -> None:
        """Answer one request of a role through ``emit``; a Use is answered in as many Done as it has jobs."""
        if isinstance(request, frames.Use):
            await self._use(role, request, emit)
            return
        try:
            if type(request) not in MAY[role]:
                raise KeyRefused("This process may not ask that.", detail=type(request).__name__)
            emit(await self._answers[type(request)](DATABASE_ROLES[role], request))
        except LetterlockError as error:
            _tell(role, error)
            why: frames.Why = "refused" if error.permanent or isinstance(error, KeyRefused) else "unavailable"
            emit(frames.Refused(request.serial, why, error.public))
        except Exception:
            _log.exception("a request failed", extra={"event": "keyholder.failed", "role": role})
            emit(frames.Refused(request.serial, "unavailable", "The keyholder could not do this."))

    async def _session(self, role: str, request: frames.OpenSession) -> frames.SessionGiven:
        return await self._sessions.open(request.serial, role, request.cls)

    async def _keys(self, role: str, request: frames.MessageKeys) -> frames.KeysGiven:
        octets = request.ids
        if len(octets) % 16 or len(octets) > MOST_IDS * 16 or len(request.lease) != 16:
            raise KeyRefused("The request does not hold whole ids, or too many.")
        ids = [UUID(bytes=octets[at : at + 16]) for at in range(0, len(octets), 16)]
        keys = await self._leases.keys(role, request.lease, ids)
        self._given.lease(role, request.lease, [key.content for key in keys])
        self._count("letterlock_keys_given_total", len(keys), {"role": role})
        return frames.KeysGiven(request.serial, keys)

    async def _use(self, role: str, request: frames.Use, emit: Callable[[msgspec.Struct], None]) -> None:
        if frames.Use not in MAY[role]:
            for job in request.jobs:
                emit(frames.Done(job.serial, b"", "refused", "This process may not use private keys."))
            return
        answered: set[int] = set()

        def done(one: frames.Done) -> None:
            answered.add(one.serial)
            if one.why:
                _log.info("a private key was not used: %s", one.sentence, extra={"event": "keyholder.refused"})
            emit(one)

        try:
            for job in request.jobs:
                if not len(job.lease) == len(job.content) == len(job.key_id) == 16:
                    raise KeyRefused("An id has 16 octets.")
            await self._private_keys.use(DATABASE_ROLES[role], request.jobs, done)
            self._count("letterlock_signatures_total", sum(job.operation == "sign" for job in request.jobs), {})
        except Exception:
            _log.exception("private keys were not used", extra={"event": "keyholder.failed", "role": role})
            for job in request.jobs:
                if job.serial not in answered:
                    emit(frames.Done(job.serial, b"", "unavailable", "The keyholder could not do this."))

    async def _mark(self, role: str, request: frames.MarkKey) -> frames.MarkGiven:
        return frames.MarkGiven(request.serial, self._mark_key.octets)

    async def _take(self, role: str, request: frames.Take) -> frames.KeysGiven:
        grant = UUID(bytes=request.grant)
        row = await self._records.take(grant, request.token)
        if row is None:
            raise KeyRefused("The permission to open this is used, over, or not yours.")
        key = self._sessions.unwrap(row)
        self._given.grant(grant, row.id)
        self._count("letterlock_keys_given_total", 1, {"role": role})
        return frames.KeysGiven(request.serial, [key])

    async def _import(self, role: str, request: frames.ImportKey) -> frames.Imported:
        organisation = UUID(bytes=request.organisation)
        key_id = await self._private_keys.import_key(request.token, organisation, request.pkcs8)
        return frames.Imported(request.serial, key_id.bytes)

    async def _make(self, role: str, request: frames.MakeKey) -> frames.KeyMade:
        organisation = UUID(bytes=request.organisation)
        maker = self._token_keys if request.on_token else self._orders
        key_id, spki = await maker.make(role, request.token, organisation, request.algorithm, request.purpose)
        return frames.KeyMade(request.serial, key_id.bytes, spki)

    async def _adopt(self, role: str, request: frames.AdoptKey) -> frames.KeyMade:
        organisation = UUID(bytes=request.organisation)
        key_id, spki = await self._token_keys.adopt(request.token, organisation, request.uri, request.spki)
        return frames.KeyMade(request.serial, key_id.bytes, spki)

    async def _list_token(self, role: str, request: frames.ListToken) -> frames.Condition:
        return frames.Condition(request.serial, {"keys": await self._token_keys.listed()})

    async def _carry_out(self, role: str, request: frames.CarryOut) -> frames.CarriedOut:
        signed = await self._orders.carry_out(role, request.token, UUID(bytes=request.order))
        self._count("letterlock_authority_signatures_total", 1, {"role": role})
        return frames.CarriedOut(request.serial, signed)

    async def _export(self, role: str, request: frames.ExportKey) -> frames.Exported:
        key = UUID(bytes=request.key_id)
        parcel = Parcel(request.certificates, request.name, request.form)
        sealed = await self._orders.export(request.token, key, parcel, request.reason)
        return frames.Exported(request.serial, sealed.file, sealed.password)

    async def _inquire(self, role: str, request: frames.Inquire) -> frames.Condition:
        return frames.Condition(request.serial, self._condition())

    async def _confirm(self, role: str, request: frames.ConfirmTime) -> frames.Condition:
        await self._destroyer.confirm()
        return frames.Condition(request.serial, self._condition())


def _tell(role: str, error: LetterlockError) -> None:
    _log.warning("a request was not answered: %s", error, extra={"event": "keyholder.refused", "role": role})


class Door:
    """Lets callers in: which token is which role, and which users' processes may call at all."""

    def __init__(self, tokens: Mapping[str, bytes], users: frozenset[int] = frozenset()) -> None:
        """``tokens``: role to SHA-256 of its token; ``users``: user ids besides our own and root."""
        self._tokens = dict(tokens)
        self._users = users | {os.geteuid(), 0}

    def role(self, token: bytes) -> str | None:
        """The role of a token. Every role is compared, in constant time."""
        digest = hashlib.sha256(token).digest()
        found = None
        for role, known in self._tokens.items():
            if hmac.compare_digest(digest, known) and role in MAY:
                found = role
        return found

    def roles_of(self, transport: asyncio.BaseTransport) -> Collection[str]:
        """The roles which the process at the other end may name, by its user: all; an administrator's; or none."""
        channel = transport.get_extra_info("socket")
        credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        user = struct.unpack("3i", credentials)[1]
        if user in self._users:
            return MAY.keys()
        return ("admin",) if is_admin(user) else ()


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, desk: Desk, door: Door, callers: set[Caller]) -> None:
        self._desk = desk
        self._door = door
        self._callers = callers
        self._role: str | None = None
        self._roles: Collection[str] = ()
        self._reader: frames.FrameReader[Any] = frames.FrameReader(frames.Hello | frames.Request, 1024)
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[frames.Done] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes
        self._transport = cast("asyncio.Transport", transport)
        self._roles = self._door.roles_of(transport)
        if not self._roles:
            _log.warning("a stranger knocked", extra={"event": "keyholder.refused", "reason": "user"})
            self._transport.abort()
            return
        self._callers.add(self)
        self._timer = asyncio.get_running_loop().call_later(NAMED_WITHIN, self._close)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._callers.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, octets: bytes) -> None:
        try:
            for word in self._reader.feed(octets):
                if self._role is None:
                    self._name(word)
                elif isinstance(word, frames.Hello):
                    raise FrameInvalid(detail="a second greeting")
                else:
                    task = asyncio.get_running_loop().create_task(self._desk.answer(self._role, word, self._emit))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        except FrameInvalid as error:
            _log.warning("a connection was closed: %s", error, extra={"event": "keyholder.refused", "reason": "frame"})
            self._close()

    def _name(self, word: Any) -> None:
        role = self._door.role(word.token) if isinstance(word, frames.Hello) else None
        if role not in self._roles:
            raise FrameInvalid(detail="no role has this token")
        self._role = role
        self._reader.longest = frames.LONGEST_FRAME
        assert self._timer is not None
        self._timer.cancel()

    def _emit(self, word: msgspec.Struct) -> None:
        """Answers to jobs are gathered for this turn of the loop; others go out at once."""
        if isinstance(word, frames.Done):
            if not self._done:
                asyncio.get_running_loop().call_soon(self._flush)
            self._done.append(word)
        elif self._transport is not None:
            self._transport.write(frames.encode(word))

    def _flush(self) -> None:
        done, self._done = self._done, []
        if self._transport is not None:
            self._transport.write(frames.encode(frames.Used(done)))

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def finish(self) -> None:
        """Answer what was asked, then close."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        if self._transport is not None:
            self._transport.close()
