"""An S/MIME message that Exchange wrapped: all of it is one winmail.dat, whose only file is the S/MIME entity.

Guarantees
    Only a message that Exchange itself calls S/MIME, with one file inside, is unwrapped; what stands around that file is not
    shown in its stead. A winmail.dat of any other kind, and a damaged one, is an attachment like others.

Standards
    [MS-OXOSMIME] 2.1.3 (how S/MIME is held: message class, exactly one attachment), [MS-OXTNEF].

See also
    ``mail/tnef.py`` (reading), ``peel.py`` (which takes off the layers of what is found), docs/decisions/0019.
"""

from __future__ import annotations

from typing import Final

from letterlock.mail.message import Message
from letterlock.mail.parse import Part, split
from letterlock.mail.tnef import SIGNATURE, TnefInvalid, read
from letterlock.smime.mime import is_multipart_signed

_TYPES: Final = ("application/ms-tnef", "application/vnd.ms-tnef")
_OPAQUE: Final = (".SMIME", ".SMIME.MULTIPARTSIGNED")
_BESIDE: Final = 2  # empty texts that may stand beside it
_MOST_BLANK: Final = 1_000
# As a file by its name, so that one that is no CMS object is taken for none.
_HEADER: Final = (
    b'Content-Type: application/octet-stream; name="smime.p7m"\r\nContent-Transfer-Encoding: binary\r\n\r\n'
)


def unwrapped(entity: Part) -> Part | None:
    """The S/MIME entity inside, in octets of its own; None: the entity as a whole is no wrapped S/MIME message."""
    part = _only_tnef(entity)
    if part is None:
        return None
    pieces = list(part.decoded())
    if not pieces or bytes(pieces[0][: len(SIGNATURE)]) != SIGNATURE:
        return None
    try:
        wrapping = read(b"".join(pieces))
    except TnefInvalid:
        return None
    if len(wrapping.attachments) != 1 or not wrapping.message_class.upper().endswith(_OPAQUE):
        return None
    data = wrapping.attachments[0].data
    if not data:
        return None
    if data[0] == 0x30:  # a CMS object (RFC 5652 3); which one, peel looks
        return Part(_HEADER + bytes(data))
    inside = Part.of(Message(bytes(data)))
    return inside if is_multipart_signed(inside) else None


def is_tnef(part: Part) -> bool:
    """Does the part say that it is a winmail.dat?"""
    kind = part.content_type.value
    return kind in _TYPES or (kind == "application/octet-stream" and part.filename.lower() == "winmail.dat")


def _only_tnef(entity: Part) -> Part | None:
    """The winmail.dat that is all there is; beside it Exchange leaves an empty text."""
    if is_tnef(entity):
        return entity
    kind = entity.content_type
    boundary = kind.parameters.get("boundary", "").encode("utf-8", "replace")
    if kind.value != "multipart/mixed" or not any(map(_fits, _children(entity, boundary, 1))):
        return None  # as nearly all mail: its first part is a text
    parts = _children(entity, boundary, _BESIDE + 2)
    found = [each for each in parts if is_tnef(each)]
    return found[0] if len(found) == 1 and len(parts) <= _BESIDE + 1 and all(map(_fits, parts)) else None


def _children(entity: Part, boundary: bytes, most: int) -> list[Part]:
    places = split(entity.octets, entity.body_start, entity.end, boundary, most).children
    return [Part(entity.octets, start, end) for start, end in places]


def _fits(part: Part) -> bool:
    return is_tnef(part) or (part.content_type.value == "text/plain" and _is_blank(part))


def _is_blank(part: Part) -> bool:
    return len(part.body) <= _MOST_BLANK and not b"".join(part.decoded()).strip()
