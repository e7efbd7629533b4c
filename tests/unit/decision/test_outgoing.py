"""External recipients: signing, Bcc, groups, holds, what the sender's program did before, what the sender is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from letterlock.decision import outgoing
from letterlock.decision.known import Facts, Findings, MessageFacts, Opened
from letterlock.decision.plan import Plan
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.pki.reasons import Reason
from letterlock.policy.settings.declare import Effective
from tests.fakes.facts import (
    DAY,
    NOW,
    SENDER,
    candidate,
    envelope,
    facts,
    message,
    recipient,
    rejected,
    sender,
    usable,
)

BOB, CARL, DORA = "bob@partner.example", "carl@partner.example", "dora@elsewhere.example"
OUTSIDE: Effective[str] = Effective("external")


def plan_of(given: Facts, said: Envelope | None = None, findings: Findings | None = None) -> Plan:
    said = said or envelope(given.sender, given.recipients)
    return outgoing.decide(said, Opened(), findings or Findings(), given)


def one(given: Facts, **more: Any) -> Any:
    """The only delivery."""
    (delivery,) = plan_of(given, **more).deliveries
    return delivery


def signed(given: Facts, said: Envelope | None = None) -> bool:
    return one(given, said=said).signer is not None


@pytest.mark.req("A13")
@pytest.mark.parametrize(
    ("always", "with_encryption", "subject", "encrypts", "signs"),
    [
        (True, True, "Report", False, True),  # always
        (True, False, "Report", False, True),
        (False, True, "Report", True, True),  # only when encrypting
        (False, True, "Report", False, False),
        (False, False, "Report", True, False),  # never
        (False, False, "[sign] Report", False, True),  # by trigger
        (False, False, "Report [sign]", True, True),
    ],
)
def test_sign_modes(always: bool, with_encryption: bool, subject: str, encrypts: bool, signs: bool) -> None:
    by = sender(smime_sign=always, smime_only_sign_when_encrypt=with_encryption, sign_subject_trigger_enabled=True)
    to = recipient(BOB, by, personal=usable(BOB) if encrypts else None)
    delivery = one(facts(by, [to], message([BOB], subject=subject)))
    assert (delivery.encrypts, delivery.signer is not None) == (encrypts, signs)
    assert delivery.method == ("smime" if encrypts or signs else "plain")
    assert delivery.edits.subjects == (("Report",) if "[sign]" in subject else ())


@pytest.mark.req("A13")
def test_signs_only_for_the_author_itself() -> None:
    by = sender(smime_sign=True)
    to = recipient(BOB, by)
    assert signed(facts(by, [to], message([BOB])))
    assert signed(facts(by, [to], message([BOB], author=SENDER.upper())))
    assert not signed(facts(by, [to], message([BOB], author="boss@inside.example")))
    assert not signed(facts(by, [to], message([BOB], inbound_mark=True)))
    assert not signed(facts(by, [to], message([BOB], protected="signed")))
    two = MessageFacts(fields=message().fields, octets=1, authors=(SENDER, SENDER))
    assert not signed(facts(by, [to], two))
    for origin in ("internet", "notice"):
        assert not signed(facts(by, [to]), envelope(by, [BOB], origin))  # type: ignore[arg-type]


@pytest.mark.req("A13")
def test_null_sender_is_never_signed_for() -> None:
    by = sender("", smime_sign=True)
    assert not signed(facts(by, [recipient(BOB, by)], message([BOB], author="")))


@pytest.mark.req("A17")
def test_calendar_is_not_signed() -> None:
    by = sender(smime_sign=True)
    assert not signed(facts(by, [recipient(BOB, by)], message([BOB], calendar=True)))
    by = sender(smime_sign=True, smime_skip_sign_calendar=False)
    to = recipient(BOB, by, smime_skip_sign_calendar=False)
    assert signed(facts(by, [to], message([BOB], calendar=True)))


@pytest.mark.req("A14")
def test_too_large_for_smime_is_held_when_mandatory() -> None:
    by = sender(encrypt_mode="mandatory", smime_max_size=1000)
    to = recipient(BOB, by, personal=usable(BOB))
    assert plan_of(facts(by, [to], message([BOB], octets=1000))).deliveries[0].encrypts
    plan = plan_of(facts(by, [to], message([BOB], octets=1001)))
    assert (plan.deliveries, plan.holds[0].reason) == ((), "no-method")


@pytest.mark.req("A12")
def test_one_message_many_outcomes() -> None:
    by = sender()
    plain = recipient(BOB, by)
    good = recipient(CARL, by, personal=usable(CARL))
    held = recipient(DORA, by, encrypt_mode="mandatory")
    plan = plan_of(facts(by, [plain, good, held]))
    assert {delivery.recipients: delivery.method for delivery in plan.deliveries} == {(BOB,): "plain", (CARL,): "smime"}
    assert plan.holds[0].recipients == (DORA,)
    assert plan.state == "held"
    assert plan.due_at == NOW + 5 * DAY


def test_same_octets_share_a_delivery() -> None:
    by = sender()
    to = [recipient(each, by, personal=usable(each)) for each in (BOB, CARL)]
    delivery = one(facts(by, to))
    assert delivery.recipients == (BOB, CARL)
    assert delivery.certificates == (candidate(BOB), candidate(CARL))


def test_other_domain_other_delivery_unless_a_smarthost_takes_both() -> None:
    by = sender()
    to = [recipient(each, by, personal=usable(each)) for each in (BOB, DORA)]
    plan = plan_of(facts(by, to))
    assert [delivery.domain for delivery in plan.deliveries] == ["partner.example", "elsewhere.example"]
    assert [delivery.next_hop for delivery in plan.deliveries] == ["", ""]
    by = sender(next_hop_outgoing="[smart.example]:2525")
    to = [recipient(each, by, personal=usable(each)) for each in (BOB, DORA)]
    delivery = one(facts(by, to))
    assert (delivery.domain, delivery.next_hop) == ("[smart.example]:2525", "[smart.example]:2525")


def test_transport_map_goes_before_the_smarthost() -> None:
    by = sender(next_hop_outgoing="[smart.example]:2525")
    to = recipient(BOB, by, transport={"*.example": "[exact.example]:26"})
    assert one(facts(by, [to])).next_hop == "[exact.example]:26"


def test_rsa_and_elliptic_curves_are_not_mixed() -> None:
    by = sender()
    to = [recipient(BOB, by, personal=usable(BOB)), recipient(CARL, by, personal=usable(CARL, kind="ec"))]
    assert [delivery.recipients for delivery in plan_of(facts(by, to)).deliveries] == [(BOB,), (CARL,)]


def test_tls_floor_is_that_of_the_recipient() -> None:
    by = sender()
    to = [recipient(BOB, by, tls_out="encrypt"), recipient(CARL, by)]
    assert [delivery.tls_min for delivery in plan_of(facts(by, to)).deliveries] == [2, 1]


def test_at_most_a_hundred_recipients_in_a_delivery() -> None:
    by = sender()
    many = [f"r{number}@partner.example" for number in range(201)]
    plan = plan_of(facts(by, [recipient(each, by) for each in many]))
    assert [len(delivery.recipients) for delivery in plan.deliveries] == [100, 100, 1]


def test_hidden_recipients_get_a_cms_of_their_own() -> None:
    by = sender()
    to = [recipient(each, by, personal=usable(each)) for each in (BOB, CARL, "eve@partner.example")]
    plan = plan_of(facts(by, to, message([BOB])))
    assert [delivery.recipients for delivery in plan.deliveries] == [(BOB,), (CARL,), ("eve@partner.example",)]
    for delivery in plan.deliveries:
        (own,) = delivery.recipients
        assert delivery.certificates == (candidate(own),)
        assert "bcc" in delivery.edits.remove


def test_hidden_recipients_in_clear_stand_apart_from_the_named() -> None:
    by = sender()
    to = [recipient(each, by) for each in (BOB, CARL, "eve@partner.example")]
    plan = plan_of(facts(by, to, message([BOB])))
    assert [(each.recipients, each.hidden) for each in plan.deliveries] == [
        ((BOB,), False),
        ((CARL, "eve@partner.example"), True),
    ]


@pytest.mark.req("B7")
def test_additional_certificates_are_added() -> None:
    escrow = "escrow@inside.example"
    by = sender(smime_additional_certificates=[escrow])
    to = recipient(BOB, by, personal=usable(BOB), additional=usable(escrow))
    assert one(facts(by, [to])).certificates == (candidate(BOB), candidate(escrow))
    alone = recipient(BOB, by, additional=usable(escrow))  # they never make encryption possible by themselves
    assert one(facts(by, [alone])).method == "plain"


@pytest.mark.req("A21")
def test_mandatory_without_a_method_is_held_told_and_given_up() -> None:
    by = sender(encrypt_mode="mandatory", encryption_failed_notification=False)
    to = recipient(BOB, by, personal=rejected(BOB, Reason.EXPIRED))
    first = plan_of(facts(by, [to]))
    assert [(notice.kind, notice.to, notice.about) for notice in first.notices] == [
        ("encryption-failed", SENDER, (BOB,))
    ]
    again = plan_of(facts(by, [to], state="held", now=NOW + DAY))
    assert (again.holds[0].reason, again.notices) == ("no-method", ())
    released = plan_of(facts(by, [to], released=True, now=NOW + DAY))
    assert (released.deliveries, released.notices) == ((), ())
    over = plan_of(facts(by, [to], state="held", now=NOW + 5 * DAY))
    assert (over.deliveries, over.holds, over.refusals[0].state) == ((), (), "failed")
    assert [notice.kind for notice in over.notices] == ["failure"]
    found = recipient(BOB, by, personal=usable(BOB))
    late = one(facts(by, [found], state="held", now=NOW + 5 * DAY))
    assert late.encrypts
    assert late.expires_at == NOW + 10 * DAY


@pytest.mark.req("A21", "A22")
@pytest.mark.parametrize(
    ("by", "origin"),
    [
        (sender("", encrypt_mode="mandatory"), "submission"),
        (sender("x@outside.example", encrypt_mode="mandatory", locality=OUTSIDE), "submission"),
        (sender(encrypt_mode="mandatory"), "internet"),
        (sender(encrypt_mode="mandatory"), "notice"),
    ],
)
def test_nobody_outside_is_told(by: Any, origin: Any) -> None:
    to = recipient(BOB, by)
    for when in (NOW + 1, NOW + 6 * DAY):
        plan = plan_of(facts(by, [to], now=when), envelope(by, [BOB], origin))
        assert (plan.notices, plan.deliveries) == ((), ())


@pytest.mark.req("C12")
def test_our_own_reply_to_a_challenge_goes_in_clear_and_unsigned() -> None:
    by = sender(encrypt_mode="mandatory", smime_sign=True)
    delivery = one(facts(by, [recipient(BOB, by)]), said=envelope(by, [BOB], "proof"))
    assert (delivery.method, delivery.encrypts, delivery.signer) == ("plain", False, None)


@pytest.mark.req("A22")
@pytest.mark.parametrize(
    ("notify", "told"), [((), True), (("NEVER",), False), (("SUCCESS",), False), (("FAILURE", "DELAY"), True)]
)
def test_notify_is_honoured(notify: Any, told: bool) -> None:
    by = sender(encrypt_mode="mandatory")
    given = facts(by, [recipient(BOB, by)], state="held", now=NOW + 5 * DAY)
    plan = plan_of(given, envelope(by, [Recipient(BOB, notify)]))
    assert bool(plan.notices) is told


@pytest.mark.req("A20")
def test_sender_is_told_of_encryption_when_it_wants() -> None:
    by = sender(encryption_notification=True)
    to = [recipient(BOB, by, personal=usable(BOB)), recipient(CARL, by)]
    (notice,) = plan_of(facts(by, to)).notices
    assert (notice.kind, notice.about) == ("encrypted", (BOB,))
    assert plan_of(facts(by, to, message([BOB, CARL], automatic=True))).notices == ()


@pytest.mark.req("A6")
def test_rules_make_encryption_mandatory() -> None:
    by = sender(encrypt_mode="none")
    plan = plan_of(facts(by, [recipient(BOB, by)]), findings=Findings(must_encrypt=True))
    assert (plan.deliveries, plan.holds[0].reason) == ((), "no-method")


@pytest.mark.req("A8")
def test_clear_text_trigger_opens_only_what_is_allowed() -> None:
    by = sender(no_encrypt_trigger_enabled=True)
    asks = message([BOB], subject="[unencrypted] Report")
    allowed = recipient(BOB, by, personal=usable(BOB))
    delivery = one(facts(by, [allowed], asks))
    assert (delivery.method, delivery.edits.subjects) == ("plain", ("Report",))
    must = recipient(BOB, by, personal=usable(BOB), encrypt_mode="mandatory")
    assert one(facts(by, [must], asks)).encrypts
    assert one(facts(by, [allowed], asks), said=envelope(by, [BOB], "internet")).encrypts
    both = message([BOB], subject="[unencrypted] [encrypt] Report")
    assert one(facts(by, [allowed], both)).encrypts


@pytest.mark.req("A22")
def test_a_report_of_ours_is_encrypted_only_when_it_must_be() -> None:
    """Mail systems read reports (RFC 3464); ours quote nothing that did not come from outside."""
    ours = sender("")
    for mode, encrypts in (("allow", False), ("mandatory", True)):
        outsider = recipient(BOB, ours, personal=usable(BOB), encrypt_mode=mode)
        said = envelope(ours, [BOB], "notice")
        assert one(facts(ours, [outsider], message([BOB])), said=said).encrypts is encrypts


@pytest.mark.req("A9")
def test_header_trigger_encrypts_and_goes() -> None:
    by = sender(encrypt_mode="none")
    to = recipient(BOB, by, personal=usable(BOB))
    delivery = one(facts(by, [to], message([BOB], fields=[("sensitivity", "Company-Confidential")])))
    assert delivery.encrypts
    assert "sensitivity" in delivery.edits.remove
    assert not one(facts(by, [to], message([BOB], fields=[("Sensitivity", "personal")]))).encrypts


@pytest.mark.parametrize(("action", "outcome"), [("pass", "smime"), ("hold", "held"), ("refuse", "refused")])
def test_encrypted_by_the_senders_program(action: str, outcome: str) -> None:
    by = sender(client_encrypted=action, encrypt_mode="mandatory", smime_sign=True)
    to = recipient(BOB, by)
    plan = plan_of(facts(by, [to], message([BOB], protected="encrypted")))
    if outcome == "smime":
        (delivery,) = plan.deliveries
        assert (delivery.method, delivery.by_client, delivery.encrypts, delivery.signer) == ("smime", True, False, None)
    elif outcome == "held":
        assert plan.holds[0].reason == "client-encrypted"
        released = plan_of(facts(by, [to], message([BOB], protected="encrypted"), released=True))
        assert released.deliveries[0].by_client
    else:
        assert (plan.refusals[0].state, plan.refusals[0].status) == ("refused", "5.7.1")
        assert [notice.kind for notice in plan.notices] == ["failure"]


def test_signed_by_the_senders_program_is_encrypted_around() -> None:
    by = sender()
    delivery = one(facts(by, [recipient(BOB, by, personal=usable(BOB))], message([BOB], protected="signed")))
    assert (delivery.encrypts, delivery.signer) == (True, None)


@pytest.mark.parametrize("more", [{"looped": frozenset({BOB})}, {"hops": 51}])
def test_loops_end(more: dict[str, Any]) -> None:
    by = sender("x@outside.example", locality=OUTSIDE)
    plan = plan_of(facts(by, [recipient(BOB, by)], message([BOB], **more)), envelope(by, [BOB], "internet"))
    assert (plan.deliveries, plan.refusals[0].status, plan.refusals[0].state) == ((), "5.4.6", "failed")
    assert [notice.kind for notice in plan.notices] == ["failure"]


def test_times_of_a_delivery() -> None:
    by = sender(queue_life=3 * 86400, delay_notice_after=0)
    delivery = one(facts(by, [recipient(BOB, by)]))
    assert (delivery.expires_at, delivery.delay_notice_at) == (NOW + 3 * DAY, 0.0)
    assert one(facts(sender(), [recipient(BOB, sender())])).delay_notice_at == NOW + 4 * 3600


@pytest.mark.req("A6")
@pytest.mark.parametrize("released", [False, True])
def test_what_was_held_as_mandatory_stays_so_whatever_the_settings_say_now(released: bool) -> None:
    by = sender()
    given = facts(by, [recipient(BOB, by)])
    assert plan_of(given).deliveries, "without a floor it may leave in clear"
    queued = msgspec.structs.replace(given.queued, mandatory=frozenset({BOB}), released=released)
    plan = plan_of(msgspec.structs.replace(given, queued=queued))
    assert not plan.deliveries
    assert plan.holds[0].recipients == (BOB,)


@pytest.mark.req("A22")
@pytest.mark.parametrize(
    ("by", "report", "content"),
    [
        ("", False, "reduced"),
        ("", True, "reduced"),
        ("postmaster@clinic.example", True, "reduced"),
        ("postmaster@clinic.example", False, "original"),
        (SENDER, True, "original"),  # a person who passes a report on
    ],
)
def test_a_report_made_inside_leaves_without_content(by: str, report: bool, content: str) -> None:
    one_ = sender(by, signs=False)
    given = facts(one_, [recipient(BOB, one_)], message([BOB], report=report))
    assert one(given, said=envelope(by, [BOB])).content == content
