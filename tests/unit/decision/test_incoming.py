"""Internal recipients: who gets the opened message, and what it is marked with."""

from __future__ import annotations

from typing import Any

import pytest

from letterlock.decision import incoming
from letterlock.decision.decide import decide
from letterlock.decision.known import Findings, Layer, Opened, Signer
from letterlock.decision.plan import Delivery, Plan
from tests.fakes.facts import envelope, facts, message, recipient, sender
from tests.unit.decision.test_outgoing import OUTSIDE

ANN, BEN = "ann@inside.example", "ben@inside.example"
FROM = "x@outside.example"
BY = sender(FROM, locality=OUTSIDE, signs=False)


def encrypted(*holders: str, **more: Any) -> Layer:
    return Layer("encrypted", opened=True, cipher="aes256-cbc", holders=holders, recipients=("CN=CA 1",), **more)


def signed_as(verdict: str, *addresses: str, whole: bool = True) -> Layer:
    return Layer("signed", opened=True, signers=(Signer(verdict, addresses, "CN=CA 2"),), whole=whole)


def plan_of(opened: Opened, *recipients: Any, **more: Any) -> Plan:
    waiting = recipients or (recipient(ANN, BY, internal=True),)
    given = facts(BY, waiting, message([each.address for each in waiting], author=FROM, **more))
    return incoming.decide(envelope(FROM, [each.address for each in waiting], "internet"), opened, Findings(), given)


def one(*layers: Layer, **values: Any) -> Delivery:
    (delivery,) = plan_of(Opened(layers), recipient(ANN, BY, internal=True, **values)).deliveries
    return delivery


def tags(*layers: Layer, **values: Any) -> tuple[str, ...]:
    marks = one(*layers, **values).marks
    assert marks is not None
    return marks.tags


def told(*layers: Layer, **values: Any) -> dict[str, str]:
    marks = one(*layers, **values).marks
    assert marks is not None
    return dict(marks.fields)


@pytest.mark.req("A5")
def test_locality_decides_the_path() -> None:
    by = sender()
    inside, outside = recipient(BEN, by, internal=True), recipient("bob@partner.example", by)
    given = facts(by, [inside, outside])
    plan = decide(envelope(by, given.recipients), Opened(), Findings(), given)
    assert {each.recipients: each.direction for each in plan.deliveries} == {
        ("bob@partner.example",): "outgoing",
        (BEN,): "incoming",
    }


@pytest.mark.req("A5", "A6")
def test_mandatory_is_about_what_leaves() -> None:
    by = sender(encrypt_mode="mandatory")
    given = facts(by, [recipient(BEN, by, internal=True, encrypt_mode="mandatory")])
    (delivery,) = decide(envelope(by, [BEN]), Opened(), Findings(), given).deliveries
    assert (delivery.method, delivery.direction) == ("plain", "incoming")


@pytest.mark.req("A12", "B1")
def test_only_the_entitled_get_the_opened_message() -> None:
    opened = Opened((encrypted(ANN),))
    ann, ben = (recipient(each, BY, internal=True) for each in (ANN, BEN))
    plan = plan_of(opened, ann, ben)
    assert {each.recipients: each.content for each in plan.deliveries} == {(ANN,): "opened", (BEN,): "original"}
    loose = recipient(BEN, BY, internal=True, smime_strict=False)
    assert [each.content for each in plan_of(opened, ann, loose).deliveries] == ["opened"]


@pytest.mark.parametrize("holder", ["@inside.example", "domain-confidentiality-authority@inside.example", ANN.upper()])
def test_domain_certificate_entitles_the_domain(holder: str) -> None:
    assert one(encrypted(holder)).content == "opened"


def test_every_layer_must_be_for_the_recipient() -> None:
    assert one(encrypted(ANN), encrypted(ANN)).content == "opened"
    assert one(encrypted(ANN), encrypted(BEN)).content == "original"


def test_the_not_entitled_learn_nothing_of_the_inside() -> None:
    plan = plan_of(
        Opened((encrypted(BEN), signed_as("ok", "secret@outside.example"))), recipient(ANN, BY, internal=True)
    )
    marks = plan.deliveries[0].marks
    assert marks is not None
    assert marks.tags == ()
    assert "secret" not in repr(marks.fields)
    assert dict(marks.fields)["X-Letterlock-Info-SMIME-Decryption-Key-Not-Found-0"] == "True"


