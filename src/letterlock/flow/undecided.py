"""What becomes of a message on which no decision can be made: an internal fault, damaged content, a setting nobody can read.

States
    tried again   a passing fault: later and later, ATTEMPTS_BEFORE_HOLD times; the first attempts do not count, for the
                  message may only have waited for what is fetched (``lacking.py``)
    held          a lasting fault, or too many attempts: an administrator may release or drop it; its own submitter is warned
    given up      at the end of hold_life (as the factory set it: the message's own settings may be what is damaged) it is
                  tried once more; then its recipients have failed, and the sender is told. At once when it is too large to
                  be sent on: waiting makes nothing smaller

Guarantees
    Nothing is ever passed on as it is. A report quotes nothing of the message: what could not be read is not repeated.
    Nobody outside hears of a hold; of a failure everybody does (RFC 5321 6.1). What cannot even be opened under its key has
    no sender that could be believed: only the administrator sees it. Whose sender cannot be told is never given up: it stays
    held and is tried again, for the key may come back and the fault be mended; only the administrator can drop it.

See also
    ``worker.py``, which calls; ``delivery/bounce.py`` for reports of next hops.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from letterlock.errors import LetterlockError, TemporaryError
from letterlock.flow.carry_out import FinishedTooLarge
from letterlock.flow.lacking import WAITS
from letterlock.flow.sealing import seal
from letterlock.flow.work import ClaimedMessage
from letterlock.mail import dsn
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.mail.envelope import decode as decode_envelope
from letterlock.notify import report
from letterlock.policy.settings import lifetime
from letterlock.queue.advance import Advanced, Notice
from letterlock.queue.retry import next_attempt_at
from letterlock.vault.content import open_envelope
from letterlock.vault.keys import MessageKey

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts

ATTEMPTS_BEFORE_HOLD = 12

_log = logging.getLogger("letterlock.flow")


class _Verdict(NamedTuple):
    """``until``: the end of the hold, seconds since the Unix epoch; ``status``, ``said``: for the report."""

    given_up: bool
    until: float
    status: str
    said: str


async def put_off(crafts: Crafts, row: ClaimedMessage, key: MessageKey | None, error: LetterlockError) -> Advanced:
    """What to do with ``row`` after ``error``. Never raises but when cancelled."""
    attempts = max(1, row.attempts - len(WAITS))
    if not error.permanent and attempts < ATTEMPTS_BEFORE_HOLD and row.state != "held":
        return Advanced(row.id, "received", next_attempt_at(attempts), error.public)
    until = row.accepted_at + lifetime.HOLD_LIFE.default
    if isinstance(error, FinishedTooLarge):
        verdict = _Verdict(True, 0.0, error.status, error.public)
    elif datetime.now(UTC) >= until:
        verdict = _Verdict(True, 0.0, "5.3.0", "The message could not be processed.")
    else:
        verdict = _Verdict(False, until.timestamp(), "4.3.0", "The message is held by its first server.")
    try:
        notices = await _notices(crafts, row, key, verdict)
    except TemporaryError as away:  # nothing can be sealed now: the sender is told later, not never
        again: Literal["received", "held"] = "held" if row.state == "held" else "received"
        return Advanced(row.id, again, next_attempt_at(attempts), away.public)
    if notices is None and verdict.given_up:
        verdict, until = verdict._replace(given_up=False), next_attempt_at(attempts)
    outcome: Literal["failed", "held"] = "failed" if verdict.given_up else "held"
    return Advanced(
        row.id,
        "gone" if verdict.given_up else "held",
        until,
        error.public,
        outcomes=[(address, outcome) for address in row.recipients],
        notices=notices or [],
    )


async def _notices(
    crafts: Crafts, row: ClaimedMessage, key: MessageKey | None, verdict: _Verdict
) -> list[Notice] | None:
    """The report to the sender, when there is one to be told; None when that cannot be known or done. Raises what sealing
    raises when it is away."""
    told = row.state == "held" or row.released_by  # when it was held first
    if key is None:
        return None
    if told and not verdict.given_up:
        return []
    try:
        envelope = decode_envelope(open_envelope(key, row))
        ours = envelope.origin == "submission"
        if not envelope.sender or not (ours or verdict.given_up):
            return []
        made = _report(crafts.host, envelope, set(row.recipients), verdict)
        if made is None:
            return []
        back = Envelope(sender="", recipients=(Recipient(envelope.sender),), origin="notice", received_at=time.time())
        return [Notice(await seal(crafts, back.encode(), [made]), envelope.sender)]
    except TemporaryError:
        raise
    except Exception:  # whatever spoilt the message must not stop those beside it
        _log.exception("message %s: its sender cannot be told", row.id)
        return None


def _report(host: str, envelope: Envelope, waiting: set[str], verdict: _Verdict) -> bytes | None:
    """The whole report; None when none is wanted."""
    action: dsn.Action = "failed" if verdict.given_up else "delayed"
    wanted = [each for each in envelope.recipients if each.address in waiting and dsn.is_wanted(each, action)]
    if not wanted:
        return None
    now = time.time()
    fates = tuple(
        dsn.Fate(
            address=each.address,
            action=action,
            status=verdict.status,
            diagnostic=f"{'554' if verdict.given_up else '451'} {verdict.status} {verdict.said}",
            orcpt=each.orcpt,
            last_attempt_at=now,
            retry_until=verdict.until,
        )
        for each in wanted
    )
    return report.compose(
        dsn.Report(host, fates, envelope.received_at, envelope.envid),
        to=envelope.sender,
        postmaster=f"postmaster@{host}",
        inside=envelope.origin == "submission",
        back=dsn.Back(envelope.ret, (), None),
        now=now,
    )
