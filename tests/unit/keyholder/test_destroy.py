"""When epochs are destroyed, and that no clock can make it happen too early."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from letterlock.database.errors import DatabaseUnavailable
from letterlock.keyholder import ring as rings
from letterlock.keyholder.destroy import Destroyer
from letterlock.keyholder.epochs import Epochs
from letterlock.keyholder.errors import ClocksDisagree
from letterlock.keyholder.ring import Ring
from tests.fakes.records import FakeRecords, SetClock


class Place:
    """A ring whose epochs are made day by day, and looked at."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.clock = SetClock()
        self.records = FakeRecords(self.clock)
        rings.create(state)
        self.restart()

    def restart(self) -> None:
        self.epochs = Epochs(Ring.open(self.state), self.records)
        asyncio.run(self.epochs.settle())
        self.destroyer = Destroyer(self.epochs, self.records, self.clock, self.state / "looked")

    def make(self) -> object:
        return asyncio.run(self.epochs.current("queue", self.clock.now)).id

    def look(self) -> bool:
        return asyncio.run(self.destroyer.look())

    @property
    def alive(self) -> set[object]:
        return set(self.epochs.ring.epochs)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_epoch_ends_after_its_day(place: Place) -> None:
    place.look()
    ids = []
    for _ in range(12):
        ids.append(place.make())
        assert place.look()
        place.clock.pass_days(1)
    # an epoch lives through its day, a week after it was made, and ends when that is past
    assert place.alive == set(ids[4:])
    assert all(place.records.known_epochs[each].destroyed == (each in ids[:4]) for each in ids)


def test_an_epoch_with_queued_mail_is_kept_and_alarmed(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.look()
    epoch = place.make()
    place.records.queued[epoch] = 3
    for _ in range(12):
        place.look()
        place.clock.pass_days(1)
    assert epoch in place.alive
    assert place.destroyer.overdue == {epoch}
    assert caplog.text.count("mail is still queued") == 1
    place.records.queued.clear()
    place.look()
    assert epoch not in place.alive
    assert place.destroyer.overdue == set()


@pytest.mark.req("I3")
@pytest.mark.parametrize("days", [730, -730, 2, -2, 30])
@pytest.mark.parametrize("both", [True, False])
def test_a_clock_that_jumps_destroys_nothing(days: float, both: bool, place: Place) -> None:
    place.look()
    place.make()
    place.clock.pass_days(1)
    assert place.look()
    before = place.alive
    place.clock.pass_days(days)
    if not both:  # only this machine's clock jumped
        place.records.skew = -days * 86_400
    for _ in range(3):
        assert not place.look()
        place.clock.now += 60
        place.restart()
    place.clock.pass_days(-days)  # and back, as if nothing had been
    place.records.skew = 0
    assert not place.look()
    assert place.alive == before
    assert all(path.exists() for path in map(place.epochs.ring.epoch_path, before))


@pytest.mark.req("I3")
def test_confirmed_time_goes_on(place: Place) -> None:
    place.look()
    old = place.make()
    place.clock.pass_days(30)
    assert not place.look()
    assert "30.0 days" in place.destroyer.looked.stopped
    place.records.skew = 301
    with pytest.raises(ClocksDisagree):
        asyncio.run(place.destroyer.confirm())
    assert not place.look()
    place.records.skew = 299
    asyncio.run(place.destroyer.confirm())
    assert place.look()
    assert old not in place.alive


@pytest.mark.parametrize(("skew", "goes_on"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_clocks_agree_within_five_minutes(skew: float, goes_on: bool, place: Place) -> None:
    place.look()
    place.records.skew = skew
    assert place.look() is goes_on


def test_two_days_less_a_second_is_not_too_much(place: Place) -> None:
    place.make()
    place.restart()
    asyncio.run(place.destroyer.confirm())
    place.clock.now += 2 * 86_400 - 1
    assert place.look()


def test_database_away_destroys_nothing(place: Place) -> None:
    place.look()
    place.make()
    place.clock.pass_days(1.5)
    before = place.alive
    place.records.away = True
    with pytest.raises(DatabaseUnavailable):
        place.look()
    assert place.alive == before


@pytest.mark.parametrize("octets", [None, b"", b"{", b'{"at": "x"}'])
def test_memory_lost_or_damaged_stops(octets: bytes | None, place: Place, tmp_path: Path) -> None:
    place.make()
    if octets is not None:
        (tmp_path / "looked").write_bytes(octets)
    place.restart()
    assert not place.look()
    place.restart()
    assert not place.look()
    asyncio.run(place.destroyer.confirm())
    assert place.look()


def test_new_ring_needs_no_memory(place: Place) -> None:
    assert place.look()
