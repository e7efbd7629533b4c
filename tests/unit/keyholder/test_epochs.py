"""Ring and database brought to agreement, whatever happened to one of them."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from letterlock.database.errors import DatabaseUnavailable
from letterlock.keyholder import ring as rings
from letterlock.keyholder.epochs import Epochs, day_at
from letterlock.keyholder.errors import RingRefused
from letterlock.keyholder.records import EpochRow
from letterlock.keyholder.ring import Ring
from tests.fakes.records import NOON, FakeRecords, SetClock


class Place:
    """An installation's ring and records; ``start`` is what happens at each start."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.clock = SetClock()
        self.records = FakeRecords(self.clock)
        rings.create(state)

    def start(self) -> Epochs:
        epochs = Epochs(Ring.open(self.state), self.records)
        asyncio.run(epochs.settle())
        return epochs


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_one_epoch_a_day_whose_day_is_a_week_ahead(place: Place) -> None:
    epochs = place.start()
    first = asyncio.run(epochs.current("queue", NOON))
    assert first.day == day_at(NOON) + timedelta(days=7)
    assert asyncio.run(epochs.current("queue", NOON + 3600)) is first
    later = asyncio.run(epochs.current("queue", NOON + 86_400))
    assert later.day == first.day + timedelta(days=1)
    assert set(place.records.known_epochs) == {first.id, later.id}


def test_at_most_one_is_made_at_once(place: Place) -> None:
    epochs = place.start()

    async def ask() -> set[UUID]:
        made = await asyncio.gather(*(epochs.current("queue", NOON) for _ in range(10)))
        return {epoch.id for epoch in made}

    assert len(asyncio.run(ask())) == 1
    assert len(place.records.known_epochs) == 1


def test_restart_keeps_all(place: Place) -> None:
    before = asyncio.run(place.start().current("queue", NOON))
    again = place.start()
    assert set(again.ring.epochs) == {before.id}
    assert place.records.was_restored == 0
    assert again.ring.generation.now == place.records.generation


@pytest.mark.req("I3")
def test_yesterdays_ring_with_todays_database_is_refused(place: Place, tmp_path: Path) -> None:
    asyncio.run(place.start().current("queue", NOON))
    shutil.copytree(tmp_path / "keys", tmp_path / "yesterday")
    epochs = place.start()
    asyncio.run(epochs.current("queue", NOON + 86_400))
    shutil.rmtree(tmp_path / "keys")
    shutil.copytree(tmp_path / "yesterday", tmp_path / "keys")
    known = dict(place.records.known_epochs)
    with pytest.raises(RingRefused, match="older than the database") as caught:
        place.start()
    assert caught.value.permanent
    assert place.records.known_epochs == known


@pytest.mark.req("I3")
def test_restored_database_loses_what_lived_in_it(place: Place) -> None:
    asyncio.run(place.start().current("queue", NOON))
    backup = (place.records.generation, dict(place.records.known_epochs))
    epochs = place.start()
    destroyed = next(iter(epochs.ring.epochs))
    later = asyncio.run(epochs.current("queue", NOON + 86_400))
    asyncio.run(epochs.destroy([destroyed]))
    place.records.generation, place.records.known_epochs = backup[0], dict(backup[1])
    again = place.start()
    assert place.records.was_restored == 1
    # what the copy still thought alive is marked, what it never knew is made known
    assert place.records.known_epochs[destroyed].destroyed
    assert not place.records.known_epochs[later.id].destroyed
    assert again.ring.generation.now == place.records.generation
    place.start()
    assert place.records.was_restored == 1


def test_epoch_that_the_database_calls_destroyed_is_destroyed_here_too(place: Place) -> None:
    epoch = asyncio.run(place.start().current("queue", NOON))
    place.records.known_epochs[epoch.id] = EpochRow(epoch.id, "queue", epoch.day, destroyed=True)
    again = place.start()
    assert not again.ring.epochs
    assert not again.ring.epoch_path(epoch.id).exists()


class Crash(BaseException):
    """The process ends here."""


STEPS = ("register_epoch", "mark_destroyed", "note_generation")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fault", [Crash, DatabaseUnavailable])
def test_fault_in_the_middle_of_a_change(
    step: str, after: bool, fault: type[BaseException], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = asyncio.run(place.start().current("queue", NOON))
    real = getattr(FakeRecords, step)

    async def broken(self: FakeRecords, *arguments: object) -> None:
        if after:
            await real(self, *arguments)
        raise fault

    epochs = place.start()

    async def change() -> None:
        await epochs.current("queue", NOON + 86_400)
        await epochs.destroy([old.id])

    monkeypatch.setattr(FakeRecords, step, broken)
    with pytest.raises(fault):
        asyncio.run(change())
    monkeypatch.undo()
    if fault is Crash:
        epochs = place.start()
    asyncio.run(change())
    assert place.records.was_restored == 0
    assert not epochs.ring.epoch_path(old.id).exists()
    assert {row.id for row in place.records.known_epochs.values() if not row.destroyed} == set(epochs.ring.epochs)
    assert epochs.ring.generation.now == place.records.generation
    assert epochs.ring.generation.destroying == ()
    place.start()


def test_a_key_file_taken_away_is_reported_and_kept_on_the_books(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    epochs = place.start()
    epoch = asyncio.run(epochs.current("queue", NOON))
    epochs.ring.epoch_path(epoch.id).unlink()
    place.start()
    assert "a key file is missing" in caplog.text
    assert not place.records.known_epochs[epoch.id].destroyed


def test_forget_is_called_when_an_epoch_ends(place: Place) -> None:
    called: list[int] = []
    epochs = Epochs(Ring.open(place.state), place.records, lambda: called.append(1))
    asyncio.run(epochs.settle())
    epoch = asyncio.run(epochs.current("queue", NOON))
    asyncio.run(epochs.destroy([]))
    assert not called
    asyncio.run(epochs.destroy([epoch.id]))
    assert called


def test_permanent_key_is_made_once(place: Place) -> None:
    epochs = place.start()

    async def twice() -> bool:
        one, two = await asyncio.gather(epochs.permanent(UUID(int=5)), epochs.permanent(UUID(int=5)))
        return one is two

    assert asyncio.run(twice())


def test_only_the_queue_has_a_current_epoch(place: Place) -> None:
    with pytest.raises(RingRefused):
        asyncio.run(place.start().current("inbox", NOON))
