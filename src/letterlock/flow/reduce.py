"""A report made by a server inside, reduced to what may leave: codes, addresses and no content.

Guarantees
    A bounce of decrypted mail is a decryption oracle: whoever captured a ciphertext could send it in again and read the
    answer. So reports from inside leave as messages of our own making, which hold nothing of the message they are about: a
    delivery report keeps codes and addresses, a receipt its disposition; what is neither is told of, without content.
    Nothing is invented: no failure is reported that the server inside did not report. Only an automatic reply of a person
    (RFC 3834), without any message or header in it, leaves as it came.

Standards
    RFC 3464 (what is kept of a report), RFC 8098 3.2 (of a receipt), RFC 5321 4.5.5 (null reverse-path), RFC 3834.

See also
    ``decision/outgoing.py``, which says when; ``delivery/bounce.py`` for the reports we make ourselves.
"""

from __future__ import annotations

import re
from typing import Final

from letterlock.decision.robots import ROBOTS
from letterlock.mail import compose, decoded, dsn
from letterlock.mail.message import Entity, HeaderTooLarge, Message
from letterlock.mail.parse import Part, parse
from letterlock.notify import email, report

_MESSAGES: Final = ("message/", "text/rfc822-headers", "multipart/report", "multipart/digest")
_HEADER: Final = re.compile(rb"(?im)^[ >|]*(?:received|message-id|return-path|delivered-to|x-letterlock-[a-z-]+):")
_RECEIPT: Final = "message/disposition-notification"
_KEPT: Final = ("original-recipient", "final-recipient", "original-message-id", "disposition")
_MOST: Final = 400


def reduce(message: Message, recipient: str, *, host: str, postmaster: str, now: float) -> Message:
    """What leaves instead of ``message`` for the external ``recipient``; ``now``: seconds since the Unix epoch."""
    parts = list(parse(bytes(message.octets)).walk())
    if _is_reply(message, parts):
        return message
    receipt = next((each for each in parts if each.content_type.value == _RECEIPT), None)
    if receipt is not None:
        return Message(_receipt(receipt, recipient, postmaster, now))
    try:
        told = dsn.parse(bytes(message.octets))
    except dsn.ReportInvalid:
        octets = email.compose("automatic_message", {"host": host}, ("Letterlock", postmaster), recipient, now=now)
        return Message(octets)
    fates = tuple(each._replace(diagnostic=dsn.codes_only(each.diagnostic), remote="") for each in told.fates)
    made = report.compose(
        dsn.Report(host, fates, 0.0, told.envid),
        to=recipient,
        postmaster=postmaster,
        inside=False,
        back=dsn.Back(),
        now=now,
    )
    return Message(made)


def _is_reply(message: Entity, parts: list[Part]) -> bool:
    """An automatic reply in a person's name, with no other message and nothing of a header inside it."""
    said = [value.strip().lower() for value in message.values(b"auto-submitted")]
    if not any(value.startswith((b"auto-replied", b"auto-generated")) for value in said):
        return False
    if message.values(b"x-failed-recipients") or _is_robot(message):
        return False
    if any(each.content_type.value.startswith(_MESSAGES) for each in parts):
        return False
    return not any(_HEADER.search(b"".join(each.decoded())) for each in parts if not each.children)


def _is_robot(message: Entity) -> bool:
    """From a mail system, or from nobody that can be read without doubt."""
    try:
        found = [each for value in message.values(b"from") for each in decoded.mailboxes(value)]
    except decoded.UnclearMailboxes:
        return True
    return not found or any(str(each.address).rpartition("@")[0].lower() in ROBOTS for each in found)


def _receipt(part: Part, recipient: str, postmaster: str, now: float) -> bytes:
    """A receipt with the fields a reader's program needs, and no others (RFC 8098 3.2)."""
    try:
        fields = Entity(b"".join(part.decoded())).fields
        entity = Entity(b"".join(part.decoded()))
    except HeaderTooLarge:
        fields, entity = [], Entity(b"")
    kept = []
    for each in fields:
        name = each.name.decode("ascii")
        if name in _KEPT:
            value = compose.clean(entity.value(each).decode("utf-8", "replace"))[:_MOST]
            kept.append(f"{name.title()}: {value}\r\n".encode("ascii", "replace"))
    text = compose.text("This is a receipt of a mail program; what it quotes of your message is not passed on.\n")
    content = compose.multipart(
        "report", [text, compose.literal(b"".join(kept), _RECEIPT)], {"report-type": "disposition-notification"}
    )
    header = [
        compose.date_field(now),
        compose.address_field("From", [("Letterlock", postmaster)]),
        compose.address_field("To", [("", recipient)]),
        compose.field("Subject", "Receipt"),
        compose.field("Message-ID", compose.new_message_id(postmaster.rpartition("@")[2])),
        compose.field("Auto-Submitted", "auto-replied"),
    ]
    return compose.message(header, content)
