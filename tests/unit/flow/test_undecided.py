"""A message no decision can be made on: tried again, held with its sender warned, given up with its sender told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from letterlock.errors import LetterlockError, PermanentError, SystemFailure
from letterlock.flow import undecided
from letterlock.flow.carry_out import FinishedTooLarge
from letterlock.flow.lacking import WAITS
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.queue.advance import Advanced
from letterlock.vault.errors import SealingUnavailable
from letterlock.vault.keys import KEY_OCTETS, MessageKey, Part, new_id

SENDER, TO = "anna@inside.test", "eve@outside.test"
CANARY = "SECRETCANARY"
CRAFTS: Any = SimpleNamespace(host="gw.test")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The notices' octets, in the order in which they are sealed."""
    found: list[bytes] = []

    async def seal(_crafts: object, _envelope: bytes, parts: Sequence[bytes]) -> object:
        found.append(b"".join(parts))
        return object()

    monkeypatch.setattr(undecided, "seal", seal)
    return found


def put_off(
    error: LetterlockError,
    *,
    attempts: int = 1,
    days: float = 0,
    envelope: Envelope | None = None,
    state: str = "received",
    damaged: bool = False,
    keyless: bool = False,
) -> Advanced:
    """put_off() for a message accepted ``days`` days ago."""
    said = envelope or Envelope(SENDER, (Recipient(TO),), envid=CANARY.lower())
    key = MessageKey(os.urandom(KEY_OCTETS), content=new_id(), day=datetime.now(UTC).date())
    sealed = key.seal_part(Part.ENVELOPE, said.encode())
    row: Any = SimpleNamespace(
        id=key.content,
        lease=uuid4(),
        attempts=attempts,
        state=state,
        released_by=None,
        accepted_at=datetime.now(UTC) - timedelta(days=days),
        recipients=[each.address for each in said.recipients],
        envelope=sealed[:-1] if damaged else sealed,
        commitment=key.commitment,
    )
    return asyncio.run(undecided.put_off(CRAFTS, row, None if keyless else key, error))


@pytest.mark.req("A6")
def test_a_passing_fault_is_tried_again(sent: list[bytes]) -> None:
    made = put_off(SystemFailure())
    assert made.state == "received"
    assert not sent


@pytest.mark.req("A6", "A8")
@pytest.mark.parametrize(("error", "attempts"), [(PermanentError(), 1), (SystemFailure(), 12 + len(WAITS))])
def test_held_and_the_submitter_warned(sent: list[bytes], error: LetterlockError, attempts: int) -> None:
    made = put_off(error, attempts=attempts)
    assert made.state == "held"
    assert made.outcomes == [(TO, "held")]
    assert len(made.notices) == 1
    assert made.notices[0].recipient == SENDER
    assert b"Action: delayed" in sent[0]
    assert TO.encode() in sent[0]


@pytest.mark.req("A6", "A8")
def test_looked_at_again_while_held_nobody_is_told_twice(sent: list[bytes]) -> None:
    made = put_off(SystemFailure(), state="held")
    assert made.state == "held"
    assert not sent


@pytest.mark.req("A6", "A8")
def test_given_up_when_its_time_is_over(sent: list[bytes]) -> None:
    made = put_off(SystemFailure(), attempts=20, days=6, state="held")
    assert made.state == "gone"
    assert made.outcomes == [(TO, "failed")]
    assert b"Action: failed" in sent[0]


@pytest.mark.req("A6", "A8")
def test_too_large_to_be_sent_on_fails_at_once(sent: list[bytes]) -> None:
    made = put_off(FinishedTooLarge(detail="70000 octets"))
    assert made.state == "gone"
    assert b"Status: 5.3.4" in sent[0]


@pytest.mark.req("A8")
def test_outside_hears_of_a_failure_only(sent: list[bytes]) -> None:
    stranger = Envelope("eve@outside.test", (Recipient(SENDER),), "internet")
    assert put_off(PermanentError(), envelope=stranger).state == "held"
    assert not sent
    assert put_off(PermanentError(), envelope=stranger, days=6).state == "gone"
    assert len(sent) == 1


@pytest.mark.req("A8")
@pytest.mark.parametrize(
    "envelope", [Envelope("", (Recipient(TO),)), Envelope(SENDER, (Recipient(TO, notify=("NEVER",)),))]
)
def test_nobody_is_told_who_must_not_be(sent: list[bytes], envelope: Envelope) -> None:
    assert put_off(PermanentError(), envelope=envelope, days=6).state == "gone"
    assert not sent


@pytest.mark.req("A6")
def test_what_does_not_open_is_for_the_administrator(sent: list[bytes]) -> None:
    made = put_off(PermanentError(), damaged=True)
    assert made.state == "held"
    assert not sent


@pytest.mark.req("A6", "A8")
@pytest.mark.parametrize(("state", "days"), [("received", 0.0), ("held", 6.0)])
def test_while_nothing_can_be_sealed_it_waits(monkeypatch: pytest.MonkeyPatch, state: str, days: float) -> None:
    async def away(*_: object) -> object:
        raise SealingUnavailable

    monkeypatch.setattr(undecided, "seal", away)
    made = put_off(PermanentError(), state=state, days=days)
    assert (made.state, made.outcomes, made.notices) == (state, [], [])


@pytest.mark.req("A6")
def test_a_report_that_cannot_be_made_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("a defect")

    monkeypatch.setattr(undecided.report, "compose", broken)
    assert put_off(PermanentError()).state == "held"


def test_waiting_for_what_is_fetched_costs_no_attempt(sent: list[bytes]) -> None:
    """Six short waits must not make the first fault after them put the message off for an hour."""
    made = put_off(SystemFailure(), attempts=len(WAITS) + 1)
    assert (made.due_at - datetime.now(UTC)).total_seconds() < 75


@pytest.mark.req("A1", "A6")
@pytest.mark.parametrize("why", ["no key", "damaged", "a defect"])
def test_what_nobody_can_be_told_of_is_never_given_up(
    monkeypatch: pytest.MonkeyPatch, sent: list[bytes], why: str
) -> None:
    """The key file may be away for a week, and come back: until then, the administrator sees it held."""

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("a defect")

    if why == "a defect":
        monkeypatch.setattr(undecided.report, "compose", broken)
    made = put_off(
        SystemFailure(), attempts=20, days=6, state="held", damaged=why == "damaged", keyless=why == "no key"
    )
    assert (made.state, made.outcomes, made.notices) == ("held", [(TO, "held")], [])
    assert made.due_at > datetime.now(UTC)
    assert not sent
