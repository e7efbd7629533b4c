"""Private keys of ML-KEM and ML-DSA in the form with seed and expanded key (RFC 9935 6, RFC 9881 6) become seeds."""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from letterlock.asn1 import ber, der
from letterlock.pki.bundle import read
from letterlock.pki.errors import KeyMismatch
from letterlock.pki.lattice_key import seed_form
from tests.fakes.authority import Authority

KEYS = [
    mlkem.MLKEM768PrivateKey.generate(),
    mlkem.MLKEM1024PrivateKey.generate(),
    mldsa.MLDSA44PrivateKey.generate(),
    mldsa.MLDSA65PrivateKey.generate(),
    mldsa.MLDSA87PrivateKey.generate(),
]


def pkcs8(key: object) -> bytes:
    """As the library writes it: the seed alone."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]  # any key


@pytest.mark.req("B12")
@pytest.mark.parametrize("key", KEYS, ids=lambda key: type(key).__name__)
def test_both_becomes_the_seed(key: object) -> None:
    version, algorithm, private = ber.single(pkcs8(key)).children()[:3]
    seed = ber.single(private.octets()).content
    both = der.sequence(der.octet_string(seed), der.octet_string(os.urandom(2400)))
    octets = der.sequence(version.raw, algorithm.raw, der.octet_string(both))
    with pytest.raises(ValueError, match="deserialize"):
        load_der_private_key(octets, None)
    assert pkcs8(load_der_private_key(seed_form(octets), None)) == pkcs8(key)
    assert seed_form(pkcs8(key)) == pkcs8(key)


@pytest.mark.req("B12")
@pytest.mark.parametrize("armoured", [False, True], ids=["der", "pem"])
def test_a_file_may_hold_both(armoured: bool) -> None:
    """What openssl 3.5 and Bouncy Castle write."""
    who = Authority.create().issue("bob@example.net", KEYS[0])
    version, algorithm, private = ber.single(who.pkcs8).children()[:3]
    both = der.sequence(der.octet_string(ber.single(private.octets()).content), der.octet_string(bytes(2400)))
    octets = der.sequence(version.raw, algorithm.raw, der.octet_string(both))
    if armoured:
        body = base64.encodebytes(octets)
        octets = who.pem + b"-----BEGIN PRIVATE KEY-----\n" + body + b"-----END PRIVATE KEY-----\n"
    if armoured:
        found = read(octets)
        (key,) = found.keys
        assert key.pkcs8.octets == who.pkcs8
        assert found.key_of(found.certificates[0]) is key
    else:
        with pytest.raises(KeyMismatch, match="no certificate"):  # it was read as the key that it is
            read(octets)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x30\x80", os.urandom(100), der.sequence(der.integer(0)), pkcs8(rsa.generate_private_key(65537, 2048))],
)
def test_everything_else_stays(octets: bytes) -> None:
    assert seed_form(octets) == octets


def test_an_expanded_key_alone_stays_for_its_loader_to_refuse() -> None:
    version, algorithm, _ = ber.single(pkcs8(KEYS[0])).children()[:3]
    octets = der.sequence(version.raw, algorithm.raw, der.octet_string(der.octet_string(os.urandom(2400))))
    assert seed_form(octets) == octets
