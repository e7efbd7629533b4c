"""Content on the wire: end of data, stuffing, chunks, bare CR and LF, line and size limits; compared with a slow reading."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail import reply
from letterlock.smtp.data import (
    HEADROOM,
    BareNewline,
    ChunkDecoder,
    DataDecoder,
    Stuffer,
    is_clean,
    normalised,
    stuffed,
)
from letterlock.smtp.door import Profile

PROFILE = Profile("mx.test")
NORMALISE = Profile("mx.test", normalise=True)

# octets that matter, in runs that matter
FRAGMENTS = (
    b"\r\n",
    b"\r",
    b"\n",
    b".",
    b"\r\n.",
    b"\r\n.\r\n",
    b"\n.\n",
    b"..",
    b"a",
    b"Subject: x\r\n",
    b"\r\n..\r\n",
)
wires = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join)
cuts = st.lists(st.integers(1, 7), min_size=1, max_size=40)


def pieces(octets: bytes, sizes: list[int]) -> list[bytes]:
    found, at, turn = [], 0, 0
    while at < len(octets):
        size = sizes[turn % len(sizes)]
        found.append(octets[at : at + size])
        at, turn = at + size, turn + 1
    return found


def decode(wire: bytes, sizes: list[int], profile: Profile = PROFILE) -> tuple[bytes, bytes | None, DataDecoder]:
    """Content, what follows the end of data (None: it did not come), and the decoder."""
    taken = bytearray()
    decoder = DataDecoder(lambda view: taken.extend(view), profile)
    fed = 0
    for piece in pieces(wire, sizes):
        buffer = bytearray(HEADROOM) + piece
        after = decoder.feed(buffer, HEADROOM, len(buffer))
        if after >= 0:
            return bytes(taken), wire[fed + after - HEADROOM :], decoder
        fed += len(piece)
    return bytes(taken), None, decoder


def read_slowly(wire: bytes) -> tuple[bytes, bytes] | None:
    """RFC 5321 4.5.2 by the letter: content and what follows it."""
    end = (b"\r\n" + wire).find(b"\r\n.\r\n")
    if end < 0:
        return None
    content = re.sub(rb"(?:\A|(?<=\r\n))\.", b"", wire[:end])
    return content, wire[end + 3 :]


def is_strict(octets: bytes) -> bool:
    return not re.search(rb"\r(?!\n)|(?<!\r)\n", octets)


@given(wires, cuts)
@settings(max_examples=400)
def test_data_is_what_a_slow_reading_finds(wire: bytes, sizes: list[int]) -> None:
    wire += b"\r\n.\r\nNOOP\r\n"
    expected = read_slowly(wire)
    assert expected is not None
    content, rest, decoder = decode(wire, sizes)
    assert rest == expected[1]
    if is_strict(wire[: len(wire) - len(rest) - 3]):
        assert decoder.fault is None
        assert content == expected[0]
        assert decoder.octets == len(content)
    else:
        assert decoder.fault == reply.BARE_NEWLINE


@given(wires, cuts)
def test_normalising_leaves_only_crlf_and_the_same_end(wire: bytes, sizes: list[int]) -> None:
    wire += b"\r\n.\r\nNOOP\r\n"
    expected = read_slowly(wire)
    assert expected is not None
    content, rest, decoder = decode(wire, sizes, NORMALISE)
    assert rest == expected[1]
    assert decoder.fault is None
    assert is_strict(content)
    assert content == normalised(expected[0])


def test_a_lone_dot_is_an_empty_message() -> None:
    for sizes in ([1], [2], [3], [9]):
        assert decode(b".\r\nQUIT\r\n", sizes)[:2] == (b"", b"QUIT\r\n")


def test_large_reads_with_stuffed_lines_keep_every_octet() -> None:
    content = b"".join(b"." * (n % 5) + b"line %d\r\n" % n for n in range(20_000))
    wire = b"".join(stuffed([content]))
    for sizes in ([65_536], [131_072], [50_001], [1], [9, 3000, 2, 1]):
        got, rest, decoder = decode(wire, sizes)
        assert got == content
        assert rest == b""
        assert decoder.fault is None


@pytest.mark.req("A14")
def test_size_is_limited_while_receiving_and_nothing_is_passed_on_beyond() -> None:
    profile = Profile("mx.test", max_message_octets=1000)
    exact = b"x" * 98 + b"\r\n"
    content, _, decoder = decode(exact * 10 + b".\r\n", [300], profile)
    assert decoder.fault is None
    assert len(content) == 1000
    content, rest, decoder = decode(exact * 10 + b"y\r\n.\r\nNOOP\r\n", [300], profile)
    assert decoder.fault == reply.TOO_BIG
    assert len(content) <= 1000
    assert rest == b"NOOP\r\n"


def test_endless_content_is_hopeless() -> None:
    profile = Profile("mx.test", max_message_octets=1000)
    decoder = DataDecoder(lambda view: None, profile)
    buffer = bytearray(HEADROOM) + (b"x" * 998 + b"\r\n") * 1024
    for _ in range(20):
        decoder.feed(buffer, HEADROOM, len(buffer))
    assert decoder.hopeless


@pytest.mark.parametrize("length", [999, 1000, 1001])
@pytest.mark.parametrize("size", [1, 7, 400, 100_000])
def test_line_length_is_exact_however_it_is_cut(length: int, size: int) -> None:
    profile = Profile("mx.test", max_line_octets=1000)
    line = b"x" * (length - 2) + b"\r\n"
    wire = b"short\r\n" * 5 + line + b"short\r\n" * 400 + line + b".\r\n"
    _, rest, decoder = decode(wire, [size], profile)
    assert rest == b""
    assert decoder.fault == (reply.CONTENT_LINE_TOO_LONG if length > 1000 else None)


def test_nul_is_refused() -> None:
    _, rest, decoder = decode(b"a\0b\r\n.\r\nNOOP\r\n", [4])
    assert decoder.fault == reply.NUL_OCTET
    assert rest == b"NOOP\r\n"


def test_one_wrong_octet_among_many_lines_is_found() -> None:
    lines = bytearray((b"A" * 76 + b"\r\n") * 500)
    assert is_clean(lines)
    assert is_clean(b"")
    for at, wrong in ((77, b"\r"), (76, b"\n"), (76, b"A"), (1000, b"\n"), (1001, b"\r"), (len(lines) - 2, b"x")):
        spoilt = lines.copy()
        spoilt[at : at + 1] = wrong
        assert not is_clean(spoilt), at
    swapped = lines.copy()
    swapped[76:78] = b"\n\r"
    assert not is_clean(swapped)
    moved = lines.copy()  # as many CRs and LFs, in pairs of the wrong order inside a line
    moved[10:12] = b"\n\r"
    assert not is_clean(moved)


def test_clean_is_as_many_pairs_as_there_are_of_each() -> None:
    dice = random.Random(5321)
    outcomes = set()
    for _ in range(20_000):
        octets = bytes(dice.choices(b"\r\n\0\x0b\x0c\x1c\x85a\xff", k=dice.randrange(4)))
        octets = b"\r\n" * dice.randrange(2) + octets + b"\r\n" * dice.randrange(2)
        pairs = octets.count(b"\r\n")
        assert is_clean(octets) == (octets.count(b"\r") == pairs == octets.count(b"\n")), octets
        outcomes.add(is_clean(octets))
    assert outcomes == {True, False}


@pytest.mark.parametrize("head", [b"", b"Subject: x\r\nX: y\r\n\r\n", b"AAAA\r\n"])
@pytest.mark.parametrize("tail", [b"", b"AA==\r\n", b"AA==\r\n--x--\r\n"])
def test_one_wrong_octet_in_base64_is_never_sent(head: bytes, tail: bytes) -> None:
    whole = bytearray(head + (b"A" * 10 + b"\r\n") * 8 + tail)
    assert b"".join(stuffed([whole])) == whole + b".\r\n"
    for at in range(len(whole)):
        for wrong in (b"\r", b"\n", b"A", b"\r\n", b""):
            spoilt = whole[:at] + wrong + whole[at + 1 :]
            if not is_strict(spoilt):
                with pytest.raises(BareNewline):
                    list(stuffed([spoilt]))
            else:
                assert b"".join(stuffed([spoilt])).startswith(spoilt)


@given(st.integers(0, 3), st.integers(0, 6), st.lists(st.tuples(st.integers(0, 60), st.sampled_from(b"\r\n."))))
def test_lines_of_one_length_are_checked_like_others(width: int, many: int, wrong: list[tuple[int, int]]) -> None:
    octets = bytearray(b"a:b\r\n\r\n" + (b"A" * width + b"\r\n") * many)
    for at, octet in wrong:
        octets[at % len(octets)] = octet
    try:
        sent = b"".join(bytes(part) for part in stuffed([bytes(octets)]))
    except BareNewline:
        assert not is_strict(octets)
    else:
        assert is_strict(octets)
        assert read_slowly(sent) is not None


def chunks(parts: list[bytes], sizes: list[int], profile: Profile = PROFILE) -> tuple[bytes, ChunkDecoder]:
    taken = bytearray()
    decoder = ChunkDecoder(lambda view: taken.extend(view), profile)
    for number, part in enumerate(parts, 1):
        decoder.begin(len(part), number == len(parts))
        if not part:
            decoder.feed(bytearray(HEADROOM), HEADROOM, HEADROOM)
        for piece in pieces(part, sizes):
            buffer = bytearray(HEADROOM) + piece + b"NOOP\r\n"
            if len(piece) <= decoder.left:
                after = decoder.feed(buffer, HEADROOM, HEADROOM + len(piece))
            assert after == HEADROOM + len(piece)
        assert decoder.left == 0
    return bytes(taken), decoder


@given(st.lists(wires, min_size=1, max_size=4), cuts)
@settings(max_examples=200)
def test_chunks_are_the_octets_and_nothing_but(parts: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(parts)
    content, decoder = chunks(parts, sizes)
    if is_strict(whole):
        assert decoder.fault is None
        assert content == whole
    else:
        assert decoder.fault == reply.BARE_NEWLINE
    content, decoder = chunks(parts, sizes, NORMALISE)
    assert decoder.fault is None
    assert content == normalised(whole)


def test_a_chunk_ends_where_it_says() -> None:
    taken = bytearray()
    decoder = ChunkDecoder(lambda view: taken.extend(view), PROFILE)
    buffer = bytearray(HEADROOM) + b"0123456789RSET\r\n"
    decoder.begin(10, True)
    assert decoder.feed(buffer, HEADROOM, len(buffer)) == HEADROOM + 10
    assert taken == b"0123456789"


@given(wires, cuts)
@settings(max_examples=300)
def test_what_is_stuffed_is_what_is_read(octets: bytes, sizes: list[int]) -> None:
    parts = pieces(octets, sizes)
    if not is_strict(octets):
        with pytest.raises(BareNewline):
            list(stuffed(parts))
        octets = normalised(octets)
    wire = b"".join(bytes(part) for part in stuffed(parts, normalise=True))
    complete = octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"
    assert read_slowly(wire) == (complete, b"")


def test_pieces_without_dots_are_sent_as_they_lie() -> None:
    piece = b"no dots here\r\n" * 10
    stuffer = Stuffer()
    assert [id(part) for part in stuffer.feed(piece)] == [id(piece)]
    assert stuffer.finish() == b".\r\n"
