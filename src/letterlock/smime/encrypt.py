"""Encrypt: EnvelopedData or AuthEnvelopedData for a group of recipients, streamed.

Guarantees
    The content passes through in pieces of 48 KiB; a message of any size needs no more memory than that.
    Every message gets a fresh content key and a fresh vector; they leave this function only encrypted.
    A content that is not as long as was said ends in ValueError, and what was yielded is not a CMS object.

Standards
    RFC 5652 6, RFC 5083, RFC 5084, RFC 3560, RFC 5753, RFC 8418, RFC 9629 and 9936; RFC 8551 2.3 and 2.7.

See also
    ``capabilities.py`` makes the groups; ``mime.to_mime`` puts the result into a message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, rsa, x25519
from cryptography.hazmat.primitives.ciphers import AEADEncryptionContext, Cipher, modes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.asn1 import der
from letterlock.mail.message import Buffer
from letterlock.smime.capabilities import RecipientGroup
from letterlock.smime.cms_write import (
    GCM_NONCE_OCTETS,
    agreement_info,
    encapsulation_info,
    envelope_header,
    transport_prefix,
)
from letterlock.smime.key_management import (
    AGREEMENT_DERIVATIONS,
    ECDH,
    ECDH_X25519,
    KEM_DERIVATION,
    KEM_DERIVATIONS,
    KEM_WRAP_OCTETS,
    PADDINGS,
    WRAP_OF,
    kem_info,
    shared_info,
)
from letterlock.smime.mime import SmimeType
from letterlock.smime.party import Party
from letterlock.smime.spool import gathered


def smime_type(group: RecipientGroup) -> SmimeType:
    """The smime-type parameter for what enveloped() makes for this group (RFC 8551 3.2.2)."""
    return "authEnveloped-data" if group.cipher.mode == "gcm" else "enveloped-data"


def enveloped(parts: Iterable[Buffer], length: int, group: RecipientGroup) -> Iterator[bytes]:
    """The encrypted content as DER, piece by piece. ``parts`` have ``length`` octets together, else ValueError."""
    cipher = group.cipher
    gcm = cipher.mode == "gcm"
    key = os.urandom(cipher.key_octets)
    vector = os.urandom(GCM_NONCE_OCTETS if gcm else cipher.block_octets)
    yield envelope_header(group, _recipient_infos(group, key), vector, length)
    block = cipher.block_cipher(key)
    encryptor = Cipher(block, modes.GCM(vector)).encryptor() if gcm else Cipher(block, modes.CBC(vector)).encryptor()
    done = 0
    for piece in gathered(parts):
        done += len(piece)
        yield encryptor.update(piece)
    if done != length:
        raise ValueError(f"content of {done} octets, announced with {length}")
    if isinstance(encryptor, AEADEncryptionContext):
        yield encryptor.finalize()
        yield der.octet_string(encryptor.tag)
    else:
        padding = cipher.block_octets - length % cipher.block_octets
        yield encryptor.update(bytes((padding,)) * padding) + encryptor.finalize()


@lru_cache(maxsize=1024)
def _transport_order(group: RecipientGroup) -> tuple[tuple[bytes, rsa.RSAPublicKey], ...]:
    """Prefixes and keys in the order of SET OF: the prefixes differ already, the keys behind them do not matter."""
    found = []
    for party in group.parties:
        assert isinstance(party.public, rsa.RSAPublicKey)
        found.append((transport_prefix(party, group.transport), party.public))
    return tuple(sorted(found, key=lambda each: each[0]))


def _recipient_infos(group: RecipientGroup, key: bytes) -> bytes:
    if group.transport in ("ecdh", "x25519"):
        return b"".join(sorted(_agreement(party, key) for party in group.parties))
    if group.transport == "ml-kem":
        return b"".join(sorted(_encapsulation(party, key) for party in group.parties))
    padding = PADDINGS[group.transport]
    parts: list[bytes] = []
    for prefix, public in _transport_order(group):
        parts += (prefix, public.encrypt(key, padding))
    return b"".join(parts)


def _agreement(party: Party, key: bytes) -> bytes:
    """Ephemeral-static Diffie-Hellman (RFC 5753 3.1, RFC 8418 3), the key wrapped by AES of its own strength."""
    wrap = WRAP_OF[len(key)]
    public, secret, derivation = _agreed(party)
    wrapping = AGREEMENT_DERIVATIONS[derivation].derive(secret, len(key), shared_info(wrap, len(key)))
    return agreement_info(party, public, wrap, aes_key_wrap(wrapping, key))


def _agreed(party: Party) -> tuple[bytes, bytes, bytes]:
    """A fresh public key, the secret shared with ``party``, and the derivation that belongs to it."""
    theirs = party.public
    if isinstance(theirs, x25519.X25519PublicKey):
        own = x25519.X25519PrivateKey.generate()
        return own.public_key().public_bytes_raw(), own.exchange(theirs), ECDH_X25519
    assert isinstance(theirs, ec.EllipticCurvePublicKey)
    ephemeral = ec.generate_private_key(theirs.curve)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return point, ephemeral.exchange(ec.ECDH(), theirs), ECDH


def _encapsulation(party: Party, key: bytes) -> bytes:
    """ML-KEM, the key wrapped by AES-256 (RFC 9936 2.2.1)."""
    public = party.public
    assert isinstance(public, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey)
    secret, ciphertext = public.encapsulate()
    wrap = WRAP_OF[KEM_WRAP_OCTETS]
    info = kem_info(wrap, KEM_WRAP_OCTETS)
    wrapping = KEM_DERIVATIONS[KEM_DERIVATION].derive(secret, KEM_WRAP_OCTETS, info)
    return encapsulation_info(party, ciphertext, wrap, aes_key_wrap(wrapping, key))
