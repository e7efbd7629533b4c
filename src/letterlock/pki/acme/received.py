"""What an authority elsewhere delivered: is it the certificate that was asked for?

Guarantees
    It is for the request's own key, names the request's address and no other, is valid now, is for mail and is no
    authority's. What stands above it is kept as it came: candidates for a path, trusted by nothing.

Standards
    RFC 8555 7.4.2 (PEM chain, the certificate first), RFC 8550 3 and 4.4 (addresses, key purposes), RFC 8823 3.

Raises
    WrongCertificate.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from letterlock.pki import bundle
from letterlock.pki.acme.enrolment import AcmeRefused
from letterlock.pki.certificate import Certificate, match_form
from letterlock.pki.errors import CertificateError

MOST_ABOVE: Final = 9
_FOR_MAIL: Final = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


class WrongCertificate(AcmeRefused):
    """The authority gave another certificate than the one that was asked for."""


class Delivered(NamedTuple):
    """The certificate, and the authorities' above it."""

    certificate: Certificate
    above: tuple[Certificate, ...]


def read(octets: bytes, spki: bytes, address: str, now: datetime) -> Delivered:
    """The certificate in a PEM chain for this key and address. Raises WrongCertificate."""
    try:
        found = bundle.read(octets).certificates
    except CertificateError as error:
        raise WrongCertificate("What the authority gave is no certificate.", detail=str(error)) from None
    own = next((each for each in found if each.spki == spki), None)
    if own is None:
        raise WrongCertificate("The authority gave a certificate for another key.")
    if {match_form(each) for each in own.addresses} != {match_form(address)}:
        raise WrongCertificate("The authority gave a certificate for another address.", detail=", ".join(own.addresses))
    if own.is_authority or not own.not_before <= now < own.not_after:
        raise WrongCertificate("The authority gave a certificate that is not valid now, or an authority's.")
    purposes = own.find(x509.ExtendedKeyUsage)
    if purposes is not None and not _FOR_MAIL.intersection(purposes):
        raise WrongCertificate("The authority gave a certificate that is not for mail.")
    above = tuple(each for each in found if each is not own and each.is_authority)
    return Delivered(own, above[:MOST_ABOVE])
