"""How content keys travel: RSA key transport, Diffie-Hellman key agreement, ML-KEM, key wrap, keys from passwords.

Guarantees
    One table for each; what stands in none is Unsupported. SHA-1 as the hash of OAEP or of a derivation and the wrap by
    triple DES are read, for that is what older programs send; they are never written.

Standards
    RFC 3370 4.2 and RFC 3560 (RSA), RFC 5753 7.1 (ECDH), RFC 8418 2 (X25519), RFC 9629 and RFC 9936 (ML-KEM), RFC 3394
    (AES key wrap), RFC 3217 (triple DES key wrap), RFC 8619 (HKDF), RFC 3211 2.3 and RFC 8018 5.2 (passwords).

See also
    ``recipients.py`` (the structures), ``content_keys.py`` (their use); ``keyholder/signer.py`` for the private part.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from cryptography.hazmat.decrepit.ciphers import algorithms as legacy
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from letterlock.asn1 import der, oid
from letterlock.config import approved
from letterlock.smime.algorithms import DIGESTS, Algorithm
from letterlock.smime.errors import Unsupported
from letterlock.smime.rsa_parameters import RSA, RSA_OAEP, hash_and_mask, oaep_identifier

_NIST: Final = "2.16.840.1.101.3.4."
_SMIME_ALG: Final = "1.2.840.113549.1.9.16.3."

# ---- key transport

TRANSPORTS: Final = {
    "rsa-pkcs1": der.sequence(RSA, der.NULL),
    "rsa-oaep-sha256": oaep_identifier(DIGESTS["sha256"]),
}
"""What we emit: name to AlgorithmIdentifier."""
PADDINGS: Final[dict[str, padding.AsymmetricPadding]] = {
    "rsa-pkcs1": padding.PKCS1v15(),
    "rsa-oaep-sha256": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
}


def transport_name(algorithm: Algorithm) -> str:
    """How a private key is asked to unwrap: rsa-pkcs1, or rsa-oaep-H-M. Raises Unsupported, Malformed, BerError."""
    if algorithm.oid == RSA:
        if not approved.permits("key transport", "rsa-pkcs1"):
            raise Unsupported(detail=approved.refusal("key transport", "rsa-pkcs1"))
        return "rsa-pkcs1"
    if algorithm.oid != RSA_OAEP:
        raise Unsupported(detail=f"key transport {algorithm.dotted}")
    names = hash_and_mask(algorithm, allowed=(0xA0, 0xA1, 0xA2))
    for each in names:
        if not approved.permits("digest", each):
            raise Unsupported(detail=approved.refusal("digest", each))
    return f"rsa-oaep-{names[0]}-{names[1]}"


# ---- key wrap


class KeyWrap(NamedTuple):
    """A key wrap with the octets of its key. ``weak``: triple DES (RFC 3217 3), read only; else AES (RFC 3394)."""

    name: str
    octets: int
    weak: bool = False

    def unwrap(self, key: bytes, wrapped: bytes) -> bytes:
        """What is inside. Raises ValueError, InvalidUnwrap."""
        return _unwrap_3des(key, wrapped) if self.weak else aes_key_unwrap(key, wrapped)


WRAPS: Final = {
    oid.encode(_NIST + "1.5"): KeyWrap("aes128-wrap", 16),
    oid.encode(_NIST + "1.25"): KeyWrap("aes192-wrap", 24),
    oid.encode(_NIST + "1.45"): KeyWrap("aes256-wrap", 32),
    oid.encode(_SMIME_ALG + "6"): KeyWrap("3des-wrap", 24, weak=True),  # RFC 3370 4.3.1
}
WRAP_OF: Final = {wrap.octets: der.sequence(name) for name, wrap in WRAPS.items() if not wrap.weak}
"""Octets of its key to the AlgorithmIdentifier we emit."""
_3DES_VECTOR: Final = bytes.fromhex("4adda22c79e82105")  # RFC 3217 3.1


def _unwrap_3des(key: bytes, wrapped: bytes) -> bytes:
    """RFC 3217 3.2."""
    if len(wrapped) != 40:
        raise ValueError("wrapped key")

    def decrypt(octets: bytes, vector: bytes) -> bytes:
        return Cipher(legacy.TripleDES(key), modes.CBC(vector)).decryptor().update(octets)

    turned = decrypt(wrapped, _3DES_VECTOR)[::-1]
    inside = decrypt(turned[8:], turned[:8])
    check = hashlib.sha1(inside[:24], usedforsecurity=False).digest()[:8]
    if not hmac.compare_digest(check, inside[24:]):
        raise ValueError("wrapped key")
    return inside[:24]


# ---- key agreement and encapsulation

EC_PUBLIC_KEY: Final = oid.encode("1.2.840.10045.2.1")
X25519: Final = oid.encode("1.3.101.110")


class Derivation(NamedTuple):
    """A key derivation function with its hash. ``kind``: x963 (RFC 5753 7.1.4) or hkdf (RFC 8418 2.1, RFC 5869)."""

    kind: str
    function: hashes.HashAlgorithm

    @property
    def name(self) -> str:
        """As the table of what is approved has it."""
        return f"{self.kind}-{self.function.name}"

    def derive(self, secret: bytes, octets: int, info: bytes) -> bytes:
        """``octets`` from a shared secret; ``info``: DER, of shared_info() or kem_info(). No salt (RFC 8418 2.2)."""
        if self.kind == "hkdf":
            return HKDF(self.function, octets, None, info).derive(secret)
        return X963KDF(self.function, octets, info).derive(secret)


_SHA1: Final = hashes.SHA1()  # noqa: S303 what openssl sends unless told otherwise; read only
AGREEMENT_DERIVATIONS: Final = {
    # The curves we accept have cofactor 1 (X25519 clears it), so both forms of Diffie-Hellman come to the same.
    oid.encode(dotted): Derivation(kind, function)
    for dotted, kind, function in (
        ("1.3.133.16.840.63.0.2", "x963", _SHA1),
        ("1.3.132.1.11.0", "x963", hashes.SHA224()),
        ("1.3.132.1.11.1", "x963", hashes.SHA256()),
        ("1.3.132.1.11.2", "x963", hashes.SHA384()),
        ("1.3.132.1.11.3", "x963", hashes.SHA512()),
        ("1.3.133.16.840.63.0.3", "x963", _SHA1),
        ("1.3.132.1.14.0", "x963", hashes.SHA224()),
        ("1.3.132.1.14.1", "x963", hashes.SHA256()),
        ("1.3.132.1.14.2", "x963", hashes.SHA384()),
        ("1.3.132.1.14.3", "x963", hashes.SHA512()),
        (_SMIME_ALG + "19", "hkdf", hashes.SHA256()),
        (_SMIME_ALG + "20", "hkdf", hashes.SHA384()),
        (_SMIME_ALG + "21", "hkdf", hashes.SHA512()),
    )
}
ECDH: Final = oid.encode("1.3.132.1.11.1")  # what we emit: dhSinglePass-stdDH-sha256kdf
ECDH_X25519: Final = oid.encode(_SMIME_ALG + "19")  # and with X25519: dhSinglePass-stdDH-hkdf-sha256, RFC 8418 2.1

AGREEMENTS: Final = {"secp256r1": "ecdh-p256", "secp384r1": "ecdh-p384", "secp521r1": "ecdh-p521"}
"""Curve to the name by which a private key is asked."""

KEMS: Final = {oid.encode(_NIST + "4.2"): "ml-kem-768", oid.encode(_NIST + "4.3"): "ml-kem-1024"}
"""Identifier (RFC 9936 3) to the name by which a private key is asked. ML-KEM-512 is not in the library we use."""
KEM_IDENTIFIERS: Final = {name: der.sequence(identifier) for identifier, name in KEMS.items()}
KEM_OCTETS: Final = {"ml-kem-768": 1088, "ml-kem-1024": 1568}
"""Octets of a ciphertext, FIPS 203 8."""
KEM_DERIVATIONS: Final = {
    oid.encode(_SMIME_ALG + "28"): Derivation("hkdf", hashes.SHA256()),
    oid.encode(_SMIME_ALG + "29"): Derivation("hkdf", hashes.SHA384()),
    oid.encode(_SMIME_ALG + "30"): Derivation("hkdf", hashes.SHA512()),
}
KEM_DERIVATION: Final = oid.encode(_SMIME_ALG + "28")  # what we emit, RFC 9936 2.2.1
KEM_WRAP_OCTETS: Final = 32  # with ML-KEM-768 and 1024: AES-256 key wrap, RFC 9936 2.2.1

KEM_RECIPIENT: Final = oid.encode("1.2.840.113549.1.9.16.13.3")  # id-ori-kem, RFC 9629 3


def shared_info(wrap: bytes, key_octets: int, ukm: bytes | None = None) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753 7.2): the derivation's input. ``wrap`` as it stands in the message."""
    return der.sequence(
        wrap,
        der.explicit(0, der.octet_string(ukm)) if ukm is not None else b"",
        der.explicit(2, der.octet_string((8 * key_octets).to_bytes(4, "big"))),
    )


