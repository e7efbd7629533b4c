"""What is read out of a certificate, with the openssl program as second opinion."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from letterlock.pki.certificate import EMAIL_PROTECTION, match_form, parse
from letterlock.pki.errors import MalformedCertificate
from tests.fakes.authority import Authority, Identity


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture(scope="module")
def alice(authority: Authority) -> Identity:
    return authority.issue("Alice@Example.ORG", rdn_address="al@example.net")


def test_fields(authority: Authority, alice: Identity) -> None:
    found = parse(alice.der)
    assert found.thumbprint == hashlib.sha256(alice.der).digest()
    assert found.addresses == ("alice@example.org", "al@example.net")
    assert (found.key_kind, found.key_bits, found.digest) == ("rsa", 2048, "sha256")
    assert found.purposes == {EMAIL_PROTECTION}
    assert found.key_usage == {"digital_signature", "content_commitment", "key_encipherment", "key_agreement"}
    assert not found.is_authority
    assert found.not_before.tzinfo is UTC
    assert found.authority_key_identifier == parse(authority.der).key_identifier
    assert parse(authority.der).is_authority
    assert parse(authority.der).is_self_issued
    assert not found.is_self_issued


def test_issuer_serial_has_the_issuers_own_octets(alice: Identity) -> None:
    found = parse(alice.der)
    read = asn1_cms.IssuerAndSerialNumber.load(found.issuer_serial, strict=True)
    whole = asn1_x509.Certificate.load(alice.der)
    assert read["issuer"].dump() == whole.issuer.dump()
    assert read["serial_number"].native == whole.serial_number == found.serial


def test_spki_and_implied_key_identifier(authority: Authority) -> None:
    bare = authority.issue("a@example.org", "p256", subject_key_identifier=False)
    found = parse(bare.der)
    assert not found.has_key_identifier
    assert found.key_identifier == x509.SubjectKeyIdentifier.from_public_key(bare.key.public_key()).digest
    assert found.spki == asn1_x509.Certificate.load(bare.der).public_key.dump()
    assert (found.key_kind, found.curve) == ("ec", "secp256r1")


@pytest.mark.req("B3")
def test_every_place_an_address_may_stand(authority: Authority) -> None:
    many = authority.issue(
        ["one@example.org", "TWO@example.org", "two@example.org"],
        "p256",
        utf8_addresses=["Ünï@bücher.example"],
        rdn_address="three@example.org",
    )
    found = parse(many.der)
    assert found.addresses == (
        "one@example.org",
        "two@example.org",
        "ünï@xn--bcher-kva.example",
        "three@example.org",
    )
    assert found.names("ünï@BÜCHER.example")
    assert not found.names("four@example.org")


def test_no_address_no_name(authority: Authority) -> None:
    nobody = parse(authority.issue("", "p256").der)
    assert nobody.addresses == ()
    assert not nobody.names("")


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("Alice@Example.ORG", "alice@example.org"),
        ("alice@bücher.example", "alice@xn--bcher-kva.example"),
        ('"alice"@example.org', "alice@example.org"),
        ("example.org", ""),
        ("alice@example.org\x00.evil.example", ""),
        ("alice@example.org\r\nx@y", ""),
        ("\u212aelvin@example.org", ""),  # KELVIN SIGN must not become another person's k
    ],
)
def test_match_form(given: str, form: str) -> None:
    assert match_form(given) == form


@pytest.mark.parametrize("octets", [b"", b"\x30\x03\x02\x01\x00", b"\x00" * 300_000, b"\x30\x80" * 50])
def test_hostile_octets_are_malformed(octets: bytes) -> None:
    with pytest.raises(MalformedCertificate):
        parse(octets)


def test_damaged_certificate_never_raises_anything_else(alice: Identity) -> None:
    for place in range(4, len(alice.der), 7):
        damaged = bytearray(alice.der)
        damaged[place] ^= 0xFF
        try:
            parse(bytes(damaged))
        except MalformedCertificate:
            continue


@pytest.mark.peer
def test_openssl_reads_the_same_addresses(alice: Identity) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-email"], input=alice.pem, capture_output=True, check=True
    ).stdout.decode()
    assert {match_form(line) for line in shown.split()} == set(parse(alice.der).addresses)
