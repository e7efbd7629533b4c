"""Addresses: one valid form each, everything else refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.mail import limits
from letterlock.mail.address import Address, AddressInvalid, a_label


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("alice@example.org", "alice@example.org"),
        ("Alice@EXAMPLE.org", "Alice@example.org"),
        ("a.b+c=d/e@x-y.example", "a.b+c=d/e@x-y.example"),
        ('"alice"@example.org', "alice@example.org"),
        ('"a\\lice"@example.org', "alice@example.org"),
        ('"a b"@example.org', '"a b"@example.org'),
        ('"a@b"@example.org', '"a@b"@example.org'),
        ('"a\\\\b"@example.org', '"a\\\\b"@example.org'),
        ('""@example.org', '""@example.org'),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("a@例え。テスト", "a@xn--r8jz45g.xn--zckzah"),
        ("a@my_host.example", "a@my_host.example"),
        ("a@localhost", "a@localhost"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[ipv6:2001:DB8:0::1]", "a@[IPv6:2001:db8::1]"),
        ("x" * 100 + "@example.org", "x" * 100 + "@example.org"),
    ],
)
def test_valid(text: str, form: str) -> None:
    assert str(Address.parse(text)) == form
    assert str(Address.parse(form)) == form


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "a", "a@", "@example.org", "a@b@example.org", ".a@example.org", "a.@example.org", "a..b@example.org",
        "a b@example.org", "a@exa mple.org", "a@-example.org", "a@example-.org", "a@example..org", "a@.example.org",
        "a@example.org.", "a@" + "x" * 64 + ".org", "x" * 250 + "@example.org", "a@[192.0.2.256]", "a@[192.0.2.1",
        "a@[IPv6:::g]", "a@[IPv6:1.2.3.4]", "a@[x400:foo]", '"a@example.org', '"a"b@example.org',
        '"a"example.org', '"a\r\nb"@example.org',
        "a\0@example.org", "a\r\n@example.org", "a@example.org\r\n", "a@exam\nple.org", "<a@example.org>", "a,b@example.org",
        "a@exa%6dple.org", "a\u0085b@example.org", "a\u2028b@example.org", "a@\u0085.org", "a@exa\u200bmple\uff0f.org",
        "a@xn--\u00fc.org", "\udce4@example.org", "a@\udce4.org", "a(comment)@example.org", "a@example.org (comment)",
    ],
)  # fmt: skip
def test_invalid(text: str) -> None:
    with pytest.raises(AddressInvalid):
        Address.parse(text)


def test_no_second_name_for_one_mailbox() -> None:
    names = ("bob@example.org", '"bob"@example.org', '"b\\ob"@EXAMPLE.org', "bob@\uff45\uff58ample.org")
    assert {str(Address.parse(name)) for name in names} == {"bob@example.org"}
    assert Address.parse("BoB@example.org").key == "bob@example.org"
    assert Address.parse("ju\u0308rgen@example.org").key == Address.parse("jürgen@example.org").key


def test_ascii_and_length_in_octets() -> None:
    assert Address.parse("a@bücher.example").is_ascii
    assert not Address.parse("ü@example.org").is_ascii
    with pytest.raises(AddressInvalid):
        Address.parse("ü" * 125 + "@example.org")


def test_domains() -> None:
    assert a_label("Straße.example") == "xn--strae-oqa.example"
    with pytest.raises(AddressInvalid):
        a_label("*.example.org")


@given(st.text(max_size=300))
def test_parsing_gives_a_form_that_parses_or_refuses(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressInvalid:
        return
    form = str(address)
    assert Address.parse(form) == address
    assert len(form.encode()) <= 2 * limits.MAX_ADDRESS_OCTETS
    assert form.isprintable()
    assert address.domain.isascii()


@given(st.from_regex(r'"?[a-z.\\" @<>]{0,12}"?@[a-z.\[\]-]{0,8}', fullmatch=True))
def test_near_addresses(text: str) -> None:
    test_parsing_gives_a_form_that_parses_or_refuses.hypothesis.inner_test(text)  # type: ignore[attr-defined]  # hypothesis' own
