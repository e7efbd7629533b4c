"""Asks the keyholder: for sealing sessions, for the keys of leased or granted content, for uses of private keys.

Guarantees
    One connection a process, made when first needed and made again when it breaks; a request that a dying keyholder
    left unanswered is asked once more of its successor (not those that count, as ``take`` and ``import_key``). Uses of
    private keys asked for in the same turn of the event loop go out in one frame.
    A keyholder that is away is waited for PATIENCE seconds, then KeyholderUnavailable is raised.

Raises
    KeyholderUnavailable (temporary); KeyRefused, SealingUnavailable.

See also
    ``frames.py`` (what is said), ``keyholder/desk.py`` (the other end).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from letterlock.errors import LetterlockError
from letterlock.vault import frames
from letterlock.vault.errors import FrameInvalid, KeyholderUnavailable, KeyRefused
from letterlock.vault.frames import Operation
from letterlock.vault.keys import GATEWAY, MessageKey, Secret
from letterlock.vault.sealing import Clock, SealingSession

PATIENCE = 5.0
"""Seconds a keyholder that does not listen is waited for."""

_KNOCK_EVERY = 0.05
_JOBS_A_FRAME = 32


class _ConnectionLost(Exception):
    """The keyholder went away before it answered."""


class _Link(asyncio.Protocol):
    """One connection, and who waits for which answer on it."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._reader: frames.FrameReader[frames.Answer] = frames.FrameReader(frames.Answer)
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._jobs: list[frames.Job] = []
        self._serial = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(frames.encode(frames.Hello(self._token)))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(_ConnectionLost())

    def data_received(self, octets: bytes) -> None:
        try:
            for word in self._reader.feed(octets):
                if isinstance(word, frames.Used):
                    for done in word.done:
                        self._resolve(done.serial, done)
                else:
                    self._resolve(word.serial, word)
        except FrameInvalid:
            self.close()

    def _resolve(self, serial: int, word: Any) -> None:
        future = self._waiting.pop(serial, None)
        if future is not None and not future.done():
            future.set_result(word)

    def ask(self, make: Callable[[int], frames.Request]) -> asyncio.Future[Any]:
        """Send the request that ``make`` makes for a serial; its answer."""
        future = self._expect()
        assert self._transport is not None
        self._transport.write(frames.encode(make(self._serial)))
        return future

    def use(self, make: Callable[[int], frames.Job]) -> asyncio.Future[Any]:
        """The same for one use of a private key, gathered with the others of this turn of the loop."""
        future = self._expect()
        if not self._jobs:
            asyncio.get_running_loop().call_soon(self._send_jobs)
        self._jobs.append(make(self._serial))
        return future

    def _expect(self) -> asyncio.Future[Any]:
        if self._transport is None:
            raise _ConnectionLost
        self._serial += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._serial] = future
        return future

    def _send_jobs(self) -> None:
        jobs, self._jobs = self._jobs, []
        if self._transport is not None:
            for first in range(0, len(jobs), _JOBS_A_FRAME):
                self._transport.write(frames.encode(frames.Use(jobs[first : first + _JOBS_A_FRAME])))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class KeyholderClient:
    """The keyholder, as one process of one role sees it."""

    def __init__(self, socket: Path, token: bytes, *, clock: Clock = time.time, patience: float = PATIENCE) -> None:
        """``socket``: its path; ``token``: 32 octets that say which role asks; ``patience``: in seconds."""
        self._path = str(socket)
        self._token = token
        self._clock = clock
        self._patience = patience
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def session(self, cls: str = "queue") -> SealingSession:
        """A new sealing session of this process's role."""
        given = await self._ask(lambda serial: frames.OpenSession(serial, cls))
        return SealingSession(
            UUID(bytes=given.session),
            Secret(given.key),
            epoch=UUID(bytes=given.epoch),
            day=date.fromordinal(given.day),
            made_at=given.made_at,
            not_after=given.not_after,
            kind=given.kind,
            organisation=UUID(bytes=given.organisation),
            clock=self._clock,
        )

    async def message_keys(self, lease: UUID, ids: Iterable[UUID]) -> dict[UUID, MessageKey]:
        """The keys of those of ``ids`` that this role has leased and that still open; the others are missing."""
        asked = {content.bytes: content for content in ids}
        given = await self._ask(lambda serial: frames.MessageKeys(serial, lease.bytes, b"".join(asked)))
        return {asked[key.content]: message_key(key, asked[key.content]) for key in given.keys if key.content in asked}

    async def sign(self, lease: UUID, content: UUID, key_id: UUID, tbs: bytes, algorithm: str) -> bytes:
        """The signature of ``tbs`` by a key whose certificate names the sender of the leased message.

        ``algorithm``: rsa-pkcs1-H, rsa-pss-H, ecdsa-H (H: sha256, sha384, sha512; ECDSA as DER, RFC 5480), ed25519,
        ml-dsa-44, ml-dsa-65, ml-dsa-87.
        """
        return await self._use("sign", lease, content, key_id, algorithm, tbs, 0)

    async def unwrap(
        self, lease: UUID, content: UUID, key_id: UUID, algorithm: str, octets: bytes, length: int
    ) -> bytes:
        """The content key of ``length`` octets in ``octets``, by a key whose certificate names a recipient.

        ``algorithm``: rsa-pkcs1, rsa-oaep-H, rsa-oaep-H-M (M: hash of MGF1). What does not unwrap to ``length`` octets
        is answered with random ones (RFC 3218 2.3.2): whether it did is not to be learnt here.
        """
        return await self._use("unwrap", lease, content, key_id, algorithm, octets, length)

    async def agree(self, lease: UUID, content: UUID, key_id: UUID, algorithm: str, peer: bytes) -> bytes:
        """The shared secret with ``peer`` (an encoded point, SEC 1 2.3.3, or 32 octets), by a recipient's key.

        ``algorithm``: ecdh-p256, ecdh-p384, ecdh-p521, x25519.
        """
        return await self._use("agree", lease, content, key_id, algorithm, peer, 0)

    async def decapsulate(self, lease: UUID, content: UUID, key_id: UUID, algorithm: str, octets: bytes) -> bytes:
        """The secret of 32 octets encapsulated in ``octets``, by a recipient's key; ``algorithm``: ml-kem-768, -1024.

        A damaged one gives random octets (FIPS 203 6.3: implicit rejection is part of the scheme).
        """
        return await self._use("decapsulate", lease, content, key_id, algorithm, octets, 0)

    async def mark_key(self) -> Secret:
        """32 octets: the HMAC key of loop fields and inbound marks; lasting."""
        return Secret((await self._ask(frames.MarkKey)).key)

    async def take(self, grant: UUID, token: bytes) -> MessageKey:
        """The message key of a grant, once; ``token``: of the person who got the grant."""
        given = await self._ask(lambda serial: frames.Take(serial, grant.bytes, token), again=False)
        return message_key(given.keys[0], UUID(bytes=given.keys[0].content))

    async def import_key(self, token: bytes, organisation: UUID, pkcs8: bytes) -> UUID:
        """Hand over a private key (PKCS #8, DER); its id, that of the one already kept if it is the same."""
        given = await self._ask(lambda serial: frames.ImportKey(serial, token, organisation.bytes, pkcs8), again=False)
        return UUID(bytes=given.key_id)

    async def make_key(
        self, token: bytes, organisation: UUID, algorithm: str, purpose: str, *, on_token: bool = False
    ) -> tuple[UUID, bytes]:
        """Have a private key made: its id and its SubjectPublicKeyInfo. ``purpose``: mail or authority.

        ``algorithm``: rsa-2048, rsa-3072, rsa-4096, ec-p256, ec-p384; ``token``: empty from housekeeping; ``on_token``:
        on the PKCS #11 token.
        """
        organised = organisation.bytes
        made = await self._ask(lambda n: frames.MakeKey(n, token, organised, algorithm, purpose, on_token), again=False)
        return UUID(bytes=made.key_id), made.spki

    async def adopt_key(self, token: bytes, organisation: UUID, uri: str, spki: bytes = b"") -> tuple[UUID, bytes]:
        """Keep a key that is on the PKCS #11 token for mail: its id and its SubjectPublicKeyInfo.

        ``uri``: says its id or label (RFC 7512); ``spki``: its public key, for a token that does not know it.
        """
        organised = organisation.bytes
        kept = await self._ask(lambda n: frames.AdoptKey(n, token, organised, uri, spki), again=False)
        return UUID(bytes=kept.key_id), kept.spki

    async def list_token(self) -> list[dict[str, Any]]:
        """The keys on the PKCS #11 token: id, label, algorithm, uri, and the key here, if it is one, with its use."""
        keys: list[dict[str, Any]] = (await self._ask(frames.ListToken)).facts["keys"]
        return keys

    async def carry_out(self, order: UUID, token: bytes) -> bytes:
        """What an order of the certificate authority (ca.order_signature) says, signed, DER."""
        signed: bytes = (await self._ask(lambda n: frames.CarryOut(n, order.bytes, token), again=False)).signed
        return signed

    async def export_key(
        self, token: bytes, key: UUID, certificates: list[bytes], name: str, *, reason: str, form: str = "p12"
    ) -> tuple[bytes, Secret]:
        """A private key in a file, and its password. ``certificates``: its own first, DER; ``form``: p12 or pem.

        ``reason`` is audited, and told to the key's owner and postmaster.
        """
        key_id = key.bytes
        got = await self._ask(
            lambda n: frames.ExportKey(n, token, key_id, certificates, name, reason, form), again=False
        )
        return got.file, Secret(got.password.encode())

    async def inquire(self) -> dict[str, Any]:
        """How ring, clocks and signers are: names to plain values."""
        facts: dict[str, Any] = (await self._ask(frames.Inquire)).facts
        return facts

    async def confirm_time(self) -> dict[str, Any]:
        """Say that the clocks are right, so that destruction goes on; how things are now. Raises KeyRefused."""
        facts: dict[str, Any] = (await self._ask(frames.ConfirmTime)).facts
        return facts

    async def _use(
        self,
        operation: Operation,
        lease: UUID,
        content: UUID,
        key_id: UUID,
        algorithm: str,
        octets: bytes,
        length: int,
    ) -> bytes:
        if len(octets) > frames.LONGEST_JOB:
            raise KeyRefused("More was to be signed or opened at once than a private key is used for.")

        def make(serial: int) -> frames.Job:
            return frames.Job(serial, operation, lease.bytes, content.bytes, key_id.bytes, algorithm, octets, length)

        done: frames.Done = await self._insist(lambda link: link.use(make), again=True)
        if done.why:
            raise _refusal(done.why, done.sentence)
        return done.octets

    async def _ask(self, make: Callable[[int], frames.Request], *, again: bool = True) -> Any:
        answer = await self._insist(lambda link: link.ask(make), again=again)
        if isinstance(answer, frames.Refused):
            raise _refusal(answer.why, answer.sentence)
        return answer

    async def _insist(self, send: Callable[[_Link], asyncio.Future[Any]], *, again: bool) -> Any:
        for _ in range(2 if again else 1):
            link = self._link
            if link is None or not link.is_open:
                link = await self._connect()
            try:
                return await send(link)
            except _ConnectionLost:
                continue
        raise KeyholderUnavailable(detail="the keyholder went away before it answered")

    async def _connect(self) -> _Link:
        async with self._connecting:
            if self._link is not None and self._link.is_open:
                return self._link
            loop = asyncio.get_running_loop()
            until = loop.time() + self._patience
            while True:
                try:
                    _, link = await loop.create_unix_connection(lambda: _Link(self._token), self._path)
                except OSError as error:
                    if loop.time() >= until:
                        raise KeyholderUnavailable(detail=f"no keyholder listens: {error.strerror}") from error
                    await asyncio.sleep(_KNOCK_EVERY)
                else:
                    self._link = link
                    return link


def message_key(key: frames.OneKey, content: UUID) -> MessageKey:
    """What opens ``content``, from the keyholder's answer."""
    organisation = GATEWAY if key.organisation == GATEWAY.bytes else UUID(bytes=key.organisation)
    return MessageKey(key.key, content=content, day=date.fromordinal(key.day), kind=key.kind, organisation=organisation)


def _refusal(why: str, sentence: str) -> LetterlockError:
    if why == "unavailable":
        return KeyholderUnavailable(sentence)
    return KeyRefused(sentence)
