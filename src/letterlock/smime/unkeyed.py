"""The content types that S/MIME does not use: data, digested data, and data encrypted with a key known beforehand.

Guarantees
    They protect nothing by themselves, so no walk of mail takes them off; they are read for ``inspect`` and for other
    programs' archives. What was written to the sink counts only when the call returns.

Standards
    RFC 5652 4 (Data), 7 (DigestedData), 8 (EncryptedData).

Raises
    Malformed, Unsupported, BadSignature (the digest does not fit), DecryptionFailed.

See also
    ``describe.py``; ``decrypt.py`` for what is encrypted to recipients.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.hashes import Hash

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, Reader
from letterlock.smime.algorithms import Algorithm, content_cipher, digest_of
from letterlock.smime.cms_read import Source, open_cms
from letterlock.smime.decrypt import finish, unpadded
from letterlock.smime.errors import BadSignature, DecryptionFailed, Malformed, Unsupported
from letterlock.smime.spool import Sink


def read_data(source: Source, sink: Sink) -> None:
    """The content of Data."""
    try:
        reader = _open(source, oid.DATA)
        for piece in reader.octets(der.OCTET_STRING):
            sink.write(piece)
    except BerError as error:
        raise Malformed(detail=error.detail) from error


def read_digested(source: Source, sink: Sink) -> str:
    """The content of DigestedData, once it fits its digest; the digest's name."""
    try:
        reader = _open(source, oid.DIGESTED_DATA)
        data = reader.enter(der.SEQUENCE)
        reader.element(der.INTEGER)
        digest = digest_of(Algorithm.read(reader.element(der.SEQUENCE)))
        hashed = Hash(digest.function)
        info = reader.enter(der.SEQUENCE)
        reader.element(der.OID)
        explicit = reader.enter(0xA0)
        for piece in reader.octets(der.OCTET_STRING):
            hashed.update(piece)
            sink.write(piece)
        reader.leave(explicit)
        reader.leave(info)
        expected = reader.element(der.OCTET_STRING).content
        reader.leave(data)
    except BerError as error:
        raise Malformed(detail=error.detail) from error
    if not hmac.compare_digest(hashed.finalize(), expected):
        raise BadSignature(detail="the digest does not fit")
    return digest.name


def read_encrypted(source: Source, key: bytes, sink: Sink) -> str:
    """The content of EncryptedData under ``key``; the cipher's name."""
    try:
        reader = _open(source, oid.ENCRYPTED_DATA)
        data = reader.enter(der.SEQUENCE)
        reader.element(der.INTEGER)
        info = reader.enter(der.SEQUENCE)
        reader.element(der.OID)
        cipher, vector = content_cipher(Algorithm.read(reader.element(der.SEQUENCE)))
    except BerError as error:
        raise Malformed(detail=error.detail) from error
    if cipher.mode != "cbc" or len(key) != cipher.key_octets:
        raise Unsupported(detail=f"{cipher.name} with a key of {len(key)} octets in this content type")
    try:
        context = Cipher(cipher.block_cipher(key), modes.CBC(vector)).decryptor()
        unpadded(context, reader.octets(0x80), cipher.block_octets, sink)
        finish(reader, info, data, (0xA1,))
    except (BerError, ValueError):
        sink.clear()
        raise DecryptionFailed from None
    return cipher.name


def _open(source: Source, wanted: bytes) -> Reader:
    reader = Reader(source())
    if open_cms(reader) != wanted:
        raise Unsupported(detail="another content type")
    return reader
