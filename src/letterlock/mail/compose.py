"""Build a new message: notices, reports, portal replies.

Guarantees
    Lines end with CRLF and are at most 998 octets long. No value given can begin a new field or end the header: control
    characters in texts become spaces, and a name or address that is not one is refused.
    A text that is not plain ASCII, or that could be taken for an encoded word, is encoded; so it is shown as given.
    The header is ASCII unless an address has a UTF-8 local part (RFC 6532).

Standards
    RFC 5322 2 and 3 (lines, fields), RFC 2045 6 (transfer encodings), RFC 2046 5.1 (multipart), RFC 2047 (encoded
    words), RFC 2231 4 (file names), RFC 6532 3 (UTF-8 addresses).

Raises
    ValueError for a field name, media type or parameter that is not one; AddressInvalid.
"""

from __future__ import annotations

import binascii
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import quote

import pybase64

from letterlock.mail.address import Address

CRLF = b"\r\n"
MAX_LINE_OCTETS = 998  # RFC 5322 2.1.1, without the CRLF

_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}\Z")  # RFC 5322 2.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]{1,100}\Z")  # RFC 2045 5.1
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*\Z")  # atoms and spaces
_LONG_LINE = re.compile(rb"[^\n]{999}")
_BREAK = re.compile(r"\r\n|\r|\n")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE = 76  # RFC 2047 2: a line with an encoded word
_FOLD = 78  # RFC 5322 2.1.1

Encoding = Literal["7bit", "8bit", "quoted-printable", "base64"]


class Part(NamedTuple):
    """A MIME entity. ``fields``: whole header fields with CRLF; ``body``: encoded octets."""

    fields: tuple[bytes, ...]
    body: bytes

    def octets(self) -> bytes:
        """Header, empty line, body."""
        return b"".join(self.fields) + CRLF + self.body


def clean(text: str) -> str:
    """``text`` on one line: each control character or line separator a space, lone surrogates a question mark."""
    one_line = "".join(" " if ord(c) < 32 or c in "\x7f\x85\u2028\u2029" else c for c in text)
    return one_line.encode("utf-8", "replace").decode("utf-8").strip()


def field(name: str, value: str) -> bytes:
    """An unstructured field, encoded and folded where needed."""
    if not _FIELD_NAME.match(name):
        raise ValueError(f"not a field name: {name[:100]!r}")
    return _fold(f"{name}:", _words(clean(value), len(name) + 2))


def address_field(name: str, mailboxes: Iterable[tuple[str, str]]) -> bytes:
    """A field of mailboxes, each (display name or "", address). Raises AddressInvalid."""
    if not _FIELD_NAME.match(name):
        raise ValueError(f"not a field name: {name[:100]!r}")
    pieces: list[str] = []
    for display, text in mailboxes:
        address = str(Address.parse(text))
        if pieces:
            pieces[-1] += ","
        shown = clean(display)
        if not shown:
            pieces.append(address)
            continue
        if _PHRASE.match(shown) and "=?" not in shown and len(shown) < 200:
            pieces.extend(shown.split())
        elif shown.isascii() and "=?" not in shown and len(shown) < 200:
            pieces.append('"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"')
        else:
            pieces.extend(_encoded_words(shown, len(name) + 2))
        pieces.append(f"<{address}>")
    if not pieces:
        raise ValueError("a field of addresses needs one")
    return _fold(f"{name}:", pieces)


def date_field(seconds: float) -> bytes:
    """The Date field for ``seconds`` since the Unix epoch, in UTC."""
    return b"Date: " + date(seconds).encode("ascii") + CRLF


def date(seconds: float) -> str:
    """A date-time of RFC 5322 3.3, in UTC; never in the process's language."""
    return _date(int(seconds))


@lru_cache(maxsize=256)  # many messages come within a second
def _date(second: int) -> str:
    moment = time.gmtime(second)
    day = _DAYS[moment.tm_wday]
    month = _MONTHS[moment.tm_mon - 1]
    clock = f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}"
    return f"{day}, {moment.tm_mday:02} {month} {moment.tm_year:04} {clock} +0000"


def new_message_id(host: str) -> str:
    """A Message-ID, angle brackets included; ``host`` names who made it."""
    return f"<{secrets.token_urlsafe(18)}@{Address.parse(f'x@{host}').domain}>"


def text(content: str, subtype: str = "plain") -> Part:
    """A text part in UTF-8 or ASCII; line ends become CRLF, and the encoding is the plainest that carries it."""
    lines = _BREAK.split(content.replace("\x00", " "))
    octets = "\r\n".join(lines).encode("utf-8", "replace")
    if not octets.endswith(CRLF):
        octets += CRLF
    charset = "us-ascii" if octets.isascii() else "utf-8"
    fields = [media_field(f"text/{subtype}", {"charset": charset})]
    encoding, body = _encode_text(octets)
    return Part((*fields, _encoding_field(encoding)), body)


def attachment(octets: bytes, media_type: str, name: str = "") -> Part:
    """A file, base64. ``name``: as shown to the reader; directories in it are the reader's business."""
    parameters = {"name": name} if name else {}
    disposition = _fold("Content-Disposition:", ["attachment", *_parameters({"filename": name} if name else {})])
    return Part((media_field(media_type, parameters), _encoding_field("base64"), disposition), base64_lines(octets))


def literal(octets: bytes, media_type: str, parameters: Mapping[str, str] | None = None) -> Part:
    """A part whose octets stay as they are: message/rfc822, delivery-status. Labelled 7bit or 8bit."""
    encoding: Encoding = "7bit" if octets.isascii() else "8bit"
    return Part((media_field(media_type, parameters or {}), _encoding_field(encoding)), octets)


