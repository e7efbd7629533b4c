"""Attacks on stored content by somebody who may write to the database and to the segment files, without any key.

Order
    Each test changes stored octets in one way and demands a refusal, and that no octet of the last segment came out.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.exceptions import InvalidTag

from letterlock.vault import manifest as manifests
from letterlock.vault.content import (
    SEGMENT_OCTETS,
    STORED_OCTETS,
    ContentWriter,
    SealedContent,
    open_content,
    open_envelope,
    open_whole,
    seal_small,
)
from letterlock.vault.errors import ContentRefused
from letterlock.vault.keys import WRAPPED_OCTETS, Kind, MessageKey, Part, associated_data, new_id, seal
from letterlock.vault.sealing import SealingSession
from letterlock.vault.segments import FileSegmentStore
from tests.fakes.records import sealing_session

pytestmark = [pytest.mark.req("I1"), pytest.mark.req("I2"), pytest.mark.req("I10")]

SIZE = 3 * SEGMENT_OCTETS + 1000


class Stored(NamedTuple):
    """A content of four segments, its key, and its file."""

    sealed: SealedContent
    octets: bytes
    secret: bytes
    key: MessageKey
    file: Path


def secret_of(session: SealingSession, sealed: SealedContent) -> bytes:
    data = associated_data(
        kind=Kind.QUEUE,
        organisation=bytes(16),
        content=sealed.id.bytes,
        part=Part.KEY,
        day=sealed.day.toordinal(),
    )
    return session._key.decrypt(sealed.wrapped_key[:12], sealed.wrapped_key[12:], data)


def stored(session: SealingSession, store: FileSegmentStore, size: int = SIZE) -> Stored:
    octets = os.urandom(size)
    writer = ContentWriter(session, store, new_id())
    writer.write(octets)
    sealed = asyncio.run(writer.finish(b"envelope"))
    secret = secret_of(session, sealed)
    return Stored(sealed, octets, secret, MessageKey(secret, content=sealed.id, day=sealed.day), store.path(sealed.id))


@pytest.fixture
def session() -> SealingSession:
    return sealing_session()


@pytest.fixture
def store(tmp_path: Path) -> FileSegmentStore:
    return FileSegmentStore(tmp_path / "segments")


def refused(key: MessageKey, sealed: SealedContent, store: FileSegmentStore, size: int = SIZE) -> int:
    """How many octets came out before the refusal; taken as a whole, none do."""
    with pytest.raises(ContentRefused):
        open_whole(key, sealed, store)
    out = 0
    with pytest.raises(ContentRefused):
        for run in open_content(key, sealed, store):
            out += len(run)
    last = size % SEGMENT_OCTETS or SEGMENT_OCTETS
    assert out <= size - last
    return out


def segment(octets: bytes, number: int) -> bytes:
    return octets[number * STORED_OCTETS : (number + 1) * STORED_OCTETS]


def flip(octets: bytes, at: int) -> bytes:
    changed = bytearray(octets)
    changed[at] ^= 1
    return bytes(changed)


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "without the last segment": lambda file: file[: 3 * STORED_OCTETS],
    "without the last octet": lambda file: file[:-1],
    "empty": lambda file: b"",
    "with an octet more": lambda file: file + b"x",
    "with the last segment twice": lambda file: file + segment(file, 3),
    "segments 0 and 1 swapped": lambda file: segment(file, 1) + segment(file, 0) + file[2 * STORED_OCTETS :],
    "segment 0 twice": lambda file: segment(file, 0) + segment(file, 0) + file[2 * STORED_OCTETS :],
    "a bit of the first nonce": lambda file: flip(file, 0),
    "a bit of the first segment": lambda file: flip(file, 5000),
    "a bit of the last segment": lambda file: flip(file, 3 * STORED_OCTETS + 500),
    "a bit of the last tag": lambda file: flip(file, len(file) - 1),
    "without the middle": lambda file: segment(file, 0) + file[2 * STORED_OCTETS :],
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_changed_segment_file(change: str, session: SealingSession, store: FileSegmentStore) -> None:
    one = stored(session, store)
    assert b"".join(open_content(one.key, one.sealed, store)) == one.octets
    one.file.write_bytes(CHANGES[change](one.file.read_bytes()))
    refused(one.key, one.sealed, store)


def test_missing_segment_file(session: SealingSession, store: FileSegmentStore) -> None:
    one = stored(session, store)
    one.file.unlink()
    assert refused(one.key, one.sealed, store) == 0


def test_segment_file_of_another_message(session: SealingSession, store: FileSegmentStore) -> None:
    one, two = stored(session, store), stored(session, store)
    one.file.write_bytes(two.file.read_bytes())
    assert refused(one.key, one.sealed, store) == 0


def test_one_segment_of_another_message(session: SealingSession, store: FileSegmentStore) -> None:
    one, two = stored(session, store), stored(session, store)
    mine, theirs = one.file.read_bytes(), two.file.read_bytes()
    one.file.write_bytes(segment(mine, 0) + segment(theirs, 1) + mine[2 * STORED_OCTETS :])
    assert refused(one.key, one.sealed, store) == SEGMENT_OCTETS


def test_shorter_file_with_row_made_to_fit(session: SealingSession, store: FileSegmentStore) -> None:
    """The last flag: three of four segments, with size and number of segments in the row changed to match."""
    one = stored(session, store)
    one.file.write_bytes(one.file.read_bytes()[: 3 * STORED_OCTETS])
    assert refused(one.key, one.sealed._replace(segments=3, size=3 * SEGMENT_OCTETS), store) == 0


def forged(one: Stored, octets: bytes, index: bytes) -> SealedContent:
    """A row whose index and manifest were made with the message's own key, for ``octets``: only the segments are left."""
    fingerprint = hmac.digest(one.key.fingerprint_key, octets, "sha256")
    segments = len(index) // WRAPPED_OCTETS
    manifest = manifests.whole(fingerprint, len(octets), segments)
    return one.sealed._replace(
        segments=segments,
        size=len(octets),
        body=one.key.seal_part(Part.INDEX, index),
        manifest=one.key.seal_part(Part.MANIFEST, manifest.encode()),
    )


