"""Decrypt EnvelopedData and AuthEnvelopedData with keys that are somewhere else.

Order
    The header is read, the lookup asked for our keys, every one that matches is tried, and the content goes to the
    spool. Nothing in the spool counts before open() has returned: then all of it was read and its end was right, and
    for AuthEnvelopedData the tag was verified.

Guarantees
    Once a key of ours was used, every failure is the same DecryptionFailed, after the same work: a content key that
    does not unwrap is replaced by a random one, and the whole content is decrypted with it. What the header alone
    tells, such as an algorithm that is not known, is said before: it is Unsupported.
    Memory: the header, and one buffer for pieces of the content.

Standards
    RFC 5652 6, RFC 5083 2.2 (attributes as additional data), RFC 5084 3, RFC 3218 2 (the attack of Bleichenbacher),
    RFC 8551 2.4.3.

Raises
    Malformed, Unsupported before a key is asked; NotForUs; DecryptionFailed; the TemporaryErrors of a PrivateKey.

See also
    ``content_keys.py`` for the keys.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes

from letterlock.asn1 import der
from letterlock.asn1.ber import BerError, Reader
from letterlock.mail.message import Buffer
from letterlock.pki.certificate import Certificate
from letterlock.smime.cms_read import Envelope, Source, open_cms, read_envelope
from letterlock.smime.content_keys import content_key, obstacle, password_key
from letterlock.smime.errors import DecryptionFailed, Malformed, NotForUs, Unsupported
from letterlock.smime.party import KeyLookup
from letterlock.smime.spool import PIECE_OCTETS, Sink, pieces

MAX_TRIES: Final = 8  # content keys tried on one message; all of them should be the same one
MAX_PASSWORDS: Final = 2  # recipient infos with a password that are tried: each costs up to a second
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
        ][: 4 * MAX_TRIES]
        obstacles = [obstacle(info, own.certificate) for info, own in matches]
        if matches and all(obstacles):
            raise Unsupported(detail=obstacles[0])
        holders: dict[bytes, list[Certificate]] = {}
        for (info, own), why in zip(matches, obstacles, strict=True):
            key = None if why else await content_key(info, own, self.envelope.cipher.key_octets)
            if key is not None:
                holders.setdefault(key, []).append(own.certificate)
        if not holders:
            raise NotForUs
        return tuple(dict.fromkeys(holders[self.open_content(list(holders), sink)]))

    async def open_with_password(self, password: str, sink: Sink) -> None:
        """Decrypts the content to ``sink`` with a password (RFC 5652 6.2.4).

        Raises NotForUs when there is no recipient info for one, Malformed, Unsupported, DecryptionFailed.
        """
        keys: list[bytes] = []
        fault: Unsupported | None = None
        for info in self.envelope.passwords[:MAX_PASSWORDS]:
            try:
                keys.append(await password_key(info, password, self.envelope.cipher.key_octets))
            except Unsupported as found:
                fault = found
            except BerError as error:
                raise Malformed(detail=error.detail) from error
        if not keys:
            raise fault or NotForUs()
        self.open_content(keys, sink)

    def open_content(self, keys: list[bytes], sink: Sink) -> bytes:
        """Tries one content key after the other, and returns the one that opens the content. Raises DecryptionFailed."""
        reader = self._reader
        for number, key in enumerate(keys[:MAX_TRIES]):
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
            unpadded(context, reader.octets(0x80), envelope.cipher.block_octets, sink)
            finish(reader, info, data, (0xA1,))
            return
        mode = modes.GCM(envelope.vector, min_tag_length=_MIN_TAG_OCTETS)
        opening = Cipher(block, mode).decryptor()
        buffer = memoryview(bytearray(PIECE_OCTETS))
        for piece in pieces(reader.octets(0x80)):
            sink.write(buffer[: opening.update_into(piece, buffer)])
        reader.leave(info)
        # The additional data stand behind the content they belong to: when there are any, a second pass checks the tag.
        attributes = reader.element(0xA1).content if reader.peek() == 0xA1 else None
        tag = reader.element(der.OCTET_STRING).octets()
        finish(reader, None, data, (0xA2,))
        if attributes is not None:
            opening = Cipher(block, mode).decryptor()
            opening.authenticate_additional_data(der.tlv(der.SET, attributes))  # RFC 5083 2.2: with the tag of SET
            again, _ = _start(self._source)
            for piece in pieces(again.octets(0x80)):
                opening.update_into(piece, buffer)
        opening.finalize_with_tag(tag)


def _start(source: Source) -> tuple[Reader, Envelope]:
    reader = Reader(source())
    return reader, read_envelope(reader, open_cms(reader))


def finish(reader: Reader, info: int | None, data: int, allowed: tuple[int, ...]) -> None:
    """The end of the structure is looked at too: a content that was cut short is not released."""
    if info is not None:
        reader.leave(info)
    while reader.more(data):
        if reader.peek() not in allowed:
            raise BerError(detail="unexpected element")
        reader.skip()
    reader.leave(data)


def unpadded(context: CipherContext, content: Iterator[Buffer], block: int, sink: Sink) -> None:
    """Decrypts to ``sink`` all but the padding (RFC 5652 6.3). The last block is held back until it is known to be the
    last: it stands in the buffer before the next piece."""
    buffer = memoryview(bytearray(PIECE_OCTETS + 2 * block))
    held = 0
    for piece in pieces(content):
        done = held + context.update_into(piece, buffer[held:])
        if done > block:
            sink.write(buffer[: done - block])
            buffer[:block] = buffer[done - block : done]
        held = min(done, block)
    context.finalize()  # ValueError when it is not whole blocks
    last = bytes(buffer[:held])
    count = last[-1] if last else 0
    if not 1 <= count <= block or not hmac.compare_digest(last[-count:], bytes((count,)) * count):
        raise DecryptionFailed
    sink.write(last[:-count])


async def open_enveloped(source: Source, keys: KeyLookup, sink: Sink) -> tuple[Certificate, ...]:
    """Reads and opens in one call; see Enveloped."""
    return await Enveloped(source).open(keys, sink)
