"""Orphans go, everything else stays."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from letterlock.database.connect import Gate
from letterlock.housekeeping.sweep import BATCH, ORPHAN_AFTER, Sweeper
from letterlock.vault.keys import new_id
from letterlock.vault.segments import FileSegmentStore

NOW = 1_800_000_000.0


class KnownContents:
    """A gate whose database has rows for ``known``; asks are kept in ``asked``."""

    def __init__(self, known: set[UUID]) -> None:
        self.known = known
        self.asked: list[list[UUID]] = []

    async def call(self, function: str, *, ids: list[UUID]) -> list[tuple[Any, ...]]:
        """vault.unknown_contents."""
        assert function == "vault.unknown_contents"
        self.asked.append(ids)
        return [(content,) for content in ids if content not in self.known]


def _write(store: FileSegmentStore, age: float) -> UUID:
    content = new_id()
    writer = store.create(content)
    writer.write(b"sealed")
    writer.close()
    os.utime(store.path(content), (NOW - age, NOW - age))
    return content


def _sweep(store: FileSegmentStore, known: set[UUID]) -> tuple[int, list[list[UUID]]]:
    """Twice, as far apart as it must be; what the second one removed, and was asked."""
    gate = KnownContents(known)
    sweeper = Sweeper(cast(Gate, gate), store)
    assert asyncio.run(sweeper.sweep(now=NOW, ran_for=0)) == 0
    gate.asked.clear()
    return asyncio.run(sweeper.sweep(now=NOW, ran_for=ORPHAN_AFTER)), gate.asked


@pytest.mark.req("A3")
def test_only_old_files_without_a_row_go(tmp_path: Path) -> None:
    store = FileSegmentStore(tmp_path / "segments")
    being_received = _write(store, ORPHAN_AFTER - 1)
    known, orphan = _write(store, ORPHAN_AFTER + 1), _write(store, ORPHAN_AFTER + 1)
    removed, asked = _sweep(store, {known})
    assert removed == 1
    assert {content for content, _ in store.ids()} == {being_received, known}
    assert sorted(asked[0]) == sorted([known, orphan])


def test_many_are_asked_about_in_batches(tmp_path: Path) -> None:
    store = FileSegmentStore(tmp_path / "segments")
    for _ in range(BATCH + 3):
        _write(store, ORPHAN_AFTER * 2)
    removed, asked = _sweep(store, set())
    assert removed == BATCH + 3
    assert [len(ids) for ids in asked] == [BATCH, 3]
    assert not list(store.ids())


def test_nothing_old_asks_nothing(tmp_path: Path) -> None:
    store = FileSegmentStore(tmp_path / "segments")
    _write(store, 0)
    assert _sweep(store, set()) == (0, [])


@pytest.mark.req("A1", "A3")
def test_a_clock_set_forward_takes_no_file_of_a_message_being_received(tmp_path: Path) -> None:
    store = FileSegmentStore(tmp_path / "segments")
    content = _write(store, 0)
    gate = KnownContents(set())
    sweeper = Sweeper(cast(Gate, gate), store)
    for minutes in (0, 30, 60):  # the machine slept for a day, or its clock was wrong: the upload goes on
        assert asyncio.run(sweeper.sweep(now=NOW + 86_400, ran_for=minutes * 60)) == 0
    gate.known = {content}  # accepted
    assert asyncio.run(sweeper.sweep(now=NOW + 86_400, ran_for=ORPHAN_AFTER)) == 0
    gate.known = set()  # a wrong database, for a moment: it begins anew
    assert asyncio.run(sweeper.sweep(now=NOW + 86_400, ran_for=ORPHAN_AFTER + 1)) == 0
    assert [each for each, _ in store.ids()] == [content]
