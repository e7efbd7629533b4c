"""Private keys on a PKCS #11 token in the shape of those in memory: who uses a key does not see where it is.

Guarantees
    Each is a cryptography private key (an RSAPrivateKey, an EllipticCurvePrivateKey) whose operations the token does;
    it cannot be taken out: what would need its octets raises TokenRefused.
    Decryption never tells whether the padding was right. The token does the bare RSA operation, which fails for no
    padding, and the padding is taken off here, in the same steps whatever it holds; wrong padding yields random octets.
    A token that does no bare RSA takes the padding off itself; its failures then mean nothing by themselves: with a
    message of our own it is found out, each time, whether the token is away; if not, the answer is random octets.
    Python promises no constant time: what is avoided is any difference in what is done, not each nanosecond.

Standards
    RFC 8017 7.1.2 (RSAES-OAEP), 7.2.2 (RSAES-PKCS1-v1_5), RFC 3218 2.3.2 (random key on failure); PKCS #11 3.1,
    6.1 (RSA mechanisms), 6.3 (elliptic curves: ECDSA answers r and s side by side, ECDH takes a bare point).

Raises
    TokenAway, PinRefused, TokenRefused.

See also
    ``hsm.py`` (the token), ``keyholder/signer.py`` (who uses them).
"""

from __future__ import annotations

import contextlib
import hmac
import os
from collections.abc import Callable
from typing import Any, Final, NoReturn

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import KDF, MGF, Attribute, KeyType, Mechanism

from letterlock.pki.errors import TokenRefused

