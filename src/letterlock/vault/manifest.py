"""The sealed manifest: what a content must be when it is complete.

Guarantees
    ``fingerprint`` is HMAC-SHA-256, under a key derived from the message key, of the octets as they were received; it
    dies with that key, so that it cannot be used to guess content. It is taken on arrival and compared on each release:
    the last octets of a content are not given out before size, number of segments and fingerprint agree.

Standards
    RFC 2104, FIPS 180-4 (HMAC-SHA-256).

Raises
    ContentRefused.
"""

from __future__ import annotations

import hmac

import msgspec

from letterlock.vault.errors import ContentRefused

VERSION = 1


class PartEntry(msgspec.Struct, frozen=True, array_like=True):
    """One part: ``size`` in octets before sealing, ``segments`` 0 when it lies in the row.

    ``digest``: SHA-256 of its octets; empty when the part is all that was received: the fingerprint says the same.
    """

    name: str
    size: int
    segments: int
    digest: bytes = b""


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """``fingerprint``: 32 octets; ``size``: of the octets as received."""

    version: int
    fingerprint: bytes
    size: int
    parts: tuple[PartEntry, ...]

    def encode(self) -> bytes:
        """MessagePack; read back by decode()."""
        return _encoder.encode(self)

    def check(self, size: int, fingerprint: bytes) -> None:
        """Return when the octets that were opened are those that were received. Raises ContentRefused."""
        if size != self.size or not hmac.compare_digest(fingerprint, self.fingerprint):
            raise ContentRefused(detail="size or fingerprint differ from the manifest")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Manifest)


def whole(fingerprint: bytes, size: int, segments: int) -> Manifest:
    """The manifest of a content that is one part: raw mail in the queue."""
    return Manifest(VERSION, fingerprint, size, (PartEntry("", size, segments),))


def decode(octets: bytes) -> Manifest:
    """The Manifest of encode(). Raises ContentRefused when it is none, or of another version."""
    try:
        manifest = _decoder.decode(octets)
    except msgspec.DecodeError:
        raise ContentRefused(detail="the manifest cannot be read") from None
    if manifest.version != VERSION:
        raise ContentRefused(detail=f"manifest of version {manifest.version}")
    return manifest
