"""Encrypt: EnvelopedData or AuthEnvelopedData for a group of recipients, streamed.

Guarantees
    The content passes through in pieces of 48 KiB; a message of any size needs no more memory than that.
    Every message gets a fresh content key and a fresh vector; they leave this function only encrypted.
    A content that is not as long as was said ends in ValueError, and what was yielded is not a CMS object.

Standards
    RFC 5652 6, RFC 5083, RFC 5084, RFC 5753, RFC 3560; RFC 8551 2.3 and 2.7.

See also
    ``capabilities.py`` makes the groups; ``mime.to_mime`` puts the result into a message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import AEADEncryptionContext, Cipher, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.asn1 import der
from letterlock.mail.message import Buffer
from letterlock.smime.algorithms import PADDINGS, WRAP_OF
from letterlock.smime.capabilities import RecipientGroup
from letterlock.smime.cms_write import (
    GCM_NONCE_OCTETS,
    agreement_info,
    envelope_header,
    shared_info,
    transport_prefix,
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
    if group.transport == "ecdh":
        return b"".join(sorted(_agreement(party, key) for party in group.parties))
    padding = PADDINGS[group.transport]
    parts: list[bytes] = []
    for prefix, public in _transport_order(group):
        parts += (prefix, public.encrypt(key, padding))
    return b"".join(parts)


def _agreement(party: Party, key: bytes) -> bytes:
    """Ephemeral-static Diffie-Hellman (RFC 5753 3.1), the key wrapped by AES of its own strength."""
    public = party.public
    assert isinstance(public, ec.EllipticCurvePublicKey)
    ephemeral = ec.generate_private_key(public.curve)
    wrap = WRAP_OF[len(key)]
    derivation = X963KDF(SHA256(), len(key), shared_info(wrap, len(key)))
    wrapping = derivation.derive(ephemeral.exchange(ec.ECDH(), public))
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return agreement_info(party, point, wrap, aes_key_wrap(wrapping, key))
