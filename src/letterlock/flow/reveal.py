"""Decrypted mail as its reader is to see it: protected fields in place of the outer ones, nothing twice, no wrapping.

Order
    What was wrapped as a whole message is unwrapped, or a legacy display element taken away; then line ends are made those
    of SMTP; then the protected fields take their places.

Guarantees
    A signature that its reader can still verify stays so: where a signed (or compressed) layer remains inside, nothing in it
    is touched, and its legacy display stays. Fields come only from the closed list below; From only when it is the same
    author. No protected value can begin a field of its own.

Standards
    RFC 9788 4.2 (fields), 4.4 (From, and to whom a reply goes), 4.5.3 (legacy display), 4.10 (a whole message inside).

See also
    ``smime/header_protection.py`` and ``smime/legacy_display.py``; ``decrypt.py``, which asks.
"""

from __future__ import annotations

from typing import Final

from letterlock.errors import PermanentError
from letterlock.flow.mark import printable
from letterlock.mail.decoded import text as decoded_text
from letterlock.mail.headers import edit, field
from letterlock.mail.message import Entity, Field, Message
from letterlock.mail.parse import Part
from letterlock.smime.canonical import transportable
from letterlock.smime.entity_sink import EntitySink
from letterlock.smime.header_protection import Protected
from letterlock.smime.legacy_display import removals, spliced
from letterlock.smime.peel import Peeled
from letterlock.smime.spool import MemorySpool
from letterlock.smime.verify import author

_TEXTS: Final = (b"keywords", b"comments")
_FIELDS: Final = (*_TEXTS, b"from", b"to", b"cc", b"reply-to", b"date", b"in-reply-to", b"references")
"""What other programs hide outside (hcp_shy of RFC 9788 hides names and time zone); never what servers read or write."""
_ADDED: Final = (b"to", b"cc", b"reply-to", b"in-reply-to", b"references")
"""What nobody may add outside: a reply would go to whom the author did not write to (RFC 9788 4.4.4)."""
_LONGEST: Final = 998


def reveal(peeled: Peeled, inner: Protected | None) -> Message:
    """The opened message; what ``peeled.opened`` is when nothing has to change."""
    message = peeled.opened
    if peeled.changed and peeled.layers[-1].kind == "encrypted" and peeled.layers[-1].opened:
        message = _plain(message, inner)
    message = _transportable(message)
    return _headed(message, inner) if peeled.changed and inner is not None else message


def reveal_bare(peeled: Peeled, inner: Protected | None) -> Message:
    """The message without any layer, signatures included: nothing is left that a legacy display element stands in."""
    message = _transportable(_plain(peeled.bare(), inner))
    return message if inner is None else _headed(message, inner)


def _transportable(message: Message) -> Message:
    """What was encrypted may hold bare line feeds, which no server of ours or theirs takes (RFC 5321 2.3.8)."""
    octets = transportable(message.octets)
    return message if octets is message.octets else Message(octets)


def _headed(message: Message, inner: Protected) -> Message:
    """With its protected fields in their places."""
    if inner.scheme == "cipher":
        message = with_fields(message, inner)
    return message if inner.subject is None else with_subject(message, inner.subject)


def _plain(message: Message, inner: Protected | None) -> Message:
    """Without the wrapping, or without the legacy display; nothing signed is inside."""
    if inner is not None and inner.scheme == "wrapped":
        spool = MemorySpool()
        sink = EntitySink(message, spool, 2 * len(message.octets))
        sink.write(inner.header.octets)
        sink.finish()
        return Message(spool.octets())
    splices = removals(Part(message.octets))
    return Message(b"".join(spliced(message.octets, 0, len(message.octets), splices))) if splices else message


def with_subject(message: Message, subject: str) -> Message:
    """The decrypted message under the subject that was encrypted with it."""
    fields = message.named(b"subject")
    if fields and decoded_text(message.value(fields[0])) == subject:
        return message
    new = field("Subject", printable(subject))
    change = edit(message, remove=fields[1:], replace={fields[0]: new}) if fields else edit(message, append=(new,))
    return Message(b"".join(change))


def with_fields(message: Message, inner: Protected) -> Message:
    """The decrypted message with its other protected fields, where they differ from those outside; without fields that its
    author put neither inside nor, as HP-Outer tells, outside."""
    told = {name for name, _ in inner.outer}
    remove: list[Field] = []
    replace: dict[Field, bytes] = {}
    append: list[bytes] = []
    for name in _FIELDS:
        found = inner.header.named(name)
        outside = message.named(name)
        if not found and told and name in _ADDED and name.decode("ascii") not in told:
            remove += outside
        if not found or [inner.header.value(each) for each in found] == [message.value(each) for each in outside]:
            continue
        new = [_written(inner.header, each) for each in found]
        if None in new or (name == b"from" and not _same_author(message, inner)):
            continue
        octets = b"".join(each for each in new if each)
        if outside:
            replace[outside[0]] = octets
            remove += outside[1:]
        else:
            append.append(octets)
    if not (remove or replace or append):
        return message
    return Message(b"".join(edit(message, remove=remove, replace=replace, append=append)))


def _written(header: Entity, each: Field) -> bytes | None:
    """The field as it may stand outside; None: it may not."""
    lines = header.raw(each).replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if any(b"\r" in line or b"\0" in line or len(line) > _LONGEST for line in lines):
        return None
    if all(line.isascii() for line in lines):
        return b"\r\n".join(lines) + b"\r\n" if all(line.strip() for line in lines) else None
    if each.name in _TEXTS:
        return field(each.name.decode("ascii").title(), printable(decoded_text(header.value(each))))
    return None


def _same_author(message: Message, inner: Protected) -> bool:
    try:
        return inner.author == author(message)
    except PermanentError:
        return False
