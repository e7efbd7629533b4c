"""Seal content and open it again: one key per message, one more per MiB above 64 KiB.

States
    A content of at most 64 KiB (SMALL_OCTETS) lies in its row: ``segments`` 0, ``body`` the sealed octets.
    A larger one lies in a segment store: ``segments`` how many, ``body`` the sealed index (the wrapped key of each).
    A segment is 1 MiB of content (SEGMENT_OCTETS; the last one less), stored as nonce (12 octets), ciphertext, tag.

Guarantees
    Memory is constant: a writer holds at most one segment, sealed and written as soon as the next octet comes.
    ``finish`` returns after file and folder are on disk. A reader gives a segment out after its tag; the last one only
    after its last flag, the size of all, the length of the file and the fingerprint of all agree with the manifest.
    Whatever is truncated, reordered, taken from another message or sealed by another key is refused.

Standards
    FIPS 197 and SP 800-38D (AES-256-GCM), RFC 2104 (HMAC).

Raises
    SealingUnavailable, StorageUnavailable when sealing; ContentRefused when opening.

See also
    ``keys.py`` (what binds a seal to its place), ``manifest.py``, ``segments.py``.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import chain
from typing import NamedTuple, Protocol, cast
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from letterlock.vault import manifest as manifests
from letterlock.vault.errors import ContentRefused
from letterlock.vault.keys import (
    KEY_OCTETS,
    NONCE_OCTETS,
    OVERHEAD_OCTETS,
    WRAPPED_OCTETS,
    MessageKey,
    Octets,
    Part,
)
from letterlock.vault.sealing import SealingSession
from letterlock.vault.segments import SegmentReader, SegmentStore, SegmentWriter

SMALL_OCTETS = 65_536
SEGMENT_OCTETS = 1_048_576
STORED_OCTETS = SEGMENT_OCTETS + OVERHEAD_OCTETS

_KEPT_BUFFERS = 8
_plain_buffers: deque[bytearray] = deque(maxlen=_KEPT_BUFFERS)
_stored_buffers: deque[bytearray] = deque(maxlen=_KEPT_BUFFERS)


class SealedContent(NamedTuple):
    """The content columns of queue.message and queue.delivery. ``size``: of the octets before sealing."""

    id: UUID
    session: UUID
    day: date
    wrapped_key: bytes
    commitment: bytes
    envelope: bytes
    manifest: bytes
    size: int
    segments: int
    body: bytes


class SealedRow(Protocol):
    """What opening needs of a claimed row."""

    @property
    def id(self) -> UUID: ...
    @property
    def commitment(self) -> bytes: ...
    @property
    def envelope(self) -> bytes: ...
    @property
    def manifest(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    @property
    def segments(self) -> int: ...
    @property
    def body(self) -> bytes: ...


def seal_small(session: SealingSession, content: UUID, envelope: bytes, octets: Sequence[Octets]) -> SealedContent:
    """Seal a content that lies in its row; ``octets`` in pieces, together at most SMALL_OCTETS.

    Raises SealingUnavailable when the session is over.
    """
    plain = octets[0] if len(octets) == 1 else b"".join(octets)
    if len(plain) > SMALL_OCTETS:
        raise ValueError("too large to lie in its row")
    random = os.urandom(KEY_OCTETS + 4 * NONCE_OCTETS)  # one system call: the key, then four nonces
    secret = random[:32]
    key = session.message_key(secret, content)
    fingerprint = hmac.digest(key.fingerprint_key, plain, "sha256")
    return SealedContent(
        id=content,
        session=session.id,
        day=session.day,
        wrapped_key=session.wrap(secret, content, random[32:44]),
        commitment=key.commitment,
        envelope=key.seal_part(Part.ENVELOPE, envelope, random[44:56]),
        manifest=key.seal_part(Part.MANIFEST, manifests.whole(fingerprint, len(plain), 0).encode(), random[56:68]),
        size=len(plain),
        segments=0,
        body=key.seal_part(Part.CONTENT, plain, random[68:80]),
    )


class ContentWriter:
    """Seals a content as it comes. Write, then await finish; or abandon."""

    def __init__(self, session: SealingSession, store: SegmentStore, content: UUID) -> None:
        """``content``: its id, made by the caller (``keys.new_id``). Nothing is on disk before 64 KiB are passed."""
        self.size = 0
        self._session = session
        self._store = store
        self._id = content
        self._small: bytearray | None = bytearray()
        self._large: _LargeContent | None = None

    def write(self, octets: Octets) -> None:
        """Take the next octets; the buffer may be reused afterwards. Raises SealingUnavailable, StorageUnavailable."""
        self.size += len(octets)
        if self._large is not None:
            self._large.write(octets)
            return
        assert self._small is not None, "finished or abandoned"
        if self.size <= SMALL_OCTETS:
            self._small += octets
            return
        self._large = _LargeContent(self._session, self._store, self._id)
        self._large.write(self._small)
        self._small = None
        self._large.write(octets)

    async def finish(self, envelope: bytes) -> SealedContent:
        """The columns to store, when everything that is not in them is on disk.

        Raises SealingUnavailable, StorageUnavailable; the caller then abandons.
        """
        if self._large is not None:
            sealed = await self._large.finish(envelope)
            self._large = None
            return sealed
        assert self._small is not None, "finished or abandoned"
        small, self._small = self._small, None
        return seal_small(self._session, self._id, envelope, [small])

    def abandon(self) -> None:
        """Forget what was written, the file too. Harmless after finish failed, was cancelled, or succeeded."""
        self._small = None
        if self._large is not None:
            self._large.abandon()
            self._large = None


class _LargeContent:
    """The part of ContentWriter that writes segments."""

    def __init__(self, session: SealingSession, store: SegmentStore, content: UUID) -> None:
        secret = os.urandom(KEY_OCTETS)
        self._session = session
        self._key = session.message_key(secret, content)
        self._wrapped = session.wrap(secret, content)
        self._mac = hmac.new(self._key.fingerprint_key, digestmod="sha256")
        self._index = bytearray()
        self._segment = 0
        self._size = 0
        self._file: SegmentWriter = store.create(content)
        self._buffer = _plain_buffers.pop() if _plain_buffers else bytearray(SEGMENT_OCTETS)
        self._filled = 0

    def write(self, octets: Octets) -> None:
        """Fill the segment; seal it when it is full and more comes (whether it is the last is known only then)."""
        view = memoryview(octets)
        self._mac.update(view)
        self._size += len(view)
        while view:
            if self._filled == SEGMENT_OCTETS:
                self._seal(last=False)
            taken = min(SEGMENT_OCTETS - self._filled, len(view))
            self._buffer[self._filled : self._filled + taken] = view[:taken]
            self._filled += taken
            view = view[taken:]

    def _seal(self, *, last: bool) -> None:
        secret = os.urandom(KEY_OCTETS)
        self._index += self._key.wrap_segment_key(secret, self._segment, last)
        stored = _stored_buffers.pop() if _stored_buffers else bytearray(STORED_OCTETS)
        end = self._filled + OVERHEAD_OCTETS
        with memoryview(stored) as view, memoryview(self._buffer) as plain:
            view[:NONCE_OCTETS] = os.urandom(NONCE_OCTETS)
            AESGCM(secret).encrypt_into(
                view[:NONCE_OCTETS],
                plain[: self._filled],
                self._key.data(Part.CONTENT, self._segment, last),
                view[NONCE_OCTETS:end],
            )
            self._file.write(view[:end])
        _stored_buffers.append(stored)
        self._segment += 1
        self._filled = 0

    async def finish(self, envelope: bytes) -> SealedContent:
        """Seal the last segment, wait for the disk, and seal index, manifest and envelope."""
        self._seal(last=True)
        self._session.check()
        await asyncio.get_running_loop().run_in_executor(None, self._file.sync)
        self._file.close()
        _plain_buffers.append(self._buffer)
        key = self._key
        manifest = manifests.whole(self._mac.digest(), self._size, self._segment)
        return SealedContent(
            id=key.content,
            session=self._session.id,
            day=key.day,
            wrapped_key=self._wrapped,
            commitment=key.commitment,
            envelope=key.seal_part(Part.ENVELOPE, envelope),
            manifest=key.seal_part(Part.MANIFEST, manifest.encode()),
            size=self._size,
            segments=self._segment,
            body=key.seal_part(Part.INDEX, self._index),
        )

    def abandon(self) -> None:
        self._file.abandon()


async def seal(
    session: SealingSession, store: SegmentStore, content: UUID, envelope: bytes, parts: Iterable[Octets]
) -> SealedContent:
    """Seal a content of any size, taking ``parts`` one by one; a large one lies on disk when this returns.

    Raises SealingUnavailable, StorageUnavailable, and what taking a part raises; nothing is then left behind.
    """
    rest = iter(parts)
    held: list[Octets] = []
    size = 0
    for part in rest:
        held.append(part)
        size += len(part)
        if size > SMALL_OCTETS:
            break
    else:
        return seal_small(session, content, envelope, held)
    writer = ContentWriter(session, store, content)
    try:
        for part in chain(held, rest):
            writer.write(part)
        return await writer.finish(envelope)
    except BaseException:
        writer.abandon()
        raise


def open_envelope(key: MessageKey, row: SealedRow) -> bytes:
    """The encoded Envelope or Dispatch of the row. Raises ContentRefused."""
    key.check(row.id, row.commitment)
    return key.open_part(Part.ENVELOPE, row.envelope)


def open_manifest(key: MessageKey, row: SealedRow) -> manifests.Manifest:
    """The manifest of the row, and that size and segments of the row agree with it. Raises ContentRefused."""
    key.check(row.id, row.commitment)
    manifest = manifests.decode(key.open_part(Part.MANIFEST, row.manifest))
    # The queue stores contents of one part; what a deposit of several is will be opened part by part.
    if len(manifest.parts) != 1 or manifest.parts[0].size != manifest.size:
        raise ContentRefused(detail="the manifest is not of a content of one part")
    if row.size != manifest.size or row.segments != manifest.parts[0].segments:
        raise ContentRefused(detail="size or segments of the row differ from the manifest")
    return manifest


def open_content(key: MessageKey, row: SealedRow, store: SegmentStore) -> Iterator[bytes]:
    """The octets of the row, in runs of at most SEGMENT_OCTETS; the last run only when all of it was verified.

    What it gave out before a ContentRefused was sealed by us, but is not the whole: the caller breaks off.
    """
    manifest = open_manifest(key, row)
    if row.segments == 0:
        plain = key.open_part(Part.CONTENT, row.body)
        manifest.check(len(plain), hmac.digest(key.fingerprint_key, plain, "sha256"))
        yield plain
        return
    yield from cast("Iterator[bytes]", _open_large(key, manifest, row, store, None))


def open_whole(key: MessageKey, row: SealedRow, store: SegmentStore) -> bytes | bytearray:
    """All octets of the row, verified, in one run of memory of exactly their size. Raises ContentRefused."""
    if row.segments == 0:
        return next(open_content(key, row, store))
    manifest = open_manifest(key, row)
    whole = bytearray(manifest.size)
    for _ in _open_large(key, manifest, row, store, memoryview(whole)):
        pass  # each run is where it belongs
    return whole


def _open_large(
    key: MessageKey, manifest: manifests.Manifest, row: SealedRow, store: SegmentStore, whole: memoryview | None
) -> Iterator[bytes | memoryview]:
    """The runs of a content in segments; in ``whole``, at their places, when that is given."""
    index = key.open_part(Part.INDEX, row.body)
    if len(index) != row.segments * WRAPPED_OCTETS:
        raise ContentRefused(detail="the index does not have as many keys as there are segments")
    reader = store.open(row.id)
    try:
        if reader.size != row.size + row.segments * OVERHEAD_OCTETS:
            raise ContentRefused(detail="the segment file is not as long as the manifest says")
        yield from _open_segments(key, manifest, memoryview(index), reader, whole)
    finally:
        reader.close()


def _open_segments(
    key: MessageKey,
    manifest: manifests.Manifest,
    index: memoryview,
    reader: SegmentReader,
    whole: memoryview | None,
) -> Iterator[bytes | memoryview]:
    count = manifest.parts[0].segments
    mac = hmac.new(key.fingerprint_key, digestmod="sha256")
    left = manifest.size
    stored = memoryview(_stored_buffers.pop() if _stored_buffers else bytearray(STORED_OCTETS))
    for segment in range(count):
        last = segment == count - 1
        size = min(left, SEGMENT_OCTETS)
        segment_key = key.unwrap_segment_key(
            index[segment * WRAPPED_OCTETS : (segment + 1) * WRAPPED_OCTETS], segment, last
        )
        view = stored[: size + OVERHEAD_OCTETS]
        reader.read_into(view)
        nonce, sealed, data = view[:NONCE_OCTETS], view[NONCE_OCTETS:], key.data(Part.CONTENT, segment, last)
        at = manifest.size - left
        plain: bytes | memoryview
        try:
            if whole is None:
                plain = segment_key.decrypt(nonce, sealed, data)
            else:
                plain = whole[at : at + size]
                segment_key.decrypt_into(nonce, sealed, data, plain)
        except InvalidTag:
            raise ContentRefused(detail=f"segment {segment} does not open") from None
        mac.update(plain)
        left -= size
        if last:
            manifest.check(manifest.size - left, mac.digest())
        yield plain
    assert isinstance(stored.obj, bytearray)
    _stored_buffers.append(stored.obj)
