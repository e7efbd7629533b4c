"""When to try again: the back-off schedule of one delivery and of its destination.

Guarantees
    The interval doubles from one minute to four hours; a fifth of jitter keeps destinations from being hit in step.

Standards
    RFC 5321 4.5.4.1 (retry intervals of at least thirty minutes on average, give up after four to five days): the first
    attempts are closer because many refusals are greylisting.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

FIRST_FOR = timedelta(minutes=1)
LONGEST_FOR = timedelta(hours=4)


def next_attempt_at(attempts: int, now: datetime | None = None) -> datetime:
    """The time of the next attempt after ``attempts`` have been made (one or more)."""
    pause: timedelta = min(FIRST_FOR * 2 ** min(max(attempts, 1) - 1, 20), LONGEST_FOR)
    return (now or datetime.now(UTC)) + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
