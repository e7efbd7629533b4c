"""When a thing is fetched again, and until when nobody waits for it: pure arithmetic on times.

Order
    A CRL: after crl_interval, or shortly before its nextUpdate when that comes first; past its nextUpdate every
    OVERDUE. An OCSP answer, a certificate: when it is asked for after it is over. What failed: later and later, by
    itself only a CRL.

See also
    ``wanted.py``; ``database/sql/functions/pki/want.sql`` (asked for again).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

FAR: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""Not before somebody asks."""

SOONEST: Final = timedelta(minutes=5)
OVERDUE: Final = timedelta(minutes=15)
OCSP_AT_LEAST: Final = timedelta(minutes=5)
OCSP_WITHOUT_END: Final = timedelta(hours=1)
OCSP_AT_MOST: Final = timedelta(hours=12)
ISSUER_FOR: Final = timedelta(days=30)
DIRECTORY_FOR: Final = timedelta(days=1)
ABSENT_FOR: Final = timedelta(hours=4)
REFUSED_FOR: Final = timedelta(hours=6)
FIRST_RETRY: Final = timedelta(minutes=1)
LAST_RETRY: Final = timedelta(hours=6)
FIRST_HOST_RETRY: Final = timedelta(seconds=30)
LAST_HOST_RETRY: Final = timedelta(hours=1)


class Times(NamedTuple):
    """``due_at``: the next attempt; ``good_until``: until when nobody waits for it."""

    due_at: datetime
    good_until: datetime


def crl(now: datetime, spans: Sequence[tuple[datetime, datetime | None]], interval: timedelta) -> Times:
    """After CRLs with these (thisUpdate, nextUpdate) came. It is fetched by itself: nobody waits for the next one."""
    due = now + interval
    for this, following in spans:
        if following is None:
            continue
        margin = min(max((following - this) / 20, SOONEST), timedelta(hours=2))
        due = min(due, following - margin if now < following - margin else following + timedelta(seconds=30))
        if following <= now:
            due = now + OVERDUE
    due = max(due, now + SOONEST)
    return Times(due, due + timedelta(days=1))


def ocsp(now: datetime, following: datetime | None) -> Times:
    """After an answer came. ``following``: its nextUpdate."""
    span = OCSP_WITHOUT_END if following is None else min(max(following - now, OCSP_AT_LEAST), OCSP_AT_MOST)
    return Times(FAR, now + span)


def found(now: datetime, span: timedelta) -> Times:
    """After certificates came that hold for ``span``."""
    return Times(FAR, now + span)


def absent(now: datetime) -> Times:
    """After it was said that there is none."""
    return Times(FAR, now + ABSENT_FOR)


def refused(now: datetime) -> Times:
    """It may not be fetched: names may lead elsewhere one day."""
    return Times(FAR, now + REFUSED_FOR)


def failed(now: datetime, failures: int) -> Times:
    """After ``failures`` failed attempts before this one."""
    due = now + _later(FIRST_RETRY, LAST_RETRY, failures)
    return Times(due, due)


def host_until(now: datetime, failures: int) -> datetime:
    """Until when a server that did not answer is left alone."""
    return now + _later(FIRST_HOST_RETRY, LAST_HOST_RETRY, failures)


def _later(first: timedelta, last: timedelta, failures: int) -> timedelta:
    span = min(first * (1 << min(failures, 20)), last)
    return span * random.uniform(0.9, 1.1)  # noqa: S311 - spreads attempts, protects nothing
