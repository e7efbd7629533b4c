"""Write DER: each function returns the octets of one complete element.

Guarantees
    Lengths are definite and minimal, SET OF is sorted, INTEGER is minimal: DER comes out whenever the parts are DER.

Standards
    X.690 8 and 10; RFC 5652 11.3 for the choice between UTCTime and GeneralizedTime.

See also
    ``ber.py`` reads; ``oid.py`` makes object identifiers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL_TAG: Final = 0x05
OID: Final = 0x06
UTF8_STRING: Final = 0x0C
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

NULL: Final = b"\x05\x00"


def header(tag: int, length: int) -> bytes:
    """Identifier and definite length octets of an element whose content has ``length`` octets."""
    if length < 0x80:
        return bytes((tag, length))
    if length < 0x100:
        return bytes((tag, 0x81, length))
    if length < 0x10000:
        return bytes((tag, 0x82, length >> 8, length & 0xFF))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element with this identifier octet; its content is the parts one after the other."""
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    return header(tag, len(content)) + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of the given elements."""
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF the given elements, sorted (X.690 11.6)."""
    return tlv(SET, *sorted(parts))


def octet_string(content: bytes) -> bytes:
    """Primitive OCTET STRING."""
    return tlv(OCTET_STRING, content)


def bit_string(content: bytes) -> bytes:
    """BIT STRING without unused bits."""
    return tlv(BIT_STRING, b"\0", content)


def integer(value: int) -> bytes:
    """INTEGER in two's complement, as short as can be."""
    octets = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tlv(INTEGER, value.to_bytes(octets, "big", signed=True))


def boolean(value: bool) -> bytes:
    """BOOLEAN."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def explicit(number: int, *parts: bytes) -> bytes:
    """[number] EXPLICIT, or a constructed [number] IMPLICIT: the same octets. ``number`` below 31."""
    return tlv(0xA0 | number, *parts)


def implicit(number: int, content: bytes) -> bytes:
    """Primitive [number] IMPLICIT. ``number`` below 31."""
    return tlv(0x80 | number, content)


def retag(tag: int, element: bytes) -> bytes:
    """The element with another identifier octet, as IMPLICIT tagging does."""
    return bytes((tag,)) + element[1:]


def time(at: datetime) -> bytes:
    """Time: UTCTime from 1950 to 2049, GeneralizedTime else. ``at`` is aware; fractions of a second are dropped."""
    utc = at.astimezone(UTC)
    if 1950 <= utc.year < 2050:
        return tlv(UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return tlv(GENERALIZED_TIME, f"{utc.year:04}{utc.strftime('%m%d%H%M%SZ')}".encode("ascii"))