_NAMES: Final = {"sha1": "SHA_1", "sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}
"""Hashes: their names here, and in PKCS #11."""

Use = Callable[[Callable[[Any], Any]], Any]
"""Has a function called with the key's object on the token, in an open session: hsm.Token.use, for one key."""

NOT_TAKEN_OUT: Final = "The private key is on a PKCS #11 token and cannot be taken out."


class TokenRsaKey(rsa.RSAPrivateKey):
    """An RSA key on a token. ``bare``: the token does CKM_RSA_X_509."""

    def __init__(self, use: Use, public: rsa.RSAPublicKey, *, bare: Callable[[], bool]) -> None:
        self._use = use
        self._public = public
        self._bare = bare

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public key, which is not asked of the token."""
        return self._public

    def sign(self, data: Any, scheme: padding.AsymmetricPadding, algorithm: Any) -> bytes:
        """PKCS1v15, or PSS with a salt as long as the digest. Raises TokenAway, TokenRefused."""
        name = _NAMES[algorithm.name]
        if isinstance(scheme, padding.PSS):
            how = getattr(Mechanism, f"{name}_RSA_PKCS_PSS")
            parameters = (getattr(Mechanism, name), _mask(algorithm), algorithm.digest_size)
        else:
            how, parameters = getattr(Mechanism, f"{name}_RSA_PKCS"), None
        return bytes(self._use(lambda key: key.sign(bytes(data), mechanism=how, mechanism_param=parameters)))

    def decrypt(self, ciphertext: Any, scheme: padding.AsymmetricPadding) -> bytes:
        """What is in ``ciphertext``, or random octets. Raises TokenAway, TokenRefused."""
        octets = bytes(ciphertext)
        numbers = self._public.public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        if len(octets) != size or int.from_bytes(octets) >= numbers.n:  # everybody can see that much
            return os.urandom(32)
        if not self._bare():
            return self._unpadded_by_token(octets, scheme)
        block = self._use(lambda key: key.decrypt(octets, mechanism=Mechanism.RSA_X_509))
        block = bytes(block).rjust(size, b"\0")
        if isinstance(scheme, padding.OAEP):
            return _without_oaep(block, scheme.algorithm, _mask_hash(scheme))
        return _without_pkcs1(block)

    def _unpadded_by_token(self, octets: bytes, scheme: padding.AsymmetricPadding) -> bytes:
        how, parameters = Mechanism.RSA_PKCS, None
        if isinstance(scheme, padding.OAEP):
            mask = _mask(_mask_hash(scheme))
            how, parameters = Mechanism.RSA_PKCS_OAEP, (getattr(Mechanism, _NAMES[scheme.algorithm.name]), mask, None)
        own = self._public.encrypt(b"\0" * 16, scheme)

        def attempt(key: Any) -> bytes:
            found = None
            with contextlib.suppress(pkcs11.PKCS11Error):
                found = bytes(key.decrypt(octets, mechanism=how, mechanism_param=parameters))
            # Away, unable, or wrong padding? Our own message, whose padding is right, tells. It is tried in any case.
            key.decrypt(own, mechanism=how, mechanism_param=parameters)
            return os.urandom(32) if found is None else found

        answer: bytes = self._use(attempt)
        return answer

    def private_numbers(self) -> NoReturn:
        """Never. Raises TokenRefused."""
        raise TokenRefused(NOT_TAKEN_OUT)

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:  # noqa: A002 - theirs
        """Never. Raises TokenRefused."""
        raise TokenRefused(NOT_TAKEN_OUT)

    def __copy__(self) -> TokenRsaKey:
        return self

    def __deepcopy__(self, memo: Any) -> TokenRsaKey:
        return self


class TokenEcKey(ec.EllipticCurvePrivateKey):
    """A key of an elliptic curve on a token."""

    def __init__(self, use: Use, public: ec.EllipticCurvePublicKey) -> None:
        self._use = use
        self._public = public

    @property
    def curve(self) -> ec.EllipticCurve:
        """Its curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key, which is not asked of the token."""
        return self._public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """ECDSA, DER (RFC 5480 Appendix A). The digest is made here: every token signs digests. Raises TokenAway."""
        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise TokenRefused
        hasher = hashes.Hash(algorithm)
        hasher.update(data)
        digest = hasher.finalize()
        both = bytes(self._use(lambda key: key.sign(digest, mechanism=Mechanism.ECDSA)))
        half = len(both) // 2
        return encode_dss_signature(int.from_bytes(both[:half]), int.from_bytes(both[half:]))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """The shared secret, as long as a coordinate (SEC 1 3.3.1). Raises TokenAway, TokenRefused."""
        point = peer_public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        length = (self._public.key_size + 7) // 8

        def derive(key: Any) -> bytes:
            secret = key.derive_key(
                KeyType.GENERIC_SECRET,
                length * 8,
                mechanism=Mechanism.ECDH1_DERIVE,
                mechanism_param=(KDF.NULL, None, point),
                template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True, Attribute.TOKEN: False},
            )
            try:
                return bytes(secret[Attribute.VALUE])
            finally:
                secret.destroy()

        found: bytes = self._use(derive)
        return found

    def private_numbers(self) -> NoReturn:
        """Never. Raises TokenRefused."""
        raise TokenRefused(NOT_TAKEN_OUT)

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:  # noqa: A002 - theirs
        """Never. Raises TokenRefused."""
        raise TokenRefused(NOT_TAKEN_OUT)

    def __copy__(self) -> TokenEcKey:
        return self

    def __deepcopy__(self, memo: Any) -> TokenEcKey:
        return self


def _mask(algorithm: hashes.HashAlgorithm) -> Any:
    return getattr(MGF, _NAMES[algorithm.name].replace("_", ""))


def _mask_hash(scheme: padding.OAEP) -> hashes.HashAlgorithm:
    found: hashes.HashAlgorithm = scheme.mgf._algorithm  # MGF1 has no public name for it
    return found


def _either(wrong: int, right: bytes) -> bytes:
    """``right``, or as many random octets when ``wrong`` is not 0."""
    return (right, os.urandom(len(right)))[wrong != 0]


def _is_zero(octet: int) -> int:
    return ((octet - 1) >> 8) & 1


def _end_of_run(block: bytes, start: int, fill: int | None) -> tuple[int, int]:
    """Where the first octet is that ends the padding, and whether it is missing or wrong (not 0).

    The padding from ``start`` is of octets that are ``fill``, or not zero when it is None; each octet is looked at.
    """
    found = at = wrong = 0
    for index in range(start, len(block)):
        octet = block[index]
        ends = _is_zero(octet) if fill is None else 1 ^ _is_zero(octet ^ fill)
        here = ends & (found ^ 1)
        at += index * here
        wrong |= here * (0 if fill is None else octet ^ 1)  # RFC 8017 7.1.2 3g: a single 0x01 ends the zeros
        found |= ends
    return at, wrong | (found ^ 1)


def _without_pkcs1(block: bytes) -> bytes:
    """RFC 8017 7.2.2 step 3: 00 02, at least 8 octets that are not zero, 00, the message."""
    at, wrong = _end_of_run(block, 2, None)
    wrong |= block[0] | (block[1] ^ 2) | (((at - 10) >> 16) & 1)
    return _either(wrong, block[at + 1 :])


def _without_oaep(block: bytes, algorithm: hashes.HashAlgorithm, mask: hashes.HashAlgorithm) -> bytes:
    """RFC 8017 7.1.2 step 3, with an empty label."""
    size = algorithm.digest_size
    if len(block) < 2 * size + 2:
        raise TokenRefused  # the key is too short for the hash, whatever it decrypts
    seed = _mixed(block[1 : size + 1], _mgf1(block[size + 1 :], size, mask))
    data = _mixed(block[size + 1 :], _mgf1(seed, len(block) - size - 1, mask))
    at, wrong = _end_of_run(data, size, 0)
    hasher = hashes.Hash(algorithm)
    empty = hasher.finalize()
    wrong |= block[0] | (1 ^ int(hmac.compare_digest(data[:size], empty)))
    return _either(wrong, data[at + 1 :])


def _mgf1(seed: bytes, length: int, algorithm: hashes.HashAlgorithm) -> bytes:
    """RFC 8017 B.2.1."""
    pieces = []
    for counter in range(-(-length // algorithm.digest_size)):
        hasher = hashes.Hash(algorithm)
        hasher.update(seed + counter.to_bytes(4, "big"))
        pieces.append(hasher.finalize())
    return b"".join(pieces)[:length]


def _mixed(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left), "big")
