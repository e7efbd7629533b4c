"""Which certificate an OCSP request asks about.

Standards
    RFC 6960 4.1.1, RFC 5019 2.1.1 (one certificate a request).

Raises
    QuestionUnreadable.
"""

from __future__ import annotations

from cryptography.x509 import ocsp

from letterlock.pki.ca.errors import AuthorityError

NUMBER_OCTETS = 16


class QuestionUnreadable(AuthorityError):
    """This is no OCSP request for one certificate."""


def question(octets: bytes) -> tuple[bytes, bytes]:
    """Digest of the issuer's key, 20 octets of SHA-1 or 32 of SHA-256, and serial number as our records have it."""
    try:
        asked = ocsp.load_der_ocsp_request(octets)
        key_hash, serial = asked.issuer_key_hash, asked.serial_number
    except Exception as error:  # hostile octets: the library raises many kinds, and each means the same here
        raise QuestionUnreadable(detail=type(error).__name__) from None
    if not 0 <= serial < 1 << 8 * NUMBER_OCTETS:
        return key_hash, b""  # none of ours
    return key_hash, serial.to_bytes(NUMBER_OCTETS, "big")
