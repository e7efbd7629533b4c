"""One attempt at one delivery: open it, find its next hop, send it, and say what follows.

Guarantees
    The recipients are those of the sealed envelope that the row still lists. After the last attempt before ``expires_at``
    every recipient that could not be reached has failed. The journal is written before anything else is done with a 250.

See also
    ``agent.py``; ``outcome.py`` for what a reply means; ``bounce.py`` for reports.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from letterlock.config.start import Meter
from letterlock.database.connect import Gate
from letterlock.delivery import bounce
from letterlock.delivery.bounce import Fated
from letterlock.delivery.next_hop import BadNextHop, Exchangers, Host, fixed, hosts
from letterlock.delivery.outcome import Outcome, of_error
from letterlock.delivery.pool import Pool
from letterlock.errors import LetterlockError, TemporaryError
from letterlock.mail import dsn
from letterlock.mail.envelope import Recipient
from letterlock.queue.advance import Notice
from letterlock.queue.calls import ClaimedDelivery
from letterlock.queue.message import Dispatch, decode_dispatch
from letterlock.queue.retry import next_attempt_at
from letterlock.queue.settle import Settled
from letterlock.smtp.client import Job
from letterlock.telemetry.events import emit
from letterlock.vault.content import open_content, open_envelope, seal
from letterlock.vault.keys import MessageKey, new_id
from letterlock.vault.opening import KeyholderClient
from letterlock.vault.sealing import Sealer
from letterlock.vault.segments import SegmentStore

RETURNED_OCTETS = 48 << 10
"""Octets of a message that a report returns whole (RET=FULL); a larger one is returned as its header."""
PUT_BACK_FOR = timedelta(seconds=5)

_log = logging.getLogger("letterlock.delivery")


class Station(NamedTuple):
    """What a delivery process works with."""

    gate: Gate
    keyholder: KeyholderClient
    sealer: Sealer
    store: SegmentStore
    pool: Pool
    exchangers: Exchangers
    host: str
    meter: Meter


class Fates(NamedTuple):
    """Who was delivered to, who is tried again, who has failed; the names are the verdicts."""

    delivered: list[Fated]
    deferred: list[Fated]
    failed: list[Fated]


class _KeyAway(TemporaryError):
    """The key of the delivery is not available now."""


NoteDelivered = Callable[[ClaimedDelivery, list[str], bool], int]
"""Row, addresses, whether nobody else is left to be tried; returns the place of the note in the journal."""


class Attempt:
    """One attempt. ``ended`` is called once, with what settle is told and the place of the note (0: none)."""

    def __init__(
        self,
        station: Station,
        row: ClaimedDelivery,
        key: MessageKey | None,
        note: NoteDelivered,
        ended: Callable[[Attempt, Settled, int], None],
    ) -> None:
        self.row = row
        self._station = station
        self._key = key
        self._note = note
        self._ended = ended
        self._began_at = time.monotonic()
        self._dispatch: Dispatch
        self._waiting: list[Recipient]
        self._task: asyncio.Task[None] | None = None  # only where something has to be awaited: a look-up, a report

    def put_back(self, reason: str) -> None:
        """Not tried: looked at again soon."""
        row = self.row
        self._ended(self, Settled(row.id, row.lease, False, row.domain, reason, datetime.now(UTC) + PUT_BACK_FOR), 0)

    def begin(self) -> None:
        """Try, whatever happens; never raises."""
        try:
            self._open()
            targets = fixed(self.row.next_hop)
            if targets is None:
                self._task = asyncio.create_task(self._look_up())
            else:
                self._send(targets)
        except _KeyAway as error:
            self.put_back(error.public)
        except BadNextHop as error:
            self._answered([of_error(error)] * len(self._waiting))
        except Exception as error:
            self._fail(error)

    def cancel(self) -> None:
        """Wait for nothing any more; what the next hop still says is noted."""
        if self._task is not None:
            self._task.cancel()

    def _fail(self, error: Exception) -> None:
        reason = "The delivery could not be processed."
        if isinstance(error, LetterlockError):
            _log.warning("delivery %s: %s", self.row.id, error)
            reason = error.public
        else:
            _log.error("delivery %s: internal fault", self.row.id, exc_info=error)
        row = self.row
        self._ended(self, Settled(row.id, row.lease, False, row.domain, reason, next_attempt_at(row.attempts)), 0)

    def _open(self) -> None:
        if self._key is None:
            raise _KeyAway
        try:
            self._dispatch = decode_dispatch(open_envelope(self._key, self.row))
        except msgspec.DecodeError as error:
            raise LetterlockError("The delivery's envelope cannot be read.", detail=str(error)) from error
        left = set(self.row.recipients)
        self._waiting = [recipient for recipient in self._dispatch.recipients if recipient.address in left]
        if len(self._waiting) != len(left):
            raise LetterlockError("A recipient of the delivery is not in its sealed envelope.", detail=str(self.row.id))

    async def _look_up(self) -> None:
        row = self.row
        try:
            self._send(await hosts(row.next_hop, row.domain, self._station.exchangers))
        except LetterlockError as error:
            self._answered([of_error(error)] * len(self._waiting))
        except Exception as error:
            self._fail(error)

    def _send(self, targets: list[Host]) -> None:
        row, dispatch = self.row, self._dispatch
        job = Job(
            sender=dispatch.sender,
            recipients=tuple(self._waiting),
            content=self._octets,
            size=row.size,
            body=dispatch.body,
            smtputf8=dispatch.smtputf8,
            ret=dispatch.ret,
            envid=dispatch.envid,
        )
        floor = max(row.tls_min, dispatch.tls_floor)
        self._station.pool.send(targets, job, self._answered, floor=floor, destination=row.next_hop or row.domain)

    def _answered(self, outcomes: list[Outcome]) -> None:
        """The outcome of each of ``_waiting`` is known."""
        try:
            self._follow(outcomes)
        except Exception as error:
            self._fail(error)

    def _follow(self, outcomes: list[Outcome]) -> None:
        """Note what was delivered, then end, with reports where they are due."""
        row = self.row
        fates = Fates([], [], [])
        for recipient, outcome in zip(self._waiting, outcomes, strict=True):
            if outcome.verdict == "delivered":
                fates.delivered.append(Fated(recipient, outcome))
            elif outcome.verdict == "deferred" and time.time() < row.expires_at.timestamp():
                fates.deferred.append(Fated(recipient, outcome))
            else:
                fates.failed.append(Fated(recipient, outcome))
        delivered, deferred, failed = fates
        journal = 0
        if delivered:
            journal = self._note(row, [each.recipient.address for each in delivered], not deferred and not failed)
        settled = Settled(
            row.id, row.lease, not deferred, row.domain, (deferred or failed or delivered)[0].outcome.reply
        )
        settled.outcomes = [(each.recipient.address, "delivered") for each in delivered]
        if failed:
            settled.outcomes += [(each.recipient.address, "failed") for each in failed]
        if deferred:
            settled.due_at = min(next_attempt_at(row.attempts), row.expires_at)
            if not any(each.outcome.connected for each in deferred):
                settled.rest_until = min(settled.due_at, datetime.now(UTC) + timedelta(minutes=5))
        if failed or deferred or any(each.outcome.dsn_is_ours for each in delivered):
            self._task = asyncio.create_task(self._report(settled, fates, journal))
        else:
            self._end(settled, fates, journal)

    def _end(self, settled: Settled, fates: Fates, journal: int) -> None:
        """The attempt in the log and in the counters; then whoever waits for it is told."""
        worst = (fates.failed or fates.deferred or fates.delivered)[0].outcome
        counts = [(kind, len(those)) for kind, those in zip(Fates._fields, fates, strict=True) if those]
        seconds = time.monotonic() - self._began_at
        emit.delivery_tried(
            id=self.row.id,
            domain=self.row.domain,
            verdict=counts[0][0] if len(counts) == 1 else "mixed",
            code=worst.code,
            status=worst.status,
            recipients=len(self._waiting),
            seconds=seconds,
        )
        for kind, count in counts:
            self._station.meter("letterlock_deliveries_total", count, {"verdict": kind})
        self._station.meter("letterlock_delivery_seconds", seconds, {})
        self._ended(self, settled, journal)

    async def _report(self, settled: Settled, fates: Fates, journal: int) -> None:
        """Reports enter with the settlement: failure, delay (once), and success where the next hop makes none."""
        try:
            await self._add_notices(settled, fates)
        except Exception:
            # What was delivered stays so, or it would be sent again; the others are tried, and reported, once more.
            _log.exception("delivery %s: no report could be made", self.row.id)
            settled.notices, settled.delayed = [], False
            settled.outcomes = [(each.recipient.address, "delivered") for each in fates.delivered]
            settled.done = not fates.deferred and not fates.failed
            settled.due_at = settled.due_at or next_attempt_at(self.row.attempts)
        self._end(settled, fates, journal)

    async def _add_notices(self, settled: Settled, fates: Fates) -> None:
        dispatch = self._dispatch
        late = dispatch.delay_notice_at and time.time() >= dispatch.delay_notice_at and not self.row.delayed
        if late and fates.deferred:
            settled.delayed = True
        relayed = [each for each in fates.delivered if each.outcome.dsn_is_ours]
        reports: tuple[tuple[dsn.Action, list[Fated]], ...] = (
            ("failed", fates.failed),
            ("delayed", fates.deferred if late else []),
            ("relayed", relayed),
        )
        for action, about in reports:
            if not about:
                continue
            made = bounce.compose(
                dispatch,
                about,
                action,
                host=self._station.host,
                retry_until=self.row.expires_at.timestamp(),
                original=self._original(dispatch) if action == "failed" else None,
            )
            if made is not None:
                content = await seal(
                    self._station.sealer.session(), self._station.store, new_id(), made.envelope, [made.octets]
                )
                settled.notices.append(Notice(content, made.to))

    def _original(self, dispatch: Dispatch) -> bytes | None:
        """The octets to return, when they are what the submitter sent, signed perhaps, and not too many."""
        if dispatch.encrypted or self.row.size > RETURNED_OCTETS or self.row.segments or self._key is None:
            return None
        return b"".join(self._octets())

    def _octets(self) -> Iterator[bytes]:
        assert self._key is not None
        return open_content(self._key, self.row, self._station.store)
