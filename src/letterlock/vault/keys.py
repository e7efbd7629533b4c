"""The key tree below a sealing session: message keys, what is derived from them, and what binds a seal to its place.

Order
    root key > epoch key > sealing session key > message key > content, summary, wrap, fingerprint keys > segment keys.
    Only the keyholder has the first two; a sealing process has session keys; a reader has message keys.

Guarantees
    AES-256-GCM everywhere, with 12 random octets as nonce in front of each sealed run (never a counter: a forked or
    restored process cannot repeat one). What a seal is for (class, organisation, content, part, segment, last, day) is
    in its associated data, fixed-width, made by ``associated_data`` alone: a sealed run moved to another place does not
    open. A message key is only ever an input of HKDF; a commitment comes out of the same call, is stored beside the
    content and compared in constant time before use, so that one sealed run cannot be opened by two keys.
    A Secret shows nothing in repr, str, format, pickle or a traceback's locals.

Standards
    FIPS 197 and SP 800-38D (AES-GCM), RFC 5869 2.3 and 3.3 (HKDF-Expand of a uniformly random key), RFC 9562 (UUIDv7).

Raises
    ContentRefused when a seal does not open.
"""

from __future__ import annotations

import hmac
import os
import struct
import time
from datetime import date
from enum import IntEnum
from typing import NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from letterlock.vault.errors import ContentRefused

Octets = bytes | bytearray | memoryview
"""What may be sealed without a copy."""

KEY_OCTETS = 32
NONCE_OCTETS = 12
TAG_OCTETS = 16
OVERHEAD_OCTETS = NONCE_OCTETS + TAG_OCTETS
WRAPPED_OCTETS = KEY_OCTETS + OVERHEAD_OCTETS

GATEWAY = UUID(int=0)
"""The organisation of what is in the queue: it belongs to the gateway itself."""

NO_DAY = 0
"""The day of what does not expire."""

_LAYOUT = struct.Struct(">BBHI?I16s16s")
_SESSION_LAYOUT = struct.Struct(">BBB16s16s16s16sQ")
_LAYOUT_VERSION = 1
_DERIVE_LABEL = b"letterlock message key 1"
_SHA256 = SHA256()


class Kind(IntEnum):
    """What a seal belongs to; the class of design 3, and the keyholder's own files and wraps."""

    QUEUE = 1
    INBOX = 2
    SESSION = 16
    QUEUE_EPOCH_FILE = 17
    PERMANENT_FILE = 18
    MARK_FILE = 19
    SEAL_FILE = 20
    PRIVATE_KEY = 21
    INBOX_EPOCH_FILE = 22


class Part(IntEnum):
    """Which part of a content a seal is; numbers from 256 on are left for a deposit's attachments."""

    KEY = 1
    CONTENT = 2
    ENVELOPE = 3
    MANIFEST = 4
    INDEX = 5
    SEGMENT_KEY = 6
    TRACE = 7


class Secret:
    """Octets that must not be seen. ``octets`` is the only way to them."""

    __slots__ = ("octets",)

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def __repr__(self) -> str:
        return "Secret()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.octets, other.octets)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written down")


def new_id() -> UUID:
    """A UUIDv7: 48 bits of milliseconds, then 74 random bits."""
    octets = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    octets[6] = octets[6] & 0x0F | 0x70  # RFC 9562 5.7: version 7
    octets[8] = octets[8] & 0x3F | 0x80  # RFC 9562 4.1: variant
    return UUID(bytes=bytes(octets))


def associated_data(
    *, kind: int, organisation: bytes, content: bytes, part: int, segment: int = 0, last: bool = True, day: int
) -> bytes:
    """What a seal is bound to: 45 octets, each field at its place.

    ``organisation``, ``content``: UUIDs, 16 octets each; ``part``: 0 to 65535; ``segment``: counted from 0; ``last``:
    it is the last segment of its part; ``day``: date.toordinal() of the epoch's day, NO_DAY when there is none.
    """
    return _LAYOUT.pack(_LAYOUT_VERSION, kind, part, segment, last, day, organisation, content)


