"""Signature algorithms: what we verify, what we sign with, and what each wants of the digest.

Guarantees
    The hash of the content and the hash under the signature are one and the same, and it is the one that is told. What
    stands in no table is Unsupported. DSA is verified for the sake of old archives, never written, always weak.

Standards
    RFC 3370 3 (RSA, DSA), RFC 5754 3 (SHA-2), RFC 4056 (PSS), RFC 5753 2 (ECDSA), RFC 8419 (Ed25519), RFC 9882
    (ML-DSA), RFC 8017 8.

See also
    ``algorithms.py`` for digests; ``verify.py`` and ``sign.py``, which use both.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, NamedTuple, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from letterlock.asn1 import der, oid
from letterlock.config import approved
from letterlock.smime.algorithms import DIGESTS, SHAKE256, Algorithm, Digest
from letterlock.smime.errors import BadSignature, Malformed, Unsupported
from letterlock.smime.key_management import EC_PUBLIC_KEY
from letterlock.smime.rsa_parameters import RSA, RSA_PSS, hash_and_mask, pss_identifier, pss_salt

MIN_RSA_BITS: Final = 2048  # RFC 8551 4.3; below, weak
MAX_RSA_BITS: Final = 16_384  # time to verify grows with the square; openssl's own limit

MlDsaKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
PureKey = ed25519.Ed25519PublicKey | MlDsaKey
VerifyingKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | dsa.DSAPublicKey | MlDsaKey

ED25519: Final = oid.encode("1.3.101.112")
_DSA: Final = oid.encode("1.2.840.10040.4.1")
_DSA_OF: Final = {
    oid.encode("1.2.840.10040.4.3"): "sha1",
    oid.encode("2.16.840.1.101.3.4.3.2"): "sha256",
}
_ECDSA_OF: Final = {
    oid.encode("1.2.840.10045.4.1"): "sha1",
    oid.encode("1.2.840.10045.4.3.2"): "sha256",
    oid.encode("1.2.840.10045.4.3.3"): "sha384",
    oid.encode("1.2.840.10045.4.3.4"): "sha512",
}
_RSA_OF: Final = {
    oid.encode("1.2.840.113549.1.1.5"): "sha1",
    oid.encode("1.2.840.113549.1.1.11"): "sha256",
    oid.encode("1.2.840.113549.1.1.12"): "sha384",
    oid.encode("1.2.840.113549.1.1.13"): "sha512",
}
ML_DSA: Final = {level: oid.encode(f"2.16.840.1.101.3.4.3.{17 + at}") for at, level in enumerate((44, 65, 87))}
"""Parameter set to its identifier, RFC 9882 2; parameters are absent."""
_ML_DSA_DIGESTS: Final = {
    # RFC 9882 3.3, table 1: a digest not weaker than the signature
    44: frozenset({"sha256", "sha384", "sha512", "shake256"}),
    65: frozenset({"sha384", "sha512", "shake256"}),
    87: frozenset({"sha512", "shake256"}),
}


def ml_dsa_level(key: MlDsaKey) -> int:
    """44, 65 or 87."""
    return 44 if isinstance(key, mldsa.MLDSA44PublicKey) else 65 if isinstance(key, mldsa.MLDSA65PublicKey) else 87


class SignatureAlgorithm(NamedTuple):
    """A signature algorithm we emit, by the name that a private key is asked for. ``digest``: of the content."""

    name: str
    digest: Digest
    identifier: bytes


_STRONG: Final = tuple(digest for digest in DIGESTS.values() if not digest.weak)
SIGNATURES: Final = {
    signature.name: signature
    for signature in (
        # RFC 3370 3.2: rsaEncryption; every reader knows it
        *(SignatureAlgorithm(f"rsa-pkcs1-{each.name}", each, der.sequence(RSA, der.NULL)) for each in _STRONG),
        *(SignatureAlgorithm(f"rsa-pss-{each.name}", each, pss_identifier(each)) for each in _STRONG),
        *(
            SignatureAlgorithm(f"ecdsa-{name}", DIGESTS[name], der.sequence(identifier))
            for identifier, name in _ECDSA_OF.items()
            if not DIGESTS[name].weak
        ),
        SignatureAlgorithm("ed25519", DIGESTS["sha512"], der.sequence(ED25519)),  # RFC 8419 3.1
        *(  # RFC 9882 3.3: SHA-512 fits every parameter set
            SignatureAlgorithm(f"ml-dsa-{level}", DIGESTS["sha512"], der.sequence(name))
            for level, name in ML_DSA.items()
        ),
    )
}


def check_signature(
    key: VerifyingKey, algorithm: Algorithm, digest: Digest, signed: bytes, signature: bytes, *, prehashed: bool
) -> str:
    """Checks ``signature`` over ``signed``; returns the algorithm's name.

    ``digest``: the signer info's digestAlgorithm, which must be the one in the signature algorithm. ``prehashed``: no
    signed attributes, ``signed`` is the digest of the content; for a key that signs_whole() it is the content itself,
    and not prehashed. Raises BadSignature, Unsupported, Malformed, BerError.
    """
    function = Prehashed(digest.function) if prehashed else digest.function
    scheme = _scheme(type(key))
    if digest == SHAKE256 and scheme != "pure":
        raise Unsupported(detail=f"signature algorithm {algorithm.dotted} with {digest.name}")
    if isinstance(key, ec.EllipticCurvePublicKey) and not approved.permits("curve", key.curve.name):
        raise Unsupported(detail=approved.refusal("curve", key.curve.name))
    if scheme == "dsa" and not approved.permits("signature", "dsa"):
        raise Unsupported(detail=approved.refusal("signature", "dsa"))
    try:
        if scheme == "rsa":
            key = cast("rsa.RSAPublicKey", key)
            name, how = _rsa_padding(algorithm, digest)
            if key.key_size > MAX_RSA_BITS:
                raise Unsupported(detail="RSA key too large")
            key.verify(signature, signed, how, function)
        elif scheme == "ecdsa":
            name = _checked_pair("ecdsa", EC_PUBLIC_KEY, _ECDSA_OF, algorithm, digest)
            cast("ec.EllipticCurvePublicKey", key).verify(signature, signed, ec.ECDSA(function))
        elif scheme == "dsa":
            name = _checked_pair("dsa", _DSA, _DSA_OF, algorithm, digest)
            cast("dsa.DSAPublicKey", key).verify(signature, signed, function)
        else:
            name = _check_pure(cast("PureKey", key), algorithm, digest, signed, signature)
    except InvalidSignature as error:
        raise BadSignature from error
    except (ValueError, UnsupportedAlgorithm) as error:  # key or parameters the library does not take
        raise Unsupported(detail=f"signature algorithm {algorithm.dotted}") from error
    return name


@lru_cache(maxsize=32)
def _scheme(kind: type) -> Literal["rsa", "ecdsa", "dsa", "pure"]:
    """Of a class of keys; asked of each class once, for its abstract base answers slowly."""
    if issubclass(kind, rsa.RSAPublicKey):
        return "rsa"
    if issubclass(kind, ec.EllipticCurvePublicKey):
        return "ecdsa"
    return "dsa" if issubclass(kind, dsa.DSAPublicKey) else "pure"


def signs_whole(key: VerifyingKey) -> bool:
    """Without signed attributes such a key signs the content itself, not its digest (RFC 8419 3.2, RFC 9882 3.2)."""
    return _scheme(type(key)) == "pure"


def _checked_pair(family: str, bare: bytes, known: dict[bytes, str], algorithm: Algorithm, digest: Digest) -> str:
    """The name of an algorithm whose identifier may be that of the key, or one with the digest in it."""
    if algorithm.oid != bare and known.get(algorithm.oid) != digest.name:
        raise Unsupported(detail=f"signature algorithm {algorithm.dotted} with {digest.name}")
    return f"{family}-{digest.name}"


def _check_pure(key: PureKey, algorithm: Algorithm, digest: Digest, signed: bytes, signature: bytes) -> str:
    """Ed25519 and ML-DSA hash inside, so the digest is that of the attributes' message digest only."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        if algorithm.oid != ED25519 or digest.name != "sha512":  # RFC 8419 3.1
            raise Unsupported(detail=f"Ed25519 as {algorithm.dotted} with {digest.name}")
        key.verify(signature, signed)
        return "ed25519"
    level = ml_dsa_level(key)
    if algorithm.oid != ML_DSA[level] or algorithm.parameters is not None:
        raise Unsupported(detail=f"ML-DSA-{level} as {algorithm.dotted}")
    if digest.name not in _ML_DSA_DIGESTS[level]:
        raise Unsupported(detail=f"ML-DSA-{level} with {digest.name}")
    key.verify(signature, signed)
    return f"ml-dsa-{level}"


