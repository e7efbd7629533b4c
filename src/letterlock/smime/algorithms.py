"""The algorithms: what we accept, what we emit, and what is weak.

Guarantees
    One table each for digests, content ciphers, wraps and key derivations; what stands in none of them is Unsupported.
    Weak algorithms (SHA-1, triple DES, RC2, RSA below 2048 bits) are read, never written, and always said to be weak.
    MD5 and what is older is not read at all.

Standards
    RFC 8551 2 (what S/MIME 4.0 wants), RFC 5754 (SHA-2), RFC 3565 and 5084 (AES), RFC 3370 (RSA, triple DES, RC2),
    RFC 3560 and 4055 (OAEP), RFC 4056 (PSS), RFC 5753 (ECDH, ECDSA), RFC 8419 (Ed25519), RFC 3394 (key wrap).

See also
    ``capabilities.py`` for which of them a recipient can read.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers import algorithms as legacy
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import Element
from letterlock.smime.errors import BadSignature, Malformed, Unsupported

MIN_RSA_BITS: Final = 2048  # RFC 8551 4.3; below, weak
MAX_RSA_BITS: Final = 16_384  # time to verify grows with the square; openssl's own limit

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Algorithm(NamedTuple):
    """An AlgorithmIdentifier as it came: its OID (DER), its parameters, and the whole of it."""

    oid: bytes
    parameters: Element | None
    raw: bytes

    @classmethod
    def read(cls, element: Element) -> Algorithm:
        """From its element. Raises BerError, or Malformed when it is none."""
        parts = element.expect(der.SEQUENCE).children()
        if not 1 <= len(parts) <= 2:
            raise Malformed(detail="not an algorithm identifier")
        return cls(parts[0].expect(der.OID).raw, parts[1] if len(parts) > 1 else None, element.raw)

    @property
    def dotted(self) -> str:
        """Its OID in dotted form, for facts and logs."""
        try:
            return oid.dotted(self.oid)
        except ValueError:
            return "damaged"


class Digest(NamedTuple):
    """A hash function. ``micalg``: its name in multipart/signed (RFC 8551 3.5.3.2)."""

    name: str
    micalg: str
    oid: bytes
    function: hashes.HashAlgorithm
    weak: bool = False

    @property
    def identifier(self) -> bytes:
        """AlgorithmIdentifier without parameters (RFC 5754 2)."""
        return der.sequence(self.oid)


_NIST: Final = "2.16.840.1.101.3.4."
DIGESTS: Final = {
    digest.name: digest
    for digest in (
        Digest("sha1", "sha-1", oid.encode("1.3.14.3.2.26"), hashes.SHA1(), weak=True),  # noqa: S303 read only
        Digest("sha256", "sha-256", oid.encode(_NIST + "2.1"), hashes.SHA256()),
        Digest("sha384", "sha-384", oid.encode(_NIST + "2.2"), hashes.SHA384()),
        Digest("sha512", "sha-512", oid.encode(_NIST + "2.3"), hashes.SHA512()),
    )
}
_DIGEST_OF: Final = {digest.oid: digest for digest in DIGESTS.values()}


def digest_of(algorithm: Algorithm) -> Digest:
    """The digest that an identifier names. Raises Unsupported."""
    found = _DIGEST_OF.get(algorithm.oid)
    if found is None:
        raise Unsupported(detail=f"digest {algorithm.dotted}")
    return found


# ---- content encryption


class ContentCipher(NamedTuple):
    """A content encryption algorithm."""

    name: str
    oid: bytes
    mode: Literal["cbc", "gcm"]
    key_octets: int
    block_octets: int = 16
    weak: bool = False

    def block_cipher(self, key: bytes) -> BlockCipherAlgorithm:
        """The block cipher with this key. Raises ValueError when the key does not fit."""
        if self.name == "3des-cbc":
            return legacy.TripleDES(key)
        if self.name == "rc2-cbc":
            return legacy.RC2(key)
        return AES(key)


CIPHERS: Final = {
    cipher.name: cipher
    for cipher in (
        ContentCipher("aes128-cbc", oid.encode(_NIST + "1.2"), "cbc", 16),
        ContentCipher("aes192-cbc", oid.encode(_NIST + "1.22"), "cbc", 24),
        ContentCipher("aes256-cbc", oid.encode(_NIST + "1.42"), "cbc", 32),
        ContentCipher("aes128-gcm", oid.encode(_NIST + "1.6"), "gcm", 16),
        ContentCipher("aes192-gcm", oid.encode(_NIST + "1.26"), "gcm", 24),
        ContentCipher("aes256-gcm", oid.encode(_NIST + "1.46"), "gcm", 32),
        ContentCipher("3des-cbc", oid.encode("1.2.840.113549.3.7"), "cbc", 24, 8, weak=True),
        ContentCipher("rc2-cbc", oid.encode("1.2.840.113549.3.2"), "cbc", 16, 8, weak=True),
    )
}
_CIPHER_OF: Final = {cipher.oid: cipher for cipher in CIPHERS.values()}
EMITTED_CIPHERS: Final = frozenset(name for name, cipher in CIPHERS.items() if not cipher.weak)
_RC2_128: Final = 58  # rc2ParameterVersion for 128 effective bits, RFC 3370 5.2


def content_cipher(algorithm: Algorithm) -> tuple[ContentCipher, bytes]:
    """The cipher and the initialisation vector or nonce. Raises Unsupported, Malformed, BerError."""
    cipher = _CIPHER_OF.get(algorithm.oid)
    if cipher is None or algorithm.parameters is None:
        raise Unsupported(detail=f"content encryption {algorithm.dotted}")
    parameters = algorithm.parameters
    if cipher.mode == "gcm":  # GCMParameters, RFC 5084 3.2
        fields = parameters.expect(der.SEQUENCE).children()
        nonce = fields[0].expect(der.OCTET_STRING).content if fields else b""
        if not 8 <= len(nonce) <= 128:
            raise Malformed(detail="nonce")
        return cipher, nonce
    if cipher.name == "rc2-cbc":  # RC2-CBC parameter, RFC 3370 5.2
        fields = parameters.expect(der.SEQUENCE).children()
        if len(fields) != 2 or fields[0].integer() != _RC2_128:
            raise Unsupported(detail="RC2 with other than 128 effective bits")
        parameters = fields[1]
    vector = parameters.expect(der.OCTET_STRING).content
    if len(vector) != cipher.block_octets:
        raise Malformed(detail="initialisation vector")
    return cipher, vector


# ---- key transport and key agreement

RSA: Final = oid.encode("1.2.840.113549.1.1.1")
RSA_OAEP: Final = oid.encode("1.2.840.113549.1.1.7")
RSA_PSS: Final = oid.encode("1.2.840.113549.1.1.10")
MGF1: Final = oid.encode("1.2.840.113549.1.1.8")
_P_SPECIFIED: Final = oid.encode("1.2.840.113549.1.1.9")
EC_PUBLIC_KEY: Final = oid.encode("1.2.840.10045.2.1")

WRAPS: Final = {oid.encode(_NIST + "1.5"): 16, oid.encode(_NIST + "1.25"): 24, oid.encode(_NIST + "1.45"): 32}
"""AES key wrap (RFC 3394) to the octets of its key."""
WRAP_OF: Final = {octets: der.sequence(name) for name, octets in WRAPS.items()}

DERIVATIONS: Final[dict[bytes, hashes.HashAlgorithm]] = {
    # RFC 5753 7.1.4: X9.63 derivation. The curves we accept have cofactor 1, so both forms of Diffie-Hellman agree.
    oid.encode(dotted): function
    for dotted, function in (
        ("1.3.133.16.840.63.0.2", hashes.SHA1()),  # noqa: S303 what openssl sends unless told otherwise
        ("1.3.132.1.11.1", hashes.SHA256()),
        ("1.3.132.1.11.2", hashes.SHA384()),
        ("1.3.132.1.11.3", hashes.SHA512()),
        ("1.3.133.16.840.63.0.3", hashes.SHA1()),  # noqa: S303 the same
        ("1.3.132.1.14.1", hashes.SHA256()),
        ("1.3.132.1.14.2", hashes.SHA384()),
        ("1.3.132.1.14.3", hashes.SHA512()),
    )
}
DERIVATION: Final = oid.encode("1.3.132.1.11.1")  # what we emit: dhSinglePass-stdDH-sha256kdf
AGREEMENTS: Final = {"secp256r1": "ecdh-p256", "secp384r1": "ecdh-p384", "secp521r1": "ecdh-p521"}
"""Curve to the name by which a private key is asked."""

_SHA256_NULL: Final = der.sequence(DIGESTS["sha256"].oid, der.NULL)
TRANSPORTS: Final = {
    # RSAES-OAEP-params, RFC 4055 4.1
    "rsa-pkcs1": der.sequence(RSA, der.NULL),
    "rsa-oaep-sha256": der.sequence(
        RSA_OAEP, der.sequence(der.explicit(0, _SHA256_NULL), der.explicit(1, der.sequence(MGF1, _SHA256_NULL)))
    ),
}
PADDINGS: Final[dict[str, padding.AsymmetricPadding]] = {
    "rsa-pkcs1": padding.PKCS1v15(),
    "rsa-oaep-sha256": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
}


def transport_name(algorithm: Algorithm) -> str:
    """How a private key is asked to unwrap: rsa-pkcs1, or rsa-oaep-H-M. Raises Unsupported, Malformed, BerError."""
    if algorithm.oid == RSA:
        return "rsa-pkcs1"
    if algorithm.oid != RSA_OAEP:
        raise Unsupported(detail=f"key transport {algorithm.dotted}")
    names = _hash_and_mask(algorithm, allowed=(0xA0, 0xA1, 0xA2))
    return f"rsa-oaep-{names[0]}-{names[1]}"


def _hash_and_mask(algorithm: Algorithm, allowed: tuple[int, ...]) -> tuple[str, str]:
    """hashAlgorithm and the hash of maskGenAlgorithm, RFC 4055 3.1 and 4.1; SHA-1 when absent."""
    digest = mask = "sha1"
    fields = algorithm.parameters.expect(der.SEQUENCE).children() if algorithm.parameters else []
    for field in fields:
        (inner,) = _one(field)
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


def _one(field: Element) -> tuple[Element]:
    parts = field.children()
    if len(parts) != 1:
        raise Malformed(detail="RSA parameters")
    return (parts[0],)


# ---- signatures

ED25519: Final = oid.encode("1.3.101.112")
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


def _pss_identifier(digest: Digest) -> bytes:
    """RSASSA-PSS-params, RFC 4056 2.2: the hash, MGF1 with it, a salt as long as it."""
    inner = der.sequence(digest.oid, der.NULL)
    return der.sequence(
        RSA_PSS,
        der.sequence(
            der.explicit(0, inner),
            der.explicit(1, der.sequence(MGF1, inner)),
            der.explicit(2, der.integer(digest.function.digest_size)),
        ),
    )


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
        *(SignatureAlgorithm(f"rsa-pss-{each.name}", each, _pss_identifier(each)) for each in _STRONG),
        *(
            SignatureAlgorithm(f"ecdsa-{name}", DIGESTS[name], der.sequence(identifier))
            for identifier, name in _ECDSA_OF.items()
            if not DIGESTS[name].weak
        ),
        SignatureAlgorithm("ed25519", DIGESTS["sha512"], der.sequence(ED25519)),  # RFC 8419 3.1
    )
}


def check_signature(
    key: PublicKey, algorithm: Algorithm, digest: Digest, signed: bytes, signature: bytes, *, prehashed: bool
) -> str:
    """Checks ``signature`` over ``signed``; returns the algorithm's name.

    ``digest``: the signer info's digestAlgorithm, which must be the one in the signature algorithm. ``prehashed``: no
    signed attributes, ``signed`` is the digest of the content. Raises BadSignature, Unsupported, Malformed, BerError.
    """
    function = Prehashed(digest.function) if prehashed else digest.function
    try:
        if isinstance(key, rsa.RSAPublicKey):
            name, how = _rsa_padding(algorithm, digest)
            if key.key_size > MAX_RSA_BITS:
                raise Unsupported(detail="RSA key too large")
            key.verify(signature, signed, how, function)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            name = f"ecdsa-{digest.name}"
            if algorithm.oid != EC_PUBLIC_KEY and _ECDSA_OF.get(algorithm.oid) != digest.name:
                raise Unsupported(detail=f"signature algorithm {algorithm.dotted} with {digest.name}")
            key.verify(signature, signed, ec.ECDSA(function))
        else:
            name = "ed25519"
            # RFC 8419 3.2: with signed attributes SHA-512 is the digest; without, the content itself is signed
            if algorithm.oid != ED25519 or prehashed or digest.name != "sha512":
                raise Unsupported(detail="Ed25519 in this form")
            key.verify(signature, signed)
    except InvalidSignature as error:
        raise BadSignature from error
    except (ValueError, UnsupportedAlgorithm) as error:  # key or parameters the library does not take
        raise Unsupported(detail=f"signature algorithm {algorithm.dotted}") from error
    return name


def _rsa_padding(algorithm: Algorithm, digest: Digest) -> tuple[str, padding.AsymmetricPadding]:
    if algorithm.oid == RSA or _RSA_OF.get(algorithm.oid) == digest.name:
        return f"rsa-pkcs1-{digest.name}", padding.PKCS1v15()
    if algorithm.oid != RSA_PSS:
        raise Unsupported(detail=f"signature algorithm {algorithm.dotted} with {digest.name}")
    name, mask = _hash_and_mask(algorithm, allowed=(0xA0, 0xA1, 0xA2, 0xA3))
    if name != digest.name:  # RFC 4056 3: it must be the same
        raise Unsupported(detail=f"PSS with {name} over {digest.name}")
    salt = 20  # RFC 4055 3.1: the default
    for field in algorithm.parameters.children() if algorithm.parameters else []:
        if field.tag == 0xA2:
            salt = _one(field)[0].integer()
    if not 0 <= salt <= MAX_RSA_BITS // 8:
        raise Malformed(detail="salt length")
    return f"rsa-pss-{name}", padding.PSS(padding.MGF1(DIGESTS[mask].function), salt)
