"""Settings of the limits on what is taken in: sizes, counts, times, line ends.

Standards
    RFC 5321 4.5.3 (sizes and time-outs), RFC 1870 (SIZE), RFC 5321 2.3.8 and 6.3 (line ends, loops).
"""

from __future__ import annotations

from datetime import timedelta

from letterlock.policy.settings.declare import GATEWAY, Setting
from letterlock.policy.settings.kinds import Choice, Octets, Span, Whole

MIB = 1 << 20


def _count(name: str, low: int, high: int, default: int, doc: str) -> Setting[int]:
    return Setting(name, Whole(low, high), default, doc, GATEWAY)


MAX_MESSAGE_OCTETS = Setting(
    "max_message_octets",
    Octets(1 << 16, 2 << 30),
    25 * MIB,
    "The largest message taken in (SIZE), before anything is done to it.",
    GATEWAY,
)
MAX_FINISHED_OCTETS = Setting(
    "max_finished_octets",
    Octets(1 << 16, 4 << 30),
    100 * MIB,
    "The largest message sent on after signing and encryption; a larger one is refused.",
    GATEWAY,
)
MAX_RECIPIENTS = _count("max_recipients", 100, 100_000, 1000, "The most recipients of one message (RCPT).")
MAX_HOPS = _count("max_hops", 10, 1000, 50, "The most Received fields; more is a mail loop and refused.")
BARE_NEWLINE = Setting(
    "bare_newline",
    Choice("refuse", "normalise"),
    "refuse",
    "Bare CR or LF in a message is refused, or made CRLF for clients in relay_networks.",
    GATEWAY,
)
SMTPD_CONNECTIONS = _count("smtpd_connections", 1, 100_000, 1000, "The most connections to one listening process.")
SMTPD_CONNECTIONS_PER_CLIENT = _count(
    "smtpd_connections_per_client", 1, 100_000, 100, "The most connections of one client address to one process."
)
SMTPD_MESSAGES_PER_CONNECTION = _count(
    "smtpd_messages_per_connection", 1, 1_000_000, 10_000, "The most messages in one connection."
)
SMTPD_ERRORS = _count("smtpd_errors", 1, 1000, 20, "The errors after which a connection is closed.")
SMTPD_COMMAND_OCTETS = _count(
    "smtpd_command_octets", 512, 65_536, 4096, "The longest command line with its CRLF (RFC 5321 4.5.3.1.4)."
)
SMTPD_LINE_OCTETS = _count(
    "smtpd_line_octets",
    1000,
    1 << 20,
    65_536,
    "The longest line of a message with its CRLF (RFC 5321 4.5.3.1.6 asks 1000).",
)
SMTPD_TIMEOUT = Setting(
    "smtpd_timeout",
    Span(timedelta(seconds=1), timedelta(hours=1)),
    timedelta(minutes=5),
    "How long the server waits for the client's next command or line (RFC 5321 4.5.3.2.7).",
    GATEWAY,
)
SMTPD_SESSION_TIME = Setting(
    "smtpd_session_time",
    Span(timedelta(minutes=1), timedelta(days=1)),
    timedelta(hours=2),
    "The longest a connection may last.",
    GATEWAY,
)
