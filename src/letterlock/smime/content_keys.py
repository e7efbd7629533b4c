"""Content keys taken out of recipient infos, by private keys that are somewhere else, or by a password.

Guarantees
    What comes out has the length asked for, or there is no key at all: a wrong one is replaced by a random one, so
    that nobody learns where it failed (RFC 3218 2.3.2). Only what the message's own header says is told: obstacle().
    A password costs at most MAX_ITERATIONS, in another thread.

Standards
    RFC 3370 4.2 (RSA), RFC 5753 3.1.3 and RFC 8418 3 (key agreement), RFC 9629 6 and RFC 9936 (ML-KEM), RFC 3394 (key
    wrap), RFC 5652 6.2.4, RFC 3211 2.3 and RFC 8018 A.2 (passwords).

See also
    ``decrypt.py``, which asks; ``recipients.py`` for the structures.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from letterlock.asn1 import der
from letterlock.asn1.ber import BerError
from letterlock.config import approved
from letterlock.errors import LetterlockError, TemporaryError
from letterlock.pki.certificate import Certificate
from letterlock.smime.algorithms import Algorithm, ContentCipher, content_cipher
from letterlock.smime.errors import Malformed, Unsupported
from letterlock.smime.key_management import (
    AGREEMENT_DERIVATIONS,
    AGREEMENTS,
    EC_PUBLIC_KEY,
    KEM_DERIVATIONS,
    KEM_OCTETS,
    KEMS,
    PASSWORD_WRAP,
    PBKDF2,
    PSEUDO_RANDOM,
    PSEUDO_RANDOM_DEFAULT,
    WRAPS,
    Derivation,
    KeyWrap,
    kem_info,
    shared_info,
    transport_name,
)
from letterlock.smime.party import OwnKey
from letterlock.smime.recipients import Agreed, ByPassword, Encapsulated, Named, Transported

MAX_ITERATIONS: Final = 2_000_000  # of PBKDF2: about a second; OWASP asks for 600,000 (2023)
MAX_SALT_OCTETS: Final = 1024
MAX_PASSWORD_OCTETS: Final = 1024


async def content_key(info: Named, own: OwnKey, length: int) -> bytes | None:
    """The content key, a random one when there is none inside, None when the key's holder refuses to use it."""
    try:
        if isinstance(info, Transported):
            key = await own.private.unwrap(transport_name(info.algorithm), info.encrypted_key, length)
        elif isinstance(info, Agreed):
            key = await _agree(info, own)
        else:
            key = await _decapsulate(info, own)
    except TemporaryError:
        raise
    except (BerError, InvalidUnwrap, Malformed, Unsupported, ValueError):
        key = b""
    except LetterlockError:
        return None
    return key if len(key) == length else os.urandom(length)


def obstacle(info: Named, certificate: Certificate) -> str:
    """Why the key of ``certificate`` can never open ``info``, from public data alone; empty: it may."""
    try:
        if isinstance(info, Transported):
            transport_name(info.algorithm)
        elif isinstance(info, Agreed):
            _agreement(info, certificate)
        else:
            _encapsulation(info)
    except (Unsupported, Malformed) as fault:
        return fault.detail
    except BerError:
        return "damaged parameters"
    return ""


async def _agree(info: Agreed, own: OwnKey) -> bytes:
    wrap = WRAPS[info.wrap.oid]
    secret = await own.private.agree(_agreement(info, own.certificate), info.public)
    # RFC 5753 7.2: the AlgorithmIdentifier as the sender encoded it, with or without NULL parameters
    derivation = AGREEMENT_DERIVATIONS[info.derivation.oid]
    wrapping = derivation.derive(secret, wrap.octets, shared_info(info.wrap.raw, wrap.octets, info.ukm))
    return wrap.unwrap(wrapping, info.encrypted_key)


def _agreement(info: Agreed, certificate: Certificate) -> str:
    """How a private key is asked. Raises Unsupported."""
    if info.derivation.oid not in AGREEMENT_DERIVATIONS:
        raise Unsupported(detail=f"key agreement {info.derivation.dotted}")
    if info.wrap.oid not in WRAPS:
        raise Unsupported(detail=f"key wrap {info.wrap.dotted}")
    _check_approved(AGREEMENT_DERIVATIONS[info.derivation.oid], WRAPS[info.wrap.oid])
    name = "x25519" if certificate.key_kind == "x25519" else AGREEMENTS.get(certificate.curve, "")
    if not name or (info.kind == EC_PUBLIC_KEY) != (name != "x25519"):
        raise Unsupported(detail=f"key agreement with a key of kind {certificate.key_kind}")
    if not approved.permits("key agreement", name):
        raise Unsupported(detail=approved.refusal("key agreement", name))
    return name


def _check_approved(derivation: Derivation, wrap: KeyWrap) -> None:
    if not approved.permits("key derivation", derivation.name):
        raise Unsupported(detail=approved.refusal("key derivation", derivation.name))
    if not approved.permits("key wrap", wrap.name):
        raise Unsupported(detail=approved.refusal("key wrap", wrap.name))


async def _decapsulate(info: Encapsulated, own: OwnKey) -> bytes:
    name = _encapsulation(info)
    secret = await own.private.decapsulate(name, info.ciphertext)
    # RFC 9629 5: the AlgorithmIdentifier of the wrap as the sender encoded it
    derivation = KEM_DERIVATIONS[info.derivation.oid]
    wrapping = derivation.derive(secret, info.octets, kem_info(info.wrap.raw, info.octets, info.ukm))
    return WRAPS[info.wrap.oid].unwrap(wrapping, info.encrypted_key)


