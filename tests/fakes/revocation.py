"""Revocation lists, OCSP answers and odd authorities for tests, made by an Authority.

See also
    ``authority.py`` for the authorities; RFC 5280 5 and RFC 6960 4.2 for what is made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ReasonFlags, ocsp
from cryptography.x509.oid import NameOID

from letterlock.asn1 import der, oid
from tests.fakes.authority import Authority, Identity, PrivateKey, make_key

Extensions = Sequence[tuple[x509.ExtensionType, bool]]
HOUR = timedelta(hours=1)
USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def make_crl(
    issuer: Authority | Identity,
    revoked: Mapping[int, ReasonFlags | None] | None = None,
    *,
    number: int | None = 1,
    at: datetime | None = None,
    lasts: timedelta = HOUR,
    extensions: Extensions = (),
    named: Mapping[int, x509.Name] | None = None,
) -> bytes:
    """A list, DER. ``revoked``: reasons by serial number; ``named``: certificateIssuer of an entry."""
    now = (at or datetime.now(UTC)).replace(microsecond=0) - timedelta(minutes=1)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(now).next_update(now + lasts)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for serial, reason in (revoked or {}).items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        if named and serial in named:
            issuer_names = x509.CertificateIssuer([x509.DirectoryName(named[serial])])
            entry = entry.add_extension(issuer_names, critical=True)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def make_large_crl(issuer: Authority, revoked: Sequence[int], extensions: Extensions = ()) -> bytes:
    """A list of any number of entries, put together by hand: the library's builder takes quadratic time."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    algorithm = der.sequence(oid.encode("1.2.840.10045.4.3.2"))  # ecdsa-with-SHA256
    moment = der.time(now)
    entries = [der.sequence(der.integer(each), moment) for each in revoked]
    every = [(x509.CRLNumber(1), False), *extensions]
    written = [
        der.sequence(
            oid.encode(each.oid.dotted_string),
            *([der.boolean(True)] if critical else []),
            der.octet_string(each.public_bytes()),
        )
        for each, critical in every
    ]
    tbs = der.sequence(
        der.integer(1),
        algorithm,
        issuer.certificate.subject.public_bytes(),
        moment,
        der.time(now + HOUR),
        der.sequence(*entries),
        der.explicit(0, der.sequence(*written)),
    )
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    return der.sequence(tbs, algorithm, der.bit_string(issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def distribution_point(
    *,
    uri: str | None = None,
    users_only: bool = False,
    authorities_only: bool = False,
    indirect: bool = False,
    reasons: Collection[ReasonFlags] | None = None,
) -> tuple[x509.IssuingDistributionPoint, bool]:
    """An issuing distribution point of a list, critical."""
    names = [x509.UniformResourceIdentifier(uri)] if uri else None
    some = frozenset(reasons) if reasons else None
    return x509.IssuingDistributionPoint(names, None, users_only, authorities_only, some, indirect, False), True


def make_answer(
    about: Identity | Authority,
    issuer: Authority,
    signer: Authority | Identity | None = None,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    at: datetime | None = None,
    lasts: timedelta | None = HOUR,
    nonce: bytes | None = None,
    bring: bool = True,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    """An OCSP answer, DER. ``signer``: a responder other than the issuer, whose certificate is brought along."""
    now = (at or datetime.now(UTC)).replace(microsecond=0) - timedelta(minutes=1)
    by = signer or issuer
    is_revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=about.certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA1(),
        cert_status=status,
        this_update=now,
        next_update=now + lasts if lasts else None,
        revocation_time=now if is_revoked else None,
        revocation_reason=ReasonFlags.key_compromise if is_revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    if signer is not None and bring:
        builder = builder.certificates([signer.certificate])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.sign(by.key, digest or hashes.SHA256()).public_bytes(Encoding.DER)


def odd_authority(
    name: str, issuer: Authority | None = None, extensions: Extensions = (), key: PrivateKey | None = None
) -> Authority:
    """An authority with any further extensions; self-signed without an issuer."""
    private = key or make_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC).replace(microsecond=0)
    signing = issuer.key if issuer else private
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Authority(builder.sign(signing, hashes.SHA256()), private, issuer.chain if issuer else ())


def policies(*dotted: str) -> tuple[x509.CertificatePolicies, bool]:
    """A certificatePolicies extension."""
    named = [x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in dotted]
    return x509.CertificatePolicies(named), False


def mappings(pairs: Sequence[tuple[str, str]]) -> tuple[x509.UnrecognizedExtension, bool]:
    """A policyMappings extension, written by hand: the library has none."""
    body = der.sequence(*(der.sequence(oid.encode(one), oid.encode(other)) for one, other in pairs))
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), body), True
