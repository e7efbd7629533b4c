"""Canonical form: line ends, and transfer encodings that survive a relay."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail.parse import parse
from letterlock.smime.canonical import canonical, is_canonical, is_seven_bit, seven_bit, transportable

LINES = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"a", b"\xff", b"\0", b"=", b"x" * 70]), max_size=40).map(
    b"".join
)


@settings(deadline=None)
@given(LINES, st.integers(0, 3))
def test_canonical(octets: bytes, padding: int) -> None:
    octets = b"x" * (65_534 + padding) + octets  # so that line ends fall on the edge of a piece
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    assert is_canonical(octets) is (octets == expected)
    assert canonical(octets) == expected
    assert canonical(expected) is expected


@pytest.mark.parametrize("octets", [b"a\r", b"\r", b"\n", b"a\r\r\n", b"a\n\r"])
def test_bare_line_ends(octets: bytes) -> None:
    assert not is_canonical(octets)


ENTITY = (
    b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\npre\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n"
    b"w\xc3\xb6rld \r\n=\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\x00\xff\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b--\r\n"
)


@pytest.mark.req("B1")
def test_seven_bit() -> None:
    plain = seven_bit(ENTITY)
    assert is_seven_bit(plain)
    before, after = parse(ENTITY), parse(plain)
    assert [b"".join(part.decoded()) for part in after.children] == [
        b"".join(part.decoded()) for part in before.children
    ]
    assert [part.encoding for part in after.walk()] == ["7bit", "quoted-printable", "base64", "7bit"]
    assert after.children[0].first(b"x") == b"y"
    assert b"\r\npre\r\n--b\r\n" in plain
    assert seven_bit(plain) is plain


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_seven_bit_keeps_the_content(body: bytes) -> None:
    body = canonical(body)
    for kind in (b"text/plain", b"image/png"):
        entity = b"Content-Type: " + kind + b"\r\n\r\n" + body
        plain = seven_bit(entity)
        assert is_seven_bit(plain)
        assert b"".join(parse(plain).decoded()) == body


def test_long_lines_are_not_seven_bit() -> None:
    assert is_seven_bit(b"x" * 998 + b"\r\n" + b"y" * 998)
    assert not is_seven_bit(b"x" * 999)


def test_transportable() -> None:
    image = b"\x89PNG\n\x00\xff\r\nx"
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: binary\n\n--b\n"
        b"Content-Type: text/plain\nContent-Transfer-Encoding: binary\n\none\ntwo\rthree\r\n--b\n"
        b"Content-Type: image/png\nContent-Transfer-Encoding: binary\n\n" + image + b"\n--b--\n"
    )
    ready = transportable(octets)
    assert is_canonical(ready)
    parts = parse(ready).children
    assert b"".join(parts[1].decoded()) == image
    assert parts[1].encoding == "base64"
    assert transportable(ready) is ready
    assert bytes(parse(transportable(b"A: b\n\none\ntwo")).body) == b"one\r\ntwo"
