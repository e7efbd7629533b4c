"""What values mean: text, parameters, mailboxes."""

from __future__ import annotations

import email.header
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.mail.decoded import UnclearMailboxes, mailboxes, parameters, text


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?B?SGVsbG8=?= =?utf-8?Q?_w=C3?=\r\n =?utf-8?q?=B6?= x", "Hello wö x"),
        (b"=?iso-8859-1*en?Q?a=E4?=", "aä"),
        (b"=?utf-8?Q?with blanks inside?=", "with blanks inside"),
        (b"a =?utf-8?Q?b?= c =?utf-8?Q?d?= =?us-ascii?Q?e?=", "a b c de"),
        (b"=?utf-8?B?SGVsbG8?=", "Hello"),
        (b"=?utf-8?B?!?=", ""),
        (b"=?utf-8?B?A?=", "A"),
        (b"=?unknown-set?Q?a=FF?=", "a\N{REPLACEMENT CHARACTER}"),
        (b"=?punycode?Q?abc-?=", "abc-"),
        (b"=?zlib_codec?Q?abc?=", "abc"),
        (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        ("wörld".encode(), "wörld"),
        (b"w\xf6rld", "wörld"),
    ],
)
def test_text(value: bytes, meaning: str) -> None:
    assert text(value) == meaning


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=100))
def test_text_that_python_encoded(value: str) -> None:
    encoded = email.header.Header(value, "utf-8").encode().encode("ascii")
    assert text(encoded.replace(b"\n", b"")) == value


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_text_and_parameters_never_raise(value: bytes) -> None:
    assert isinstance(text(value), str)
    assert isinstance(parameters(value).value, str)


@pytest.mark.parametrize(
    ("value", "kind", "found", "clear"),
    [
        (b"Text/Plain", "text/plain", {}, True),
        (b'text/plain; Charset="utf-8" ; format=flowed;', "text/plain", {"charset": "utf-8", "format": "flowed"}, True),
        (b'multipart/mixed; boundary="a\\"b;c"', "multipart/mixed", {"boundary": 'a"b;c'}, True),
        (b'text/plain (x; y="z"); charset=us-ascii (w)', "text/plain", {"charset": "us-ascii"}, True),
        (b"a/b; name*=utf-8''%e2%82%ac%20rates", "a/b", {"name": "€ rates"}, True),
        (b'a/b; name*0="x y"; name*1*=%41; name*2=B', "a/b", {"name": "x yAB"}, True),
        (b"a/b; name*0=a; name*2=c", "a/b", {"name": "ac"}, False),
        (b"a/b; name=x; name*=utf-8''y", "a/b", {"name": "y"}, False),
        (b"a/b; boundary=x; boundary=y", "a/b", {"boundary": "x"}, False),
        (b"a/b; name=with blanks.p7m", "a/b", {"name": "with blanks.p7m"}, False),
        (b'a/b; name="open', "a/b", {}, False),
        (b"a/b; novalue; x=y", "a/b", {"x": "y"}, False),
        (b"", "", {}, False),
    ],
)
def test_parameters(value: bytes, kind: str, found: dict[str, str], clear: bool) -> None:
    assert parameters(value) == (kind, found, clear)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"a@example.org", [("", "a@example.org")]),
        (b"Alice Q. Public <a@EXAMPLE.org> (work)", [("Alice Q. Public", "a@example.org")]),
        (b'"b@example.org" <a@example.org>', [("b@example.org", "a@example.org")]),
        (b"=?utf-8?Q?J=C3=B6rg?= <a@example.org>", [("Jörg", "a@example.org")]),
        (b"a@example.org <a@example.org>", [("a@example.org", "a@example.org")]),
        (b'team: a@x.org, "B, C" <b@x.org>;, c@x.org', [("", "a@x.org"), ("B, C", "b@x.org"), ("", "c@x.org")]),
        (b"undisclosed-recipients:;", []),
        (b"(c (d) \\)) a@x.org", [("", "a@x.org")]),
        (b'"a b"@x.org', [("", '"a b"@x.org')]),
        (b"a@x.org,, b@x.org,", [("", "a@x.org"), ("", "b@x.org")]),
        ("jörg@exämple.org".encode(), [("", "jörg@xn--exmple-cua.org")]),
        (b"", []),
    ],
)
def test_mailboxes(value: bytes, found: list[tuple[str, str]]) -> None:
    assert [(each.display, str(each.address)) for each in mailboxes(value)] == found


@pytest.mark.req("B15")
@pytest.mark.parametrize(
    "value",
    [
        b"ceo@example.org <evil@example.net>",
        b"<ceo@example.org> <evil@example.net>",
        b"a@x.org b@x.org",
        b"<a@x.org",
        b"a@x.org>",
        b"<@relay.org:a@x.org>",
        b"a(c)@x.org",
        b"a @ x.org",
        b'"open <a@x.org>',
        b"(open a@x.org",
        b"group: a@x.org",
        b"a@x.org;",
        b"a: b: c@x.org;;",
        b"Alice, Bob <b@x.org>",
        b"=?utf-8?Q?a=40x.org?=",
        b"a@x.org\0",
        b"a@x..org",
        b"<>",
        b"a@x.org, <b@x.org> c",
    ],
)
def test_what_readers_could_take_differently_is_refused(value: bytes) -> None:
    with pytest.raises(UnclearMailboxes):
        mailboxes(value)


HOSTILE = [
    b"(" * 500_000,
    b'a/b;x="' * 100_000,
    b"=?a?q?" * 100_000,
    b";" * 500_000,
    b"a@b.c," * 100_000,
    b"<" * 100_000,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: value[:8].decode())
def test_time_is_proportional_to_length(value: bytes) -> None:
    started = time.process_time()
    text(value)
    parameters(value)
    with suppress(UnclearMailboxes):
        mailboxes(value)
    assert time.process_time() - started < 2
