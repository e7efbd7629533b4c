"""The keyholder's end of the signers: who gets which use of a private key, and what if one dies.

Guarantees
    A use waits in one line for all signers; each has at most IN_HAND of them, so that a slow key holds nobody up for
    long. No use is of more than LONGEST_JOB octets (LONGEST_STATEMENT of an authority), so that all a signer has in hand
    fits in one frame.
    A signer that dies is replaced; what it had in hand is tried once more, then refused. One that works longer
    than LONGEST_USE on a use is killed. A private key goes to a signer when it first needs it and is forgotten there
    after KEPT_KEYS others; of a key on the PKCS #11 token, its reference. When the token refuses one signer the PIN, no
    other tries it: a few wrong PINs lock a token.

Raises
    SignerBusy, TokenAway (temporary), UseRefused.

See also
    ``pools.py`` (which pool does what), ``nursery.py`` (where they come from), ``signer.py`` (what they do).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import chain
from typing import cast

from letterlock.errors import LetterlockError
from letterlock.keyholder.errors import SignerBusy, UseRefused
from letterlock.keyholder.nursery import Nursery
from letterlock.keyholder.signer import Drop, Load, Order, Outcome, Task
from letterlock.keyholder.token_drawer import Attach, Bar
from letterlock.pki.errors import TokenAway
from letterlock.vault import frames
from letterlock.vault.errors import FrameInvalid

IN_HAND = 8
"""Twice what comes back together (signer.HELD_FOR), so that a signer works on while it is given more."""

KEPT_KEYS = 1000
LONGEST_LINE = 4000
LONGEST_STATEMENT = 400_000
"""Octets of what an authority says at once, IN_HAND of them in a frame: about 8,000 revoked certificates."""
LONGEST_USE = 10.0
LONGEST_MAKING = 120.0
"""Seconds; of a key made on a token."""

_log = logging.getLogger("letterlock.keyholder.signers")

Reveal = Callable[[], bytes]
"""Unwraps a private key, PKCS #8 in DER, when a signer needs it."""


class _Use:
    """One use in line or in hand."""

    __slots__ = ("began_at", "future", "reveal", "task", "tries")

    def __init__(self, task: Task, reveal: Reveal | None, future: asyncio.Future[bytes]) -> None:
        self.task = task
        self.reveal = reveal
        self.future = future
        self.tries = 0
        self.began_at = 0.0


def _longest(use: _Use) -> float:
    return LONGEST_MAKING if use.task.operation == "make-on-token" else LONGEST_USE


