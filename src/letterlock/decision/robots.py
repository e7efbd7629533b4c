"""Mail that machines write: reports of servers inside, our own, and our replies to challenges.

See also
    ``outgoing.py``, which treats them; flow's reduce, which takes the content out of a report.
"""

from __future__ import annotations

from typing import Final

from letterlock.decision.known import MessageFacts
from letterlock.mail.envelope import Envelope

ROBOTS: Final = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "double-bounce"})
"""Local parts in whose name mail systems write; a person who passes a report on does so himself."""


def is_inside_report(envelope: Envelope, message: MessageFacts) -> bool:
    """A bounce or the like of a server inside: it may quote what was decrypted, so it leaves without content (design 5)."""
    robot = not envelope.sender or (envelope.sender.partition("@")[0].lower() in ROBOTS and message.report)
    return envelope.origin == "submission" and robot


def is_report(envelope: Envelope, message: MessageFacts) -> bool:
    """A report of ours, or of a server inside: nothing of a message's content is in either."""
    return not envelope.sender and (envelope.origin == "notice" or is_inside_report(envelope, message))


def is_proof(envelope: Envelope) -> bool:
    """Our own reply to a challenge mail: a digest for a program, of which nobody's message is a part (RFC 8823 3.2)."""
    return envelope.origin == "proof"
