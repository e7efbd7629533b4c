"""Read BER: a pull reader over a stream of buffers, and the elements of a small piece already in memory.

Guarantees
    Definite and indefinite lengths, constructed strings and any chunking of the source are read the same.
    Memory stays small: only what element() returns is held; octets() hands out pieces of the source.
    Work is bounded: nesting, elements, octets held, pieces of a string. Nothing here recurses without a limit.

Standards
    X.690 8 (BER). High tag numbers (8.1.2.4) do not occur in CMS and are refused.

Raises
    BerError, and nothing else, for whatever octets come.

See also
    ``der.py`` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from letterlock.asn1 import der
from letterlock.errors import PermanentError

Buffer = bytes | bytearray | memoryview

INDEFINITE: Final = -1

MAX_DEPTH: Final = 32
MAX_ELEMENT: Final = 4 << 20  # octets of one element held in memory: a certificate list of a hundred fits ten times
MAX_HELD: Final = 16 << 20  # octets of all elements one Reader hands out
MAX_CHILDREN: Final = 10_000  # elements of one call; twice the most recipients we read
MAX_REWRITTEN: Final = 100_000  # elements of indefinite length content that one Reader makes definite
MAX_SEGMENTS: Final = 400_000  # pieces of one constructed string: 50 MB in pieces of 125 octets, half a second


class BerError(PermanentError):
    """The data is damaged or is not in the format it claims."""


class Element:
    """One element in memory: identifier octet and content; indefinite lengths inside are already made definite."""

    __slots__ = ("content", "tag")

    def __init__(self, tag: int, content: bytes) -> None:
        self.tag = tag
        self.content = content

    @property
    def raw(self) -> bytes:
        """The complete element, its own length definite and minimal, its content as it came."""
        length = len(self.content)
        header = bytes((self.tag, length)) if length < 0x80 else der.header(self.tag, length)
        return header + self.content

    def children(self) -> list[Element]:
        """The elements of the content. Raises BerError unless this is constructed and well formed."""
        if not self.tag & 0x20:
            raise BerError(detail=f"element {self.tag:#x} has no children")
        return elements(self.content)

    def octets(self) -> bytes:
        """Content of a string type, pieces of a constructed one put together (X.690 8.7.3)."""
        return self.content if not self.tag & 0x20 else _assembled(self.content, 0)

    def integer(self) -> int:
        """Value of an INTEGER. Raises BerError when it is none, or one longer than any key or serial."""
        if self.tag != der.INTEGER or not 0 < len(self.content) <= 4096:
            raise BerError(detail="not an integer")
        return int.from_bytes(self.content, "big", signed=True)

    def expect(self, tag: int) -> Element:
        """This element. Raises BerError when its identifier octet is another."""
        if self.tag != tag:
            raise BerError(detail=f"element {self.tag:#x} where {tag:#x} belongs")
        return self


def _assembled(content: bytes, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise BerError(detail="strings nested too deeply")
    parts: list[bytes] = []
    for child in elements(content):
        if child.tag & ~0x20 != der.OCTET_STRING:
            raise BerError(detail=f"element {child.tag:#x} inside a string")
        parts.append(_assembled(child.content, depth + 1) if child.tag & 0x20 else child.content)
    return b"".join(parts)


def elements(octets: bytes) -> list[Element]:
    """All elements that stand one after the other in ``octets``. Raises BerError."""
    found: list[Element] = []
    at, end, budget = 0, len(octets), [MAX_CHILDREN]
    while at < end:
        # Nearly every element there is: a tag without anything special, a definite length below 65,536. Written out,
        # for this loop is a third of what reading a small message costs.
        tag = octets[at]
        if end - at >= 4 and tag and tag & 0x1F != 0x1F:
            length, start = octets[at + 1], at + 2
            if length == 0x81:
                length, start = octets[at + 2], at + 3
            elif length == 0x82:
                length, start = octets[at + 2] << 8 | octets[at + 3], at + 4
            elif length > 0x7F:
                length = end  # longer than there is: decided below
            if length <= end - start:
                at = start + length
                found.append(Element(tag, octets[start:at]))
                if len(found) > MAX_CHILDREN:
                    raise BerError(detail="too many elements")
                continue
        element, at = _element_at(octets, at, end, 0, budget)
        found.append(element)
    return found


def single(octets: bytes) -> Element:
    """The one element that ``octets`` consists of. Raises BerError when there is another number of them."""
    element, at = _element_at(octets, 0, len(octets), 0, [MAX_CHILDREN])
    if at != len(octets):
        raise BerError(detail="octets after the element")
    return element


def _element_at(octets: bytes, at: int, end: int, depth: int, budget: list[int]) -> tuple[Element, int]:
    tag, length, at = _header_at(octets, at, end)
    budget[0] -= 1
    if budget[0] < 0:
        raise BerError(detail="too many elements")
    if length != INDEFINITE:
        if length > end - at:
            raise BerError(detail="truncated")
        return Element(tag, octets[at : at + length]), at + length
    if depth > MAX_DEPTH:
        raise BerError(detail="nested too deeply")
    parts: list[bytes] = []
    while octets[at : at + 2] != b"\0\0":
        child, at = _element_at(octets, at, end, depth + 1, budget)
        parts.append(child.raw)
    return Element(tag, b"".join(parts)), at + 2


def _header_at(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    if end - at < 2:
        raise BerError(detail="truncated")
    tag, length = octets[at], octets[at + 1]
    at += 2
    if length < 0x80:
        _check(tag, length)
        return tag, length, at
    count = length & 0x7F
    if count > end - at:
        raise BerError(detail="truncated")
    length = _length(tag, octets[at : at + count])
    return tag, length, at + count


def _check(tag: int, length: int) -> None:
    if tag & 0x1F == 0x1F:
        raise BerError(detail="high tag number")
    if tag == 0:
        raise BerError(detail="end-of-contents out of place" if length == 0 else "reserved tag")


def _length(tag: int, octets: bytes) -> int:
    """Length from the octets after 0x80 + n; none of them means indefinite (X.690 8.1.3.5, 8.1.3.6)."""
    _check(tag, 1)
    if not octets:
        if not tag & 0x20:
            raise BerError(detail="indefinite length of a primitive element")
        return INDEFINITE
    if len(octets) > 8:
        raise BerError(detail="length out of bounds")
    return int.from_bytes(octets, "big")


class Reader:
    """Pulls elements from buffers as they come.

    enter() and leave() walk into and out of constructed elements, more() asks whether another element follows inside,
    element() takes a small one whole, skip() passes over one, octets() streams a string.
    """

    def __init__(self, source: Iterable[Buffer]) -> None:
        """``source``: the encoding in buffers of any size; each is used up before the next one is asked for."""
        self._source = iter(source)
        self._chunk: Buffer = b""  # as it came: indexing octets is faster than indexing views
        self._at = 0
        self._held = 0
        self._budget = MAX_REWRITTEN
        self.position = 0

    def _fill(self) -> bool:
        while self._at >= len(self._chunk):
            chunk = next(self._source, None)
            if chunk is None:
                return False
            self._chunk = chunk
            self._at = 0
        return True

    def _take(self, count: int) -> bytes:
        at = self._at
        if count <= len(self._chunk) - at:
            self._at = at + count
            self.position += count
            return bytes(self._chunk[at : at + count])
        return b"".join(self._pieces(count))

    def _pieces(self, count: int) -> Iterator[memoryview]:
        while count:
            if not self._fill():
                raise BerError(detail="truncated")
            at = self._at
            piece = memoryview(self._chunk)[at : at + count]
            self._at = at + len(piece)
            self.position += len(piece)
            count -= len(piece)
            yield piece

    def header(self) -> tuple[int, int]:
        """Identifier octet and length (or INDEFINITE) of the next element."""
        at = self._at
        chunk = self._chunk
        if at >= len(chunk) and self._fill():  # so that few headers lie across two chunks
            at, chunk = 0, self._chunk
        if len(chunk) - at >= 4:
            # Nearly every header there is, written out: nothing special in the tag, a definite length below 65,536.
            tag, length, octets = chunk[at], chunk[at + 1], 2
            if tag and tag & 0x1F != 0x1F and length != 0x80 and length < 0x83:
                if length == 0x81:
                    length, octets = chunk[at + 2], 3
                elif length == 0x82:
                    length, octets = chunk[at + 2] << 8 | chunk[at + 3], 4
                self._at = at + octets
                self.position += octets
                return tag, length
        tag, length = self._take(2)
        if length < 0x80:
            _check(tag, length)
            return tag, length
        return tag, _length(tag, self._take(length & 0x7F))

    def peek(self) -> int:
        """Identifier octet of the next element, 0 at the end of an indefinite one; nothing is consumed."""
        if not self._fill():
            raise BerError(detail="truncated")
        return self._chunk[self._at]

    def enter(self, tag: int) -> int:
        """Walk into a constructed element. Returns what more() and leave() want."""
        found, length = self.header()
        if found != tag:
            raise BerError(detail=f"element {found:#x} where {tag:#x} belongs")
        return INDEFINITE if length == INDEFINITE else self.position + length

    def more(self, end: int) -> bool:
        """Does another element follow inside? ``end`` is from enter()."""
        if end == INDEFINITE:
            return self.peek() != 0
        if self.position > end:
            raise BerError(detail="element longer than its container")
        return self.position < end

    def leave(self, end: int) -> None:
        """Walk out again; raises BerError when elements are left over."""
        if end == INDEFINITE:
            if self._take(2) != b"\0\0":
                raise BerError(detail="end-of-contents expected")
        elif self.position != end:
            raise BerError(detail="element and its container disagree")

    def element(self, tag: int | None = None) -> Element:
        """The next element, whole. Raises BerError when its identifier octet is not ``tag`` or it is too large."""
        found, length = self.header()
        if tag is not None and found != tag:
            raise BerError(detail=f"element {found:#x} where {tag:#x} belongs")
        end = self._at + length
        if length != INDEFINITE and end <= len(self._chunk):  # all of it is at hand
            self._held += length
            if length > MAX_ELEMENT or self._held > MAX_HELD:
                raise BerError(detail="element too large")
            at, self._at = self._at, end
            self.position += length
            return Element(found, bytes(self._chunk[at:end]))
        return Element(found, self._content(length, 0))

    def _content(self, length: int, depth: int) -> bytes:
        if length != INDEFINITE:
            self._held += length
            if length > MAX_ELEMENT or self._held > MAX_HELD:
                raise BerError(detail="element too large")
            return self._take(length)
        if depth > MAX_DEPTH:
            raise BerError(detail="nested too deeply")
        parts: list[bytes] = []
        while self.peek() != 0:
            self._budget -= 1
            if self._budget < 0:
                raise BerError(detail="too many elements")
            tag, inner = self.header()
            content = self._content(inner, depth + 1)
            parts += (der.header(tag, len(content)), content)
        self.leave(INDEFINITE)
        return b"".join(parts)

    def skip(self) -> None:
        """Pass over the next element, however large, holding none of it."""
        depth = count = 0
        while True:
            if depth and self.peek() == 0:
                self.leave(INDEFINITE)
                depth -= 1
            else:
                length = self.header()[1]
                if length == INDEFINITE:
                    depth += 1
                else:
                    for _ in self._pieces(length):
                        pass
            count += 1
            if depth > MAX_DEPTH or count > MAX_SEGMENTS:
                raise BerError(detail="nested too deeply or too many elements")
            if not depth:
                return

    def octets(self, tag: int) -> Iterator[memoryview]:
        """Stream an OCTET STRING or an implicitly tagged one: ``tag`` is its primitive identifier octet.

        Pieces are views of the source's buffers. Exhaust the iterator before you go on reading.
        """
        found, length = self.header()
        if found & ~0x20 != tag:
            raise BerError(detail=f"element {found:#x} where {tag:#x} belongs")
        if not found & 0x20:
            yield from self._pieces(length)
            return
        ends = [INDEFINITE if length == INDEFINITE else self.position + length]
        count = 0
        while ends:
            if not self.more(ends[-1]):
                self.leave(ends.pop())
                continue
            found, length = self.header()
            if found == der.OCTET_STRING:
                yield from self._pieces(length)
            elif found == der.OCTET_STRING | 0x20:
                ends.append(INDEFINITE if length == INDEFINITE else self.position + length)
            else:
                raise BerError(detail=f"element {found:#x} inside a string")
            count += 1
            if len(ends) > MAX_DEPTH or count > MAX_SEGMENTS:
                raise BerError(detail="string in too many pieces")
