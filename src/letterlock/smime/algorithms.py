"""Digests and content ciphers: what we accept, what we emit, and what is weak.

Guarantees
    What stands in no table is Unsupported. Weak algorithms (SHA-1, triple DES, RC2, DSA, RSA below 2048 bits) are read,
    never written, and always said to be weak. MD5 and what is older is not read at all.

Standards
    RFC 8551 2 (what S/MIME 4.0 wants), RFC 5754 (SHA-2), RFC 3565 and 5084 (AES), RFC 3370 (triple DES, RC2).

See also
    ``key_management.py`` (how content keys travel), ``signatures.py``; ``capabilities.py`` for which of them a recipient
    can read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, NamedTuple

from cryptography.hazmat.decrepit.ciphers import algorithms as legacy
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import Element, elements
from letterlock.config import approved
from letterlock.smime.errors import Malformed, Unsupported


class Algorithm(NamedTuple):
    """An AlgorithmIdentifier as it came: its OID (DER), its parameters, and the whole of it."""

    oid: bytes
    parameters: Element | None
    raw: bytes

    @classmethod
    def read(cls, element: Element) -> Algorithm:
        """From its element. Raises BerError, or Malformed when it is none."""
        content = element.expect(der.SEQUENCE).content
        return _plain(content) if len(content) <= _PLAIN else _identified(content)

    @property
    def dotted(self) -> str:
        """Its OID in dotted form, for facts and logs."""
        try:
            return oid.dotted(self.oid)
        except ValueError:
            return "damaged"


_PLAIN: Final = 16  # octets: an identifier and NULL, the same few in every message


def _identified(content: bytes) -> Algorithm:
    parts = elements(content)
    if not 1 <= len(parts) <= 2:
        raise Malformed(detail="not an algorithm identifier")
    return Algorithm(parts[0].expect(der.OID).raw, parts[1] if len(parts) > 1 else None, der.tlv(der.SEQUENCE, content))


_plain = lru_cache(maxsize=256)(_identified)


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
SHAKE256: Final = Digest("shake256", "shake256", oid.encode(_NIST + "2.12"), hashes.SHAKE256(64))
"""With 512 bits, RFC 8702 3.1: read under ML-DSA only, where some writers prefer it (RFC 9882 3.3)."""
_DIGEST_OF: Final = {digest.oid: digest for digest in (*DIGESTS.values(), SHAKE256)}


def digest_of(algorithm: Algorithm) -> Digest:
    """The digest that an identifier names. Raises Unsupported."""
    found = _DIGEST_OF.get(algorithm.oid)
    if found is None:
        raise Unsupported(detail=f"digest {algorithm.dotted}")
    if not approved.permits("digest", found.name):
        raise Unsupported(detail=approved.refusal("digest", found.name))
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
    if not approved.permits("content encryption", cipher.name):
        raise Unsupported(detail=approved.refusal("content encryption", cipher.name))
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
