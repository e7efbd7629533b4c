"""Settings of how long mail waits: in the queue, on hold, in storage.

Standards
    RFC 5321 4.5.4.1 (give up after 4 to 5 days).
"""

from __future__ import annotations

from datetime import timedelta

from letterlock.policy.settings.declare import DOMAINS, Setting
from letterlock.policy.settings.kinds import Span, Whole

QUEUE_LIFE = Setting(
    "queue_life",
    Span(timedelta(minutes=1), timedelta(days=6)),
    timedelta(days=5),
    "How long delivery is tried before the sender gets the message's failure report.",
    DOMAINS,
    "sender",
)
DELAY_NOTICE_AFTER = Setting(
    "delay_notice_after",
    Span(timedelta(0), timedelta(days=6)),
    timedelta(hours=4),
    "When the sender is told of a delay; 0: never.",
    DOMAINS,
    "sender",
)
HOLD_LIFE = Setting(
    "hold_life",
    Span(timedelta(minutes=1), timedelta(days=6)),
    timedelta(days=5),
    "How long a held message waits before its failure is reported to the sender.",
    DOMAINS,
    "sender",
)
RETENTION_DAYS = Setting(
    "retention_days",
    Whole(1, 730, "days"),
    30,
    "How long a message in the portal can be read.",
    DOMAINS,
    "sender",
)
