"""The facts of the message itself: who wrote it, who is named in it, what it asks for.

Guarantees
    Addresses are read from undecoded values, strictly: a field that two readers could take differently names nobody, so
    that its message is not signed and its recipients get messages of their own.
    A message counts as encrypted by its sender only when it is really enveloped data, from its first octet to its
    last: a Content-Type alone, a damaged object, or text before, inside or after one lets nothing past mandatory
    encryption. Not told apart: enveloped data forged with text where ciphertext belongs; client_encrypted = hold
    answers that.

Standards
    RFC 5322 3.6.2 and 3.6.3 (From, To, Cc), RFC 3834 5 (Auto-Submitted), RFC 2919 (List-Id); RFC 5652 3 and 6.1,
    RFC 5083 2.1 (enveloped data), RFC 2045 6.8 (base64).

See also
    ``mail/decoded.py``, which reads the values; ``known.MessageFacts``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, Literal

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, Reader
from letterlock.decision.known import MessageFacts
from letterlock.mail import decoded
from letterlock.mail.message import Buffer, Entity
from letterlock.mail.parse import Part
from letterlock.pki.certificate import match_form
from letterlock.smime.header_writing import obstacle

_TYPES: Final = frozenset(
    {"application/pkcs7-mime", "application/x-pkcs7-mime", "application/pkcs7", "application/octet-stream"}
)
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/\r\n\t "
_PADDING: Final = b"=\r\n\t "
_PIECE: Final = 1 << 16


class DecodedFields:
    """The header as triggers look at it: names to decoded values. ``subject``: a protected one, after those outside."""

    __slots__ = ("_entity", "_subject")

    def __init__(self, entity: Entity, subject: str | None = None) -> None:
        self._entity = entity
        self._subject = subject

    def values(self, name: str) -> list[str]:
        """See ``policy.triggers.Fields``."""
        found = [decoded.text(value) for value in self._entity.values(name.lower().encode("ascii", "replace"))]
        if self._subject is not None and name.lower() == "subject":
            found.append(self._subject)
        return found


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
    """The facts of a message as it came. ``octets``: its size; the rest is what the caller found out (MessageFacts).

    ``protected``: what the message says of itself; "encrypted" is believed only when it really is enveloped data.
    """
    if protected == "encrypted" and not is_enveloped(message):
        protected = "none"
    return MessageFacts(
        fields=DecodedFields(message),
        octets=octets,
        authors=_authors(message),
        named=named(message),
        protected=protected,
        calendar=calendar,
        inbound_mark=inbound_mark,
        automatic=is_automatic(message),
        report=is_report(message),
        hops=hops,
        looped=frozenset(looped),
        unprotectable=obstacle(message),
        ascii=bytes(memoryview(message.octets)[message.start : message.header_end]).isascii(),
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


def is_report(message: Entity) -> bool:
    """A delivery report, whoever says that he sent it."""
    for value in message.values(b"content-type"):
        kind = decoded.parameters(value)
        if kind.value == "multipart/report":
            return kind.parameters.get("report-type", "delivery-status").lower() == "delivery-status"
    return False


def is_automatic(message: Entity) -> bool:
    """Made by a program or sent by a list: no notice of success answers it."""
    if any(value.strip().lower() != b"no" for value in message.values(b"auto-submitted")):
        return True
    return bool(message.values(b"list-id"))


def is_enveloped(message: Entity) -> bool:
    """Whether the message as a whole is one EnvelopedData or AuthEnvelopedData with recipients and content."""
    part = Part(message.octets)
    if part.content_type.value not in _TYPES:
        return False
    try:
        if part.encoding == "base64":
            return _is_pure_base64(part) and _reads_through(part.decoded())
        return part.encoding in ("7bit", "8bit", "binary") and _reads_through(_without_last_line_end(part))
    except BerError:
        return False


def _is_pure_base64(part: Part) -> bool:
    """Nothing but base64 in the body, nothing but padding and blanks from the first "=" on: decoders pass over the rest."""
    octets, end = part.octets, part.end
    padding = octets.find(b"=", part.body_start, end)
    if padding >= 0:
        if bytes(octets[padding:end]).strip(_PADDING):
            return False
        end = padding
    return all(
        not bytes(octets[at : min(at + _PIECE, end)]).translate(None, _BASE64)
        for at in range(part.body_start, end, _PIECE)
    )


def _without_last_line_end(part: Part) -> Iterator[Buffer]:
    """The body of a binary part; SMTP may have added a line end after it."""
    body = part.body
    yield body[:-2] if bytes(body[-2:]) == b"\r\n" else body


def _reads_through(source: Iterator[Buffer]) -> bool:
    """Whether ``source`` is exactly one such object. Raises BerError where it is damaged."""
    reader = Reader(source)
    outer = reader.enter(der.SEQUENCE)
    if reader.element(der.OID).raw not in (oid.ENVELOPED_DATA, oid.AUTH_ENVELOPED_DATA):
        return False
    content = reader.enter(0xA0)
    data = reader.enter(der.SEQUENCE)
    reader.element(der.INTEGER)
    if reader.peek() == 0xA0:  # originatorInfo
        reader.skip()
    recipients = 0
    infos = reader.enter(der.SET)
    while reader.more(infos):
        reader.skip()
        recipients += 1
    reader.leave(infos)
    info = reader.enter(der.SEQUENCE)
    reader.element(der.OID)
    reader.element(der.SEQUENCE)
    octets = sum(len(piece) for piece in reader.octets(0x80))
    reader.leave(info)
    while reader.more(data):  # attributes; the tag of authenticated data
        reader.skip()
    for end in (data, content, outer):
        reader.leave(end)
    return recipients > 0 and octets > 0 and _is_over(reader)


def _is_over(reader: Reader) -> bool:
    """Nothing follows."""
    try:
        reader.peek()
    except BerError:
        return True
    return False
