"""The laws of the decision, for whatever combination Hypothesis finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from letterlock.decision import trace
from letterlock.decision.decide import decide
from letterlock.decision.plan import Plan
from letterlock.pki.certificate import match_form
from letterlock.policy import triggers
from tests.properties.strategies import Case, cases

EXAMPLES = settings(max_examples=150, deadline=None)


def plan_of(case: Case) -> Plan:
    return decide(*case)


def is_mandatory(case: Case, address: str) -> bool:
    """Said anew, from the settings: somebody asked for encryption that must be."""
    facts = case.facts
    to = facts.recipients[address]
    modes = {who.settings.named("encrypt_mode").value for who in (facts.sender, to)}
    asked = triggers.evaluate(facts.message.fields, facts.sender.settings).asks("encrypt")
    return not to.internal and ("mandatory" in modes or asked or case.findings.must_encrypt)


@pytest.mark.req("A6", "A8", "A9")
@EXAMPLES
@given(cases())
def test_mandatory_never_yields_a_plain_delivery(case: Case) -> None:
    for delivery in plan_of(case).deliveries:
        for addressee in delivery.addressees:
            if not is_mandatory(case, addressee.address):
                continue
            assert delivery.method == "smime"
            if not delivery.by_client:
                to = case.facts.recipients[addressee.address]
                own = {*to.personal.chosen, *to.domain_wide.chosen}
                assert delivery.cipher
                assert set(addressee.certificates) & own
                assert set(addressee.certificates) <= own
            else:
                assert case.facts.message.protected == "encrypted"


@pytest.mark.req("A12")
@EXAMPLES
@given(cases())
def test_no_recipient_is_forgotten_or_doubled(case: Case) -> None:
    plan = plan_of(case)
    placed = [address for each in plan.deliveries for address in each.recipients]
    placed += [address for each in plan.holds for address in each.recipients]
    placed += [address for each in plan.refusals for address in each.recipients]
    assert sorted(placed) == sorted(case.facts.recipients)


@pytest.mark.req("A12")
@EXAMPLES
@given(cases())
def test_blind_copies_never_show(case: Case) -> None:
    named = case.facts.message.named
    for delivery in plan_of(case).deliveries:
        hidden = [address for address in delivery.recipients if match_form(address) not in named]
        if delivery.direction == "outgoing":
            assert {"bcc", "resent-bcc"} <= set(delivery.edits.remove)
        if hidden and delivery.encrypts:
            assert len(delivery.recipients) == 1
        assert not hidden or len(hidden) == len(delivery.recipients)
        # A recipient info tells of nobody but the delivery's own addressees and the additional certificates.
        allowed = {each for addressee in delivery.addressees for each in addressee.certificates} | set(
            delivery.additional
        )
        assert set(delivery.certificates) <= allowed
        for addressee in delivery.addressees:
            to = case.facts.recipients[addressee.address]
            assert set(addressee.certificates) <= {*to.personal.chosen, *to.domain_wide.chosen}


@pytest.mark.req("A13")
@EXAMPLES
@given(cases())
def test_only_our_author_is_signed_for(case: Case) -> None:
    message = case.facts.message
    for delivery in plan_of(case).deliveries:
        if delivery.signer is None:
            continue
        assert delivery.direction == "outgoing"
        assert case.envelope.origin == "submission"
        assert not message.inbound_mark
        assert [match_form(each) for each in message.authors] == [match_form(case.envelope.sender)]
        assert delivery.signer.certificate.names(case.envelope.sender)
        assert delivery.signer.key is not None


@pytest.mark.req("A21", "A22")
@EXAMPLES
@given(cases())
def test_no_backscatter(case: Case) -> None:
    plan = plan_of(case)
    for notice in plan.notices:
        assert notice.to == case.envelope.sender != ""
        if not (case.facts.sender.internal and case.envelope.origin == "submission"):
            assert (notice.kind, notice.reason) == ("failure", "loop")
        if notice.kind == "failure":
            said = {each.address: each.notify for each in case.envelope.recipients}
            assert all(not said[address] or "FAILURE" in said[address] for address in notice.about)


@pytest.mark.req("B1")
@EXAMPLES
@given(cases())
def test_opened_octets_only_for_whom_they_were_encrypted(case: Case) -> None:
    opened = [layer for layer in case.opened.layers if layer.kind == "encrypted" and layer.opened]
    for delivery in plan_of(case).deliveries:
        if delivery.content != "opened":
            continue
        assert (delivery.direction, bool(opened)) == ("incoming", True)
        for address in delivery.recipients:
            strict = case.facts.recipients[address].settings.named("smime_strict").value
            assert not strict or all(address in layer.holders for layer in opened)


@EXAMPLES
@given(cases())
def test_it_is_a_function_and_its_trace_is_whole(case: Case) -> None:
    plan = plan_of(case)
    assert plan == plan_of(case)
    assert trace.decode(trace.encode(plan.trace)) == plan.trace
    assert {step.about for step in plan.trace.steps} - {""} == set(case.facts.recipients)
    assert {step.what for step in plan.trace.steps} <= set(trace.WHAT)
    assert trace.render(plan.trace)


@pytest.mark.req("A18")
@EXAMPLES
@given(cases())
def test_what_a_sender_encrypted_is_read_by_nobody_new(case: Case) -> None:
    for delivery in plan_of(case).deliveries:
        if delivery.direction == "incoming" or case.facts.message.protected != "encrypted":
            continue
        assert delivery.encrypts or delivery.by_client
        if delivery.encrypts and delivery.content != "reduced":
            assert delivery.content == "inside" and case.facts.inside is not None
            own = {each.certificate.issuer_serial.hex() for one in delivery.addressees for each in one.certificates}
            assert own <= case.facts.inside.recipients
