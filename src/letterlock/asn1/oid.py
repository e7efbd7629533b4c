"""Object identifiers: dotted text to octets and back, and the names that CMS and certificates share.

Guarantees
    An identifier is held as its complete DER element, so it can be written as it is and compared octet by octet.

Standards
    X.690 8.19; RFC 5652 (content types, attributes), RFC 5083, RFC 3274, RFC 8551, RFC 5035, RFC 6211, RFC 5280.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from letterlock.asn1 import der


@lru_cache(512)
def encode(dotted: str) -> bytes:
    """The DER element of "1.2.840...". Raises ValueError when the text is no identifier."""
    arcs = [int(arc) for arc in dotted.split(".")]
    if len(arcs) < 2 or arcs[0] > 2 or min(arcs) < 0 or (arcs[0] < 2 and arcs[1] > 39):
        raise ValueError(f"not an object identifier: {dotted}")
    return der.tlv(der.OID, b"".join(map(_base128, (arcs[0] * 40 + arcs[1], *arcs[2:]))))


def _base128(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))


def dotted(element: bytes) -> str:
    """The text of a DER element made by encode() or read from a message. Raises ValueError when it is not one."""
    content = element[2:]
    if len(element) < 3 or element[0] != der.OID or element[1] != len(content) or content[-1] & 0x80:
        raise ValueError("not an object identifier")
    arcs: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


# Content types: RFC 5652 4-6, RFC 5083 2, RFC 3274 1.1
DATA: Final = encode("1.2.840.113549.1.7.1")
SIGNED_DATA: Final = encode("1.2.840.113549.1.7.2")
ENVELOPED_DATA: Final = encode("1.2.840.113549.1.7.3")
COMPRESSED_DATA: Final = encode("1.2.840.113549.1.9.16.1.9")
DIGESTED_DATA: Final = encode("1.2.840.113549.1.7.5")
ENCRYPTED_DATA: Final = encode("1.2.840.113549.1.7.6")
AUTHENTICATED_DATA: Final = encode("1.2.840.113549.1.9.16.1.2")
AUTH_ENVELOPED_DATA: Final = encode("1.2.840.113549.1.9.16.1.23")

ZLIB: Final = encode("1.2.840.113549.1.9.16.3.8")  # the compression of RFC 3274 2

# Attributes: RFC 5652 11, RFC 8551 2.5, RFC 5035 3, RFC 6211 2
CONTENT_TYPE: Final = encode("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = encode("1.2.840.113549.1.9.4")
SIGNING_TIME: Final = encode("1.2.840.113549.1.9.5")
SMIME_CAPABILITIES: Final = encode("1.2.840.113549.1.9.15")
ENCRYPTION_KEY_PREFERENCE: Final = encode("1.2.840.113549.1.9.16.2.11")
SIGNING_CERTIFICATE_V2: Final = encode("1.2.840.113549.1.9.16.2.47")
ALGORITHM_PROTECTION: Final = encode("1.2.840.113549.1.9.52")

# Certificates: RFC 5280 4.2.1.2, 4.2.1.6; RFC 9598 3
SUBJECT_KEY_IDENTIFIER: Final = encode("2.5.29.14")
SUBJECT_ALTERNATIVE_NAME: Final = encode("2.5.29.17")
EMAIL_ADDRESS: Final = encode("1.2.840.113549.1.9.1")
SMTP_UTF8_MAILBOX: Final = encode("1.3.6.1.5.5.7.8.9")
