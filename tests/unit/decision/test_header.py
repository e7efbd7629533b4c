"""Which deliveries have a protected header, and which hide it; nothing of it where nothing is signed or encrypted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from letterlock.decision import outgoing
from letterlock.decision.known import Facts, Findings, Opened
from letterlock.decision.plan import Delivery, Plan, PlanUnlawful
from tests.fakes.facts import envelope, facts, message, recipient, sender, usable
from tests.fakes.plans import delivery

BOB, CARL = "bob@partner.example", "carl@partner.example"


def plan_of(given: Facts) -> Plan:
    """For the external recipients."""
    return outgoing.decide(envelope(given.sender, given.recipients), Opened(), Findings(), given)


def one(asked: str, *, encrypts: bool = True, signs: bool = True, **more: Any) -> Delivery:
    """The delivery to Bob of a message about which ``more`` is known."""
    by = sender(smime_header_protection=asked, smime_sign=signs, smime_only_sign_when_encrypt=signs)
    (made,) = plan_of(
        facts(by, [recipient(BOB, by, personal=usable(BOB) if encrypts else None)], message([BOB], **more))
    ).deliveries
    return made


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("asked", "encrypts", "signs", "header"),
    [
        ("none", True, True, "none"),
        ("copy", True, True, "copy"),
        ("copy", False, True, "copy"),
        ("copy", False, False, "none"),
        ("hide", True, True, "hide"),
        ("hide", True, False, "hide"),
        ("hide", False, True, "copy"),
        ("hide", False, False, "none"),
    ],
)
def test_modes(asked: str, encrypts: bool, signs: bool, header: str) -> None:
    made = one(asked, encrypts=encrypts, signs=signs)
    assert (made.header, made.display) == (header, header == "hide")


@pytest.mark.req("B13")
def test_where_it_cannot_be_done_nothing_is_hidden() -> None:
    by = sender(smime_header_protection="hide")
    to = recipient(BOB, by, personal=usable(BOB))
    plan = plan_of(facts(by, [to], message([BOB], unprotectable="a field stands there twice")))
    assert plan.deliveries[0].encrypts and plan.deliveries[0].header == "none"
    assert [step.outcome for step in plan.trace.steps if step.what == "header"] == [
        "not protected, a field stands there twice"
    ]
    assert one("hide", ascii=False).header == "hide"
    assert one("copy", encrypts=False, ascii=False).header == "none"


@pytest.mark.req("B13")
def test_the_recipient_decides_and_has_a_message_of_its_own() -> None:
    by = sender(smime_header_protection="hide")
    modern = recipient(BOB, by, personal=usable(BOB), smime_legacy_display=False)
    old = recipient(CARL, by, personal=usable(CARL), smime_header_protection="none")
    made = plan_of(facts(by, [modern, old], message([BOB, CARL]))).deliveries
    assert [(each.recipients, each.header, each.display) for each in made] == [
        ((BOB,), "hide", False),
        ((CARL,), "none", False),
    ]


@pytest.mark.req("B13")
def test_a_plan_cannot_hide_what_is_in_clear() -> None:
    made = delivery(header="hide")
    with pytest.raises(PlanUnlawful):
        msgspec.structs.replace(made, cipher="", transport="", by_client=True)
    with pytest.raises(PlanUnlawful):
        msgspec.structs.replace(made, method="plain", cipher="", transport="")
