"""What a CMS object says of itself: every kind, its algorithms and people, and what is weak."""

from __future__ import annotations

import pytest

from letterlock.asn1 import der, oid
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.capabilities import EncryptionPolicy, group_recipients
from letterlock.smime.cms_write import certificates_only
from letterlock.smime.compress import compress
from letterlock.smime.describe import Told, ToldSigner, describe
from letterlock.smime.encrypt import enveloped
from letterlock.smime.errors import Malformed, Unsupported
from letterlock.smime.party import load_party
from tests.fakes.authority import KeyKind
from tests.fakes.people import person, sign

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"


def told(octets: bytes) -> Told:
    """The object in small pieces."""
    return describe(lambda: (octets[at : at + 50] for at in range(0, len(octets), 50)))


@pytest.mark.req("B2", "B8", "B9", "B10", "B11", "B12")
@pytest.mark.parametrize(
    ("key", "transport", "kind", "algorithm"),
    [
        ("rsa2048", "pkcs1", "key transport", "rsa-pkcs1"),
        ("rsa2048", "oaep", "key transport", "rsa-oaep-sha256-sha256"),
        ("p384", "auto", "key agreement", "ecdh-x963-sha256-aes256-wrap"),
        ("x25519", "auto", "key agreement", "x25519-hkdf-sha256-aes256-wrap"),
        ("ml-kem-1024", "auto", "key encapsulation", "ml-kem-1024-aes256-wrap"),
    ],
)
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_encrypted(key: KeyKind, transport: str, kind: str, algorithm: str, cipher: str) -> None:
    who = load_party(person(f"reader-{key}", key).der)
    (group,) = group_recipients([who], EncryptionPolicy(cipher, transport))
    found = told(b"".join(enveloped([CONTENT], len(CONTENT), group)))
    assert (found.kind, found.cipher) == ("auth-enveloped" if cipher.endswith("gcm") else "enveloped", cipher)
    (recipient,) = found.recipients
    assert (recipient.kind, recipient.algorithm, recipient.weak) == (kind, algorithm, ())
    assert recipient.identifier == who.certificate.issuer_serial.hex()
    assert found.weak == ()


@pytest.mark.req("B8")
def test_weak_algorithms_are_told() -> None:
    (group,) = group_recipients([load_party(person("bob").der)], EncryptionPolicy("aes192-cbc"))
    octets = b"".join(enveloped([CONTENT], len(CONTENT), group))
    parameters = der.sequence(CIPHERS["aes192-cbc"].oid, der.octet_string(bytes(16)))
    assert told(octets).weak == ()
    at = octets.index(CIPHERS["aes192-cbc"].oid) - 2
    old = der.sequence(CIPHERS["3des-cbc"].oid, der.octet_string(bytes(8)))
    old += der.implicit(0, bytes(len(parameters) - len(old) - 2))  # the header ends there: the rest is not looked at
    assert told(octets[:at] + old + octets[at + len(parameters) :]).weak == ("3des-cbc",)


@pytest.mark.req("B2", "B11", "B12")
@pytest.mark.parametrize(
    ("key", "digest", "algorithm"),
    [
        ("rsa2048", "sha256", "rsa-pkcs1-sha256"),
        ("rsa2048", "sha384", "rsa-pss-sha384"),
        ("p384", "sha384", "ecdsa-sha384"),
        ("ed25519", "sha512", "ed25519"),
        ("ml-dsa-65", "sha512", "ml-dsa-65"),
    ],
)
def test_signed(key: KeyKind, digest: str, algorithm: str) -> None:
    who = person(f"signer-{key}", key)
    found = told(sign([CONTENT], who, algorithm=algorithm)[0])
    identifier = load_party(who.der).certificate.issuer_serial.hex()
    assert found == Told("signed", "", (), (ToldSigner(identifier, digest, algorithm, True),), 1, True)


def test_unknown_and_weak_signature_algorithms() -> None:
    octets = sign([CONTENT], person("alice"))[0]
    sha256 = oid.encode("2.16.840.1.101.3.4.2.1")
    assert (
        told(octets.replace(sha256, oid.encode("2.16.840.1.101.3.4.2.9"))).signers[0].digest == "2.16.840.1.101.3.4.2.9"
    )
    rsa = oid.encode("1.2.840.113549.1.1.1")
    changed = (
        octets[: octets.rindex(rsa)] + oid.encode("1.2.840.113549.1.1.5") + octets[octets.rindex(rsa) + len(rsa) :]
    )
    (signer,) = told(changed).signers
    assert signer.algorithm == "1.2.840.113549.1.1.5"  # SHA-1 over a SHA-256 digest: no name for that


@pytest.mark.req("B14")
def test_the_other_kinds() -> None:
    certificates = told(certificates_only([person("alice").der, person("bob").der]))
    assert (certificates.kind, certificates.certificates, certificates.detached) == ("signed", 2, False)
    assert told(b"".join(compress([CONTENT]))).kind == "compressed"
    for kind, name in ((oid.DATA, "data"), (oid.DIGESTED_DATA, "digested"), (oid.AUTHENTICATED_DATA, "authenticated")):
        assert told(der.sequence(kind, der.explicit(0, der.octet_string(b"x")))).kind == name


def test_damage() -> None:
    with pytest.raises(Malformed):
        told(sign([CONTENT], person("alice"))[0][:-1])
    with pytest.raises(Unsupported):
        told(der.sequence(oid.encode("1.2.3"), der.explicit(0, der.NULL)))
