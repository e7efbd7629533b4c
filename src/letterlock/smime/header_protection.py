"""Header fields that were signed or encrypted together with the content, read.

Guarantees
    Protected fields come only from the header that stood inside a layer, never from the message around it: nobody
    without the signer's or the reader's key wrote them there. Fields that describe content, and our own, are left out.
    Where two readers could disagree (a field twice, a doubtful Content-Type) nothing is protected.

Standards
    RFC 9788 2.1.1 (hp), 2.2 (HP-Outer), 4.1 and 4.2 (which fields are protected), 4.10 (message/rfc822 inside, RFC 8551
    3.1). The older form without hp, protected-headers="v1" of draft-autocrypt-lamps-protected-headers, is read too.

See also
    ``header_writing.py``, which writes them; ``peel.py``, whose Layer.inside is what is read here; ``judge.py`` for a
    protected From that is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from letterlock.mail.decoded import text
from letterlock.mail.message import Entity, Message
from letterlock.mail.parse import Part
from letterlock.smime.errors import SmimeError
from letterlock.smime.mime import belongs_inside, is_cms
from letterlock.smime.peel import Layer
from letterlock.smime.verify import author

Scheme = Literal["cipher", "clear", "legacy", "wrapped"]

_SINGLE: Final = (b"subject", b"from", b"to", b"cc", b"date", b"message-id")


class Protected(NamedTuple):
    """The fields of the payload. ``scheme``: the value of hp, or the older form; ``outer``: what HP-Outer says that the
    sender put outside, by name; ``header``: the entity that holds the protected fields."""

    scheme: Scheme
    header: Entity
    outer: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the protected fields, in their order."""
        return tuple(
            each.name.decode("ascii", "replace")
            for each in self.header.fields
            if each.name and not belongs_inside(each) and each.name != b"hp-outer"
        )

    @property
    def subject(self) -> str | None:
        """The protected subject, decoded; None when there is none."""
        found = self.header.first(b"subject")
        return None if found is None else text(found)

    @property
    def author(self) -> str | None:
        """The protected author in match form; None when no From is protected. Raises AddressMismatch."""
        return author(self.header) if self.header.named(b"from") else None


def protected(message: Entity, layers: Sequence[Layer], payload: Entity | None = None) -> Protected | None:
    """What the layers protect; None when they protect no field. ``payload``: what is inside all layers that were opened,
    for the form that wraps a whole message."""
    opened = [each for each in layers if each.opened and each.inside]
    if not opened or not layers[-1].opened:
        return None
    part = Part.of(Message(opened[-1].inside))
    kind = part.content_type
    scheme = kind.parameters.get("hp", "").lower()
    if scheme in ("cipher", "clear"):  # RFC 9788 2.1.1
        found = Protected("cipher" if scheme == "cipher" else "clear", part, tuple(_outer(part)))
    elif kind.parameters.get("protected-headers", "").lower() == "v1":
        found = Protected("legacy", part)
    elif kind.value == "message/rfc822" and payload is not None:
        return _wrapped(message, part, payload)
    else:
        return None
    return found if kind.clear and _clear(part) else None


def _outer(part: Part) -> list[tuple[str, str]]:
    """RFC 9788 2.2: ``HP-Outer: Name: value``."""
    found = []
    for value in part.values(b"hp-outer"):
        name, colon, rest = value.partition(b":")
        if colon:
            found.append((name.strip().decode("ascii", "replace").lower(), text(rest.strip())))
    return found


def _clear(header: Entity) -> bool:
    return all(len(header.named(name)) <= 1 for name in _SINGLE)


def _wrapped(message: Entity, part: Part, payload: Entity) -> Protected | None:
    """A whole message inside (RFC 8551 3.1): only when it does not say that it is a forwarded one, its author is the one
    outside, and it has no layers or protected fields of its own (RFC 9788 4.10.1); else a forwarded message would lend its
    subject to the one that carries it."""
    if part.content_type.parameters.get("forwarded", "").lower() == "yes" or not part.content_type.clear:
        return None
    inner = Message(bytes(payload.body))
    kind = Part.of(inner).content_type
    if "hp" in kind.parameters or kind.value in ("multipart/signed", "multipart/encrypted") or is_cms(Part.of(inner)):
        return None
    try:
        same = author(inner) == author(message)
    except SmimeError:
        return None
    return Protected("wrapped", inner) if same and _clear(inner) else None
