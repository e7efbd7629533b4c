"""What is in a winmail.dat: the attributes of Exchange's wrapping format, as far as mail needs them.

Guarantees
    Whatever the octets are, reading them ends in a Wrapping or in TnefInvalid, after work proportional to their number; no
    attachment is copied, and nothing is larger than what came. Only the stream's own attributes are read: properties inside
    attributes (MAPI), embedded objects and compressed text are passed over.

Standards
    [MS-OXTNEF] 2.1.3 (stream: signature, key, attributes with level, id, length, data and checksum). Checksums are not
    compared: they tell of damage, not of intent, and what is taken from here is checked by its own means.

Raises
    TnefInvalid.

See also
    ``smime/mime.py``, which looks for an S/MIME message in it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from letterlock.errors import PermanentError

SIGNATURE: Final = b"\x78\x9f\x3e\x22"
MAX_ATTRIBUTES: Final = 2_000
MAX_ATTACHMENTS: Final = 100
MAX_NAME_OCTETS: Final = 1_000

_ATTRIBUTE: Final = struct.Struct("<BII")  # level, id with type, length
_CHECKSUM: Final = 2
_MESSAGE, _ATTACHMENT = 1, 2
_MESSAGE_CLASS: Final = 0x00078008
_RENDERING: Final = 0x00069002  # begins an attachment
_TITLE: Final = 0x00018010
_DATA: Final = 0x0006800F


class TnefInvalid(PermanentError):
    """The wrapping of the attachment (TNEF) is damaged."""


class Attachment(NamedTuple):
    """A file inside. ``data`` None: it is of a kind that is passed over."""

    title: str
    data: memoryview | None


class Wrapping(NamedTuple):
    """``message_class``: what kind of message Exchange holds it for, such as IPM.Note.SMIME; empty: not told."""

    message_class: str
    attachments: tuple[Attachment, ...]


def read(octets: bytes) -> Wrapping:
    """The message class and the attachments of a TNEF stream. Raises TnefInvalid."""
    if not octets.startswith(SIGNATURE):
        raise TnefInvalid(detail="signature")
    whole = memoryview(octets)
    classes: list[str] = []
    attachments: list[Attachment] = []
    at, attributes = len(SIGNATURE) + 2, 0  # the key stands between
    while octets[at : at + _ATTRIBUTE.size].strip(b"\0\r\n"):
        attributes += 1
        if attributes > MAX_ATTRIBUTES or at + _ATTRIBUTE.size > len(octets):
            raise TnefInvalid(detail=f"attribute {attributes} at {at}")
        level, name, length = _ATTRIBUTE.unpack_from(octets, at)
        start = at + _ATTRIBUTE.size
        at = start + length + _CHECKSUM
        if at > len(octets) or level not in (_MESSAGE, _ATTACHMENT):
            raise TnefInvalid(detail=f"attribute {name:#x} of {length} octets at {start}")
        data = whole[start : start + length]
        if level == _MESSAGE and name == _MESSAGE_CLASS:
            classes.append(_text(data))
        elif level == _ATTACHMENT:
            _attachment(attachments, name, data)
    if bytes(whole[at:]).strip(b"\0\r\n") or len(classes) > 1:
        raise TnefInvalid(detail="octets after the last attribute, or two message classes")
    return Wrapping(classes[0] if classes else "", tuple(attachments))


def _attachment(attachments: list[Attachment], name: int, data: memoryview) -> None:
    if name == _RENDERING:
        if len(attachments) == MAX_ATTACHMENTS:
            raise TnefInvalid(detail="too many attachments")
        attachments.append(Attachment("", None))
        return
    if not attachments:
        raise TnefInvalid(detail="data of no attachment")
    last = attachments[-1]
    if name == _TITLE and not last.title:
        attachments[-1] = last._replace(title=_text(data))
    elif name == _DATA:
        if last.data is not None:
            raise TnefInvalid(detail="an attachment has data twice")
        attachments[-1] = last._replace(data=data)


def _text(data: memoryview) -> str:
    """A text up to its NUL; names are ASCII for those who look at them here."""
    if len(data) > MAX_NAME_OCTETS:
        raise TnefInvalid(detail=f"a name of {len(data)} octets")
    return bytes(data).partition(b"\0")[0].decode("ascii", "replace")