def multipart(subtype: str, parts: Sequence[Part], parameters: Mapping[str, str] | None = None) -> Part:
    """Parts in one; the boundary is random and occurs in none of them (RFC 2046 5.1)."""
    bodies = [each.octets() for each in parts]
    boundary = f"=_{secrets.token_hex(16)}"
    while any(boundary.encode() in each for each in bodies):
        boundary = f"=_{secrets.token_hex(16)}"
    mark = b"--" + boundary.encode()
    body = b"".join(mark + CRLF + each + CRLF for each in bodies) + mark + b"--" + CRLF
    fields = [media_field(f"multipart/{subtype}", {**(parameters or {}), "boundary": boundary})]
    if not all(each.isascii() for each in bodies):
        fields.append(_encoding_field("8bit"))
    return Part(tuple(fields), body)


def message(fields: Iterable[bytes], content: Part) -> bytes:
    """A whole message: ``fields`` made by the functions above, then the content."""
    return b"".join(fields) + b"MIME-Version: 1.0\r\n" + content.octets()


def media_field(media_type: str, parameters: Mapping[str, str]) -> bytes:
    """A Content-Type field; parameters that are not ASCII go by RFC 2231."""
    kind, _, subtype = media_type.partition("/")
    if not (_TOKEN.match(kind) and _TOKEN.match(subtype)):
        raise ValueError(f"not a media type: {media_type[:100]!r}")
    return _fold("Content-Type:", [media_type, *_parameters(parameters)])


def base64_lines(octets: bytes) -> bytes:
    """Base64 in lines of 76 characters with CRLF (RFC 2045 6.8)."""
    flat = pybase64.b64encode(octets)
    return b"".join(flat[start : start + 76] + CRLF for start in range(0, len(flat), 76))


def _encoding_field(encoding: Encoding) -> bytes:
    return b"Content-Transfer-Encoding: " + encoding.encode("ascii") + CRLF


def _encode_text(octets: bytes) -> tuple[Encoding, bytes]:
    """The plainest encoding that carries the octets; never 8bit, since not every next hop takes it."""
    if octets.isascii() and not _LONG_LINE.search(octets):
        return "7bit", octets
    foreign = sum(each > 126 for each in octets)
    if foreign * 4 > len(octets):
        return "base64", base64_lines(octets)
    # istext keeps line ends; the library takes CRLF for soft breaks since the text has CRLF.
    return "quoted-printable", binascii.b2a_qp(octets, istext=True)


def _parameters(parameters: Mapping[str, str]) -> list[str]:
    """``; name=value`` pieces; each follows the piece before it without a space."""
    pieces: list[str] = []
    for name, given in parameters.items():
        if not _TOKEN.match(name):
            raise ValueError(f"not a parameter name: {name[:100]!r}")
        value = clean(given)
        if not value.isascii() or len(value) > 200:
            # RFC 2231 4.1: extended, and in sections, since one line holds 78 characters
            encoded = quote(value[:500], safe="")
            sections = _sections(encoded, 48)
            if len(sections) == 1:
                pieces.append(f"; {name}*=utf-8''{encoded}")
            else:
                pieces += [
                    f"; {name}*{number}*={'utf-8' + chr(39) * 2 if number == 0 else ''}{each}"
                    for number, each in enumerate(sections)
                ]
        elif _TOKEN.match(value):
            pieces.append(f"; {name}={value}")
        else:
            pieces.append(f'; {name}="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return pieces


def _sections(encoded: str, length: int) -> list[str]:
    """``encoded`` cut into runs, no percent escape cut in two."""
    found = []
    while encoded:
        cut = length
        while cut < len(encoded) and (encoded[cut - 1] == "%" or encoded[cut - 2] == "%"):
            cut -= 1
        found.append(encoded[:cut])
        encoded = encoded[cut:]
    return found


def _words(value: str, used: int) -> list[str]:
    """The words of an unstructured value; encoded as a whole when any of it must be."""
    if value.isascii() and "=?" not in value and all(len(each) < 900 for each in value.split(" ")):
        return value.split()
    return _encoded_words(value, used)


def _encoded_words(value: str, used: int) -> list[str]:
    """Encoded words of at most 75 characters; the first leaves room for the ``used`` ones before it (RFC 2047 2)."""
    words: list[str] = []
    run = b""
    room = max((_LINE - used - 12) // 4 * 3, 6)
    for character in value:
        octets = character.encode("utf-8")
        if len(run) + len(octets) > room:
            words.append(_encoded_word(run))
            run, room = b"", 45
        run += octets
    return [*words, _encoded_word(run)]


def _encoded_word(octets: bytes) -> str:
    return f"=?utf-8?B?{pybase64.b64encode(octets).decode('ascii')}?="


def _fold(start: str, pieces: Sequence[str]) -> bytes:
    """A field of pieces with spaces between them, folded before a piece that would pass the line (RFC 5322 2.2.3)."""
    lines = [start]
    for each in pieces:
        piece = each
        if each.startswith("; "):  # a parameter: the semicolon stays on the line before
            lines[-1] += ";"
            piece = each[2:]
        if len(lines[-1]) + 1 + len(piece) > _FOLD and lines[-1].strip() != start:
            lines.append(" " + piece)
        else:
            lines[-1] += " " + piece
    return "\r\n".join(lines).encode("utf-8") + CRLF
