"""Files of strangers that are made to cost time: keys that take long to check, passwords to be hashed without end.

See also
    ``tests/fuzz``, which found them.
"""

from __future__ import annotations

import base64
import time
from functools import cache

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from letterlock.asn1 import der, oid
from letterlock.pki import bundle, fetched
from letterlock.pki.errors import CertificateError, MalformedBundle, UnsupportedKey
from tests.fakes.authority import Authority, Identity

PBES2 = oid.encode("1.2.840.113549.1.5.13")
PBKDF2 = oid.encode("1.2.840.113549.1.5.12")


@cache
def somebody() -> Identity:
    """Whose certificate it is."""
    return Authority.create().issue("alice@example.org", "p256")


def sealed_key(count: int) -> bytes:
    """EncryptedPrivateKeyInfo whose password is to be hashed so often."""
    derivation = der.sequence(PBKDF2, der.sequence(der.octet_string(bytes(8)), der.integer(count)))
    cipher = der.sequence(oid.encode("2.16.840.1.101.3.4.1.42"), der.octet_string(bytes(16)))
    return der.sequence(der.sequence(PBES2, der.sequence(derivation, cipher)), der.octet_string(bytes(48)))


def macced(count: int) -> bytes:
    """A PKCS#12 whose MAC wants the password hashed so often."""
    digest = der.sequence(der.sequence(oid.encode("2.16.840.1.101.3.4.2.1")), der.octet_string(bytes(32)))
    mac = der.sequence(digest, der.octet_string(bytes(8)), der.integer(count))
    content = der.sequence(oid.DATA, der.explicit(0, der.octet_string(der.sequence())))
    return der.sequence(der.integer(3), content, mac)


def armoured(octets: bytes, label: str) -> bytes:
    """PEM."""
    return f"-----BEGIN {label}-----\n{base64.encodebytes(octets).decode()}-----END {label}-----\n".encode()


@pytest.mark.req("C4")
@pytest.mark.parametrize("count", [10_000_001, 2**31 - 1, 2**80])
@pytest.mark.parametrize("form", ["mac", "key"])
def test_passwords_hashed_without_end(form: str, count: int) -> None:
    octets = macced(count) if form == "mac" else armoured(sealed_key(count), "ENCRYPTED PRIVATE KEY")
    started = time.process_time()
    with pytest.raises(MalformedBundle, match="fewer iterations"):
        bundle.read(octets, "secret")
    assert time.process_time() - started < 0.5


@pytest.mark.req("C4")
@pytest.mark.parametrize("password", ["secret", None])
def test_usual_counts_are_taken(password: str | None) -> None:
    assert bundle.read(somebody().p12(password), password).keys


@pytest.mark.req("C4")
def test_keys_beyond_all_sizes_are_not_checked() -> None:
    body = der.sequence(der.integer(0), *[der.integer(1 << 16_000)] * 5)
    pkcs8 = der.sequence(
        der.integer(0), der.sequence(oid.encode("1.2.840.113549.1.1.1"), der.NULL), der.octet_string(body)
    )
    for octets in (pkcs8, armoured(pkcs8, "PRIVATE KEY"), armoured(body, "RSA PRIVATE KEY")):
        with pytest.raises(UnsupportedKey, match="larger"):
            bundle.read(octets)


@pytest.mark.req("C6")
def test_no_key_of_a_stranger_is_ever_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands at caIssuers is read for its certificates only: a key of 8192 bits would take four seconds."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a key was loaded")

    who = somebody()
    for name in ("load_der_private_key", "load_pem_private_key"):
        monkeypatch.setattr(bundle.serialization, name, never)
    monkeypatch.setattr(pkcs12, "load_pkcs12", never)
    found = fetched.read_certificates(who.pem + who.key_pem, authorities=False)
    assert [each.der for each in found] == [who.der]
    traditional = armoured(der.sequence(der.integer(0)), "RSA PRIVATE KEY")
    assert fetched.read_certificates(traditional + who.pem, authorities=False)
    for octets in (who.p12(None), who.pkcs8, sealed_key(1)):
        with pytest.raises(fetched.NotUseful):
            fetched.read_certificates(octets, authorities=False)


@pytest.mark.parametrize("label", ["PKCS7", "CMS", "PKCS12", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "CERTIFICATE"])
def test_damaged_armour_is_told(label: str) -> None:
    octets = f"-----BEGIN {label}-----\nMII=!\n-----END {label}-----\n".encode()
    with pytest.raises(CertificateError):
        bundle.read(octets, "secret")
