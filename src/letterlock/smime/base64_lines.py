"""base64 in lines, as mail wants it.

Guarantees
    Lines of 76 characters ended by CRLF, the last one too; nothing more is held than 22 KiB.

Standards
    RFC 2045 6.8.

See also
    bench/cms.py. No library writes CRLF lines: cutting what pybase64 makes with struct, which costs 14 ns a line for its
    object and 8 for joining, is the fastest there is without code of our own (pybase64.encodebytes with its LF replaced
    takes three times as long).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import pybase64

from letterlock.mail.message import Buffer

_LINE: Final = 76
_LINES: Final = 400  # so many stay in the processor's cache
_STEP: Final = 57 * _LINES  # 57 octets make a line
_cut: Final = struct.Struct("76s" * _LINES + "0s").unpack  # the empty one at the end ends the last line


def base64_lines(parts: Iterable[Buffer]) -> Iterator[bytes]:
    """base64 in CRLF lines of 76 characters, in pieces of about 30 KiB."""
    carry = b""
    join, encode, cut = b"\r\n".join, pybase64.b64encode, _cut
    for part in parts:
        view = memoryview(part)
        at = 0
        if carry:
            at = _STEP - len(carry)
            carry += view[:at]
            if len(carry) < _STEP:
                continue
            yield join(cut(encode(carry)))
        last = len(view) - _STEP
        while at <= last:
            yield join(cut(encode(view[at : at + _STEP])))
            at += _STEP
        carry = bytes(view[at:])
    if carry:
        yield _last_lines(carry)


def _last_lines(octets: bytes) -> bytes:
    """At most _STEP octets as lines."""
    encoded = pybase64.b64encode(octets)
    whole = len(encoded) // _LINE
    lines = _struct_of(whole).unpack_from(encoded)
    rest = encoded[whole * _LINE :]
    return b"\r\n".join((*lines, rest, b"") if rest else (*lines, b""))


@lru_cache(maxsize=_LINES + 1)
def _struct_of(lines: int) -> struct.Struct:
    return struct.Struct("76s" * lines)
