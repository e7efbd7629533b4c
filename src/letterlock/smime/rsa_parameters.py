"""The parameters of RSA schemes: the hashes of OAEP and PSS, read from an AlgorithmIdentifier and written into one.

Guarantees
    What is absent has the default of the standard, SHA-1 and a salt of 20 octets; nothing else is guessed.

Standards
    RFC 4055 3.1 (PSS) and 4.1 (OAEP), RFC 4056 2.2.

Raises
    Malformed, Unsupported, BerError.

See also
    ``signatures.py``, ``key_management.py``.
"""

from __future__ import annotations

from typing import Final

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import Element
from letterlock.smime.algorithms import Algorithm, Digest, digest_of
from letterlock.smime.errors import Malformed, Unsupported

RSA: Final = oid.encode("1.2.840.113549.1.1.1")
RSA_OAEP: Final = oid.encode("1.2.840.113549.1.1.7")
RSA_PSS: Final = oid.encode("1.2.840.113549.1.1.10")
MGF1: Final = oid.encode("1.2.840.113549.1.1.8")
_P_SPECIFIED: Final = oid.encode("1.2.840.113549.1.1.9")
_DEFAULT_SALT: Final = 20  # RFC 4055 3.1


def hash_and_mask(algorithm: Algorithm, allowed: tuple[int, ...]) -> tuple[str, str]:
    """hashAlgorithm and the hash of maskGenAlgorithm, RFC 4055 3.1 and 4.1; SHA-1 when absent.

    ``allowed``: the tags that may stand among the parameters.
    """
    digest = mask = "sha1"
    fields = algorithm.parameters.expect(der.SEQUENCE).children() if algorithm.parameters else []
    for field in fields:
        inner = _one(field)
        if field.tag not in allowed:
            raise Unsupported(detail="RSA parameters")
        if field.tag == 0xA0:
            digest = digest_of(Algorithm.read(inner)).name
        elif field.tag == 0xA1:
            generator = Algorithm.read(inner)
            if generator.oid != MGF1 or generator.parameters is None:
                raise Unsupported(detail="mask generation")
            mask = digest_of(Algorithm.read(generator.parameters)).name
        elif algorithm.oid == RSA_OAEP:
            label = Algorithm.read(inner)
            if label.oid != _P_SPECIFIED or label.parameters is None or label.parameters.content:
                raise Unsupported(detail="OAEP label")
    return digest, mask


def pss_salt(algorithm: Algorithm) -> int:
    """saltLength in octets."""
    for field in algorithm.parameters.children() if algorithm.parameters else []:
        if field.tag == 0xA2:
            return _one(field).integer()
    return _DEFAULT_SALT


def _one(field: Element) -> Element:
    parts = field.children()
    if len(parts) != 1:
        raise Malformed(detail="RSA parameters")
    return parts[0]


def pss_identifier(digest: Digest) -> bytes:
    """RSASSA-PSS with this hash, MGF1 with it too, and a salt as long as it (RFC 4056 2.2)."""
    inner = der.sequence(digest.oid, der.NULL)
    return der.sequence(
        RSA_PSS,
        der.sequence(
            der.explicit(0, inner),
            der.explicit(1, der.sequence(MGF1, inner)),
            der.explicit(2, der.integer(digest.function.digest_size)),
        ),
    )


def oaep_identifier(digest: Digest) -> bytes:
    """RSAES-OAEP with this hash, MGF1 with it too, and no label (RFC 4055 4.1)."""
    inner = der.sequence(digest.oid, der.NULL)
    return der.sequence(RSA_OAEP, der.sequence(der.explicit(0, inner), der.explicit(1, der.sequence(MGF1, inner))))
