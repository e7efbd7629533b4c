"""The MIME tree: whatever comes there is one, its parts are where a signature expects them, its cost is bounded."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail.limits import MAX_DEPTH, MAX_PARTS
from letterlock.mail.parse import Part, decoded_base64, parse, split

MULTI = b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n'
OCTETS = st.lists(
    st.sampled_from(
        [b"\r\n", b"\n", b"--b", b"--", b"b", b" ", b"text", MULTI % b"b", MULTI % b"bb", b"--bb\r\n",
         b"Content-Type: message/rfc822\r\n\r\n", b"Content-Type: multipart/digest;boundary=b\r\n\r\n", b"\xff"]
    ), max_size=30,
).map(b"".join)  # fmt: skip


@settings(deadline=None)
@given(OCTETS)
def test_children_lie_inside_in_order(octets: bytes) -> None:
    root = parse(octets)
    for part in root.walk():
        at = part.body_start
        for child in part.children:
            assert at <= child.start <= child.end <= part.end
            at = child.end
        assert part.content_type.value
        assert b"".join(part.decoded()) is not None


def test_parts_end_before_the_line_end_of_the_delimiter() -> None:
    octets = (
        MULTI % b"b"
        + b"preamble\r\n--b\r\nA: 1\r\n\r\none\r\n\r\n--b  \r\n\r\ntwo\r\n--b--\r\nepilogue\r\n--b\r\nno\r\n"
    )
    root = parse(octets)
    assert [octets[part.start : part.end] for part in root.children] == [b"A: 1\r\n\r\none\r\n", b"\r\ntwo"]
    assert root.complete


@pytest.mark.parametrize(
    ("body", "parts", "closed"),
    [
        (b"--b\r\nx\r\n--b--", [b"x"], True),
        (b"--b\nx\n--b--\n", [b"x"], True),
        (b"--b\r\nx\r\n--b", [b"x", b""], False),
        (b"--b\r\nx", [b"x"], False),
        (b"--b\r\n--b\r\n--b--", [b"", b""], True),
        (b"--b\r\nx\r\n--bb\r\n--b-\r\n --b\r\ny--b\r\n--b--", [b"x\r\n--bb\r\n--b-\r\n --b\r\ny--b"], True),
        (b"--b\r\nx\r\n--b--y\r\n--b--", [b"x\r\n--b--y"], True),
        (b"", [], False),
        (b"--b--", [], True),
    ],
)
def test_delimiters(body: bytes, parts: list[bytes], closed: bool) -> None:
    found = split(body, 0, len(body), b"b")
    assert [body[start:end] for start, end in found.children] == parts
    assert found.closed is closed


def test_nested() -> None:
    inner = MULTI % b"bb" + b"--bb\r\n\r\nx\r\n--bb--"
    octets = (
        MULTI % b"b"
        + b"--b\r\n"
        + inner
        + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\ny\r\n--b--\r\n"
    )
    root = parse(octets)
    assert [part.content_type.value for part in root.walk()] == [
        "multipart/mixed", "multipart/mixed", "text/plain", "message/rfc822", "text/plain",
    ]  # fmt: skip
    assert root.children[1].children[0].first(b"subject") == b"s"


def test_a_digest_holds_messages() -> None:
    octets = b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: s\r\n\r\nx\r\n--b--\r\n"
    assert parse(octets).children[0].children[0].first(b"subject") == b"s"


def test_unsplit_structure_says_so() -> None:
    assert not parse(MULTI % b"b" + b"--b\r\n\r\nx").complete
    assert not parse(b"Content-Type: multipart/mixed\r\n\r\nx").complete
    assert not parse(b"a: b\r\n" * 10_000).complete
    deep = b"".join(MULTI % b"b%d" % at + b"--b%d\r\n" % at for at in range(MAX_DEPTH + 5))
    parts = list(parse(deep).walk())
    assert len(parts) == MAX_DEPTH + 1
    assert not parts[-1].complete


HOSTILE = {
    "deep": b"".join(MULTI % b"b%d" % at + b"--b%d\r\n" % at for at in range(50_000)),
    "many": MULTI % b"b" + b"--b\r\n" * 2_000_000,
    "nearly": MULTI % b"b" + b"\r\n--bX" * 5_000_000,
    "nearly, deep": (MULTI % b"b" + b"--b\r\n") * 40 + b"\r\n--bX" * 3_000_000,
    "messages": b"Content-Type: message/rfc822\r\n\r\n" * 300_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE.keys())
def test_cost_is_bounded(octets: bytes) -> None:
    started = time.process_time()
    assert sum(1 for _ in parse(octets).walk()) <= MAX_PARTS + 1
    assert time.process_time() - started < 2


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 80), st.sampled_from([b"\r\n", b"\n", b" \r\n", b"!\r\n"]))
def test_base64_with_whatever_between(content: bytes, width: int, between: bytes) -> None:
    encoded = base64.b64encode(content)
    lines = between.join(encoded[at : at + width] for at in range(0, len(encoded), width))
    assert b"".join(decoded_base64(lines, 0, len(lines))) == content


def test_base64_longer_than_a_piece() -> None:
    content = bytes(range(256)) * 1000
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    assert b"".join(decoded_base64(encoded, 0, len(encoded))) == content


@pytest.mark.parametrize(
    ("encoded", "content"),
    [(b"QUJD", b"ABC"), (b"QUI=QUJD", b"AB"), (b"QUJDQ", b"ABC"), (b"QUJDQUI", b"ABCAB"), (b"=", b"")],
)
def test_damaged_base64(encoded: bytes, content: bytes) -> None:
    assert b"".join(decoded_base64(encoded, 0, len(encoded))) == content


def test_encodings_and_names() -> None:
    part = Part(
        b"Content-Type: application/octet-stream; name*=utf-8''%C3%A4.p7m\r\n"
        b"Content-Transfer-Encoding: Quoted-Printable (x)\r\n\r\na=3Db=\r\nc"
    )
    assert (part.encoding, part.filename, b"".join(part.decoded())) == ("quoted-printable", "ä.p7m", b"a=bc")
    part = Part(b'Content-Disposition: attachment; filename="=?utf-8?Q?=C3=A4?=.txt"\r\n\r\nx')
    assert (part.filename, part.disposition.value, b"".join(part.decoded())) == ("ä.txt", "attachment", b"x")


def test_two_content_types_are_not_clear() -> None:
    assert not Part(b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n").content_type.clear
    assert not Part(b"Content-Type: text\r\n\r\n").content_type.clear
    assert Part(b"Content-Type: text\r\n\r\n").content_type.value == "text/plain"
