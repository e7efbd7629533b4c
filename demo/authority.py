"""The demo's certification authority: one anchor and a certificate with key for each person who has one.

Guarantees
    Keys live in the demo's own folder, which goes away with it. RSA-2048, because every mail program reads it.

Standards
    RFC 5280 (certificates), RFC 8550 3 and 4.4 (addresses and usages of S/MIME certificates), RFC 7292 (PKCS#12).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PASSWORD = "demo"  # it protects keys made a second ago


@dataclass(frozen=True)
class Person:
    """The files of one person: certificate (PEM), private key (PEM), both together (PKCS#12)."""

    address: str
    certificate: Path
    key: Path
    bundle: Path


class Authority:
    """Signs certificates for the demo; its own is in ``certificate``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "authority.pem"
        self._key = rsa.generate_private_key(65537, 2048)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Letterlock Demo Authority")])
        self._own = (
            self._begin(self._name, self._key.public_key(), days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    def issue(self, address: str) -> Person:
        """A certificate for one address, good for signing and for encryption to it."""
        key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        certificate = (
            self._begin(subject, key.public_key(), days=7)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        name = address.replace("@", "-at-")
        person = Person(address, self.folder / f"{name}.pem", self.folder / f"{name}.key", self.folder / f"{name}.p12")
        person.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        person.key.touch(mode=0o600)
        person.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        person.bundle.touch(mode=0o600)
        person.bundle.write_bytes(
            pkcs12.serialize_key_and_certificates(
                address.encode(), key, certificate, [self._own],
                serialization.BestAvailableEncryption(PASSWORD.encode()),
            )
        )  # fmt: skip
        return person

    def _begin(self, subject: x509.Name, public: rsa.RSAPublicKey, *, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def _usage(**granted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: granted.get(name, False) for name in every})
