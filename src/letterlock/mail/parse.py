"""Octets to a tree of MIME parts, by offsets, inside limits; nothing is decoded or copied.

Guarantees
    Whatever the octets are, there is a tree: damaged or excessive structure ends in a leaf whose Part says so.
    Children lie inside their parent, in order, without overlap. A child ends before the line end that belongs to the
    following delimiter, so its octets are those that a signature over it covers.
    A delimiter is the exact line of RFC 2046; text that merely begins like one is content.

Standards
    RFC 2045 5 and 6, RFC 2046 5.1 (multipart), 5.1.5 (digest), 5.2.1 (message/rfc822), RFC 6532 3.7 (message/global).

See also
    ``limits.py`` for depth and number of parts; ``decoded.py`` for Content-Type values.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Final, NamedTuple

import pybase64

from letterlock.mail.decoded import Parameterised, parameters, text
from letterlock.mail.limits import MAX_DEPTH, MAX_PARTS
from letterlock.mail.message import Buffer, Entity, Field, HeaderTooLarge, Octets, scan

_PIECE: Final = 64 << 10
_FIRST_PIECE: Final = 1 << 10  # enough to see what a CMS object is
_SMALL: Final = 16 << 10  # and so little that it is decoded at once
_NOT_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_PADDING: Final = re.compile(rb"(==?)[ \t\r\n]*\Z")
_MAX_MISSES: Final = 10_000  # lines that begin like a delimiter and are none; each costs, and nesting repeats them
_DEFAULT: Final = Parameterised("text/plain", {}, True)
_DIGEST_DEFAULT: Final = Parameterised("message/rfc822", {}, True)
_EMBEDDED: Final = frozenset({"message/rfc822", "message/global"})
_AFTER_DELIMITER: Final = re.compile(rb"(--)?[ \t]*(?:\r?\n|\r?\Z)")


class Split(NamedTuple):
    """A multipart body: (start, end) of each child, and whether the close delimiter was there."""

    children: list[tuple[int, int]]
    closed: bool


def split(octets: Octets, start: int, end: int, boundary: bytes, most: int = MAX_PARTS) -> Split:
    """Finds the children of the multipart body at ``octets[start:end]`` (RFC 2046 5.1.1); at most ``most`` of them.

    What follows the close delimiter is the epilogue. Without a close delimiter the last child reaches to the end.
    """
    children: list[tuple[int, int]] = []
    if not boundary:
        return Split(children, False)
    delimiter = b"--" + boundary
    opened = -1
    misses = 0
    for line in _lines_with(delimiter, octets, start, end):
        rest = _AFTER_DELIMITER.match(octets, line + len(delimiter), end)
        if rest is None:
            misses += 1
            if misses > _MAX_MISSES:
                break
            continue
        if opened >= 0:
            children.append((opened, _before_line_end(octets, opened, line)))
            if len(children) >= most:
                return Split(children, False)
        if rest[1]:
            return Split(children, True)
        opened = rest.end()
    if opened >= 0:
        children.append((opened, end))
    return Split(children, False)


def _lines_with(delimiter: bytes, octets: Octets, start: int, end: int) -> Iterator[int]:
    """Offsets of the lines that begin with ``delimiter``."""
    if octets.startswith(delimiter, start, end) and (start == 0 or octets[start - 1] == 0x0A):
        yield start
    at = start
    while (found := octets.find(b"\n" + delimiter, at, end)) >= 0:
        yield found + 1
        at = found + 1


def _before_line_end(octets: Octets, start: int, end: int) -> int:
    """``end`` without the CRLF (or LF) before it, which belongs to the delimiter."""
    if end - 1 > start and octets[end - 2 : end] == b"\r\n":
        return end - 2
    return end - 1 if end > start else end


class Part(Entity):
    """One entity of the tree; the root is the message itself."""

    def __init__(
        self, octets: Octets, start: int = 0, end: int | None = None, *, default: Parameterised = _DEFAULT
    ) -> None:
        """``default``: the content type when the field is absent (RFC 2046 5.1.5 has another for digests)."""
        super().__init__(octets, start, end)
        self._default = default
        self.children: list[Part] = []
        self.complete = True
        """False when structure was left unsplit: too deep, too many parts, no boundary, no close delimiter, or a header
        beyond the limits (then all of the part is body)."""

    @classmethod
    def of(cls, entity: Entity) -> Part:
        """The whole of ``entity`` as a part; fields that were found already are not looked for again."""
        if isinstance(entity, Part):
            return entity
        part = cls(entity.octets, entity.start, entity.end)
        with suppress(HeaderTooLarge):  # then the part treats it as it does any such header
            part.__dict__["_scanned"] = entity.fields, entity.body_start
        return part

    @cached_property
    def _scanned(self) -> tuple[list[Field], int]:
        try:
            return scan(self.octets, self.start, self.end)
        except HeaderTooLarge:
            self.complete = False
            return [], self.start

    @cached_property
    def content_type(self) -> Parameterised:
        """Content-Type; ``clear`` is False too when there are several."""
        values = self.values(b"content-type")
        if not values:
            return self._default
        found = parameters(values[0])
        if "/" not in found.value:
            return Parameterised("text/plain", found.parameters, False)  # RFC 2045 5.2
        return found._replace(clear=False) if len(values) > 1 else found

    @cached_property
    def disposition(self) -> Parameterised:
        """Content-Disposition; value "" when absent."""
        found = self.first(b"content-disposition")
        return Parameterised("", {}, True) if found is None else parameters(found)

    @cached_property
    def encoding(self) -> str:
        """Content-Transfer-Encoding in lower case, "7bit" when absent."""
        found = self.first(b"content-transfer-encoding")
        if found is None:
            return "7bit"
        return parameters(found).value or found.decode("latin-1").strip().lower()

    @property
    def filename(self) -> str:
        """The file name of disposition or content type, decoded; "" when there is none (RFC 2183 2.3)."""
        raw = self.disposition.parameters.get("filename") or self.content_type.parameters.get("name") or ""
        return text(raw.encode("utf-8", "replace"))

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in the order in which they stand in the message."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack += reversed(part.children)

    def decoded(self) -> Iterator[bytes | memoryview]:
        """The content with its transfer encoding removed, in pieces of up to 64 KiB; tolerant of damage."""
        if self.encoding == "base64":
            return decoded_base64(self.octets, self.body_start, self.end)
        if self.encoding == "quoted-printable":
            return iter((binascii.a2b_qp(self.body),))
        return pieces(self.octets, self.body_start, self.end)


def pieces(octets: Buffer, start: int, end: int) -> Iterator[memoryview]:
    """``octets[start:end]`` as views of up to 64 KiB."""
    whole = memoryview(octets)
    for at in range(start, end, _PIECE):
        yield whole[at : min(at + _PIECE, end)]


def decoded_base64(octets: Octets, start: int, end: int) -> Iterator[bytes]:
    """Decodes base64 (RFC 2045 6.8): other characters are ignored, "=" ends the data, a cut last group is dropped."""
    carry = b""
    at, step = start, _PIECE if end - start <= _SMALL else _FIRST_PIECE
    whole = memoryview(octets)
    while at < end:
        stop = min(at + step, end)
        if not carry:
            stop = octets.rfind(b"\n", at, stop) + 1 or stop  # regular lines are whole groups
        has_padding = octets.find(b"=", at, stop) >= 0
        if not carry:
            try:
                if not has_padding:
                    yield pybase64.b64decode(whole[at:stop])
                    at, step = stop, _PIECE
                    continue
                padding = _PADDING.match(octets, octets.find(b"=", at, stop), stop)
                if padding is not None and stop == end:
                    yield pybase64.b64decode(whole[at : padding.end(1)])
                    return
            except binascii.Error:  # the groups do not end with the lines
                pass
        characters = carry + bytes(octets[at:stop].translate(None, _NOT_BASE64))
        if has_padding:
            yield _last_group(characters.partition(b"=")[0])
            return
        groups = len(characters) & ~3
        carry = characters[groups:]
        yield pybase64.b64decode(characters[:groups])
        at, step = stop, _PIECE
    yield _last_group(carry)


def _last_group(characters: bytes) -> bytes:
    """Decodes the end of the data: whole groups, and a last one of two or three characters."""
    if len(characters) % 4 == 1:
        characters = characters[:-1]
    return pybase64.b64decode(characters + b"=" * (-len(characters) % 4))


def parse(octets: Octets, start: int = 0, end: int | None = None) -> Part:
    """The tree of the entity at ``octets[start:end]``."""
    root = Part(octets, start, end)
    budget = MAX_PARTS
    pending = [(root, 0)]
    while pending:
        part, depth = pending.pop()
        children = _children(part, budget) if depth < MAX_DEPTH else _left_alone(part)
        part.children = children
        budget -= len(children)
        pending += ((child, depth + 1) for child in children)
    return root


def _left_alone(part: Part) -> list[Part]:
    part.complete = not (part.content_type.value.startswith("multipart/") or part.content_type.value in _EMBEDDED)
    return []


def _children(part: Part, budget: int) -> list[Part]:
    kind = part.content_type.value
    if kind.startswith("multipart/"):
        boundary = part.content_type.parameters.get("boundary", "").encode("utf-8", "replace")
        found = split(part.octets, part.body_start, part.end, boundary, max(budget, 1))
        part.complete = part.complete and found.closed
        default = _DIGEST_DEFAULT if kind == "multipart/digest" else _DEFAULT
        return [Part(part.octets, start, end, default=default) for start, end in found.children[:budget]]
    if kind in _EMBEDDED:
        # RFC 2046 5.2.1: no encoding other than 7bit, 8bit, binary may be applied to it
        part.complete = part.encoding in ("7bit", "8bit", "binary") and budget > 0
        return [Part(part.octets, part.body_start, part.end)] if part.complete else []
    return []
