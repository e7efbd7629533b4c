"""Decrypt EnvelopedData and AuthEnvelopedData with keys that are somewhere else.

Order
    The header is read, the lookup asked for our keys, every one that matches is tried, and the content goes to the
    spool. Nothing in the spool counts before open() has returned: then all of it was read and its end was right, and
    for AuthEnvelopedData the tag was verified.

Guarantees
    Once a key of ours was addressed, every failure is the same DecryptionFailed, after the same work: a content key
    that does not unwrap is replaced by a random one, and the whole content is decrypted with it.
    Memory: the header, and pieces of the content.

Standards
    RFC 5652 6, RFC 5083 2.2 (attributes as additional data), RFC 5084 3, RFC 5753 3.1.3, RFC 3218 2 (the attack of
    Bleichenbacher), RFC 8551 2.4.3.

Raises
    Malformed, Unsupported before a key is asked; NotForUs; DecryptionFailed; the TemporaryErrors of a PrivateKey.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext, Cipher, CipherContext, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from letterlock.asn1 import der
from letterlock.asn1.ber import BerError, Reader
from letterlock.errors import LetterlockError, TemporaryError
from letterlock.mail.message import Buffer
from letterlock.pki.certificate import Certificate
from letterlock.smime.algorithms import AGREEMENTS, DERIVATIONS, WRAPS, transport_name
from letterlock.smime.cms_read import Agreed, Envelope, Source, Transported, open_cms, read_envelope
from letterlock.smime.cms_write import shared_info
from letterlock.smime.errors import DecryptionFailed, Malformed, NotForUs, Unsupported
from letterlock.smime.party import KeyLookup, OwnKey
from letterlock.smime.spool import Sink, gathered

MAX_TRIES: Final = 8  # content keys tried on one message; all of them should be the same one
_MIN_TAG_OCTETS: Final = 12  # RFC 5084 3.1


class Enveloped:
    """An encrypted layer whose header has been read. ``envelope``: its facts."""

    def __init__(self, source: Source) -> None:
        """``source``: gives the CMS object from the start, each time it is called. Raises Malformed, Unsupported."""
        self._source = source
        try:
            self._reader, self.envelope = _start(source)
        except BerError as error:
            raise Malformed(detail=error.detail) from error

    async def open(self, keys: KeyLookup, sink: Sink) -> tuple[Certificate, ...]:
        """Decrypts the content to ``sink``. Returns the certificates of ours whose recipient infos hold its key.

        A recipient info that names a certificate proves nothing: whoever has the message can add one. Only those
        that yield the very key which opened the content are told. Raises NotForUs, DecryptionFailed.
        """
        found = await keys.find([each.recipient for each in self.envelope.recipients])
        matches = [
            (info, own) for info in self.envelope.recipients for own in found if info.recipient.names(own.certificate)
        ]
        holders: dict[bytes, list[Certificate]] = {}
        for info, own in matches[: 4 * MAX_TRIES]:
            key = await _content_key(info, own, self.envelope.cipher.key_octets)
            if key is not None:
                holders.setdefault(key, []).append(own.certificate)
        if not holders:
            raise NotForUs
        return tuple(dict.fromkeys(holders[self._try(list(holders)[:MAX_TRIES], sink)]))

    def _try(self, keys: list[bytes], sink: Sink) -> bytes:
        """Tries one content key after the other, and returns the one that opens the content."""
        reader = self._reader
        for number, key in enumerate(keys):
            if number:
                sink.clear()
                reader, _ = _start(self._source)
            try:
                self._decrypt(reader, key, sink)
            except (BerError, DecryptionFailed, InvalidTag, ValueError):
                continue
            return key
        sink.clear()
        raise DecryptionFailed

    def _decrypt(self, reader: Reader, key: bytes, sink: Sink) -> None:
        """Raises BerError, ValueError, InvalidTag, DecryptionFailed; the caller makes one of them."""
        envelope = self.envelope
        block = envelope.cipher.block_cipher(key)
        data, info = envelope.ends
        if not envelope.authenticated:
            context = Cipher(block, modes.CBC(envelope.vector)).decryptor()
            _unpadded(context, gathered(reader.octets(0x80)), envelope.cipher.block_octets, sink)
            _finish(reader, info, data, (0xA1,))
            return
        mode = modes.GCM(envelope.vector, min_tag_length=_MIN_TAG_OCTETS)
        opening = Cipher(block, mode).decryptor()
        for piece in gathered(reader.octets(0x80)):
            sink.write(opening.update(piece))
        reader.leave(info)
        # The additional data stand behind the content they belong to: when there are any, a second pass checks the tag.
        attributes = reader.element(0xA1).content if reader.peek() == 0xA1 else None
        tag = reader.element().octets()
        _finish(reader, None, data, (0xA2,))
        if attributes is not None:
            opening = Cipher(block, mode).decryptor()
            opening.authenticate_additional_data(der.tlv(der.SET, attributes))
            self._discard(opening)
        opening.finalize_with_tag(tag)

    def _discard(self, opening: AEADDecryptionContext) -> None:
        reader, _ = _start(self._source)
        for piece in gathered(reader.octets(0x80)):
            opening.update(piece)


def _start(source: Source) -> tuple[Reader, Envelope]:
    reader = Reader(source())
    return reader, read_envelope(reader, open_cms(reader))


def _finish(reader: Reader, info: int | None, data: int, allowed: tuple[int, ...]) -> None:
    """The end of the structure is looked at too: a content that was cut short is not released."""
    if info is not None:
        reader.leave(info)
    while reader.more(data):
        if reader.peek() not in allowed:
            raise BerError(detail="unexpected element")
        reader.skip()
    reader.leave(data)


def _unpadded(context: CipherContext, pieces: Iterator[Buffer], block_octets: int, sink: Sink) -> None:
    held = b""
    for piece in pieces:
        plain = context.update(piece)
        if plain:
            if held:
                sink.write(held)
            held = plain
    held += context.finalize()  # ValueError when it is not whole blocks
    count = held[-1] if held else 0
    if not 1 <= count <= block_octets or not hmac.compare_digest(held[-count:], bytes((count,)) * count):
        raise DecryptionFailed
    sink.write(held[:-count])


async def _content_key(info: Transported | Agreed, own: OwnKey, length: int) -> bytes | None:
    """The content key, a random one when there is none inside, None when the key's holder refuses to use it."""
    try:
        if isinstance(info, Transported):
            key = await own.private.unwrap(transport_name(info.algorithm), info.encrypted_key, length)
        else:
            key = await _agree(info, own)
    except TemporaryError:
        raise
    except (BerError, InvalidUnwrap, Malformed, Unsupported, ValueError):
        key = b""
    except LetterlockError:
        return None
    return key if len(key) == length else os.urandom(length)


async def _agree(info: Agreed, own: OwnKey) -> bytes:
    octets = WRAPS.get(info.wrap.oid)
    derivation = DERIVATIONS.get(info.derivation)
    agreement = AGREEMENTS.get(own.certificate.curve)
    if octets is None or derivation is None or agreement is None:
        raise Malformed(detail="key agreement of an unknown kind")
    secret = await own.private.agree(agreement, info.point)
    # RFC 5753 7.2: the AlgorithmIdentifier as the sender encoded it, with or without NULL parameters
    wrapping = X963KDF(derivation, octets, shared_info(info.wrap.raw, octets, info.ukm)).derive(secret)
    return aes_key_unwrap(wrapping, info.encrypted_key)


async def open_enveloped(source: Source, keys: KeyLookup, sink: Sink) -> tuple[Certificate, ...]:
    """Reads and opens in one call; see Enveloped."""
    return await Enveloped(source).open(keys, sink)
