"""One attempt at one delivery: open it, find its next hop, send it, and say what follows.

Guarantees
    The recipients are those of the sealed envelope that the row still lists. After the last attempt before ``expires_at``
    every recipient that could not be reached has failed. The journal is written before anything else is done with a 250.

See also
    ``agent.py``; ``outcome.py`` for what a reply means; ``bounce.py`` for reports.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from letterlock.config.start import Meter
from letterlock.database.connect import Gate
from letterlock.delivery import bounce
from letterlock.delivery.bounce import Fated
from letterlock.delivery.next_hop import Exchangers, hosts
from letterlock.delivery.outcome import Outcome, of_error
from letterlock.delivery.pool import Pool
from letterlock.errors import LetterlockError
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


class Tried(NamedTuple):
    """``journal``: the place of the attempt's note; 0 when nothing was delivered."""

    settled: Settled
    journal: int


NoteDelivered = Callable[[ClaimedDelivery, list[str], bool], int]


class Attempt:
    """One attempt; run() once."""

    def __init__(self, station: Station, row: ClaimedDelivery, key: MessageKey | None, note: NoteDelivered) -> None:
        self._station = station
        self._row = row
        self._key = key
        self._note = note
        self._began_at = time.monotonic()

    def put_back(self, reason: str) -> Settled:
        """Not tried: looked at again soon."""
        row = self._row
        return Settled(row.id, row.lease, False, row.domain, reason, datetime.now(UTC) + PUT_BACK_FOR)

    async def run(self) -> Tried:
        """Try, whatever happens; never raises but when cancelled."""
        if self._key is None:
            return Tried(self.put_back("The key of the delivery is not available now."), 0)
        try:
            dispatch, waiting = self._opened(self._key)
            outcomes = await self._send(dispatch, waiting)
            return await self._follow(dispatch, [Fated(*pair) for pair in zip(waiting, outcomes, strict=True)])
        except LetterlockError as error:
            _log.warning("delivery %s: %s", self._row.id, error)
            return Tried(self._later(error.public), 0)
        except Exception:
            _log.exception("delivery %s: internal fault", self._row.id)
            return Tried(self._later("The delivery could not be processed."), 0)

    def _later(self, reason: str) -> Settled:
        row = self._row
        return Settled(row.id, row.lease, False, row.domain, reason, next_attempt_at(row.attempts))

    def _opened(self, key: MessageKey) -> tuple[Dispatch, list[Recipient]]:
        try:
            dispatch = decode_dispatch(open_envelope(key, self._row))
        except msgspec.DecodeError as error:
            raise LetterlockError("The delivery's envelope cannot be read.", detail=str(error)) from error
        left = set(self._row.recipients)
        waiting = [recipient for recipient in dispatch.recipients if recipient.address in left]
        if len(waiting) != len(left):
            raise LetterlockError(
                "A recipient of the delivery is not in its sealed envelope.", detail=str(self._row.id)
            )
        return dispatch, waiting

    async def _send(self, dispatch: Dispatch, waiting: Sequence[Recipient]) -> list[Outcome]:
        """The outcome of each of ``waiting``."""
        row = self._row
        try:
            targets = await hosts(row.next_hop, row.domain, self._station.exchangers)
        except LetterlockError as error:
            return [of_error(error)] * len(waiting)
        floor = max(row.tls_min, dispatch.tls_floor)
        return await self._station.pool.send(
            targets, self._job(dispatch, waiting), floor=floor, destination=row.next_hop or row.domain
        )

    async def _follow(self, dispatch: Dispatch, fated: list[Fated]) -> Tried:
        """What settle is told about these outcomes."""
        row = self._row
        expired = time.time() >= row.expires_at.timestamp()
        delivered = [each for each in fated if each.outcome.verdict == "delivered"]
        deferred = [each for each in fated if each.outcome.verdict == "deferred" and not expired]
        failed = [each for each in fated if each not in delivered and each not in deferred]
        journal = 0
        if delivered:
            journal = self._note(row, [each.recipient.address for each in delivered], not deferred and not failed)
        settled = Settled(
            id=row.id,
            lease=row.lease,
            done=not deferred,
            domain=row.domain,
            reply=(deferred or failed or fated)[0].outcome.reply,
        )
        settled.outcomes = [(each.recipient.address, "delivered") for each in delivered]
        settled.outcomes += [(each.recipient.address, "failed") for each in failed]
        if deferred:
            settled.due_at = min(next_attempt_at(row.attempts), row.expires_at)
            if not any(each.outcome.connected for each in deferred):
                settled.rest_until = min(settled.due_at, datetime.now(UTC) + timedelta(minutes=5))
        try:
            await self._report(dispatch, settled, delivered, deferred, failed)
        except Exception:
            # What was delivered stays so, or it would be sent again; the others are tried, and reported, once more.
            _log.exception("delivery %s: no report could be made", row.id)
            settled.notices, settled.delayed = [], False
            settled.outcomes = [(each.recipient.address, "delivered") for each in delivered]
            settled.done = not deferred and not failed
            settled.due_at = settled.due_at or next_attempt_at(row.attempts)
        self._tell(delivered, deferred, failed)
        return Tried(settled, journal)

    def _tell(self, delivered: list[Fated], deferred: list[Fated], failed: list[Fated]) -> None:
        """The attempt in the log and in the counters."""
        worst = (failed or deferred or delivered)[0].outcome
        kinds = [kind for kind, those in _kinds(delivered, deferred, failed) if those]
        seconds = time.monotonic() - self._began_at
        emit.delivery_tried(
            id=self._row.id,
            domain=self._row.domain,
            verdict=kinds[0] if len(kinds) == 1 else "mixed",
            code=worst.code,
            status=worst.status,
            recipients=len(delivered) + len(deferred) + len(failed),
            seconds=seconds,
        )
        for kind, those in _kinds(delivered, deferred, failed):
            if those:
                self._station.meter("letterlock_deliveries_total", len(those), {"verdict": kind})
        self._station.meter("letterlock_delivery_seconds", seconds, {})

    async def _report(
        self,
        dispatch: Dispatch,
        settled: Settled,
        delivered: list[Fated],
        deferred: list[Fated],
        failed: list[Fated],
    ) -> None:
        """Reports enter with the settlement: failure, delay (once), and success where the next hop makes none."""
        late = dispatch.delay_notice_at and time.time() >= dispatch.delay_notice_at and not self._row.delayed
        if late and deferred:
            settled.delayed = True
        relayed = [each for each in delivered if each.outcome.dsn_is_ours]
        for action, about in (("failed", failed), ("delayed", deferred if late else []), ("relayed", relayed)):
            if not about:
                continue
            made = bounce.compose(
                dispatch,
                about,
                action,  # type: ignore[arg-type]
                host=self._station.host,
                retry_until=self._row.expires_at.timestamp(),
                original=self._original(dispatch) if action == "failed" else None,
            )
            if made is not None:
                content = await seal(
                    self._station.sealer.session(), self._station.store, new_id(), made.envelope, [made.octets]
                )
                settled.notices.append(Notice(content, made.to))

    def _original(self, dispatch: Dispatch) -> bytes | None:
        """The octets to return, when they are those the submitter sent and not too many."""
        if dispatch.method != "plain" or self._row.size > RETURNED_OCTETS or self._row.segments or self._key is None:
            return None
        return b"".join(self._octets())

    def _octets(self) -> Iterator[bytes]:
        assert self._key is not None
        return open_content(self._key, self._row, self._station.store)

    def _job(self, dispatch: Dispatch, waiting: Sequence[Recipient]) -> Job:
        return Job(
            sender=dispatch.sender,
            recipients=tuple(waiting),
            content=self._octets,
            size=self._row.size,
            body=dispatch.body,
            smtputf8=dispatch.smtputf8,
            ret=dispatch.ret,
            envid=dispatch.envid,
        )


def _kinds(delivered: list[Fated], deferred: list[Fated], failed: list[Fated]) -> tuple[tuple[str, list[Fated]], ...]:
    return ("delivered", delivered), ("deferred", deferred), ("failed", failed)
