"""PKCS #11 URIs: read, written, refused."""

from __future__ import annotations

import pytest

from letterlock.pki.errors import TokenUriInvalid
from letterlock.pki.pkcs11_uri import LONGEST, TokenUri, form, parse


@pytest.mark.req("M1")
@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("pkcs11:", TokenUri()),
        ("pkcs11:token=My%20token;serial=0123", TokenUri(token="My token", serial="0123")),
        ("pkcs11:object=alice;type=private;id=%69%95%3E", TokenUri(object="alice", id=b"i\x95>")),
        ("pkcs11:id=%00%FF;manufacturer=Acme%3B;model=X", TokenUri(manufacturer="Acme;", model="X", id=b"\x00\xff")),
        ("pkcs11:token=%C3%A4", TokenUri(token="ä")),
    ],
)
def test_what_is_said_is_read_and_said_again(text: str, uri: TokenUri) -> None:
    assert parse(text) == uri
    assert parse(form(uri)) == uri


@pytest.mark.req("M1")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "This is no PKCS #11 URI"),
        ("http://token", "This is no PKCS #11 URI"),
        ("pkcs11:token", "This is no PKCS #11 URI"),
        ("pkcs11:token=a;token=b", "This is no PKCS #11 URI"),
        ("pkcs11:token=%FF", "This is no PKCS #11 URI"),
        ("pkcs11:token=a?pin-value=1234", "question mark"),
        ("pkcs11:token=a?module-path=/tmp/x.so", "question mark"),
        ("pkcs11:type=cert", "private key"),
        ("pkcs11:slot-id=3", "has the attributes"),
        (f"pkcs11:token={'x' * LONGEST}", "This is no PKCS #11 URI"),
    ],
)
def test_what_is_no_uri_or_says_too_much_is_refused(text: str, why: str) -> None:
    with pytest.raises(TokenUriInvalid, match=why):
        parse(text)