def _encapsulation(info: Encapsulated) -> str:
    """How a private key is asked. Raises Unsupported, Malformed."""
    name = KEMS.get(info.kem.oid)
    if name is None:
        raise Unsupported(detail=f"key encapsulation {info.kem.dotted}")
    if info.derivation.oid not in KEM_DERIVATIONS:
        raise Unsupported(detail=f"key derivation {info.derivation.dotted}")
    if info.wrap.oid not in WRAPS or WRAPS[info.wrap.oid].octets != info.octets:
        raise Unsupported(detail=f"key wrap {info.wrap.dotted} with {info.octets} octets")
    _check_approved(KEM_DERIVATIONS[info.derivation.oid], WRAPS[info.wrap.oid])
    if len(info.ciphertext) != KEM_OCTETS[name]:
        raise Malformed(detail="encapsulated key")
    return name


# ---- passwords


async def password_key(info: ByPassword, password: str, length: int) -> bytes:
    """The content key, a random one when there is none inside. Raises Unsupported, Malformed, BerError: the header."""
    if not approved.permits("password", "password recipient"):
        raise Unsupported(detail=approved.refusal("password", "password recipient"))
    derivation = _Derivation.read(info)
    secret = password.encode()
    if len(secret) > MAX_PASSWORD_OCTETS:
        raise Unsupported(detail="a password of that length")
    wrapping = await asyncio.to_thread(derivation.derive, secret)
    try:
        if (wrap := WRAPS.get(info.encryption.oid)) is not None:
            key = wrap.unwrap(wrapping, info.encrypted_key)
        else:
            cipher, vector = _wrapping_cipher(info.encryption)
            key = _unwrapped(cipher, wrapping, vector, info.encrypted_key)
    except (InvalidUnwrap, ValueError):
        key = b""
    return key if len(key) == length else os.urandom(length)


class _Derivation(NamedTuple):
    """PBKDF2-params, RFC 8018 A.2."""

    function: HashAlgorithm
    salt: bytes
    iterations: int
    octets: int

    @classmethod
    def read(cls, info: ByPassword) -> _Derivation:
        algorithm = info.derivation
        if algorithm is None or algorithm.oid != PBKDF2 or algorithm.parameters is None:
            raise Unsupported(detail="key derivation from a password")
        fields = algorithm.parameters.expect(der.SEQUENCE).children()
        if len(fields) < 2 or fields[0].tag != der.OCTET_STRING:
            raise Unsupported(detail="salt of PBKDF2")
        salt, iterations = fields[0].content, fields[1].integer()
        wrap = WRAPS.get(info.encryption.oid)
        octets = wrap.octets if wrap is not None else _wrapping_cipher(info.encryption)[0].key_octets
        if len(fields) > 2 and fields[2].tag == der.INTEGER and fields.pop(2).integer() != octets:
            raise Malformed(detail="key length of PBKDF2")
        prf = Algorithm.read(fields[2]).oid if len(fields) > 2 else PSEUDO_RANDOM_DEFAULT
        if prf not in PSEUDO_RANDOM:
            raise Unsupported(detail="pseudo-random function of PBKDF2")
        if not 1 <= iterations <= MAX_ITERATIONS or len(salt) > MAX_SALT_OCTETS:
            raise Unsupported(detail=f"PBKDF2 with {iterations} iterations and {len(salt)} octets of salt")
        return cls(PSEUDO_RANDOM[prf], salt, iterations, octets)

    def derive(self, password: bytes) -> bytes:
        """The key that wraps the content key."""
        return PBKDF2HMAC(self.function, self.octets, self.salt, self.iterations).derive(password)


def _wrapping_cipher(algorithm: Algorithm) -> tuple[ContentCipher, bytes]:
    """Of id-alg-PWRI-KEK (RFC 3211 2.3.1): a block cipher in CBC mode, and its vector."""
    if algorithm.oid != PASSWORD_WRAP or algorithm.parameters is None:
        raise Unsupported(detail=f"key wrap {algorithm.dotted}")
    cipher, vector = content_cipher(Algorithm.read(algorithm.parameters))
    if cipher.mode != "cbc":
        raise Unsupported(detail=f"key wrap with {cipher.name}")
    return cipher, vector


def _unwrapped(cipher: ContentCipher, wrapping: bytes, vector: bytes, wrapped: bytes) -> bytes:
    """RFC 3211 2.3.2. Raises ValueError."""
    block = cipher.block_octets
    if len(wrapped) < 2 * block or len(wrapped) % block or len(wrapped) > 256:
        raise ValueError("wrapped key")

    def decrypt(octets: bytes, with_vector: bytes) -> bytes:
        return Cipher(cipher.block_cipher(wrapping), modes.CBC(with_vector)).decryptor().update(octets)

    last = decrypt(wrapped[-block:], wrapped[-2 * block : -block])  # the outer layer's vector is its last block
    outer = decrypt(wrapped[:-block], last) + last
    inner = decrypt(outer, vector)
    octets, check, key = inner[0], inner[1:4], inner[4:]
    if octets > len(key) or not hmac.compare_digest(bytes(each ^ 0xFF for each in check), key[:3]):
        raise ValueError("wrapped key")
    return key[:octets]
