"""Legacy display elements: hidden header fields shown once more in the text, for programs that do not know better.

Guarantees
    elements() changes the main text of a message and nothing else: attachments, and what is signed or encrypted inside,
    stay as they are. removals() takes away only what has exactly the announced form: lines of header fields up to an
    empty one, or the one element of that class; anything else stays. Both answer with splices; nothing is written again.

Standards
    RFC 9788 2.1 (hp-legacy-display), 5.2.2 and 5.2.3 (writing), 4.5.3 (not shown by readers that know), RFC 9787 7.1
    (main body parts). The element of draft-autocrypt-lamps-protected-headers is a part of its own; it is removed too.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from letterlock.mail.message import Buffer, Field, Octets
from letterlock.mail.parse import Part, parse
from letterlock.smime.base64_lines import base64_lines
from letterlock.smime.canonical import quoted_printable

MOST_OCTETS: Final = 4 << 20
"""A text longer than this is left alone."""
_HEAD: Final = 64 << 10  # of an HTML document: where its body is looked for
_MOST_SHOWN: Final = 800  # octets of the line shown: it must fit a line of a message (RFC 5322 2.1.1)
_PARAMETER: Final = b'hp-legacy-display="1"'
_KINDS: Final = ("text/plain", "text/html")
_BODY: Final = re.compile(rb"<body\b[^>]{0,2000}>", re.IGNORECASE)
_LINES: Final = re.compile(rb"(?:[!-9;-~]{1,70}:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n){0,50}){1,20}\r?\n")
_ELEMENT: Final = re.compile(
    rb"\s{0,100}(<div\s+class=[\"']?header-protection-legacy-display[\"']?\s*>(?:(?!</?div)[^\0]){0,8000}?</div>\s{0,2})",
    re.IGNORECASE,
)
_ASCII: Final = re.compile(rb";[ \t\r\n]*charset=(?:\"us-ascii\"|us-ascii)(?=[ \t\r\n;])", re.IGNORECASE)
_MARK: Final = re.compile(rb";[ \t\r\n]*(?:hp|hp-legacy-display)=(?:\"[^\"\r\n]*\"|[^\s;\"]*)", re.IGNORECASE)


class Splice(NamedTuple):
    """``octets`` in place of what stands from ``start`` to ``end``."""

    start: int
    end: int
    octets: bytes


def spliced(octets: Octets, start: int, end: int, splices: Iterable[Splice]) -> list[Buffer]:
    """``octets[start:end]`` with the splices that lie inside, as buffers that follow one another."""
    whole = memoryview(octets)
    parts: list[Buffer] = []
    for each in sorted(splices):
        if start <= each.start and each.end <= end and each.start >= start:
            parts += (whole[start : each.start], each.octets)
            start = each.end
    parts.append(whole[start:end])
    return [each for each in parts if len(each)]


def with_parameters(part: Part, field: Field, parameter: bytes) -> Splice:
    """Adds a parameter to a Content-Type field that is clear; at its end, so that what is there stays as it is."""
    raw = bytes(part.octets[field.start : field.end])
    kept = len(raw.rstrip(b" \t\r\n;"))
    return Splice(field.start + kept, field.end, b";\r\n " + parameter + b"\r\n")


def main_parts(root: Part) -> Iterator[Part]:
    """The parts that are the message to its reader (RFC 9787 7.1): the first of each multipart, all of an alternative."""
    stack = [root]
    while stack:
        part = stack.pop()
        kind = part.content_type.value
        if part.disposition.value == "attachment" or kind in ("multipart/signed", "multipart/encrypted"):
            continue
        if kind == "multipart/alternative":
            stack += reversed(part.children)
        elif kind.startswith("multipart/"):
            stack += part.children[:1]
        elif kind in _KINDS:
            yield part


# ---- writing


def elements(message: Part, subject: str) -> list[Splice]:
    """Shows ``subject`` at the beginning of each main text of the message (RFC 9788 5.2.2, 5.2.3).

    A text without a Content-Type gets one, by a splice at the start of its header.
    """
    found: list[Splice] = []
    for part in main_parts(parse(message.octets, message.start, message.end)):
        headless = part.start != message.start and part.header_end == part.end  # no empty line: where would text go?
        if part.content_type.clear and part.complete and len(part.body) <= MOST_OCTETS and not headless:
            found += _element(part, subject)
    return found


def _element(part: Part, subject: str) -> Iterator[Splice]:
    is_html = part.content_type.value == "text/html"
    line = f"Subject: {subject}"
    charset = part.content_type.parameters.get("charset", "us-ascii")
    wider = charset.lower() == "us-ascii" and not subject.isascii()
    if wider:
        charset = "utf-8"
    try:
        if codecs.lookup(charset).encode("Az\r\n")[0] != b"Az\r\n":
            return
        shown = html.escape(line, quote=False) if is_html else line
        new = shown.encode(charset, "xmlcharrefreplace" if is_html else "replace")
    except (LookupError, UnicodeError, ValueError):
        return
    if len(new) > _MOST_SHOWN or b"\r" in new or b"\n" in new:
        return
    encoding = part.encoding
    if encoding not in ("7bit", "8bit", "binary", "quoted-printable", "base64"):
        return
    content = bytes(part.body) if encoding in ("7bit", "8bit", "binary") else b"".join(part.decoded())
    at = 0
    if is_html:
        at = _body_at(content)
        new = b'<div class="header-protection-legacy-display"><pre>' + new + b"</pre></div>\r\n"
    else:
        new += b"\r\n\r\n"
    yield _type(part, wider=wider)
    if encoding == "7bit" and not new.isascii():
        encoding = "quoted-printable"
        yield from _encoding(part)
    elif encoding in ("7bit", "8bit", "binary"):
        yield Splice(part.body_start + at, part.body_start + at, new)
        return
    yield _encoded(part, content[:at] + new + content[at:], encoding)


def _body_at(content: bytes) -> int:
    """Where the body of an HTML document begins."""
    body = _BODY.search(content, 0, _HEAD)
    return body.end() if body else 0


def _encoded(part: Part, content: bytes, encoding: str) -> Splice:
    """``content`` as the body of the part."""
    made = quoted_printable(content) if encoding == "quoted-printable" else b"".join(base64_lines((content,)))
    whole = bytes(part.body[-1:]) == b"\n" or not part.body
    return Splice(part.body_start, part.end, made if whole else made.removesuffix(b"\r\n"))


def _type(part: Part, *, wider: bool) -> Splice:
    """Announces the element. ``wider``: the text was ASCII, and is UTF-8 with it."""
    typed = part.named(b"content-type")
    if not typed:
        charset = b"; charset=utf-8" if wider else b""
        return Splice(part.start, part.start, b"Content-Type: text/plain" + charset + b";\r\n " + _PARAMETER + b"\r\n")
    field = typed[0]
    raw = bytes(part.octets[field.start : field.end])
    if not wider:
        return with_parameters(part, field, _PARAMETER)
    kept = _ASCII.sub(b"", raw).rstrip(b" \t\r\n;")
    return Splice(field.start, field.end, kept + b"; charset=utf-8;\r\n " + _PARAMETER + b"\r\n")


def _encoding(part: Part) -> Iterator[Splice]:
    new = b"Content-Transfer-Encoding: quoted-printable\r\n"
    there = part.named(b"content-transfer-encoding")
    for each in there:
        yield Splice(each.start, each.end, new)
    if not there:
        typed = part.named(b"content-type")
        at = typed[0].start if typed else part.start
        yield Splice(at, at, new)


# ---- removing


def removals(message: Part) -> list[Splice]:
    """What a reader that knows RFC 9788 does not show, in a message that was decrypted (4.5.3); with the parameters that
    announce it, which mean nothing any more."""
    root = parse(message.octets, message.start, message.end)
    if root.content_type.parameters.get("protected-headers", "").lower() == "v1":
        return list(_part_of_its_own(root))
    if not any(name in root.content_type.parameters for name in ("hp", "hp-legacy-display")):
        return []
    found: list[Splice] = []
    for part in main_parts(root):
        if part.content_type.clear and part.content_type.parameters.get("hp-legacy-display") == "1":
            removed = list(_removed(part))
            found += [*removed, *_without_marks(part)] if removed else []
    if not any(each.start < root.body_start for each in found):
        found += _without_marks(root)
    return found


def _removed(part: Part) -> Iterator[Splice]:
    if len(part.body) > MOST_OCTETS or not part.complete:
        return
    plain = part.encoding in ("7bit", "8bit", "binary")
    if not plain and part.encoding not in ("quoted-printable", "base64"):
        return
    content = bytes(part.body) if plain else b"".join(part.decoded())
    if part.content_type.value == "text/html":
        element = _ELEMENT.match(content, _body_at(content))
        start, end = element.span(1) if element else (0, 0)
    else:
        lines = _LINES.match(content)
        start, end = lines.span() if lines else (0, 0)
    if end == start:
        return
    if plain:
        yield Splice(part.body_start + start, part.body_start + end, b"")
        return
    yield _encoded(part, content[:start] + content[end:], part.encoding)


def _without_marks(part: Part) -> Iterator[Splice]:
    """Takes hp and hp-legacy-display out of the Content-Type."""
    for field in part.named(b"content-type"):
        raw = bytes(part.octets[field.start : field.end])
        new = _MARK.sub(b"", raw)
        if new != raw and b"(" not in raw:
            yield Splice(field.start, field.end, new)


def _part_of_its_own(root: Part) -> Sequence[Splice]:
    """The older form: the first part of a multipart/mixed holds nothing but the hidden fields."""
    if root.content_type.value != "multipart/mixed" or len(root.children) < 2 or not root.complete:
        return ()
    first, second = root.children[:2]
    kind = first.content_type
    if kind.value not in ("text/plain", "text/rfc822-headers") or kind.parameters.get("protected-headers") != "v1":
        return ()
    lines = b"".join(first.decoded()) if len(first.body) <= MOST_OCTETS else b""
    if not _LINES.fullmatch(lines.rstrip(b"\r\n") + b"\r\n\r\n"):
        return ()
    return (Splice(first.start, second.start, b""),)
