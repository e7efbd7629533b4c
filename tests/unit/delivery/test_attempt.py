"""One attempt: what was delivered stays settled whatever becomes of its report, and a report is never cut."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from letterlock.delivery import attempt
from letterlock.delivery.attempt import Attempt, Station, Tried
from letterlock.delivery.outcome import Outcome
from letterlock.mail.envelope import Recipient
from letterlock.queue.calls import ClaimedDelivery
from letterlock.queue.message import Dispatch
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


class Pool:
    def __init__(self, outcomes: list[Outcome]) -> None:
        self.outcomes = outcomes

    async def send(self, *_: Any, **__: Any) -> list[Outcome]:
        return self.outcomes


class Sealer:
    def __init__(self, away: bool) -> None:
        self.away = away

    def session(self) -> SealingSession:
        if self.away:
            raise SealingUnavailable
        return SESSION


def tried(
    folder: Path, recipients: list[Recipient], outcomes: list[Outcome], monkeypatch: pytest.MonkeyPatch, *, away: bool
) -> tuple[Tried, list[list[str]]]:
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
        next_hop="[127.0.0.1]:25",
        tls_min=0,
        accepted_at=now,
        expires_at=now + timedelta(days=5),
        delayed=False,
        recipients=[each.address for each in recipients],
    )
    key = MessageKey(secret, content=sealed.id, day=sealed.day)
    station: Any = Station(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Sealer(away),  # type: ignore[arg-type]
        FileSegmentStore(folder),
        Pool(outcomes),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        "gw.test",
        lambda *_: None,
    )
    noted: list[list[str]] = []

    def note(_row: ClaimedDelivery, addresses: list[str], _complete: bool) -> int:
        noted.append(addresses)
        return 7

    return asyncio.run(Attempt(station, row, key, note).run()), noted


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
