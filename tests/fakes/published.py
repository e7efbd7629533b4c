"""What authorities publish, made for tests: CRLs, OCSP answers, and the extensions that say where they are.

See also
    ``authority.py``, whose ``issue(extensions=...)`` takes the extensions; ``web.py`` for a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from letterlock.asn1 import ber
from tests.fakes.authority import Authority, Identity
from tests.fakes.web import Asked, Handler


def now() -> datetime:
    """This second, UTC."""
    return datetime.now(UTC).replace(microsecond=0)


def crl(
    authority: Authority,
    *serials: int,
    this_update: datetime | None = None,
    next_update: datetime | None = None,
    number: int = 1,
) -> bytes:
    """A CRL of ``authority`` that revokes ``serials``, DER; good for a day from an hour ago unless said."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(this_update or now() - timedelta(hours=1))
        .next_update(next_update or now() + timedelta(days=1))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now()).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def crl_at(*urls: str) -> tuple[x509.ExtensionType, bool]:
    """The extension that names these URLs in one distribution point."""
    names = [x509.UniformResourceIdentifier(each) for each in urls]
    return x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)]), False


def access(*, ocsp_at: str = "", issuer_at: str = "") -> tuple[x509.ExtensionType, bool]:
    """The extension that says where the OCSP responder and the issuer's certificate are."""
    pairs = ((AuthorityInformationAccessOID.OCSP, ocsp_at), (AuthorityInformationAccessOID.CA_ISSUERS, issuer_at))
    return (
        x509.AuthorityInformationAccess(
            [x509.AccessDescription(oid, x509.UniformResourceIdentifier(url)) for oid, url in pairs if url]
        ),
        False,
    )


def responder(
    authority: Authority,
    who: Identity,
    *,
    nonce: bool = True,
    wrong_nonce: bool = False,
    next_update: datetime | None = None,
    revoked: bool = False,
) -> Handler:
    """An OCSP responder that calls ``who`` good, or revoked, whatever is asked."""

    def answer(asked: Asked) -> Iterator[bytes]:
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                who.certificate,
                authority.certificate,
                hashes.SHA1(),
                ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
                now() - timedelta(minutes=1),
                next_update or now() + timedelta(hours=2),
                now() - timedelta(minutes=5) if revoked else None,
                x509.ReasonFlags.key_compromise if revoked else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, authority.certificate)
        )
        if asked.method == "POST" and nonce:
            request = ocsp.load_der_ocsp_request(asked.body)
            value = request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
            builder = builder.add_extension(x509.OCSPNonce(b"0" * 32 if wrong_nonce else value), critical=False)
        body = builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)
        yield f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    return answer


def serial_in(cert_id: bytes) -> int:
    """The serial number in a DER CertID."""
    return ber.single(cert_id).children()[3].integer()