class _Signer(asyncio.Protocol):
    """One signer process."""

    def __init__(self, pid: int, ended: Callable[[_Signer], None], answered: Callable[[_Signer, bool], None]) -> None:
        self.pid = pid
        self.in_hand: dict[int, _Use] = {}
        self._ended = ended
        self._answered = answered
        self._reader: frames.FrameReader[list[Outcome]] = frames.FrameReader(list[Outcome])
        self._transport: asyncio.Transport | None = None
        self._keys: OrderedDict[bytes, None] = OrderedDict()
        self._unsent: list[Order] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._ended(self)

    def data_received(self, octets: bytes) -> None:
        try:
            outcomes = list(chain.from_iterable(self._reader.feed(octets)))
        except FrameInvalid:
            self.kill()
            return
        barred = False
        for outcome in outcomes:
            use = self.in_hand.pop(outcome.number, None)
            if use is None or use.future.done():
                continue
            barred |= outcome.barred
            if outcome.later:
                use.future.set_exception(TokenAway(outcome.refusal))
            elif outcome.refusal:
                use.future.set_exception(UseRefused(outcome.refusal))
            else:
                use.future.set_result(outcome.octets)
        self._answered(self, barred)

    def take(self, use: _Use, now: float) -> None:
        """Put a use in this signer's hand, with its key if it has it not; ``flush`` sends."""
        key_id = use.task.key_id
        if use.reveal is not None:
            if key_id in self._keys:
                self._keys.move_to_end(key_id)
            else:
                self._unsent.append(Load(key_id, use.reveal()))
                self._keys[key_id] = None
                if len(self._keys) > KEPT_KEYS:
                    self._unsent.append(Drop(self._keys.popitem(last=False)[0]))
        self._unsent.append(use.task)
        use.tries += 1
        use.began_at = now
        self.in_hand[use.task.number] = use

    def tell(self, order: Order) -> None:
        """An order that has no outcome."""
        self._unsent.append(order)
        self.flush()

    def forget(self, key_id: bytes) -> None:
        """Have a key forgotten."""
        if key_id in self._keys:
            del self._keys[key_id]
            self._unsent.append(Drop(key_id))
            self.flush()

    def flush(self) -> None:
        """Send what was taken, in one frame."""
        if self._unsent and self._transport is not None:
            self._transport.write(frames.encode(self._unsent))
        self._unsent.clear()

    def kill(self) -> None:
        """End it now; connection_lost follows."""
        if self._transport is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it end."""
        if self._transport is not None:
            self._transport.close()


class Signers:
    """A pool of signers. ``start`` before the first ``use``; ``hopeless`` is set when no new one can be made.

    ``attach``: the PKCS #11 token they may use.
    """

    def __init__(self, nursery: Nursery, count: int, attach: Attach | None = None) -> None:
        self._nursery = nursery
        self._count = count
        self._signers: list[_Signer] = []
        self._line: deque[_Use] = deque()
        self._number = 0
        self._stopping = False
        self._token_orders: list[Order] = [] if attach is None else [attach]
        self._restarts: set[asyncio.Task[None]] = set()
        self.deaths = 0
        self.hopeless = asyncio.Event()

    @property
    def alive(self) -> int:
        """How many signers serve now."""
        return len(self._signers)

    async def start(self) -> None:
        """Fork all of them. Raises NurseryGone."""
        for _ in range(self._count):
            await self._add()

    async def _add(self) -> None:
        channel, pid = await self._nursery.fork()
        _, member = await asyncio.get_running_loop().create_connection(
            lambda: _Signer(pid, self._bury, self._hear), sock=channel
        )
        if self._stopping:
            member.close()
            return
        for order in self._token_orders:
            member.tell(order)
        self._signers.append(member)
        self._deal()

    def _hear(self, _member: _Signer, barred: bool) -> None:
        if barred and not any(isinstance(each, Bar) for each in self._token_orders):
            _log.error("the PKCS #11 token refused the PIN", extra={"event": "keyholder.pin-refused"})
            self._token_orders.append(Bar())
            for member in self._signers:
                member.tell(Bar())
        self._deal()

    def ask(self, operation: str, algorithm: str, octets: bytes) -> asyncio.Future[bytes]:
        """A use that needs no key, at once."""
        future = self.use(operation, b"", None, algorithm, octets)
        self._deal()
        return future

    def use(
        self, operation: str, key_id: bytes, reveal: Reveal | None, algorithm: str, octets: bytes, length: int = 0
    ) -> asyncio.Future[bytes]:
        """What comes of one use of a private key; ``reveal``: unwraps it. The future fails with a LetterlockError."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._stopping or len(self._line) >= LONGEST_LINE:
            future.set_exception(SignerBusy())
            return future
        if len(octets) > (LONGEST_STATEMENT if operation == "certify" else frames.LONGEST_JOB):
            future.set_exception(UseRefused())
            return future
        self._number += 1
        self._line.append(_Use(Task(self._number, operation, key_id, algorithm, octets, length), reveal, future))
        return future

    def deal(self) -> None:
        """Hand out what ``use`` lined up: called once after a batch, so that each signer gets one write."""
        self._deal()

    def _deal(self) -> None:
        now = asyncio.get_running_loop().time()
        touched = set()
        while self._line and self._signers:
            member = min(self._signers, key=lambda each: len(each.in_hand))
            if len(member.in_hand) >= IN_HAND:
                break
            use = self._line.popleft()
            if use.future.done():
                continue
            try:
                member.take(use, now)
            except LetterlockError as error:
                use.future.set_exception(error)
            touched.add(member)
        for member in touched:
            member.flush()

    def forget(self, key_id: bytes) -> None:
        """Have every signer forget a key."""
        for member in self._signers:
            member.forget(key_id)

    def check(self) -> None:
        """Kill a signer that has worked too long on one use; called each second."""
        now = asyncio.get_running_loop().time()
        for member in self._signers:
            if any(now - use.began_at > _longest(use) for use in member.in_hand.values()):
                _log.error("a signer is stuck and is killed", extra={"event": "keyholder.signer-stuck"})
                member.kill()

    def _bury(self, member: _Signer) -> None:
        if member in self._signers:
            self._signers.remove(member)
        for use in member.in_hand.values():
            if use.future.done():
                continue
            if use.tries < 2 and not self._stopping:
                self._line.appendleft(use)
            else:
                use.future.set_exception(SignerBusy())
        member.in_hand.clear()
        if not self._stopping:
            self.deaths += 1
            _log.error("a signer ended and is replaced", extra={"event": "keyholder.signer-ended"})
            task = asyncio.get_running_loop().create_task(self._replace())
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)

    async def _replace(self) -> None:
        try:
            await self._add()
        except LetterlockError:
            _log.exception("no signer can be started", extra={"event": "keyholder.signer-missing"})
            self.hopeless.set()

    def close(self) -> None:
        """Let all signers end; uses in line fail."""
        self._stopping = True
        for use in self._line:
            if not use.future.done():
                use.future.set_exception(SignerBusy())
        self._line.clear()
        for member in self._signers:
            member.close()
