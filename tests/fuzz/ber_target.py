"""BER: the reader of a stream and the reader of memory say the same, whatever the buffers, and what they say holds.

See also
    ``src/letterlock/asn1/ber.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from letterlock.asn1 import ber, der, oid
from letterlock.asn1.ber import Buffer, Element, Reader
from tests.fuzz.oracle import REFUSED, Told, cuttings, holds, same, told

_COMPARABLE: Final = 9_000  # octets: below, the limits of both readers on the number of elements are out of reach
_SHALLOW: Final = 24


def run(octets: bytes) -> None:
    """All that can be asked."""
    whole = told(lambda: _seen(ber.single(octets)), ber.BerError)
    stream = told(lambda: _element([octets]), ber.BerError)
    listed = told(lambda: [_seen(each) for each in ber.elements(octets)], ber.BerError)
    wrapped = der.tlv(der.SEQUENCE, octets)
    walked = told(lambda: _inside([wrapped]), ber.BerError)
    passed = told(lambda: _skipped([octets]), ber.BerError)
    strings = {tag: told(lambda tag=tag: _string([octets], tag), ber.BerError) for tag in (0x04, 0x80)}
    if len(octets) < _COMPARABLE:
        ends = not stream.refused and stream.value[1] == len(octets)
        same(whole, Told(stream.value[0], False) if ends else REFUSED, "single and Reader.element")
        same(listed, walked, "elements and Reader inside a sequence")
    if not stream.refused and not passed.refused:
        same(stream.value[1], passed.value, "where element and skip end")
    for pieces in cuttings(octets):
        same(stream, told(lambda pieces=pieces: _element(pieces), ber.BerError), "element, cut")
        same(passed, told(lambda pieces=pieces: _skipped(pieces), ber.BerError), "skip, cut")
        for tag, string in strings.items():
            same(string, told(lambda pieces=pieces, tag=tag: _string(pieces, tag), ber.BerError), "octets, cut")
    for pieces in cuttings(wrapped):
        same(walked, told(lambda pieces=pieces: _inside(pieces), ber.BerError), "inside, cut")
    if not whole.refused:
        _examine(ber.single(octets), octets, strings)


def _seen(element: Element) -> tuple[int, bytes]:
    return element.tag, element.content


def _element(source: Iterable[Buffer]) -> tuple[tuple[int, bytes], int]:
    reader = Reader(source)
    return _seen(reader.element()), reader.position


def _skipped(source: Iterable[Buffer]) -> int:
    reader = Reader(source)
    reader.skip()
    return reader.position


def _inside(source: Iterable[Buffer]) -> list[tuple[int, bytes]]:
    reader = Reader(source)
    end = reader.enter(der.SEQUENCE)
    found = []
    while reader.more(end):
        found.append(_seen(reader.element()))
    reader.leave(end)
    return found


def _string(source: Iterable[Buffer], tag: int) -> tuple[bytes, int]:
    reader = Reader(source)
    return b"".join(bytes(piece) for piece in reader.octets(tag)), reader.position


def _examine(element: Element, octets: bytes, strings: dict[int, Told]) -> None:
    """What was read means itself when it is read again."""
    again = ber.single(element.raw)
    same(_seen(again), _seen(element), "an element and its own octets")
    if element.tag in (0x04, 0x24) and _depth(element) < _SHALLOW:
        memory, stream = told(element.octets, ber.BerError), strings[0x04]
        if len(octets) < _COMPARABLE:
            same(memory, stream if stream.refused else Told(stream.value[0], False), "a string in memory and streamed")
    children = told(element.children, ber.BerError)
    if not children.refused:
        joined = b"".join(each.raw for each in children.value)
        same([_seen(each) for each in ber.elements(joined)], [_seen(each) for each in children.value], "children")
    integer = told(element.integer, ber.BerError)
    if not integer.refused:
        same(ber.single(der.integer(integer.value)).integer(), integer.value, "an integer, written and read")
    try:
        dotted = oid.dotted(octets)
    except ValueError:
        return
    if len(octets) < 40 and not any(octets[at] == 0x80 for at in range(2, len(octets))):
        same(oid.encode(dotted), octets, "an identifier, read and written")
    holds(all(part.isdigit() for part in dotted.split(".")), "an identifier in digits")


def _depth(element: Element) -> int:
    depth, level = 0, [element]
    while level and depth <= _SHALLOW:
        depth += 1
        inner: list[Element] = []
        for each in level[:50]:
            if each.tag & 0x20:
                found = told(each.children, ber.BerError)
                inner += [] if found.refused else found.value
        level = inner
    return depth
