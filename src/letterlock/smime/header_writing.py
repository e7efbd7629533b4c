"""The header fields of a message inside its signed or encrypted layer, and what of them stays outside.

Order
    obstacle() says whether it can be done; leaving() which fields are protected; payload() writes the entity that is
    signed or encrypted; confidential() is what an encrypted message shows of a field outside.

Guarantees
    Inside stand the very octets of the fields that leave. Bcc, trace fields and signatures of servers never go inside. The
    body is not changed, but for legacy display elements (``legacy_display.py``). Where two readers could disagree about
    the header nothing is protected, and nothing is hidden then.

Standards
    RFC 9788 2.1.1 (hp), 2.2 (HP-Outer), 3.2.1 (hcp_baseline, and one field more), 5.2.1 (composing), 11.4 (Bcc); RFC 9787
    1.1.1 (which fields describe the structure).

See also
    ``header_protection.py``, which reads it; flow's protect, which puts it to work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from letterlock.mail.message import Buffer, Entity, Field
from letterlock.mail.parse import Part
from letterlock.smime.legacy_display import Splice, elements, spliced
from letterlock.smime.mime import belongs_inside, is_cms

HIDDEN_SUBJECT: Final = b"Subject: [...]\r\n"
_REMOVED: Final = frozenset({b"keywords", b"comments", b"thread-topic"})  # the last is Exchange's copy of the subject
_SINGLE: Final = frozenset(
    {
        *(b"subject", b"from", b"to", b"cc", b"date", b"message-id", b"reply-to", b"in-reply-to", b"references"),
        b"sender",
    }
)
_PARAMETERS: Final = ("hp", "hp-legacy-display", "protected-headers")
# What servers add on the way, and what is for them alone.
_OF_SERVERS: Final = frozenset(
    {
        *(b"received", b"x-received", b"return-path", b"delivered-to", b"authentication-results", b"received-spf"),
        *(b"dkim-signature", b"domainkey-signature", b"hp-outer", b"bcc", b"resent-bcc"),
    }
)
_TYPE: Final = b"Content-Type:"
_LONGEST: Final = 900  # octets of a first line, so that "HP-Outer: " before it makes no line too long (RFC 5322 2.1.1)


def obstacle(message: Entity, content: Entity | None = None) -> str:
    """Why the message's header cannot be protected; empty: it can. ``content``: an entity in place of its own."""
    part = Part.of(content or message)
    kind = part.content_type
    if not kind.clear or any(b"(" in value for value in part.values(b"content-type")):
        return "its Content-Type is doubtful"
    if any(name in kind.parameters for name in _PARAMETERS):
        return "protected by the sender's own program already"
    if kind.value in ("multipart/signed", "multipart/encrypted") or is_cms(part):
        return "signed or encrypted by the sender's own program"  # its payload is not ours to write in
    single = [field.name for field in message.fields if field.name in _SINGLE]
    return "a field stands there twice" if len(single) != len(set(single)) else ""


def is_protected(field: Field) -> bool:
    """Does a field that leaves go inside: none that describes structure (RFC 9787 1.1.1), nor one of servers?"""
    name = field.name
    return bool(name) and not belongs_inside(field) and name not in _OF_SERVERS and not name.startswith(b"arc-")


def confidential(name: bytes, octets: Buffer) -> Buffer | None:
    """What stands outside for a field of an encrypted message that hides its header; None: nothing (RFC 9788 3.2.1)."""
    if name == b"subject":
        return HIDDEN_SUBJECT
    return None if name in _REMOVED else octets


def payload(
    message: Entity, fields: Sequence[tuple[bytes, Buffer]], *, encrypted: bool, hide: bool, display: str = ""
) -> list[Buffer]:
    """The entity of ``message`` with its header fields inside: Content fields, ``fields``, empty line, body.

    ``fields``: lower-case name and whole octets of each. ``hide``: those of confidential() are hidden outside.
    ``display``: the decoded subject, to be shown in the text by programs that know nothing of this; empty: it is not.
    """
    root = Part.of(message)
    splices = elements(root, display) if hide and display else []
    parameter = b'hp="cipher"' if encrypted else b'hp="clear"'  # RFC 9788 2.1.1
    out: list[Buffer] = [_whole(octets) for _, octets in fields]
    if encrypted:
        out += _outer(fields, hide=hide)
    out += _content_fields(root, splices, parameter)
    out.append(b"\r\n")
    out += spliced(root.octets, root.body_start, root.end, splices)
    return out


def _content_fields(root: Part, splices: Sequence[Splice], parameter: bytes) -> Iterator[Buffer]:
    """The fields that describe the entity, with the parameter; what ``splices`` change among them is changed."""
    changed = [each for each in splices if each.start < root.header_end or each.start == root.start < root.body_start]
    typed = root.named(b"content-type")
    if typed:
        own = [each for each in changed if each.end == typed[0].end]  # legacy display has changed it already
        at = own[0] if own else Splice(typed[0].start, typed[0].end, root.raw(typed[0]))
        kept = changed if not own else [each for each in changed if each is not at]
        changed = [*kept, at._replace(octets=_with(at.octets, parameter))]
    else:
        added = [each.octets for each in changed if each.start == each.end]
        changed = [each for each in changed if each.start != each.end]
        yield from (each for each in added if not each.startswith(_TYPE))
        yield _with(next((each for each in added if each.startswith(_TYPE)), _TYPE + b" text/plain"), parameter)
    for field in root.fields:
        if belongs_inside(field) and field.name != b"mime-version":
            yield _whole(b"".join(spliced(root.octets, field.start, field.end, changed)))


def _with(octets: bytes, parameter: bytes) -> bytes:
    """A clear Content-Type field with one more parameter, at its end."""
    return octets.rstrip(b" \t\r\n;") + b";\r\n " + parameter + b"\r\n"


def _outer(fields: Iterable[tuple[bytes, Buffer]], *, hide: bool) -> Iterator[bytes]:
    """What stands outside, told inside (RFC 9788 2.2): a field that does not is told of by having no line here."""
    for name, octets in fields:
        outside = confidential(name, octets) if hide else octets
        if outside is not None:
            line = bytes(_whole(outside))
            yield (b"HP-Outer:\r\n " if line.find(b"\n") > _LONGEST else b"HP-Outer: ") + line


def _whole(octets: Buffer) -> Buffer:
    """The field with its line end: the last one of a header without a body may have none."""
    return octets if bytes(octets[-1:]) == b"\n" else bytes(octets) + b"\r\n"