def test_last_flag_is_part_of_every_segment(session: SealingSession, store: FileSegmentStore) -> None:
    one = stored(session, store)
    size = 3 * SEGMENT_OCTETS
    index = one.key.open_part(Part.INDEX, one.sealed.body)
    assert b"".join(open_content(one.key, forged(one, one.octets, index), store)) == one.octets
    one.file.write_bytes(one.file.read_bytes()[: 3 * STORED_OCTETS])
    row = forged(one, one.octets[:size], index[: 3 * WRAPPED_OCTETS])
    assert refused(one.key, row, store, size) == 2 * SEGMENT_OCTETS


def test_number_is_part_of_every_segment(session: SealingSession, store: FileSegmentStore) -> None:
    one = stored(session, store)
    keys, file, mebi = one.key.open_part(Part.INDEX, one.sealed.body), one.file.read_bytes(), SEGMENT_OCTETS
    one.file.write_bytes(segment(file, 1) + segment(file, 0) + file[2 * STORED_OCTETS :])
    octets = one.octets[mebi : 2 * mebi] + one.octets[:mebi] + one.octets[2 * mebi :]
    assert refused(one.key, forged(one, octets, keys[60:120] + keys[:60] + keys[120:]), store) == 0


def test_fingerprint_of_segments_is_compared_before_the_last(session: SealingSession, store: FileSegmentStore) -> None:
    """The last segment sealed anew, with its own key, at its own place, as long as before: still not what came in."""
    one = stored(session, store)
    wrapped = one.key.open_part(Part.INDEX, one.sealed.body)[3 * WRAPPED_OCTETS :]
    segment_key = one.key.unwrap_segment_key(wrapped, 3, last=True)
    anew = seal(segment_key, bytes(1000), one.key.data(Part.CONTENT, 3, last=True))
    one.file.write_bytes(one.file.read_bytes()[: 3 * STORED_OCTETS] + anew)
    assert refused(one.key, one.sealed, store) == 3 * SEGMENT_OCTETS


