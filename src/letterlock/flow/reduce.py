"""A report made by a server inside, reduced to what may leave: codes, addresses and no content.

Guarantees
    A bounce of decrypted mail is a decryption oracle: whoever captured a ciphertext could send it in again and read the
    answer. So mail with the null reverse-path from inside leaves as a report of our own making, which holds nothing of the
    message it is about. Only an automatic reply (RFC 3834) without any message in it leaves as it came.

Standards
    RFC 3464 (what is kept of a report), RFC 5321 4.5.5 (null reverse-path), RFC 3834 (automatic replies).

See also
    ``decision/outgoing.py``, which says when; ``delivery/bounce.py`` for the reports we make ourselves.
"""

from __future__ import annotations

from letterlock.mail import dsn
from letterlock.mail.message import Entity, Message
from letterlock.mail.parse import parse
from letterlock.notify import report

_MESSAGES = ("message/", "text/rfc822-headers", "multipart/report", "multipart/digest")


def reduce(message: Message, recipient: str, *, host: str, postmaster: str, now: float) -> Message:
    """What leaves instead of ``message`` for the external ``recipient``; ``now``: seconds since the Unix epoch."""
    if _is_reply(message):
        return message
    try:
        told = dsn.parse(bytes(message.octets))
        fates = tuple(each._replace(diagnostic=dsn.codes_only(each.diagnostic), remote="") for each in told.fates)
        envid = told.envid
    except dsn.ReportInvalid:
        fates = (dsn.Fate(recipient, "failed", "5.0.0"),)
        envid = ""
    made = report.compose(
        dsn.Report(host, fates, 0.0, envid),
        to=recipient,
        postmaster=postmaster,
        inside=False,
        back=dsn.Back(),
        now=now,
    )
    return Message(made)


def _is_reply(message: Entity) -> bool:
    """An automatic reply to a person, with no other message inside it."""
    if not any(value.strip().lower().startswith(b"auto-replied") for value in message.values(b"auto-submitted")):
        return False
    return not any(part.content_type.value.startswith(_MESSAGES) for part in parse(message.octets).walk())
