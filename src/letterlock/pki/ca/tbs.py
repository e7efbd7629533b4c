"""What an authority signs, put together and not yet signed: certificates, lists, OCSP answers, requests.

Guarantees
    The octets are DER and say which signature algorithm the real key will use. Nothing here has a key that counts: the
    library builds only what it also signs, so it signs with a key made for that, whose signature is thrown away.
    Serial numbers are 127 random bits (RFC 5280 4.1.2.2; CA/Browser Forum asks for 64).

Standards
    RFC 5280 4 and 5, RFC 6960 4.2.1, RFC 5019 2.2 (answers made ahead), RFC 2986 4.1, RFC 8550 3 and 4.

Raises
    RequestInvalid for a name or address that cannot stand in a certificate.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from letterlock.asn1 import der, oid
from letterlock.pki.ca.errors import RequestInvalid
from letterlock.pki.ca.profile import PURPOSES, USAGES, Profile

BACK: timedelta = timedelta(minutes=10)
"""Clocks differ: what is signed is valid from a little before now."""


_DIGESTS = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1"}
_REASONS = {  # RFC 5280 5.3.1
    "keyCompromise": 1,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "privilegeWithdrawn": 9,
}


class Places(NamedTuple):
    """Where an authority publishes. ``url``: of the public listener; ``label``: the authority's name in it."""

    url: str
    label: str

    @property
    def crl(self) -> str:
        """Of its list of revocations."""
        return f"{self.url}/crl/{self.label}.crl"

    @property
    def certificate(self) -> str:
        """Of its own certificate."""
        return f"{self.url}/ca/{self.label}.crt"

    @property
    def ocsp(self) -> str:
        """Of its OCSP responder."""
        return f"{self.url}/ocsp"


def serial_number() -> int:
    """127 random bits, the first of them one."""
    return secrets.randbits(126) | 1 << 126


def _in_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


@lru_cache(maxsize=4)
def _stand_in(kind: str) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP384R1() if kind == "ec-384" else ec.SECP256R1())


def _signing(public: Any) -> tuple[Any, hashes.SHA256 | hashes.SHA384]:
    """A key of the same kind to build with, and the hash that the real one will use (keyholder/certify.py)."""
    if isinstance(public, rsa.RSAPublicKey):
        return _stand_in("rsa"), hashes.SHA256()
    large = isinstance(public.curve, ec.SECP384R1)
    return _stand_in("ec-384" if large else "ec-256"), hashes.SHA384() if large else hashes.SHA256()


def name(common: str, organisation: str = "", country: str = "") -> x509.Name:
    """A distinguished name. Raises RequestInvalid."""
    try:
        parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, country)] if country else []
        parts += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)] if organisation else []
        return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])
    except ValueError:
        raise RequestInvalid("A name in a certificate has 1 to 64 characters.") from None  # RFC 5280 A.1


def alternative_name(address: str) -> x509.SubjectAlternativeName:
    """The address as rfc822Name. Raises RequestInvalid."""
    if not address.isascii():
        raise RequestInvalid(f"{address} has characters that not every mail program finds in a certificate.")
    try:
        return x509.SubjectAlternativeName([x509.RFC822Name(address)])
    except ValueError:
        raise RequestInvalid(f"{address} is not a mail address.") from None


def _usage(named: Iterable[str]) -> x509.KeyUsage:
    chosen = set(named)
    known = [*USAGES[:3], "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"]
    return x509.KeyUsage(**{each: each in chosen for each in known}, encipher_only=False, decipher_only=False)


def _pointers(builder: x509.CertificateBuilder, places: Places, *, crl: bool, issuer: bool, answers: bool) -> Any:
    if crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(places.crl)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    access = [(AuthorityInformationAccessOID.OCSP, places.ocsp)] if answers else []
    access += [(AuthorityInformationAccessOID.CA_ISSUERS, places.certificate)] if issuer else []
    if access:
        told = [x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for method, url in access]
        builder = builder.add_extension(x509.AuthorityInformationAccess(told), critical=False)
    return builder


def _begin(subject: x509.Name, issuer: x509.Name, public: Any, start: datetime, end: datetime) -> Any:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial_number())
        .not_valid_before(_in_seconds(start))
        .not_valid_after(_in_seconds(end))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def person(
    profile: Profile,
    subject: x509.Name,
    address: str,
    spki: bytes,
    issuer: x509.Certificate,
    places: Places,
    now: datetime,
) -> bytes:
    """The tbsCertificate of a person's certificate; it never outlives its issuer's."""
    end = min(now + timedelta(days=profile.days), issuer.not_valid_after_utc)
    builder = _begin(subject, issuer.subject, load_der_public_key(spki), now - BACK, end)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(profile.usages()), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([x509.ObjectIdentifier(PURPOSES[each]) for each in profile.purposes]), critical=False
        )
        .add_extension(alternative_name(address), critical=False)
        .add_extension(_issuer_key(issuer), critical=False)
    )
    if profile.policies:
        policies = [x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in profile.policies]
        builder = builder.add_extension(x509.CertificatePolicies(policies), critical=False)
    builder = _pointers(builder, places, crl=profile.crl, issuer=profile.issuer, answers=profile.ocsp)
    return _tbs(builder, issuer.public_key())