def kem_info(wrap: bytes, key_octets: int, ukm: bytes | None = None) -> bytes:
    """CMSORIforKEMOtherInfo (RFC 9629 5): the derivation's input. ``wrap`` as it stands in the message."""
    return der.sequence(
        wrap, der.integer(key_octets), der.explicit(0, der.octet_string(ukm)) if ukm is not None else b""
    )


# ---- passwords

PBKDF2: Final = oid.encode("1.2.840.113549.1.5.12")
PASSWORD_WRAP: Final = oid.encode(_SMIME_ALG + "9")  # id-alg-PWRI-KEK, RFC 3211 2.3
_HMAC: Final = "1.2.840.113549.2."
PSEUDO_RANDOM: Final[dict[bytes, hashes.HashAlgorithm]] = {
    # RFC 8018 B.1.2; HMAC with SHA-1 is the default, and not weak as such
    oid.encode(_HMAC + "7"): hashes.SHA1(),  # noqa: S303 inside HMAC it is not weak
    oid.encode(_HMAC + "8"): hashes.SHA224(),
    oid.encode(_HMAC + "9"): hashes.SHA256(),
    oid.encode(_HMAC + "10"): hashes.SHA384(),
    oid.encode(_HMAC + "11"): hashes.SHA512(),
}
PSEUDO_RANDOM_DEFAULT: Final = oid.encode(_HMAC + "7")
