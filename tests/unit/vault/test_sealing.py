"""Sealing sessions: renewed ahead, used on for an hour while the keyholder is away, then refused."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from letterlock.vault.errors import KeyholderUnavailable, SealingUnavailable
from letterlock.vault.keys import new_id
from letterlock.vault.sealing import Sealer, SealingSession
from tests.fakes.records import SetClock, sealing_session


class FakeKeyholder:
    """Gives a session each time, unless it is away."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.away = False
        self.given: list[SealingSession] = []

    async def session(self, cls: str = "queue") -> SealingSession:
        if self.away:
            raise KeyholderUnavailable
        self.given.append(sealing_session(self.clock))
        return self.given[-1]


def made() -> tuple[SetClock, FakeKeyholder, Sealer]:
    clock = SetClock()
    return clock, FakeKeyholder(clock), Sealer(clock)


def test_nothing_is_sealed_before_the_first_session() -> None:
    _, keyholder, sealer = made()
    with pytest.raises(SealingUnavailable) as caught:
        sealer.session()
    assert (caught.value.code, caught.value.permanent) == (451, False)
    assert asyncio.run(sealer.renew(keyholder))
    assert sealer.session() is keyholder.given[0]


def test_a_session_is_renewed_ahead_of_its_ten_minutes() -> None:
    clock, keyholder, sealer = made()
    for minute in range(61):
        asyncio.run(sealer.renew(keyholder))
        assert clock.now - sealer.session().made_at < 600, minute
        clock.now += 60
    assert len(keyholder.given) == 8  # one for each eight minutes begun


@pytest.mark.req("A3")
def test_keyholder_away_for_an_hour() -> None:
    clock, keyholder, sealer = made()
    asyncio.run(sealer.renew(keyholder))
    clock.now += 479  # the worst moment: just before the next one is asked for
    keyholder.away = True
    left_at = clock.now
    while clock.now - left_at < 3600:
        asyncio.run(sealer.renew(keyholder))
        sealer.session().wrap(bytes(32), new_id())
        clock.now += 30
    clock.now = keyholder.given[0].made_at + 4200
    assert not asyncio.run(sealer.renew(keyholder))
    with pytest.raises(SealingUnavailable):
        sealer.session()
    keyholder.away = False
    assert asyncio.run(sealer.renew(keyholder))
    assert sealer.session() is keyholder.given[-1]


def test_a_session_the_database_does_not_know_is_replaced() -> None:
    _, keyholder, sealer = made()
    asyncio.run(sealer.renew(keyholder))
    sealer.reject(new_id())
    assert sealer.session() is keyholder.given[0]
    sealer.reject(keyholder.given[0].id)
    with pytest.raises(SealingUnavailable):
        sealer.session()
    asyncio.run(sealer.renew(keyholder))
    assert sealer.session() is keyholder.given[1]


def test_a_clock_set_back_asks_anew() -> None:
    clock, keyholder, sealer = made()
    asyncio.run(sealer.renew(keyholder))
    clock.pass_days(-700)
    assert sealer.is_due()
    asyncio.run(sealer.renew(keyholder))
    assert not sealer.is_due()


def test_only_the_day_that_is_held() -> None:
    _, keyholder, sealer = made()
    asyncio.run(sealer.renew(keyholder))
    assert sealer.session(sealer.session().day) is keyholder.given[0]
    with pytest.raises(SealingUnavailable):
        sealer.session(date(2001, 1, 1))


def test_keep_renews_until_cancelled() -> None:
    clock, keyholder, _ = made()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += max(seconds, 0.001)
        keyholder.away = 100 < len(slept) < 110
        if len(slept) == 1200:
            raise asyncio.CancelledError

    sealer = Sealer(clock, sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(sealer.keep(keyholder))
    assert 2 <= len(keyholder.given) <= 4
    assert max(slept) <= 30
    assert not sealer.is_due()
