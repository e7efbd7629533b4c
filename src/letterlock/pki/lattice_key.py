"""Private keys of ML-KEM and ML-DSA on their way in: the form with seed and expanded key is brought to the seed alone.

Guarantees
    Other octets come back as they are: whoever loads them says what is wrong. That the seed belongs to a certificate
    is seen when its public key is compared, as for every key.

Standards
    RFC 9935 6 (ML-KEM), RFC 9881 6 (ML-DSA): privateKey is a seed, an expanded key, or both. RFC 5958 2 (PKCS #8).

See also
    ``keyholder/signer.py``, which takes keys in.
"""

from __future__ import annotations

from typing import Final

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, Element, single

_SEED_OCTETS: Final = {
    **{oid.encode(f"2.16.840.1.101.3.4.4.{each}"): 64 for each in (2, 3)},  # ML-KEM-768, ML-KEM-1024
    **{oid.encode(f"2.16.840.1.101.3.4.3.{each}"): 32 for each in (17, 18, 19)},  # ML-DSA-44, 65, 87
}


def seed_form(pkcs8: bytes) -> bytes:
    """PKCS #8 with the seed alone, when it holds both; else the very octets."""
    try:
        fields = single(pkcs8).expect(der.SEQUENCE).children()
        octets = _SEED_OCTETS.get(fields[1].children()[0].raw) if len(fields) >= 3 else None
        if octets is None:
            return pkcs8
        both = single(fields[2].octets())
        parts = both.children() if both.tag == der.SEQUENCE else []
    except (BerError, IndexError):
        return pkcs8
    if len(parts) != 2 or len(parts[0].content) != octets:
        return pkcs8
    seed = der.octet_string(der.tlv(0x80, parts[0].content))  # CHOICE seed [0] IMPLICIT OCTET STRING
    rest: list[Element] = fields[3:]
    return der.sequence(fields[0].raw, fields[1].raw, seed, *(each.raw for each in rest))
