"""The report that settle enters with a failure, a delay or a success: one per delivery and kind, in its transaction.

Guarantees
    No report to the null reverse-path, none that was not wanted (NOTIFY), none with content to the outside. Our own
    submitters get their header back, or the message itself (RET), of mail that left as they sent it; of mail we encrypted
    they get the five quoted fields, for its finished octets are none they would know.

Standards
    RFC 3461 4 to 6 (NOTIFY, RET, ENVID), RFC 3464 (the report), RFC 5321 4.5.5 and 6.1 (null reverse-path).

See also
    ``mail/dsn.py``, ``notify/report.py`` for the texts; ``queue/settle.py``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from letterlock.delivery.outcome import Outcome
from letterlock.mail import dsn
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.notify import report as reports
from letterlock.queue.message import Dispatch


class Fated(NamedTuple):
    """One recipient and what became of it."""

    recipient: Recipient
    outcome: Outcome


class Report(NamedTuple):
    """A report ready to be sealed: its envelope, its octets, and who gets it."""

    envelope: bytes
    octets: bytes
    to: str


def compose(
    dispatch: Dispatch,
    fated: Sequence[Fated],
    action: dsn.Action,
    *,
    host: str,
    retry_until: float = 0.0,
    original: bytes | None = None,
) -> Report | None:
    """The report of ``action`` about those who are concerned by it and for whom it is wanted; None when nobody is.

    ``retry_until``: seconds since the Unix epoch. ``original``: the octets as our own submitter sent them, if at hand.
    """
    wanted = [each for each in fated if dsn.is_wanted(each.recipient, action)]
    if not dispatch.sender or not wanted:
        return None
    now = time.time()
    inside = dispatch.origin == "submission" and dispatch.direction == "outgoing"
    octets = reports.compose(
        dsn.Report(
            host, tuple(_fate(each, action, now, retry_until) for each in wanted), dispatch.received_at, dispatch.envid
        ),
        to=dispatch.sender,
        postmaster=dispatch.postmaster or f"postmaster@{host}",
        inside=inside,
        back=dsn.Back(dispatch.ret, dispatch.quoted, original if inside else None),
        now=now,
    )
    envelope = Envelope(sender="", recipients=(Recipient(dispatch.sender),), origin="notice", received_at=now)
    return Report(envelope.encode(), octets, dispatch.sender)


def _fate(each: Fated, action: dsn.Action, now: float, retry_until: float) -> dsn.Fate:
    return dsn.Fate(
        address=each.recipient.address,
        action=action,
        status=each.outcome.status,
        diagnostic=each.outcome.reply,
        remote=each.outcome.host,
        orcpt=each.recipient.orcpt,
        last_attempt_at=now,
        retry_until=retry_until if action == "delayed" else 0.0,
    )
