"""Whose certificate flow asks for, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from letterlock.decision.known import Facts
from letterlock.errors import TemporaryError
from letterlock.flow.wanted import ASK_EVERY, Wanted, lacking
from tests.fakes import facts as fakes

pytestmark = pytest.mark.req("C12")

TO = "x@outside.example"


def case(*, signs: bool = False, wish: bool = True, author: str = fakes.SENDER, **more: Any) -> Facts:
    """A message of a sender without a certificate who shall have one, unless said otherwise."""
    who = fakes.sender(signs=signs, smime_auto_request_cert=wish, **more.pop("sender", {}))
    return fakes.facts(who, [fakes.recipient(TO, who)], fakes.message([TO], author=author, **more))


def asked(facts: Iterable[Facts], *, failing: bool = False) -> list[str]:
    """The addresses told to the database."""
    told: list[str] = []

    async def want(address: str) -> None:
        told.append(address)
        if failing:
            raise TemporaryError

    async def story() -> None:
        wanted = Wanted(want)
        for each in facts:
            wanted.consider(fakes.envelope(each.sender, [TO]), each)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(story())
    return told


def test_a_sender_that_lacks_one() -> None:
    facts = case()
    assert lacking(fakes.envelope(facts.sender, [TO]), facts) == fakes.SENDER
    assert asked([facts]) == [fakes.SENDER]


@pytest.mark.parametrize(
    "facts",
    [
        case(signs=True),
        case(wish=False),
        case(author="boss@inside.example"),
        case(inbound_mark=True),
        case(sender={"locality": fakes.Effective("external")}),
    ],
    ids=["has one", "no wish", "another author", "from outside", "not ours"],
)
def test_who_gets_none(facts: Facts) -> None:
    assert lacking(fakes.envelope(facts.sender, [TO]), facts) == ""


def test_who_did_not_submit_gets_none() -> None:
    facts = case()
    assert lacking(fakes.envelope(facts.sender, [TO], "mx"), facts) == ""  # type: ignore[arg-type]  # any other origin


def test_once_in_a_while_and_again_after_a_failure() -> None:
    facts = case()
    later = msgspec.structs.replace(
        facts, queued=msgspec.structs.replace(facts.queued, now=facts.queued.now + ASK_EVERY)
    )
    assert asked([facts, facts]) == [fakes.SENDER]
    assert asked([facts, later]) == [fakes.SENDER] * 2
    assert asked([facts, facts], failing=True) == [fakes.SENDER] * 2