def session_data(*, kind: int, role: str, organisation: UUID, epoch: UUID, session: UUID, not_after: int) -> bytes:
    """What the wrap of a sealing session key is bound to: 75 octets; ``not_after`` in seconds since the Unix epoch.

    Its second octet and its length differ from those of ``associated_data``: neither is ever taken for the other.
    """
    return _SESSION_LAYOUT.pack(
        _LAYOUT_VERSION,
        Kind.SESSION,
        kind,
        role.encode("ascii"),
        organisation.bytes,
        epoch.bytes,
        session.bytes,
        not_after,
    )


def seal(key: AESGCM, octets: Octets, data: bytes, nonce: bytes | None = None) -> bytes:
    """Nonce, ciphertext and tag of ``octets``; ``nonce``: 12 octets fresh from os.urandom, taken here when None."""
    if nonce is None:
        nonce = os.urandom(NONCE_OCTETS)
    return nonce + key.encrypt(nonce, octets, data)


def unseal(key: AESGCM, sealed: bytes | memoryview, data: bytes) -> bytes:
    """The octets of ``seal``. Raises ContentRefused."""
    if len(sealed) < OVERHEAD_OCTETS:
        raise ContentRefused(detail="a sealed run is too short")
    view = memoryview(sealed)
    try:
        return key.decrypt(view[:NONCE_OCTETS], view[NONCE_OCTETS:], data)
    except InvalidTag:
        raise ContentRefused(detail="a seal does not open with this key at this place") from None


class MessageKey:
    """The keys of one content: what sealing and opening need, without the octets they were derived from.

    ``commitment``: 32 octets, stored beside the content. ``fingerprint_key``: for the HMAC of the octets received.
    """

    __slots__ = (
        "_content",
        "_content_id",
        "_ordinal",
        "_organisation",
        "_summary",
        "_wrap",
        "commitment",
        "content",
        "day",
        "fingerprint_key",
        "kind",
    )

    def __init__(
        self, octets: bytes, *, content: UUID, day: date, kind: int = Kind.QUEUE, organisation: UUID = GATEWAY
    ) -> None:
        """``octets``: 32; ``content``: the id of what is sealed; ``day``: of its epoch."""
        if len(octets) != KEY_OCTETS:
            raise ContentRefused(detail="a message key has 32 octets")
        derived = HKDFExpand(_SHA256, 5 * KEY_OCTETS, _DERIVE_LABEL).derive(octets)
        self._content = AESGCM(derived[0:32])
        self._summary = AESGCM(derived[32:64])
        self._wrap = derived[64:96]
        self.fingerprint_key = derived[96:128]
        self.commitment = derived[128:160]
        self.content = content
        self.day = day
        self.kind = kind
        self._organisation = organisation.bytes
        self._content_id = content.bytes
        self._ordinal = day.toordinal()

    def __repr__(self) -> str:
        return f"MessageKey(content={self.content})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MessageKey is not written down")

    def data(self, part: int, segment: int = 0, last: bool = True) -> bytes:
        """The associated data of one part of this content."""
        return associated_data(
            kind=self.kind,
            organisation=self._organisation,
            content=self._content_id,
            part=part,
            segment=segment,
            last=last,
            day=self._ordinal,
        )

    def check(self, content: UUID, commitment: bytes) -> None:
        """Return when this is the key of ``content``. Raises ContentRefused."""
        if content != self.content or not hmac.compare_digest(self.commitment, commitment):
            raise ContentRefused(detail=f"the key does not belong to {content}")

    def seal_part(self, part: int, octets: Octets, nonce: bytes | None = None) -> bytes:
        """Seal one part that is no segment. The envelope goes under the summary key, all else under the content key."""
        return seal(self._summary if part == Part.ENVELOPE else self._content, octets, self.data(part), nonce)

    def open_part(self, part: int, sealed: bytes | memoryview) -> bytes:
        """The octets of ``seal_part``. Raises ContentRefused."""
        return unseal(self._summary if part == Part.ENVELOPE else self._content, sealed, self.data(part))

    def wrap_segment_key(self, octets: bytes, segment: int, last: bool) -> bytes:
        """60 octets: the key of one segment under the wrap key."""
        return seal(AESGCM(self._wrap), octets, self.data(Part.SEGMENT_KEY, segment, last))

    def unwrap_segment_key(self, wrapped: bytes | memoryview, segment: int, last: bool) -> AESGCM:
        """The key of one segment. Raises ContentRefused."""
        return AESGCM(unseal(AESGCM(self._wrap), wrapped, self.data(Part.SEGMENT_KEY, segment, last)))
