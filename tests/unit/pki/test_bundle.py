"""Certificates and keys in files: every format in, every format out, and openssl on the other side."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from letterlock.pki import bundle
from letterlock.pki.certificate import parse
from letterlock.pki.errors import (
    CertificateError,
    KeyMismatch,
    MalformedBundle,
    MalformedCertificate,
    UnsupportedKey,
    WrongPassword,
)
from letterlock.vault.keys import Secret
from tests.fakes.authority import Authority, Identity


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture(scope="module")
def alice(anchor: Authority) -> Identity:
    return anchor.intermediate("Issuing").issue("alice@example.org")


@pytest.fixture(scope="module")
def bob(anchor: Authority) -> Identity:
    return anchor.issue("bob@example.org", "p256")


@pytest.mark.req("C10")
def test_der_pem_and_bare_base64(alice: Identity) -> None:
    wanted = (parse(alice.der),)
    for octets in (alice.der, alice.pem, b"Bag Attributes\n  x: y\n" + alice.pem, base64.encodebytes(alice.der)):
        assert bundle.read(octets) == bundle.Bundle(wanted)


@pytest.mark.req("C10")
def test_pem_with_certificate_key_and_chain(alice: Identity, anchor: Authority) -> None:
    found = bundle.read(alice.key_pem + alice.pem + anchor.pem + alice.pem)
    assert found.certificates == (parse(alice.der), parse(anchor.der))
    (key,) = found.keys
    assert key.pkcs8 == Secret(alice.pkcs8)
    assert key.certificates == (parse(alice.der),)
    assert found.key_of(parse(alice.der)) == key
    assert found.key_of(parse(anchor.der)) is None


@pytest.mark.req("C10")
@pytest.mark.parametrize("password", ["correct horse", "pässwörd"])
def test_pkcs12(alice: Identity, password: str) -> None:
    found = bundle.read(alice.p12(password), password)
    assert {each.der for each in found.certificates} == {alice.der, *(_der(each) for each in alice.chain)}
    assert found.keys[0].pkcs8 == Secret(alice.pkcs8)
    for wrong in (None, "", "wrong"):
        with pytest.raises(WrongPassword):
            bundle.read(alice.p12(password), wrong)


def test_pkcs12_without_password(bob: Identity) -> None:
    assert bundle.read(bob.p12(None)).keys[0].pkcs8 == Secret(bob.pkcs8)


@pytest.mark.req("C10")
@pytest.mark.parametrize("pem", [False, True])
def test_p7b_there_and_back(alice: Identity, anchor: Authority, pem: bool) -> None:
    certificates = (parse(alice.der), parse(anchor.der))
    assert set(bundle.read(bundle.to_p7b(certificates, pem=pem)).certificates) == set(certificates)


@pytest.mark.req("C10")
def test_pem_and_p12_there_and_back(alice: Identity, bob: Identity) -> None:
    certificates = (parse(alice.der), parse(bob.der))
    assert bundle.read(bundle.to_pem(certificates)).certificates == certificates
    made = bundle.to_p12(Secret(bob.pkcs8), parse(bob.der), [parse(alice.der)], "secret")
    assert bundle.read(made, "secret").keys[0].pkcs8 == Secret(bob.pkcs8)
    with pytest.raises(WrongPassword):
        bundle.to_p12(Secret(bob.pkcs8), parse(bob.der), [], "")


@pytest.mark.parametrize(
    "key_format", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL]
)
def test_sealed_key_beside_its_certificate(bob: Identity, key_format: serialization.PrivateFormat) -> None:
    sealed = bob.key.private_bytes(
        serialization.Encoding.PEM, key_format, serialization.BestAvailableEncryption(b"secret")
    )
    assert bundle.read(sealed + bob.pem, "secret").keys[0].pkcs8 == Secret(bob.pkcs8)
    for wrong in (None, "other"):
        with pytest.raises(WrongPassword):
            bundle.read(sealed + bob.pem, wrong)


def test_a_password_that_is_not_needed_does_no_harm(bob: Identity) -> None:
    assert bundle.read(bob.key_pem + bob.pem, "secret").keys


def test_keys_without_their_certificate(alice: Identity, bob: Identity) -> None:
    for octets in (bob.key_pem, bob.pkcs8, bob.key_pem + alice.pem):
        with pytest.raises(KeyMismatch):
            bundle.read(octets)


def test_keys_we_have_no_use_for(anchor: Authority) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    odd = anchor.issue("a@example.org", ec.generate_private_key(ec.SECP256K1()))
    with pytest.raises(UnsupportedKey):
        bundle.read(odd.key_pem + odd.pem)


@pytest.mark.parametrize("octets", [b"", b"hello", b"\x30", b"\x30\x80\x00\x00", b"-----BEGIN CERTIFICATE-----\nAAAA"])
def test_rubbish(octets: bytes) -> None:
    with pytest.raises(CertificateError):
        bundle.read(octets)


def test_one_bad_certificate_does_not_lose_the_others(alice: Identity, bob: Identity) -> None:
    bad = b"-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
    found = bundle.read(alice.pem + bad + bob.pem)
    assert len(found.certificates) == 2
    assert found.unreadable == 1
    with pytest.raises(MalformedCertificate):
        bundle.read(bad)


@pytest.mark.req("C10")
def test_a_p7b_with_a_certificate_of_no_known_version(alice: Identity) -> None:
    p7b = pkcs7.serialize_certificates([alice.certificate], serialization.Encoding.DER)
    version_3, version_2 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"  # RFC 5280 4.1.2.1
    assert version_3 in p7b
    with pytest.raises(MalformedBundle):
        bundle.read(p7b.replace(version_3, version_2, 1))


def test_too_large(monkeypatch: pytest.MonkeyPatch, alice: Identity, bob: Identity) -> None:
    with pytest.raises(MalformedBundle):
        bundle.read(b"\x30" * (bundle.MAX_OCTETS + 1))
    monkeypatch.setattr(bundle, "MAX_CERTIFICATES", 1)
    with pytest.raises(MalformedBundle):
        bundle.read(alice.pem + bob.pem)


def test_secrets_do_not_show(bob: Identity) -> None:
    assert base64.b64encode(bob.pkcs8)[-40:].decode() not in repr(bundle.read(bob.p12(), "secret"))
    assert "Secret()" in repr(bundle.read(bob.p12(), "secret"))


@pytest.mark.peer
@pytest.mark.req("C10")
@pytest.mark.parametrize("options", ["", "-legacy", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES", "-nomac"])
def test_what_openssl_exports_we_read(bob: Identity, tmp_path: Path, options: str) -> None:
    (tmp_path / "key").write_bytes(bob.key_pem)
    (tmp_path / "cert").write_bytes(bob.pem)
    subprocess.run(
        f"openssl pkcs12 -export -inkey key -in cert -out p12 -passout pass:secret {options}".split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert bundle.read((tmp_path / "p12").read_bytes(), "secret").keys[0].pkcs8 == Secret(bob.pkcs8)


@pytest.mark.peer
@pytest.mark.req("C10")
def test_what_we_write_openssl_reads(alice: Identity, bob: Identity, tmp_path: Path) -> None:
    (tmp_path / "p7b").write_bytes(bundle.to_p7b([parse(alice.der), parse(bob.der)]))
    shown = _openssl(tmp_path, "pkcs7 -inform DER -in p7b -print_certs")
    assert shown.count("BEGIN CERTIFICATE") == 2
    (tmp_path / "p12").write_bytes(bundle.to_p12(Secret(bob.pkcs8), parse(bob.der), [parse(alice.der)], "secret"))
    shown = _openssl(tmp_path, "pkcs12 -in p12 -passin pass:secret -nodes")
    assert shown.count("BEGIN CERTIFICATE") == 2
    assert "BEGIN PRIVATE KEY" in shown


@pytest.mark.peer
def test_p7b_made_by_openssl(alice: Identity, bob: Identity, tmp_path: Path) -> None:
    (tmp_path / "certs").write_bytes(alice.pem + bob.pem)
    for form in ("PEM", "DER"):
        _openssl(tmp_path, f"crl2pkcs7 -nocrl -certfile certs -outform {form} -out p7b")
        assert len(bundle.read((tmp_path / "p7b").read_bytes()).certificates) == 2


def _openssl(folder: Path, arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode()


def _der(certificate: object) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
