"""Content sealed and opened: small and large, in pieces, with constant memory, and abandoned."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letterlock.vault import content as contents
from letterlock.vault.content import (
    SEGMENT_OCTETS,
    SMALL_OCTETS,
    ContentWriter,
    SealedContent,
    open_content,
    open_envelope,
    open_manifest,
    open_whole,
    seal_small,
)
from letterlock.vault.errors import SealingUnavailable, StorageUnavailable
from letterlock.vault.keys import MessageKey, Part, associated_data, new_id
from letterlock.vault.sealing import SealingSession
from letterlock.vault.segments import FileSegmentStore
from tests.fakes.records import SetClock, sealing_session

ENVELOPE = b"sealed beside it"


def key_of(session: SealingSession, sealed: SealedContent) -> MessageKey:
    """What the keyholder would answer."""
    data = associated_data(
        kind=1,
        organisation=bytes(16),
        content=sealed.id.bytes,
        part=Part.KEY,
        day=sealed.day.toordinal(),
    )
    octets = session._key.decrypt(sealed.wrapped_key[:12], sealed.wrapped_key[12:], data)
    return MessageKey(octets, content=sealed.id, day=sealed.day)


def written(
    session: SealingSession, store: FileSegmentStore, pieces: Iterable[bytes], content: UUID | None = None
) -> SealedContent:
    writer = ContentWriter(session, store, content or new_id())
    for piece in pieces:
        writer.write(piece)
    return asyncio.run(writer.finish(ENVELOPE))


@pytest.fixture
def store(tmp_path: Path) -> FileSegmentStore:
    return FileSegmentStore(tmp_path / "segments")


@pytest.mark.req("I1")
@pytest.mark.req("A3")
@pytest.mark.parametrize("size", [0, 1, 1000, SMALL_OCTETS])
def test_small_content_lies_in_its_row(size: int, store: FileSegmentStore) -> None:
    session, octets = sealing_session(), os.urandom(size)
    for sealed in (
        seal_small(session, new_id(), ENVELOPE, [octets]),
        seal_small(session, new_id(), ENVELOPE, [octets[: size // 2], memoryview(octets)[size // 2 :]]),
        written(session, store, [octets]),
    ):
        key = key_of(session, sealed)
        assert (sealed.size, sealed.segments, sealed.session, sealed.day) == (size, 0, session.id, session.day)
        assert open_envelope(key, sealed) == ENVELOPE
        assert list(open_content(key, sealed, store)) == [octets]
        assert open_whole(key, sealed, store) == octets
        assert len(sealed.body) == size + 28
    assert list(store.ids()) == []


@pytest.mark.req("I2")
@pytest.mark.parametrize(
    ("size", "segments"),
    [
        (SMALL_OCTETS + 1, 1),
        (SEGMENT_OCTETS - 1, 1),
        (SEGMENT_OCTETS, 1),
        (SEGMENT_OCTETS + 1, 2),
        (5 * SEGMENT_OCTETS, 5),
        (5 * SEGMENT_OCTETS + 1, 6),
    ],
)
def test_a_key_for_each_mebibyte(size: int, segments: int, store: FileSegmentStore) -> None:
    session, octets = sealing_session(), os.urandom(size)
    sealed = written(session, store, [octets])
    key = key_of(session, sealed)
    assert (sealed.size, sealed.segments) == (size, segments)
    index = key.open_part(Part.INDEX, sealed.body)
    unwrapped = {bytes(index[at : at + 60])[12:] for at in range(0, len(index), 60)}  # each wrapped key is another one
    assert len(index) == 60 * segments
    assert len(unwrapped) == segments
    assert store.path(sealed.id).stat().st_size == size + 28 * segments
    assert b"".join(open_content(key, sealed, store)) == octets
    assert open_whole(key, sealed, store) == octets
    assert open_envelope(key, sealed) == ENVELOPE
    assert open_manifest(key, sealed).size == size


@pytest.mark.req("A3")
def test_no_octet_of_the_content_is_stored_plain(store: FileSegmentStore) -> None:
    session, canary = sealing_session(), b"canary-octets-of-this-message" * 5000
    for octets in (canary[:1000], canary):
        sealed = written(session, store, [octets])
        on_disk = b"".join(store.path(found).read_bytes() for found, _ in store.ids())
        assert b"canary" not in on_disk + b"".join(v for v in sealed if isinstance(v, bytes))
        assert ENVELOPE not in sealed.envelope


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 150_000), max_size=12), reuse=st.booleans())
def test_any_pieces_make_the_same_octets(sizes: list[int], reuse: bool, store: FileSegmentStore) -> None:
    session, whole = sealing_session(), bytearray()
    writer = ContentWriter(session, store, new_id())
    buffer = bytearray(150_000)
    for number, size in enumerate(sizes):
        piece = bytes([number]) * size
        whole += piece
        if reuse:
            buffer[:size] = piece
            writer.write(memoryview(buffer)[:size])
            buffer[:size] = bytes(size)  # the writer must not look again
        else:
            writer.write(piece)
    sealed = asyncio.run(writer.finish(ENVELOPE))
    assert sealed.size == writer.size == len(whole)
    assert b"".join(open_content(key_of(session, sealed), sealed, store)) == whole


def test_memory_does_not_grow_with_the_content(store: FileSegmentStore) -> None:
    session = sealing_session()
    piece = os.urandom(262_144)
    written(session, store, [piece] * 8)  # fills the buffers that are kept
    tracemalloc.start()
    try:
        sealed = written(session, store, [piece] * 80)
        key = key_of(session, sealed)
        size = sum(len(run) for run in open_content(key, sealed, store))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 20 * SEGMENT_OCTETS
    assert most < 4 * SEGMENT_OCTETS


def test_buffers_are_used_again(store: FileSegmentStore) -> None:
    session = sealing_session()
    written(session, store, [bytes(200_000)])
    held = {id(buffer) for buffer in contents._plain_buffers}
    first = os.urandom(200_000)
    one = written(session, store, [first])
    two = written(session, store, [b"\1" * 150_000])
    assert {id(buffer) for buffer in contents._plain_buffers} & held
    assert b"".join(open_content(key_of(session, one), one, store)) == first
    assert b"".join(open_content(key_of(session, two), two, store)) == b"\1" * 150_000


def test_two_contents_at_once_do_not_mix(store: FileSegmentStore) -> None:
    session = sealing_session()
    writers = [ContentWriter(session, store, new_id()) for _ in range(3)]
    for _ in range(20):
        for number, writer in enumerate(writers):
            writer.write(bytes([number]) * 100_000)

    async def finish() -> list[SealedContent]:
        return await asyncio.gather(*(writer.finish(ENVELOPE) for writer in writers))

    for number, sealed in enumerate(asyncio.run(finish())):
        key = key_of(session, sealed)
        assert b"".join(open_content(key, sealed, store)) == bytes([number]) * 2_000_000


def test_abandoned_content_leaves_no_file(store: FileSegmentStore) -> None:
    writer = ContentWriter(sealing_session(), store, new_id())
    writer.write(bytes(100_000))
    assert len(list(store.ids())) == 1
    writer.abandon()
    writer.abandon()
    assert list(store.ids()) == []


def test_abandon_after_finish_keeps_the_file(store: FileSegmentStore) -> None:
    writer = ContentWriter(sealing_session(), store, new_id())
    writer.write(bytes(100_000))
    asyncio.run(writer.finish(ENVELOPE))
    writer.abandon()
    assert len(list(store.ids())) == 1


def test_a_content_is_not_written_over_another(store: FileSegmentStore) -> None:
    session, content = sealing_session(), new_id()
    written(session, store, [bytes(100_000)], content)
    with pytest.raises(StorageUnavailable) as caught:
        written(session, store, [bytes(100_000)], content)
    assert (caught.value.code, caught.value.status) == (452, "4.3.1")


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_session_that_is_over_seals_nothing(size: int, store: FileSegmentStore) -> None:
    clock = SetClock()
    session = sealing_session(clock)
    writer = ContentWriter(session, store, new_id())
    writer.write(bytes(size))
    clock.now += 4200
    with pytest.raises(SealingUnavailable):
        asyncio.run(writer.finish(ENVELOPE))
    writer.abandon()
    with pytest.raises(SealingUnavailable):
        seal_small(session, new_id(), ENVELOPE, [b""])
    assert list(store.ids()) == []


def test_seal_small_refuses_what_is_not_small() -> None:
    with pytest.raises(ValueError, match="too large"):
        seal_small(sealing_session(), new_id(), ENVELOPE, [bytes(SMALL_OCTETS), b"1"])
