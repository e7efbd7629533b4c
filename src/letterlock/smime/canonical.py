"""The canonical form of an entity before it is signed: line ends are CRLF, and lines survive any relay.

Guarantees
    What is canonical already is given back as it is, not copied. Only line ends and the transfer encoding of leaf
    parts are changed; no decoded content ever is, but for the line ends of text.

Standards
    RFC 8551 3.1.1 (canonicalisation), 3.1.2 and 3.1.3 (transfer encodings; 7bit for multipart/signed), RFC 2045 6.

See also
    ``mail/parse.py`` for the tree whose leaves are encoded anew.
"""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Callable
from typing import Final

from letterlock.mail.headers import edit
from letterlock.mail.message import Buffer, Octets
from letterlock.mail.parse import Part, parse, pieces
from letterlock.smime.base64_lines import base64_lines

_BARE: Final = re.compile(rb"\r\n|\r|\n")
_LONGEST: Final = 998  # RFC 5322 2.1.1


def is_canonical(octets: Buffer) -> bool:
    """Is every line end of it CRLF?"""
    # IncrementalNewlineDecoder notes which line ends it meets: the fastest look at them there is in the library.
    seen = io.IncrementalNewlineDecoder(None, translate=False)
    for piece in pieces(octets, 0, len(octets)):
        seen.decode(str(piece, "latin-1"))
    seen.decode("", final=True)
    return seen.newlines in (None, "\r\n")


def canonical(octets: Buffer) -> Buffer:
    """``octets`` with every line end made CRLF; the same object when they are so already."""
    return octets if is_canonical(octets) else _BARE.sub(b"\r\n", octets)


def is_seven_bit(octets: Octets) -> bool:
    """Only ASCII without NUL, in lines that every relay must take (RFC 2045 2.7). ``octets`` are canonical."""
    return octets.isascii() and b"\0" not in octets and all(len(line) <= _LONGEST for line in octets.split(b"\r\n"))


def transportable(octets: Octets) -> Octets:
    """The message with every line end CRLF, as SMTP takes it; the same object when they are so already.

    A part whose octets are no text (transfer encoding binary, 8bit outside of text, NUL inside) is encoded in base64;
    everywhere else line ends become CRLF. For opened messages: what was encrypted may be in any form.
    """
    if is_canonical(octets):
        return octets
    out: list[Buffer] = []
    _rewrite(parse(octets), out, _for_transport, canonical, b"8bit")
    return b"".join(out)


def seven_bit(octets: Octets) -> Octets:
    """The entity with leaf parts that are not 7bit encoded as quoted-printable (text) or base64 (all else).

    A relay may do the same on the way, and break the signature. Fields are left alone: an entity with octets above
    127 in its fields (RFC 6532) stays so. ``octets`` are canonical.
    """
    if is_seven_bit(octets):
        return octets
    out: list[Buffer] = []
    _rewrite(parse(octets), out, _for_seven_bit, lambda view: view, b"7bit")
    return b"".join(out)


def _for_transport(part: Part, body: bytes) -> bytes:
    binary = part.encoding == "binary" or (part.encoding == "8bit" and not part.content_type.value.startswith("text/"))
    return b"base64" if (binary or b"\0" in body) and not is_canonical(body) else b""


def _for_seven_bit(part: Part, body: bytes) -> bytes:
    if is_seven_bit(body):
        return b""
    return b"quoted-printable" if part.content_type.value.startswith("text/") and b"\0" not in body else b"base64"


def _rewrite(
    part: Part,
    out: list[Buffer],
    wanted: Callable[[Part, bytes], bytes],
    copy: Callable[[Buffer], Buffer],
    container: bytes,
) -> None:
    """Puts ``part`` behind what is in ``out``, leaves in the transfer encoding that ``wanted`` says.

    ``copy``: what becomes of octets that are not encoded; ``container``: the encoding of multiparts that had another.
    """
    octets = memoryview(part.octets)
    plain = part.encoding in ("7bit", "8bit", "binary")
    if part.children:
        at = part.body_start
        out += map(copy, _header(part, container if part.encoding in ("8bit", "binary") else b""))
        for child in part.children:
            out.append(copy(octets[at : child.start]))
            _rewrite(child, out, wanted, copy, container)
            at = child.end
        out.append(copy(octets[at : part.end]))
        return
    encoding = b""
    if plain and not part.content_type.value.startswith(("multipart/", "message/")):
        encoding = wanted(part, bytes(part.body))
    if not encoding:
        out.append(copy(octets[part.start : part.end]))
        return
    out += map(copy, _header(part, encoding))
    body = part.body
    encoded = quoted_printable(body) if encoding == b"quoted-printable" else b"".join(base64_lines((body,)))
    out.append(encoded if bytes(body[-1:]) == b"\n" else encoded.removesuffix(b"\r\n"))


def _header(part: Part, encoding: bytes) -> list[Buffer]:
    """The header and the empty line of ``part``, with this transfer encoding instead of its own unless it is empty."""
    header = Part(part.octets, part.start, part.body_start)
    if not encoding:
        return edit(header)
    field = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return edit(header, remove=(b"content-transfer-encoding",), append=(field,))


def quoted_printable(body: Buffer) -> bytes:
    """RFC 2045 6.7, line ends kept; binascii writes LF where it breaks a line."""
    return _BARE.sub(b"\r\n", binascii.b2a_qp(body, quotetabs=False, istext=True))
