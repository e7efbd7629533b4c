"""A certification authority for tests: makes anchors, intermediates and people's certificates, good and faulty.

Order
    ``Authority.create()`` makes a self-signed anchor, ``.intermediate()`` one below, ``.issue(address)`` an Identity.

Guarantees
    Nothing here touches disk or network. RSA keys take about 50 ms each: share identities by a module fixture.

See also
    RFC 5280 4.2 (extensions), RFC 8550 3 and 4.4 (what S/MIME wants of a certificate).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa, x25519
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KeyKind = Literal[
    "rsa1024", "rsa2048", "rsa3072", "p256", "p384", "p521", "ed25519", "x25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87",
    "ml-kem-768", "ml-kem-1024",
]  # fmt: skip
PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | x25519.X25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
    | mlkem.MLKEM768PrivateKey
    | mlkem.MLKEM1024PrivateKey
)

PKCS12_KEYS = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
"""Those that the library writes into PKCS#12."""

SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # id-on-SmtpUTF8Mailbox, RFC 9598 3

_CURVES: dict[str, type[ec.SECP256R1] | type[ec.SECP384R1] | type[ec.SECP521R1]] = {
    "p256": ec.SECP256R1,
    "p384": ec.SECP384R1,
    "p521": ec.SECP521R1,
}
_OTHERS: dict[str, Callable[[], PrivateKey]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "x25519": x25519.X25519PrivateKey.generate,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
    "ml-kem-768": mlkem.MLKEM768PrivateKey.generate,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey.generate,
}
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
EVERYTHING = ("digital_signature", "content_commitment", "key_encipherment", "key_agreement")
"""The key usages of a certificate that serves for signing and encryption."""
_PURPOSES = {
    "email": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}


def make_key(kind: KeyKind = "p256") -> PrivateKey:
    """A fresh private key."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind in _OTHERS:
        return _OTHERS[kind]()
    return ec.generate_private_key(_CURVES[kind]())


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key and the certificates above it (nearest first, the anchor last)."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pkcs8(self) -> bytes:
        """The private key, unencrypted PKCS#8 DER."""
        return self.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def key_pem(self) -> bytes:
        """The private key, unencrypted PKCS#8 PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sealed_pem(self, password: str) -> bytes:
        """Certificate and encrypted PKCS#8 key as PEM: for keys that the library puts into no PKCS#12."""
        how = serialization.BestAvailableEncryption(password.encode())
        return self.pem + self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)

    def p12(self, password: str | None = "secret", name: str | None = None) -> bytes:
        """Certificate, key and chain as PKCS#12; ``password`` None: not encrypted."""
        how = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        return pkcs12.serialize_key_and_certificates(
            name.encode() if name else None, self.key, self.certificate, list(self.chain), how
        )


@dataclass(frozen=True)
class Authority:
    """An issuer. ``above``: the certificates over its own, nearest first, the anchor last; empty for an anchor."""

    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @classmethod
    def create(
        cls,
        name: str = "Test Anchor",
        *,
        key: KeyKind = "p256",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        path_length: int | None = None,
    ) -> Authority:
        """A new self-signed anchor, valid ten years from yesterday unless said."""
        private = make_key(key)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, private, not_before, not_after or _now() + timedelta(days=3650))
        builder = _authority_extensions(builder, private, private, path_length)
        return cls(builder.sign(private, _digest(private)), private)

    @property
    def der(self) -> bytes:
        """Its certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """Its certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """Its own certificate and those above."""
        return (self.certificate, *self.above)

    def intermediate(
        self,
        name: str = "Test Intermediate",
        *,
        key: KeyKind = "p256",
        path_length: int | None = None,
        permitted: Collection[str] = (),
        excluded: Collection[str] = (),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Authority:
        """An authority below this one. ``permitted``, ``excluded``: rfc822Name constraints (RFC 5280 4.2.1.10)."""
        private = make_key(key)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, private, not_before, not_after)
        builder = _authority_extensions(builder, private, self.key, path_length)
        if permitted or excluded:
            constraints = x509.NameConstraints(
                [x509.RFC822Name(each) for each in permitted] or None,
                [x509.RFC822Name(each) for each in excluded] or None,
            )
            builder = builder.add_extension(constraints, critical=True)
        return Authority(builder.sign(self.key, _digest(self.key)), private, self.chain)

    def cross(self, other: Authority) -> Authority:
        """Another authority's name and key, certified by this one."""
        builder = _builder(other.certificate.subject, self.certificate.subject, other.key, None, None)
        builder = _authority_extensions(builder, other.key, self.key, None)
        return Authority(builder.sign(self.key, _digest(self.key)), other.key, self.chain)

    def issue(
        self,
        address: str | Sequence[str] = "alice@example.org",
        key: KeyKind | PrivateKey = "rsa2048",
        *,
        name: str | None = None,
        rdn_address: str | None = None,
        utf8_addresses: Sequence[str] = (),
        usage: Collection[str] | None = (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "key_agreement",
        ),
        purposes: Collection[str] | None = ("email",),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        serial: int | None = None,
        subject_key_identifier: bool = True,
        authority: bool = False,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Identity:
        """A person's certificate.

        ``address``: rfc822Names; ``utf8_addresses``: SmtpUTF8Mailbox names; ``rdn_address``: emailAddress in the
        subject. ``usage``, ``purposes`` (email, any, server, client): None leaves the extension out. ``authority``:
        sets cA, for tests of what must be refused. ``extensions``: more, each with its critical flag.
        """
        private = make_key(key) if isinstance(key, str) else key
        addresses = [address] if isinstance(address, str) and address else list(address)
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, name or (addresses[0] if addresses else "Nobody"))]
        if rdn_address:
            parts.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, rdn_address))
        builder = _builder(x509.Name(parts), self.certificate.subject, private, not_before, not_after, serial)
        names: list[x509.GeneralName] = [x509.RFC822Name(each) for each in addresses]
        names += [x509.OtherName(SMTP_UTF8_MAILBOX, _utf8_string(each)) for each in utf8_addresses]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if usage is not None:
            builder = builder.add_extension(_key_usage(usage), critical=True)
        if purposes is not None:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([_PURPOSES[each] for each in purposes]), critical=False
            )
        if subject_key_identifier:
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
            )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return Identity(builder.sign(self.key, _digest(self.key)), private, self.chain)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    private: PrivateKey,
    not_before: datetime | None,
    not_after: datetime | None,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before or _now() - timedelta(days=1))
        .not_valid_after(not_after or _now() + timedelta(days=365))
    )


def _authority_extensions(
    builder: x509.CertificateBuilder, private: PrivateKey, issuer: PrivateKey, path_length: int | None
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(("key_cert_sign", "crl_sign", "digital_signature")), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )


def _key_usage(names: Collection[str]) -> x509.KeyUsage:
    unknown = set(names) - set(_USAGES)
    if unknown:
        raise ValueError(f"no such key usage: {unknown}")
    return x509.KeyUsage(**{each: each in names for each in _USAGES})


def _digest(private: PrivateKey) -> hashes.SHA256 | None:
    return hashes.SHA256() if isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None


def _utf8_string(text: str) -> bytes:
    octets = text.encode()
    if len(octets) > 127:
        raise ValueError("too long for the short form of a DER length")
    return b"\x0c" + bytes([len(octets)]) + octets