@pytest.mark.req("A15")
@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((), ()),
        ((encrypted(ANN),), ("[decrypted]",)),
        ((encrypted(ANN), signed_as("ok", FROM)), ("[decrypted]", "[signed]")),
        ((signed_as("address-mismatch", "y@outside.example"),), ("[signed by: y@outside.example]",)),
        ((signed_as("bad-signature", FROM),), ("[invalid signature]",)),
        ((signed_as("untrusted", FROM),), ("[invalid signature]",)),
        ((signed_as("ok", FROM), signed_as("bad-signature", FROM)), ("[invalid signature]",)),
        ((Layer("signed", opened=False, reason="malformed"),), ("[invalid signature]",)),
        ((signed_as("ok", FROM, whole=False),), ("[mixed content]",)),
        ((signed_as("ok", FROM), Layer("encrypted", opened=False, whole=False)), ("[signed]", "[mixed content]")),
        ((Layer("encrypted", opened=False, reason="not-for-us"),), ()),
    ],
)
def test_tags(layers: tuple[Layer, ...], expected: tuple[str, ...]) -> None:
    assert tags(*layers) == expected


@pytest.mark.req("A15")
def test_tags_are_the_recipients() -> None:
    own = {"tag_decrypted": "[secure]", "tag_signed_valid": ""}
    assert tags(encrypted(ANN), signed_as("ok", FROM), **own) == ("[secure]",)
    assert tags(encrypted(ANN), add_security_info=False) == ()
    marks = one(**own, subject_filter="SPAM").marks
    assert marks is not None
    assert {"[secure]", "[decrypted]", "[signed by: {signer}]"} <= set(marks.own_tags)
    assert marks.subject_filter == "SPAM"


@pytest.mark.req("A16")
def test_information_fields_have_index_and_level() -> None:
    found = told(encrypted(ANN), signed_as("address-mismatch", "y@outside.example"))
    assert found["X-Letterlock-Info-SMIME-Encrypted"] == found["X-Letterlock-Info-SMIME-Signed"] == "True"
    assert found["X-Letterlock-Info-Encryption-Algorithm-0"] == "aes256-cbc"
    assert found["X-Letterlock-Info-Encryption-Recipient-0-0"] == "CN=CA 1"
    assert found["X-Letterlock-Info-Signer-Email-0-1"] == "y@outside.example"
    assert found["X-Letterlock-Info-Signer-Mismatch-0-1"] == "True"
    assert told(encrypted(ANN), add_info_fields=False) == {}


@pytest.mark.req("A16", "B1")
def test_decrypted_cbc_that_nobody_signed_is_told_as_unauthenticated() -> None:
    name = "X-Letterlock-Info-Encryption-Unauthenticated-0"
    assert told(encrypted(ANN))[name] == "True"
    assert told(encrypted(ANN), signed_as("bad-signature", FROM))[name] == "True"
    assert name not in told(encrypted(ANN), signed_as("ok", FROM))
    assert told(signed_as("ok", FROM), encrypted(ANN))["X-Letterlock-Info-Encryption-Unauthenticated-1"] == "True"
    gcm = Layer("encrypted", opened=True, cipher="aes256-gcm", holders=(ANN,))
    assert name not in told(gcm)


@pytest.mark.req("A16", "B2")
def test_a_part_that_was_left_alone_is_told_and_nothing_else_is() -> None:
    found = told(Layer("encrypted", opened=False, reason="not-covered", whole=False))
    assert list(found) == ["X-Letterlock-Info-Not-Covered-0"]


@pytest.mark.req("A16")
def test_line_ends_that_are_not_canonical_are_told() -> None:
    layer = Layer("signed", opened=True, signers=(Signer("ok", (FROM,), "CN=CA 2"),), canonical=False)
    assert told(layer)["X-Letterlock-Info-Signature-Not-Canonical-0"] == "True"
    assert tags(layer) == ("[signed]",)


@pytest.mark.req("A12", "B1")
def test_a_domain_key_may_be_bound_to_those_who_are_named() -> None:
    """The message of test's facts names ben only; ann stands in the envelope alone."""
    ann, ben = (recipient(each, BY, internal=True, smime_domain_key_named=True) for each in (ANN, BEN))
    given = facts(BY, (ann, ben), message([BEN], author=FROM))
    opened = Opened((encrypted("@inside.example"),))
    plan = incoming.decide(envelope(FROM, [ANN, BEN], "internet"), opened, Findings(), given)
    assert {each.recipients: each.content for each in plan.deliveries} == {(ANN,): "original", (BEN,): "opened"}


def test_every_incoming_message_is_marked_as_such() -> None:
    marks = one().marks
    assert marks is not None
    assert marks.inbound


def test_next_hop_is_the_internal_one() -> None:
    delivery = one(next_hop_incoming="[mail.inside.example]:25")
    assert (delivery.next_hop, delivery.domain) == ("[mail.inside.example]:25", "[mail.inside.example]:25")


def test_loops_end() -> None:
    plan = plan_of(Opened(), hops=51)
    assert (plan.deliveries, plan.refusals[0].reason) == ((), "loop")
