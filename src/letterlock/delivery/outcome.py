"""What became of one attempt: delivered, deferred or failed, per recipient.

Guarantees
    A reply or exception is classified here and nowhere else. No reply after the final dot is a deferral: the message may
    have been taken, and is sent again with the same octets (RFC 5321 4.5.4.1, 6.1).

Standards
    RFC 5321 4.2.1 (first digit), RFC 3463 (enhanced status code).
"""

from __future__ import annotations

import functools
import re
from typing import Literal, NamedTuple

from letterlock.errors import LetterlockError

Verdict = Literal["delivered", "deferred", "failed"]

_STATUS = re.compile(r"\A([245])\.(\d{1,3})\.(\d{1,3})\b")


class Outcome(NamedTuple):
    """One recipient's result. ``reply``: what the server said, one line, printable; ``status``: RFC 3463 code."""

    verdict: Verdict
    code: int
    status: str
    reply: str
    host: str = ""  # who said it; empty: we ourselves
    connected: bool = True  # False: nothing could be reached, so the destination rests
    dsn_is_ours: bool = False  # delivered to a server without the DSN extension: RFC 3461 5.2.2 leaves the report to us


def printable(text: str, limit: int = 400) -> str:
    """``text`` on one line without control characters, at most ``limit`` characters: it goes into logs and reports."""
    line = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    return line[:limit].strip()


@functools.lru_cache(maxsize=256)  # most replies are alike
def of_reply(code: int, text: str, host: str, reports: bool = True) -> Outcome:
    """The outcome an SMTP reply means (RFC 5321 4.2.1). ``reports``: the server makes those that were asked for."""
    verdict: Verdict = "delivered" if 200 <= code < 300 else "failed" if 500 <= code < 600 else "deferred"
    match = _STATUS.match(text)
    first = {"delivered": "2", "failed": "5", "deferred": "4"}[verdict]
    status = match[0] if match and match[1] == first else f"{first}.0.0"
    ours = verdict == "delivered" and not reports
    return Outcome(verdict, code, status, printable(f"{code} {text}"), host, dsn_is_ours=ours)


def of_error(error: Exception, host: str = "") -> Outcome:
    """The outcome of a failure without a reply: permanent only when the error says so itself."""
    if isinstance(error, LetterlockError):
        verdict: Verdict = "failed" if error.permanent else "deferred"
        return Outcome(verdict, error.code, error.status, printable(error.public), host, connected=False)
    return Outcome("deferred", 451, "4.4.2", "The connection to the next hop failed.", host, connected=False)