def _rsa_padding(algorithm: Algorithm, digest: Digest) -> tuple[str, padding.AsymmetricPadding]:
    if algorithm.oid == RSA or _RSA_OF.get(algorithm.oid) == digest.name:
        return f"rsa-pkcs1-{digest.name}", padding.PKCS1v15()
    if algorithm.oid != RSA_PSS:
        raise Unsupported(detail=f"signature algorithm {algorithm.dotted} with {digest.name}")
    name, mask = hash_and_mask(algorithm, allowed=(0xA0, 0xA1, 0xA2, 0xA3))
    if name != digest.name:  # RFC 4056 3: it must be the same
        raise Unsupported(detail=f"PSS with {name} over {digest.name}")
    salt = pss_salt(algorithm)
    if not 0 <= salt <= MAX_RSA_BITS // 8:
        raise Malformed(detail="salt length")
    return f"rsa-pss-{name}", padding.PSS(padding.MGF1(DIGESTS[mask].function), salt)


def told_name(algorithm: Algorithm, digest: Digest) -> str:
    """The name of a signature algorithm from its identifiers alone, before any key is known. Raises Unsupported,
    Malformed, BerError."""
    if algorithm.oid in (RSA, RSA_PSS, *_RSA_OF):
        return _rsa_padding(algorithm, digest)[0]
    if algorithm.oid in (EC_PUBLIC_KEY, *_ECDSA_OF):
        return _checked_pair("ecdsa", EC_PUBLIC_KEY, _ECDSA_OF, algorithm, digest)
    if algorithm.oid in (_DSA, *_DSA_OF):
        return _checked_pair("dsa", _DSA, _DSA_OF, algorithm, digest)
    if algorithm.oid == ED25519:
        return "ed25519"
    for level, identifier in ML_DSA.items():
        if algorithm.oid == identifier:
            return f"ml-dsa-{level}"
    raise Unsupported(detail=f"signature algorithm {algorithm.dotted}")
