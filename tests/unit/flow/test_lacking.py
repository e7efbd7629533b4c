"""A message waits for what may still come, ten seconds in all, and is then decided on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from letterlock.decision.decide import decide
from letterlock.decision.known import Facts, Findings, Lack, Opened
from letterlock.decision.trace import render
from letterlock.flow.lacking import WAITS, wait
from tests.fakes.facts import envelope, facts, recipient, sender

OPEN, GONE = Lack("the CRL at crl.x.test", True), Lack("the CRL at old.x.test", False)


class Row(msgspec.Struct):
    attempts: int = 1
    state: str = "received"
    id: int = 7


def _row(**values: Any) -> Any:
    return cast("Any", Row(**values))


def _facts(*lacks: Lack, where: str = "recipient") -> Facts:
    by = sender()
    to = recipient("bob@partner.example", by)
    made = facts(by, [to])
    if where == "recipient":
        return msgspec.structs.replace(made, recipients={to.address: msgspec.structs.replace(to, lacking=lacks)})
    if where == "sender":
        return msgspec.structs.replace(made, sender=msgspec.structs.replace(by, lacking=lacks))
    return msgspec.structs.replace(made, lacking=lacks)


@pytest.mark.req("C2", "C14")
@pytest.mark.parametrize("where", ["recipient", "sender", "message"])
def test_it_waits_ten_seconds_in_all(where: str) -> None:
    total = 0.0
    for attempts in range(1, 20):
        before = datetime.now(UTC)
        put_off = wait(_row(attempts=attempts), _facts(GONE, OPEN, where=where))
        if put_off is None:
            assert attempts == len(WAITS) + 1
            break
        assert (put_off.state, put_off.outcomes, put_off.deliveries) == ("received", [], [])
        total += (put_off.due_at - before).total_seconds()
    assert 9.9 < total < 10.1


def test_it_does_not_wait_for_what_will_not_come_nor_when_it_was_held() -> None:
    assert wait(_row(), _facts(GONE)) is None
    assert wait(_row(), _facts()) is None
    assert wait(_row(state="held"), _facts(OPEN)) is None


@pytest.mark.req("C2")
@pytest.mark.parametrize("where", ["recipient", "sender", "message"])
def test_the_trace_names_what_was_missing(where: str) -> None:
    given = _facts(OPEN, GONE, where=where)
    to = list(given.recipients)
    plan = decide(envelope(given.sender, to), Opened(), Findings(), given)
    said = "\n".join(render(plan.trace))
    for each in (OPEN, GONE):
        assert f"not at hand when this was decided: {each.what}" in said
