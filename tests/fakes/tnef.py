"""A winmail.dat as Exchange makes it, and one with any fault a test asks for ([MS-OXTNEF] 2.1.3)."""

from __future__ import annotations

import struct
from base64 import encodebytes
from collections.abc import Sequence

SIGNATURE = b"\x78\x9f\x3e\x22"
MESSAGE, ATTACHMENT = 1, 2
VERSION, CLASS, CODEPAGE = 0x00089006, 0x00078008, 0x00069007
RENDERING, TITLE, DATA, PROPERTIES = 0x00069002, 0x00018010, 0x0006800F, 0x00069005


def attribute(level: int, name: int, data: bytes, *, length: int | None = None) -> bytes:
    """One attribute with its checksum. ``length``: told instead of the true one."""
    told = len(data) if length is None else length
    return struct.pack("<BII", level, name, told) + data + struct.pack("<H", sum(data) & 0xFFFF)


def stream(*attributes: bytes) -> bytes:
    """A TNEF stream of these attributes."""
    return SIGNATURE + struct.pack("<H", 1) + b"".join(attributes)


def attachment(name: str, data: bytes) -> bytes:
    """The attributes of one file."""
    rendering = struct.pack("<HIHHI", 1, 0xFFFFFFFF, 32, 32, 0)
    return (
        attribute(ATTACHMENT, RENDERING, rendering)
        + attribute(ATTACHMENT, TITLE, name.encode() + b"\0")
        + attribute(ATTACHMENT, DATA, data)
    )


def wrapping(data: bytes, *, name: str = "smime.p7m", message_class: str = "IPM.Note.SMIME") -> bytes:
    """The stream of a message with one file."""
    return stream(
        attribute(MESSAGE, VERSION, struct.pack("<I", 0x00010000)),
        attribute(MESSAGE, CODEPAGE, struct.pack("<II", 1252, 0)),
        attribute(MESSAGE, CLASS, message_class.encode() + b"\0"),
        attachment(name, data),
    )


def entity(octets: bytes, kind: str = "application/ms-tnef") -> bytes:
    """The stream as a MIME entity."""
    body = encodebytes(octets).replace(b"\n", b"\r\n")
    return (
        f'Content-Type: {kind}; name="winmail.dat"\r\nContent-Transfer-Encoding: base64\r\n'
        'Content-Disposition: attachment; filename="winmail.dat"\r\n\r\n'
    ).encode() + body


def mixed(*entities: bytes) -> bytes:
    """The entities in one multipart/mixed."""
    parts = b"".join(b"--mm\r\n" + each + b"\r\n" for each in entities)
    return b'Content-Type: multipart/mixed; boundary="mm"\r\n\r\n' + parts + b"--mm--\r\n"


TEXT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"


def texts(*contents: bytes) -> Sequence[bytes]:
    """Text entities."""
    return [TEXT + each for each in contents]
