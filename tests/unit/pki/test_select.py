"""Certificate selection: all that are good, and every other one with the rule it fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from letterlock.pki.certificate import parse
from letterlock.pki.reasons import Reason
from letterlock.pki.select import Candidate, candidate, encryption_certificates, signing_certificate
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority, Identity

NOW = datetime.now(UTC)
ALICE = "alice@example.org"

Make = Callable[..., Candidate]


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture
def trust(anchor: Authority) -> Trust:
    return Trust([parse(anchor.der)])


def row(identity: Identity, key: UUID | None = None, attached: bool = False) -> Candidate:
    found = candidate(uuid4(), identity.der, key, attached)
    assert found is not None
    return found


@pytest.mark.req("B3")
def test_all_good_certificates_encrypt_newest_first(anchor: Authority, trust: Trust) -> None:
    older = row(anchor.issue(ALICE, "p256", not_before=NOW - timedelta(days=30)))
    newer = row(anchor.issue("ALICE@Example.org", "rsa2048"))
    chosen, rejected, _ = encryption_certificates("Alice@example.ORG", [older, newer], trust, NOW)
    assert chosen == (newer, older)
    assert rejected == ()


@pytest.mark.req("B4")
def test_each_rejected_candidate_names_the_rules_it_fails(anchor: Authority, trust: Trust) -> None:
    faults = {
        row(anchor.issue("bob@example.org", "p256")): (Reason.ADDRESS,),
        row(anchor.issue(ALICE, "p256", not_after=NOW - timedelta(hours=1))): (Reason.EXPIRED,),
        row(anchor.issue(ALICE, "p256", usage=("digital_signature",))): (Reason.KEY_USAGE,),
        row(anchor.issue(ALICE, "p256", purposes=("server",))): (Reason.PURPOSE,),
        row(anchor.issue(ALICE, "rsa1024")): (Reason.WEAK_KEY,),
        row(Authority.create("Stranger").issue(ALICE, "p256")): (Reason.UNTRUSTED,),
        row(Authority.create("Stranger").issue("eve@example.org", "p256", purposes=("server",))): (
            Reason.ADDRESS,
            Reason.PURPOSE,
            Reason.UNTRUSTED,
        ),
    }
    good = row(anchor.issue(ALICE, "p256"))
    chosen, rejected, _ = encryption_certificates(ALICE, [*faults, good], trust, NOW)
    assert chosen == (good,)
    assert {each.candidate: each.reasons for each in rejected} == faults


@pytest.mark.req("B7")
def test_additional_certificates_need_no_address_but_all_else(anchor: Authority, trust: Trust) -> None:
    mine = row(anchor.issue(ALICE, "p256"))
    escrow = row(anchor.issue("escrow@example.net", "p256"), attached=True)
    stale = row(anchor.issue("old@example.net", "p256", not_after=NOW - timedelta(hours=1)), attached=True)
    chosen, rejected, _ = encryption_certificates(ALICE, [mine, escrow, stale], trust, NOW)
    assert set(chosen) == {mine, escrow}
    assert [(each.candidate, each.reasons) for each in rejected] == [(stale, (Reason.EXPIRED,))]


@pytest.mark.req("B4")
def test_the_newest_usable_certificate_signs(anchor: Authority, trust: Trust) -> None:
    key = uuid4()
    older = row(anchor.issue(ALICE, "p256", not_before=NOW - timedelta(days=30)), key)
    newer = row(anchor.issue(ALICE, "p256", not_before=NOW - timedelta(days=3)), key)
    keyless = row(anchor.issue(ALICE, "p256", not_before=NOW - timedelta(days=1)))
    sealing = row(anchor.issue(ALICE, "p256", usage=("key_agreement",)), key)
    chosen, rejected, _ = signing_certificate(ALICE, [older, keyless, newer, sealing], trust, NOW)
    assert chosen == (newer,)
    assert {each.candidate: each.reasons for each in rejected} == {
        keyless: (Reason.NO_KEY,),
        sealing: (Reason.KEY_USAGE,),
        older: (Reason.NOT_NEWEST,),
    }


def test_every_process_picks_the_same_of_two_equally_new(anchor: Authority, trust: Trust) -> None:
    begin = NOW - timedelta(days=3)
    two = [row(anchor.issue(ALICE, "p256", not_before=begin), uuid4()) for _ in range(2)]
    forward, backward = (signing_certificate(ALICE, order, trust, NOW).chosen for order in (two, two[::-1]))
    assert forward == backward


@pytest.mark.req("B15")
def test_nobody_signs_for_another_address(anchor: Authority, trust: Trust) -> None:
    bob = row(anchor.issue("bob@example.org", "p256"), uuid4())
    chosen, rejected, _ = signing_certificate(ALICE, [bob], trust, NOW)
    assert chosen == ()
    assert rejected[0].reasons == (Reason.ADDRESS,)


def test_unreadable_rows_are_no_candidates() -> None:
    assert candidate(uuid4(), b"rubbish") is None