@pytest.mark.parametrize("column", ["envelope", "manifest", "body"])
def test_column_of_another_message(column: str, session: SealingSession, store: FileSegmentStore) -> None:
    one, two = stored(session, store), stored(session, store)
    mixed = one.sealed._replace(**{column: getattr(two.sealed, column)})
    with pytest.raises(ContentRefused):
        open_envelope(one.key, mixed)
        list(open_content(one.key, mixed, store))


@pytest.mark.parametrize(("take", "put"), [("envelope", "body"), ("manifest", "envelope"), ("body", "manifest")])
def test_parts_of_one_message_swapped(take: str, put: str, session: SealingSession, store: FileSegmentStore) -> None:
    sealed = seal_small(session, new_id(), b"envelope", [b"content"])
    key = MessageKey(secret_of(session, sealed), content=sealed.id, day=sealed.day)
    mixed = sealed._replace(**{put: getattr(sealed, take)})
    with pytest.raises(ContentRefused):
        open_envelope(key, mixed)
        list(open_content(key, mixed, store))


@pytest.mark.parametrize("column", ["envelope", "manifest", "body", "commitment"])
@pytest.mark.parametrize("at", [0, 11, 12, -1])
def test_changed_bit(column: str, at: int, session: SealingSession, store: FileSegmentStore) -> None:
    sealed = seal_small(session, new_id(), b"envelope", [b"content"])
    key = MessageKey(secret_of(session, sealed), content=sealed.id, day=sealed.day)
    changed = sealed._replace(**{column: flip(getattr(sealed, column), at)})
    with pytest.raises(ContentRefused):
        open_envelope(key, changed)
        list(open_content(key, changed, store))


def test_key_of_another_message(session: SealingSession, store: FileSegmentStore) -> None:
    one, two = stored(session, store), stored(session, store)
    assert refused(two.key, one.sealed, store) == 0
    # ... even when it is said to be the key of this one, and the commitment in the row is changed to agree
    passed_off = MessageKey(two.secret, content=one.sealed.id, day=one.sealed.day)
    assert refused(passed_off, one.sealed, store) == 0
    assert refused(passed_off, one.sealed._replace(commitment=passed_off.commitment), store) == 0


def test_wrapped_key_of_another_message(session: SealingSession, store: FileSegmentStore) -> None:
    one, two = stored(session, store), stored(session, store)
    with pytest.raises(InvalidTag):
        secret_of(session, one.sealed._replace(wrapped_key=two.sealed.wrapped_key))


def test_under_another_id_or_day(session: SealingSession, store: FileSegmentStore) -> None:
    sealed = seal_small(session, new_id(), b"envelope", [b"content"])
    secret, other = secret_of(session, sealed), new_id()
    for key, row in (
        (MessageKey(secret, content=other, day=sealed.day), sealed._replace(id=other)),
        (MessageKey(secret, content=sealed.id, day=sealed.day + timedelta(days=1)), sealed),
        (MessageKey(secret, content=sealed.id, day=sealed.day, kind=Kind.INBOX), sealed),
        (MessageKey(secret, content=sealed.id, day=sealed.day, organisation=other), sealed),
    ):
        with pytest.raises(ContentRefused):
            open_envelope(key, row)
        refused(key, row, store, 7)


@pytest.mark.parametrize(("column", "value"), [("size", 6), ("size", 8), ("segments", 1)])
def test_row_that_says_something_else(
    column: str, value: int, session: SealingSession, store: FileSegmentStore
) -> None:
    sealed = seal_small(session, new_id(), b"envelope", [b"content"])
    key = MessageKey(secret_of(session, sealed), content=sealed.id, day=sealed.day)
    refused(key, sealed._replace(**{column: value}), store, 7)


def test_fingerprint_is_compared_before_the_last_octet(session: SealingSession, store: FileSegmentStore) -> None:
    """What was sealed under the right key is not enough: it must be what was received."""
    sealed = seal_small(session, new_id(), b"envelope", [b"content"])
    key = MessageKey(secret_of(session, sealed), content=sealed.id, day=sealed.day)
    refused(key, sealed._replace(body=key.seal_part(Part.CONTENT, b"CONTENT")), store, 7)
