"""The facts of the message itself: who wrote it, who is named in it, what it asks for.

Guarantees
    Addresses are read from undecoded values, strictly: a field that two readers could take differently names nobody, so
    that its message is not signed and its recipients get messages of their own.

Standards
    RFC 5322 3.6.2 and 3.6.3 (From, To, Cc), RFC 3834 5 (Auto-Submitted), RFC 2919 (List-Id).

See also
    ``mail/decoded.py``, which reads the values; ``known.MessageFacts``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from letterlock.decision.known import MessageFacts
from letterlock.mail import decoded
from letterlock.mail.message import Entity
from letterlock.pki.certificate import match_form


class DecodedFields:
    """The header as triggers look at it: names to decoded values."""

    __slots__ = ("_entity",)

    def __init__(self, entity: Entity) -> None:
        self._entity = entity

    def values(self, name: str) -> list[str]:
        """See ``policy.triggers.Fields``."""
        return [decoded.text(value) for value in self._entity.values(name.lower().encode("ascii", "replace"))]


def message_facts(
    message: Entity,
    octets: int,
    *,
    protected: Literal["none", "signed", "encrypted"] = "none",
    calendar: bool = False,
    inbound_mark: bool = False,
    hops: int = 0,
    looped: Iterable[str] = (),
) -> MessageFacts:
    """The facts of a message as it came. ``octets``: its size; the rest is what the caller found out (MessageFacts)."""
    return MessageFacts(
        fields=DecodedFields(message),
        octets=octets,
        authors=_authors(message),
        named=named(message),
        protected=protected,
        calendar=calendar,
        inbound_mark=inbound_mark,
        automatic=is_automatic(message),
        hops=hops,
        looped=frozenset(looped),
    )


def named(message: Entity) -> frozenset[str]:
    """The addresses of To and Cc in match_form. A field that cannot be read without doubt names nobody."""
    found: set[str] = set()
    for name in (b"to", b"cc"):
        for value in message.values(name):
            found.update(map(match_form, _addresses(value) or ()))
    return frozenset(found)


def _authors(message: Entity) -> tuple[str, ...]:
    """The addresses of all From fields; none when one cannot be read without doubt."""
    read = [_addresses(value) for value in message.values(b"from")]
    return () if None in read else tuple(address for each in read if each for address in each)


def _addresses(value: bytes) -> tuple[str, ...] | None:
    """The addresses of one field; None when it cannot be read without doubt."""
    return _short(value) if len(value) <= _SHORT else _read(value)


def _read(value: bytes) -> tuple[str, ...] | None:
    try:
        return tuple(str(mailbox.address) for mailbox in decoded.mailboxes(value))
    except decoded.UnclearMailboxes:
        return None


_SHORT = 200
_short = lru_cache(maxsize=4096)(_read)
"""The same few people write to one another all day."""


def is_automatic(message: Entity) -> bool:
    """Made by a program or sent by a list: no notice of success answers it."""
    if any(value.strip().lower() != b"no" for value in message.values(b"auto-submitted")):
        return True
    return bool(message.values(b"list-id"))
