"""The BER reader: every form is read as the same thing, nothing hostile costs more than its limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.asn1 import ber, der
from letterlock.asn1.ber import BerError, Element, Reader

Tree = tuple[int, "bytes | list[Tree]"]

LEAVES = st.tuples(st.sampled_from([2, 4, 5, 0x0C, 0x80, 0x81]), st.binary(max_size=200))
TREES: st.SearchStrategy[Tree] = st.recursive(
    LEAVES,
    lambda inside: st.tuples(st.sampled_from([0x30, 0x31, 0xA0, 0xA1]), st.lists(inside, max_size=4)),
    max_leaves=12,
)


def in_der(tree: Tree) -> bytes:
    """The one DER encoding."""
    tag, content = tree
    return der.tlv(tag, content if isinstance(content, bytes) else b"".join(map(in_der, content)))


def in_ber(tree: Tree, draw: st.DataObject) -> bytes:
    """One of the many BER encodings: indefinite, or definite with a length longer than it need be."""
    tag, content = tree
    octets = content if isinstance(content, bytes) else b"".join(in_ber(each, draw) for each in content)
    form = draw.draw(st.sampled_from(["short", "long", "indefinite"]))
    if form == "indefinite" and not isinstance(content, bytes):
        return bytes((tag, 0x80)) + octets + b"\0\0"
    if form == "long":
        return bytes((tag, 0x84)) + len(octets).to_bytes(4, "big") + octets
    return der.tlv(tag, octets)


def as_tree(element: Element) -> Tree:
    """What was read, in the form of TREES."""
    return element.tag, [as_tree(each) for each in element.children()] if element.tag & 0x20 else element.content


def cut(octets: bytes, at: list[int]) -> Iterator[bytes]:
    """``octets`` in pieces."""
    edges = [0, *sorted(each % (len(octets) + 1) for each in at), len(octets)]
    return (octets[a:b] for a, b in pairwise(edges))


@settings(deadline=None)
@given(TREES, st.data())
def test_every_encoding_is_read_as_the_same(tree: Tree, data: st.DataObject) -> None:
    octets = in_ber(tree, data)
    assert as_tree(ber.single(octets)) == tree
    pieces = cut(octets, data.draw(st.lists(st.integers(0, 5000), max_size=6)))
    assert as_tree(Reader(pieces).element()) == tree


@settings(deadline=None)
@given(TREES)
def test_der_comes_back_octet_by_octet(tree: Tree) -> None:
    assert ber.single(in_der(tree)).raw == in_der(tree)


def in_pieces(content: bytes, draw: st.DataObject, depth: int = 0) -> bytes:
    """An OCTET STRING, perhaps constructed of others."""
    if depth > 3 or draw.draw(st.booleans()):
        return der.octet_string(content)
    middle = draw.draw(st.integers(0, len(content)))
    inside = in_pieces(content[:middle], draw, depth + 1) + in_pieces(content[middle:], draw, depth + 1)
    return b"\x24\x80" + inside + b"\0\0" if draw.draw(st.booleans()) else der.tlv(0x24, inside)


@settings(deadline=None)
@given(st.binary(max_size=300), st.data())
def test_constructed_strings(content: bytes, data: st.DataObject) -> None:
    octets = in_pieces(content, data)
    assert ber.single(octets).octets() == content
    reader = Reader(cut(octets + b"\x02\x01\x05", data.draw(st.lists(st.integers(0, 500), max_size=5))))
    assert b"".join(reader.octets(der.OCTET_STRING)) == content
    assert reader.element(der.INTEGER).integer() == 5


@settings(deadline=None)
@given(TREES, st.data())
def test_skipping_leaves_the_reader_after_it(tree: Tree, data: st.DataObject) -> None:
    reader = Reader((in_ber(tree, data), b"\x02\x01\x07"))
    reader.skip()
    assert reader.element().integer() == 7


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(octets: bytes) -> None:
    for read in (ber.elements, lambda o: Reader((o,)).skip(), lambda o: list(Reader((o,)).octets(4))):
        try:
            read(octets)
        except BerError:
            continue


@settings(deadline=None)
@given(TREES, st.integers(1, 60))
def test_truncation_is_noticed(tree: Tree, cut_off: int) -> None:
    octets = in_der(tree)
    with pytest.raises(BerError):
        Reader((octets[: max(len(octets) - cut_off, 0)],)).element()


HOSTILE = {
    "high tag number": b"\x3f\x81\x01\x00",
    "length of nine octets": b"\x30\x89" + b"\1" * 9,
    "indefinite primitive": b"\x04\x80\0\0",
    "end out of place": b"\0\0",
    "promises more than there is": b"\x30\x84\x7f\xff\xff\xff\0",
    "nested deeply": b"\x30\x80" * 100_000,
    "a million empty elements inside indefinite length": b"\x30\x80" + b"\x05\0" * 1_000_000 + b"\0\0",
}


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_structure_is_refused_soon(octets: bytes) -> None:
    started = time.process_time()
    for read in (ber.single, lambda o: Reader((o,)).element()):
        with pytest.raises(BerError):
            read(octets)
    assert time.process_time() - started < 2


def test_too_many_children_are_refused() -> None:
    with pytest.raises(BerError, match="too many"):
        ber.single(der.sequence(b"\x05\0" * 20_000)).children()


@pytest.mark.parametrize("octets", [b"\x24\x80" * 50_000, b"\x24\x80" + b"\x04\x00" * 1_000_000 + b"\0\0"])
def test_strings_in_too_many_pieces_are_refused(octets: bytes) -> None:
    with pytest.raises(BerError, match="pieces"):
        list(Reader((octets,)).octets(der.OCTET_STRING))


def test_elements_together_have_a_limit() -> None:
    one = der.octet_string(bytes(ber.MAX_ELEMENT - 10))
    reader = Reader(one for _ in range(10))
    with pytest.raises(BerError, match="too large"):
        for _ in range(10):
            reader.element()


def test_containers_and_contents_must_agree() -> None:
    reader = Reader((b"\x30\x03\x04\x05abcde",))
    end = reader.enter(der.SEQUENCE)
    reader.element()
    with pytest.raises(BerError):
        reader.more(end)
    reader = Reader((b"\x30\x05\x04\x01a\x05\x00",))
    end = reader.enter(der.SEQUENCE)
    reader.element()
    with pytest.raises(BerError):
        reader.leave(end)


def test_streaming_copies_nothing() -> None:
    content = bytes(range(256)) * 64
    source = der.octet_string(content)
    (piece,) = Reader((source,)).octets(der.OCTET_STRING)
    assert isinstance(piece, memoryview)
    assert piece.obj is source