def _issuer_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _tbs(builder: Any, signer: Any) -> bytes:
    octets: bytes = builder.sign(*_signing(signer)).tbs_certificate_bytes
    return octets


def authority(
    subject: x509.Name,
    spki: bytes,
    issuer: x509.Certificate | None,
    places: Places | None,
    end: datetime,
    now: datetime,
    domains: Sequence[str] = (),
) -> bytes:
    """The tbsCertificate of an authority: a root without ``issuer``; else one that issues, for ``domains`` if any."""
    public: Any = load_der_public_key(spki)
    builder = _begin(subject, issuer.subject if issuer else subject, public, now - BACK, end)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=0 if issuer else None), critical=True
    ).add_extension(_usage(["key_cert_sign", "crl_sign", "digital_signature"]), critical=True)
    if issuer is not None:
        builder = builder.add_extension(_issuer_key(issuer), critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([x509.ObjectIdentifier(each) for each in PURPOSES.values()]), critical=False
        )
    if domains:  # RFC 5280 4.2.1.10: a host name stands for its mailboxes, a leading dot for hosts below it
        names = [x509.RFC822Name(form) for each in domains for form in (each, f".{each}")]
        builder = builder.add_extension(x509.NameConstraints(names, None), critical=True)
    if places is not None:
        builder = _pointers(builder, places, crl=True, issuer=True, answers=False)
    return _tbs(builder, issuer.public_key() if issuer else public)


def revocation_list(
    issuer: x509.Certificate,
    number: int,
    revoked: Iterable[tuple[int, datetime, str]],
    now: datetime,
    until: datetime,
) -> bytes:
    """The tbsCertList with every (serial number, when, reason) revoked."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(_in_seconds(now - BACK))
        .next_update(_in_seconds(until))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_issuer_key(issuer), critical=False)
    )
    for serial, moment, reason in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_in_seconds(moment))
        if reason != "unspecified":  # RFC 5280 5.3.1: absent rather than unspecified
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(reason)), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    key, digest = _signing(issuer.public_key())
    return builder.sign(key, digest).tbs_certlist_bytes


def key_octets(issuer: x509.Certificate) -> bytes:
    """The octets of its BIT STRING subjectPublicKey, which an OCSP request digests (RFC 6960 4.1.1)."""
    public = issuer.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert isinstance(public, rsa.RSAPublicKey)
    return public.public_bytes(Encoding.DER, PublicFormat.PKCS1)


def answer(
    serial: int,
    issuer: x509.Certificate,
    digest: str,
    revoked: tuple[datetime, str] | None,
    now: datetime,
    until: datetime,
) -> bytes:
    """The ResponseData about one certificate; ``digest``: sha1 or sha256, by which it names the issuer."""

    def digested(octets: bytes) -> bytes:
        return der.octet_string(hashlib.new(digest, octets, usedforsecurity=False).digest())

    key = key_octets(issuer)
    named = der.sequence(
        der.sequence(oid.encode(_DIGESTS[digest]), der.NULL),
        digested(issuer.subject.public_bytes()),
        digested(key),
        der.integer(serial),
    )
    status = der.implicit(0, b"")  # good
    if revoked:
        why = [der.explicit(0, der.tlv(0x0A, bytes([_REASONS[revoked[1]]])))] if revoked[1] != "unspecified" else []
        status = der.explicit(1, _general_time(revoked[0]), *why)
    single = der.sequence(named, status, _general_time(now - BACK), der.explicit(0, _general_time(until)))
    by_key = der.explicit(2, der.octet_string(hashlib.sha1(key, usedforsecurity=False).digest()))
    return der.sequence(by_key, _general_time(now), der.sequence(single))


def _general_time(moment: datetime) -> bytes:
    return der.tlv(der.GENERALIZED_TIME, _in_seconds(moment).strftime("%Y%m%d%H%M%SZ").encode())


def certification_request(subject: x509.Name, spki: bytes, address: str) -> bytes:
    """The CertificationRequestInfo that asks for the address (RFC 2986 4.1), with an extensionRequest (RFC 2985 5.4.2)."""
    wanted = der.sequence(
        der.sequence(oid.encode("2.5.29.17"), der.octet_string(alternative_name(address).public_bytes()))
    )
    attribute = der.sequence(oid.encode("1.2.840.113549.1.9.14"), der.set_of(wanted))
    return der.sequence(der.integer(0), subject.public_bytes(), spki, der.explicit(0, attribute))
