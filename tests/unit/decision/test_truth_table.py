"""The policy as a table: sender's mode x recipient's mode x trigger x method x size x calendar, 360 cases.

The two small tables below are the policy, said once more in the plainest words; the code is compared with every cell.
"""

from __future__ import annotations

from itertools import product

import pytest

from letterlock.decision.decide import decide
from letterlock.decision.known import Findings, Opened, RecipientFacts, SenderFacts
from tests.fakes.facts import candidate, envelope, facts, message, recipient, rejected, sender, usable

MODES = ("none", "allow", "mandatory")
METHODS = ("personal", "domain", "rejected", "nothing", "disabled")
SIZES = ("small", "large")
KINDS = ("letter", "calendar")

REQUIRED = {
    # sender     recipient    without trigger, with trigger
    ("none", "none"): ("none", "mandatory"),
    ("none", "allow"): ("none", "mandatory"),
    ("none", "mandatory"): ("mandatory", "mandatory"),
    ("allow", "none"): ("none", "mandatory"),
    ("allow", "allow"): ("allow", "mandatory"),
    ("allow", "mandatory"): ("mandatory", "mandatory"),
    ("mandatory", "none"): ("mandatory", "mandatory"),
    ("mandatory", "allow"): ("mandatory", "mandatory"),
    ("mandatory", "mandatory"): ("mandatory", "mandatory"),
}

OUTCOME = {
    # required    usable     not usable
    "none": ("plain", "plain"),
    "allow": ("encrypted", "plain"),
    "mandatory": ("encrypted", "held"),
}

TO = "bob@partner.example"


def is_usable(method: str, size: str, kind: str, required: str) -> bool:
    """S/MIME can be used: a good certificate, not too large, and no calendar (skipped here) unless it is mandatory."""
    return method in ("personal", "domain") and size == "small" and not (kind == "calendar" and required != "mandatory")


def recipient_with(method: str, by: SenderFacts, mode: str) -> RecipientFacts:
    """A recipient for whom S/MIME has ``method``."""
    personal = {"personal": usable(TO), "rejected": rejected(TO), "disabled": usable(TO)}.get(method)
    domain_wide = usable(f"domain-confidentiality-authority@{TO.partition('@')[2]}") if method == "domain" else None
    return recipient(
        TO,
        by,
        personal=personal,
        domain_wide=domain_wide,
        encrypt_mode=mode,
        smime_enabled=method != "disabled",
        smime_skip_calendar=True,
    )


CASES = list(product(MODES, MODES, (False, True), METHODS, SIZES, KINDS))


def test_the_table_is_whole() -> None:
    assert len(CASES) == 360


@pytest.mark.req("A6", "A8", "A14", "A17")
@pytest.mark.parametrize(("theirs", "ours", "trigger", "method", "size", "kind"), CASES)
def test_case(theirs: str, ours: str, trigger: bool, method: str, size: str, kind: str) -> None:
    by = sender(encrypt_mode=theirs, smime_max_size=1 << 20)
    to = recipient_with(method, by, ours)
    about = message(
        [TO],
        subject="[encrypt] Report" if trigger else "Report",
        octets=10_000 if size == "small" else 2 << 20,
        calendar=kind == "calendar",
    )
    plan = decide(envelope(by, [TO]), Opened(), Findings(), facts(by, [to], about))

    required = REQUIRED[theirs, ours][trigger]
    wanted = OUTCOME[required][0 if is_usable(method, size, kind, required) else 1]
    if wanted == "held":
        assert (plan.state, [hold.recipients for hold in plan.holds], plan.deliveries) == ("held", [(TO,)], ())
        assert [notice.kind for notice in plan.notices] == ["encryption-failed"]
        return
    (delivery,) = plan.deliveries
    assert delivery.encrypts == (wanted == "encrypted")
    assert (plan.state, plan.notices) == ("gone", ())
    assert delivery.edits.subjects == (("Report",) if trigger else ())
    if wanted == "encrypted":
        expected = to.personal if method == "personal" else to.domain_wide
        assert delivery.certificates == expected.chosen
        assert candidate(TO, number=9) not in delivery.certificates
        # Signed when encrypted, but a calendar is not signed (smime_skip_sign_calendar, factory).
        assert (delivery.signer is not None) == (kind == "letter")
    else:
        assert (delivery.method, delivery.signer) == ("plain", None)
