"""Mail encrypted by its sender's program and opened: anew to whom it was encrypted, to nobody else, never in clear."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from letterlock.decision import outgoing
from letterlock.decision.known import Facts, Findings, Inside, Opened, RecipientFacts, SenderFacts
from letterlock.decision.plan import Plan, PlanUnlawful
from tests.fakes.facts import candidate, envelope, facts, message, recipient, sender, usable
from tests.fakes.plans import delivery

BOB, CARL = "bob@partner.example", "carl@partner.example"
LACKED = "pass", "hold", "refuse"


def names(*addresses: str, number: int = 0) -> frozenset[str]:
    """How the original names their certificates."""
    return frozenset(candidate(each, number=number).certificate.issuer_serial.hex() for each in addresses)


def given(
    by: SenderFacts, to: list[RecipientFacts], inside: Inside | None, about: dict[str, Any] | None = None, **queued: Any
) -> Facts:
    """Facts of a message that the sender's program encrypted."""
    addresses = [each.address for each in to]
    made = facts(by, to, message(addresses, protected="encrypted", **(about or {})), **queued)
    return msgspec.structs.replace(made, inside=inside)


def opened(*addresses: str, protected: Any = "none", **more: Any) -> Inside:
    """It was opened, and is encrypted to these."""
    return Inside(message=message(addresses, protected=protected, **more), recipients=names(*addresses))


def plan_of(known: Facts) -> Plan:
    """For the external recipients."""
    return outgoing.decide(envelope(known.sender, known.recipients), Opened(), Findings(), known)


def words(plan: Plan, what: str) -> list[str]:
    """The outcomes of steps of that kind."""
    return [step.outcome for step in plan.trace.steps if step.what == what]


@pytest.mark.req("A18")
@pytest.mark.parametrize("mode", ["none", "allow", "mandatory"])
def test_encrypted_anew(mode: str) -> None:
    by = sender(client_encrypted="open-or-hold", encrypt_mode=mode)
    to = recipient(BOB, by, personal=usable(BOB, count=2), additional=usable("escrow@inside.example"))
    (made,) = plan_of(given(by, [to], opened(BOB))).deliveries
    assert (made.content, made.encrypts, made.by_client, made.addressees[0].required) == (
        "inside",
        True,
        False,
        "mandatory",
    )
    assert [each.certificate for each in made.addressees[0].certificates] == [
        candidate(BOB).certificate
    ]  # not the second
    assert made.signer is not None
    assert [each.certificate.addresses for each in made.additional] == [("escrow@inside.example",)]


@pytest.mark.req("A18")
def test_a_signature_inside_is_kept_and_told_of() -> None:
    by = sender(client_encrypted="open-or-hold", smime_sign=True)
    plan = plan_of(given(by, [recipient(BOB, by, personal=usable(BOB))], opened(BOB, protected="signed")))
    assert plan.deliveries[0].signer is None
    assert words(plan, "client") == [
        "encrypted",
        "opened, and encrypted anew",
        "signed inside, and the signature kept",
    ]


@pytest.mark.req("A18")
@pytest.mark.parametrize("otherwise", LACKED)
@pytest.mark.parametrize(
    ("inside", "why"),
    [
        (None, "nobody looked inside"),
        (Inside("it was not written by its sender"), "it was not written by its sender"),
        (opened(CARL), "names no certificate"),
        (Inside(message=message([BOB]), recipients=names(BOB, number=1)), "names no certificate"),
        (Inside(message=message([BOB]), recipients=frozenset({"", "key:"})), "names no certificate"),
    ],
)
def test_otherwise_as_the_setting_says(otherwise: str, inside: Inside | None, why: str) -> None:
    by = sender(client_encrypted=f"open-or-{otherwise}", encrypt_mode="mandatory")
    plan = plan_of(given(by, [recipient(BOB, by, personal=usable(BOB))], inside))
    assert any(why in word for word in words(plan, "client"))
    assert [(each.by_client, each.content) for each in plan.deliveries] == (
        [(True, "original")] if otherwise == "pass" else []
    )
    assert [each.reason for each in (*plan.holds, *plan.refusals)] == (
        [] if otherwise == "pass" else ["client-encrypted"]
    )


@pytest.mark.req("A18")
@pytest.mark.parametrize("more", [{"smime_enabled": False}, {"smime_max_size": 1}, {"method_order": ["portal"]}])
def test_without_a_method_it_is_not_sent_in_clear(more: dict[str, Any]) -> None:
    by = sender(client_encrypted="open-or-refuse", encrypt_mode="none")
    plan = plan_of(given(by, [recipient(BOB, by, personal=usable(BOB), **more)], opened(BOB)))
    assert (plan.deliveries, [each.reason for each in plan.refusals]) == ((), ["client-encrypted"])


@pytest.mark.req("A18", "A12")
def test_each_recipient_for_itself() -> None:
    by = sender(client_encrypted="open-or-pass")
    to = [recipient(each, by, personal=usable(each)) for each in (BOB, CARL)]
    made = plan_of(given(by, to, opened(BOB))).deliveries
    assert [(each.recipients, each.content, each.by_client) for each in made] == [
        ((BOB,), "inside", False),
        ((CARL,), "original", True),
    ]


@pytest.mark.req("A18", "A9")
def test_triggers_are_looked_for_in_the_opened_message() -> None:
    by = sender(client_encrypted="open-or-hold", sign_subject_trigger_enabled=True, smime_only_sign_when_encrypt=False)
    to = recipient(BOB, by, personal=usable(BOB))
    (made,) = plan_of(given(by, [to], opened(BOB, subject="[sign] the plan"))).deliveries
    assert made.signer is not None
    (made,) = plan_of(given(by, [to], opened(BOB, subject="the plan"))).deliveries
    assert made.signer is None


@pytest.mark.req("A18")
def test_released_it_is_still_tried_first() -> None:
    by = sender(client_encrypted="open-or-hold")
    to = recipient(BOB, by, personal=usable(BOB))
    assert plan_of(given(by, [to], opened(BOB), released=True)).deliveries[0].content == "inside"
    assert plan_of(given(by, [to], None, released=True)).deliveries[0].by_client


@pytest.mark.req("A18")
def test_the_other_settings_look_at_nothing() -> None:
    for action in LACKED:
        by = sender(client_encrypted=action)
        plan = plan_of(given(by, [recipient(BOB, by, personal=usable(BOB))], opened(BOB)))
        assert not any(each.content == "inside" for each in plan.deliveries)


@pytest.mark.req("A18")
def test_a_plan_cannot_send_it_in_clear() -> None:
    made = delivery(content="inside")
    for changed in ({"by_client": True}, {"signer": candidate("a@b.example")}):
        with pytest.raises(PlanUnlawful):
            msgspec.structs.replace(made, cipher="", transport="", **changed)
    with pytest.raises(PlanUnlawful):
        msgspec.structs.replace(made, method="plain", cipher="", transport="")
