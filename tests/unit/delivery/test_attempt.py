"""One attempt: what was delivered stays settled whatever becomes of its report, and a report is never cut."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from letterlock.delivery import attempt
from letterlock.delivery.attempt import Attempt, Station
from letterlock.delivery.next_hop import Host, NoSuchDomain
from letterlock.delivery.outcome import Outcome
from letterlock.delivery.pool import Tell
from letterlock.mail.envelope import Recipient
from letterlock.queue.calls import ClaimedDelivery
from letterlock.queue.message import Dispatch
from letterlock.queue.settle import Settled
from letterlock.smtp.client import Job
from letterlock.vault import content
from letterlock.vault.errors import SealingUnavailable
from letterlock.vault.keys import KEY_OCTETS, MessageKey, Secret, new_id
from letterlock.vault.sealing import SealingSession
from letterlock.vault.segments import FileSegmentStore

DELIVERED = Outcome("delivered", 250, "2.0.0", "250 ok", "hop.test", dsn_is_ours=True)
REFUSED = Outcome("failed", 550, "5.1.1", "550 5.1.1 unknown", "hop.test")
SESSION = SealingSession(
    uuid4(),
    Secret(os.urandom(KEY_OCTETS)),
    epoch=uuid4(),
    day=date.today() + timedelta(7),
    made_at=time.time(),
    not_after=time.time() + 3600,
)


class Ended(NamedTuple):
    settled: Settled
    journal: int


class Pool:
    def __init__(self, outcomes: list[Outcome]) -> None:
        self.outcomes = outcomes
        self.hosts: list[Host] = []

    def send(self, hosts: list[Host], _job: Job, tell: Tell, **_: Any) -> None:
        self.hosts = hosts
        tell(self.outcomes)


class Sealer:
    def __init__(self, away: bool) -> None:
        self.away = away

    def session(self) -> SealingSession:
        if self.away:
            raise SealingUnavailable
        return SESSION


class Exchangers:
    async def lookup(self, domain: str) -> list[tuple[int, str]]:
        if domain == "nowhere.test":
            raise NoSuchDomain
        return [(20, "second.test"), (10, "first.test")]


def claimed(recipients: list[Recipient], next_hop: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, MessageKey]:
    """A leased row and its key."""
    sender = "anna@inside.test"
    dispatch = Dispatch(new_id().bytes, sender, tuple(recipients), postmaster="postmaster@inside.test")
    secret = os.urandom(KEY_OCTETS)
    real = os.urandom
    known_first = lambda size: secret + real(size - KEY_OCTETS) if size > KEY_OCTETS else real(size)  # noqa: E731
    monkeypatch.setattr(content.os, "urandom", known_first)
    sealed = content.seal_small(SESSION, new_id(), dispatch.encode(), [b"Subject: x\r\n\r\nx\r\n"])
    monkeypatch.undo()
    known = {name: getattr(sealed, name) for name in sealed._fields if name in ClaimedDelivery._fields}
    now = datetime.now(UTC)
    row = ClaimedDelivery(
        **known,
        lease=uuid4(),
        attempts=1,
        message_id=uuid4(),
        method="smime",
        direction="outgoing",
        domain="out.test",
        next_hop=next_hop,
        tls_min=0,
        accepted_at=now,
        expires_at=now + timedelta(days=5),
        delayed=False,
        recipients=[each.address for each in recipients],
    )
    return row, MessageKey(secret, content=sealed.id, day=sealed.day)


def tried(
    folder: Path,
    recipients: list[Recipient],
    outcomes: list[Outcome],
    monkeypatch: pytest.MonkeyPatch,
    *,
    away: bool,
    next_hop: str = "[127.0.0.1]:25",
    hosts: list[Host] | None = None,
) -> tuple[Ended, list[list[str]]]:
    """``hosts`` is filled with those the message was sent to."""
    row, key = claimed(recipients, next_hop, monkeypatch)
    pool = Pool(outcomes)
    station: Any = Station(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Sealer(away),  # type: ignore[arg-type]
        FileSegmentStore(folder),
        pool,  # type: ignore[arg-type]
        Exchangers(),
        "gw.test",
        lambda *_: None,
    )
    noted: list[list[str]] = []

    def note(_row: ClaimedDelivery, addresses: list[str], _complete: bool) -> int:
        noted.append(addresses)
        return 7

    async def run() -> Ended:
        told: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        made = Attempt(station, row, key, note, lambda _, settled, journal: told.set_result(Ended(settled, journal)))
        made.begin()
        return await told

    ended = asyncio.run(run())
    if hosts is not None:
        hosts += pool.hosts
    return ended, noted


@pytest.mark.req("A22")
def test_what_was_delivered_is_not_sent_again_when_no_report_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants = Recipient("bob@out.test", notify=("SUCCESS",))
    found, noted = tried(tmp_path, [wants], [DELIVERED], monkeypatch, away=True)
    assert noted == [["bob@out.test"]]
    assert (found.settled.done, found.settled.outcomes, found.journal) == (True, [("bob@out.test", "delivered")], 7)


def test_a_failure_without_its_report_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [Recipient("bob@out.test"), Recipient("nobody@out.test")]
    found, _ = tried(tmp_path, people, [DELIVERED, REFUSED], monkeypatch, away=True)
    assert (found.settled.done, found.settled.notices) == (False, [])
    assert found.settled.outcomes == [("bob@out.test", "delivered")]
    assert found.settled.due_at is not None


def test_a_report_about_many_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [Recipient(f"{number}-{'x' * 40}@out.test") for number in range(600)]
    found, _ = tried(tmp_path, people, [REFUSED] * len(people), monkeypatch, away=False)
    (notice,) = found.settled.notices
    assert notice.content.size > content.SMALL_OCTETS
    assert notice.content.segments > 0
    assert attempt.RETURNED_OCTETS < content.SMALL_OCTETS


def test_the_exchangers_of_a_name_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: list[Host] = []
    bob = [Recipient("bob@out.test")]
    plain = [DELIVERED._replace(dsn_is_ours=False)]
    found, noted = tried(tmp_path, bob, plain, monkeypatch, away=True, next_hop="some.test:2500", hosts=hosts)
    assert hosts == [Host("first.test", 2500), Host("second.test", 2500)]
    assert noted == [["bob@out.test"]]
    assert (found.settled.done, found.journal) == (True, 7)
    tried(tmp_path, bob, plain, monkeypatch, away=True, next_hop="", hosts=hosts)
    assert hosts[2:] == [Host("first.test", 25), Host("second.test", 25)]


def test_a_domain_that_does_not_exist_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = [Recipient("bob@out.test")]
    found, noted = tried(tmp_path, bob, [], monkeypatch, away=False, next_hop="nowhere.test")
    assert noted == []
    assert (found.settled.done, found.settled.outcomes) == (True, [("bob@out.test", "failed")])
    assert len(found.settled.notices) == 1


def test_a_next_hop_that_is_none_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, noted = tried(tmp_path, [Recipient("bob@out.test")], [], monkeypatch, away=False, next_hop="no host")
    assert noted == []
    assert (found.settled.done, found.settled.outcomes) == (False, [])
    assert found.settled.due_at is not None
    assert found.settled.rest_until is not None


@pytest.mark.parametrize("outcomes", [[], [DELIVERED] * 2])
def test_a_fault_of_ours_puts_the_delivery_off(
    outcomes: list[Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = tried(tmp_path, [Recipient("bob@out.test")], outcomes, monkeypatch, away=True)
    assert (found.settled.done, found.settled.outcomes, found.journal) == (False, [], 0)
    assert found.settled.reply == "The delivery could not be processed."
