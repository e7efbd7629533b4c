"""What was fetched, as far as it must be understood to be kept: whose it is and how long it holds. Judged elsewhere.

Guarantees
    Hostile octets end in NotUseful. Nothing here checks a signature: what comes out is kept as a candidate.
    An OCSP answer is about the CertID that was asked about, and carries our nonce if it carries one.

Standards
    RFC 5280 5 (CRL), RFC 6960 4 (OCSP), RFC 9654 2.1 (nonce), RFC 5019 2.2.4 (answers without one), RFC 2585 4
    (what stands at such URLs), RFC 5652 5 (a P7B at caIssuers, RFC 5280 4.2.2.1).

Raises
    NotUseful.

See also
    ``wanted.py``; ``fetch/wanted.py``, which stores what comes out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from letterlock.asn1 import ber, der, oid
from letterlock.pki.bundle import read as read_bundle
from letterlock.pki.certificate import Certificate, name_key, parse
from letterlock.pki.errors import CertificateError, MalformedCertificate

MAX_CERTIFICATES: Final = 20
"""Certificates kept of one answer."""
NONCE_OCTETS: Final = 32  # RFC 9654 2.1

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_NONCE: Final = oid.encode("1.3.6.1.5.5.7.48.1.2")  # id-pkix-ocsp-nonce, RFC 6960 4.4.1
_ARMOUR = re.compile(rb"-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----")  # RFC 7468 6


class NotUseful(CertificateError):
    """What was fetched is not what was asked for."""


class CrlOutline(NamedTuple):
    """``issuer``: as Certificate.subject_key; ``issuer_key_id``: empty when the CRL names none."""

    der: bytes
    issuer: bytes
    issuer_key_id: bytes
    is_delta: bool
    this_update: datetime
    next_update: datetime | None


class OcspOutline(NamedTuple):
    """The times of the one status that was asked for."""

    der: bytes
    this_update: datetime
    next_update: datetime | None


def read_crl(octets: bytes) -> CrlOutline:
    """The CRL in DER or PEM octets."""
    armoured = None if octets[:1] == b"\x30" else _ARMOUR.search(octets)
    try:
        body = base64.b64decode(b"".join(armoured[1].split()), validate=True) if armoured else octets
        crl = x509.load_der_x509_crl(body)
        key = _extension(crl.extensions, x509.AuthorityKeyIdentifier)
        return CrlOutline(
            der=crl.public_bytes(Encoding.DER) if armoured else body,
            issuer=name_key(crl.issuer),
            issuer_key_id=key.key_identifier or b"" if key else b"",
            is_delta=_extension(crl.extensions, x509.DeltaCRLIndicator) is not None,
            this_update=crl.last_update_utc,
            next_update=crl.next_update_utc,
        )
    except (Exception, binascii.Error) as error:  # hostile octets: the library raises many kinds
        raise NotUseful(detail=f"no CRL: {type(error).__name__}: {str(error)[:100]}") from error


def _extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def read_certificates(octets: bytes, *, authorities: bool) -> list[Certificate]:
    """The certificates in DER, PEM or P7B octets: those of authorities, or all others."""
    try:
        found = read_bundle(octets, with_keys=False).certificates
    except CertificateError as error:
        raise NotUseful(detail=f"no certificate: {error}") from error
    return chosen(found, authorities=authorities)


def parse_all(octets: Iterable[bytes]) -> list[Certificate]:
    """Those of several DER certificates that can be read."""
    found = []
    for each in octets:
        try:
            found.append(parse(each))
        except MalformedCertificate:
            continue
    return found


def chosen(certificates: Iterable[Certificate], *, authorities: bool) -> list[Certificate]:
    """Those of authorities, or all others; each once, at most MAX_CERTIFICATES, the newest. Raises NotUseful for none."""
    fit = [each for each in dict.fromkeys(certificates) if each.is_authority == authorities]
    if not fit:
        raise NotUseful(detail="no certificate of the kind that was asked for")
    return sorted(fit, key=lambda each: each.not_before, reverse=True)[:MAX_CERTIFICATES]


def ocsp_request(cert_id: bytes, nonce: bytes = b"") -> bytes:
    """An OCSPRequest about one certificate (RFC 6960 4.1.1), with a nonce unless that is empty."""
    parts = [der.sequence(der.sequence(cert_id))]
    if nonce:
        value = der.octet_string(der.octet_string(nonce))
        parts.append(der.explicit(2, der.sequence(der.sequence(_NONCE, value))))
    return der.sequence(der.sequence(*parts))


def read_ocsp(octets: bytes, cert_id: bytes, nonce: bytes = b"") -> OcspOutline:
    """The answer in ``octets``, which must be about ``cert_id`` and must not carry another nonce."""
    try:
        answer = ocsp.load_der_ocsp_response(octets)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise NotUseful(detail=f"the OCSP responder says {answer.response_status.name}")
        given = _extension(answer.extensions, x509.OCSPNonce)
        if given is not None and given.nonce != nonce:
            raise NotUseful(detail="the OCSP answer has another nonce: it was made for somebody else")
        status = _status(list(answer.responses), cert_id)
        return OcspOutline(octets, status.this_update_utc, status.next_update_utc)
    except NotUseful:
        raise
    except Exception as error:  # hostile octets: the library raises many kinds
        raise NotUseful(detail=f"no OCSP answer: {type(error).__name__}: {str(error)[:100]}") from error


def _status(statuses: Sequence[ocsp.OCSPSingleResponse], cert_id: bytes) -> ocsp.OCSPSingleResponse:
    _, name, key, serial = ber.single(cert_id).children()
    asked = (name.octets(), key.octets(), serial.integer())
    for each in statuses[:100]:
        if (each.issuer_name_hash, each.issuer_key_hash, each.serial_number) == asked:
            return each
    raise NotUseful(detail="the OCSP answer is about another certificate")
