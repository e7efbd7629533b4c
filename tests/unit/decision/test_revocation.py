"""Revocation in the facts: for encryption and signing, by both sides' settings, and never longer than it holds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.x509.ocsp import OCSPCertStatus

from letterlock.decision.decide import decide
from letterlock.decision.facts import Gatherer
from letterlock.decision.known import Facts, Findings, Opened, Queued
from letterlock.decision.trace import render
from letterlock.pki.at_hand import ANSWERED_FOR, AtHand
from letterlock.pki.reasons import Reason
from tests.fakes.at_hand import Store
from tests.fakes.authority import Authority, Identity
from tests.fakes.facts import envelope, message
from tests.fakes.published import access
from tests.fakes.revocation import make_answer, make_crl
from tests.unit.decision.test_facts import ANN, BOB, CARL, CandidateRow, Database, SettingRow

NOW = datetime.now(UTC).timestamp()


class Scene:
    """Ann writes to Bob; both have a certificate of one authority."""

    def __init__(self) -> None:
        self.authority = Authority.create()
        self.store = Store()
        self.database = Database()
        self.database.anchors = [(self.authority.der, True)]
        self.ann, self.bob = self.authority.issue(ANN, "p256"), self.authority.issue(BOB, "p256")
        self.keep(ANN, self.ann, key=True)
        self.keep(BOB, self.bob)
        hand = AtHand(self.store.crls, self.store.ocsp_answers, self.store.pack)
        reads = self.database.reads()
        self.gatherer = Gatherer(type(reads)(**{**_fields(reads), "at_hand": hand}))

    def keep(self, address: str, who: Identity, *, key: bool = False) -> None:
        self.database.certificates.append(CandidateRow(address, uuid4(), who.der, uuid4() if key else None))

    def set(self, address: str, value: str) -> None:
        self.database.settings.append(SettingRow(address, "smime_revocation", value, "user", address))

    def publish(self, *revoked: Identity, number: int = 1, **more: Any) -> None:
        serials = dict.fromkeys(each.certificate.serial_number for each in revoked)
        self.store.add(self.authority, make_crl(self.authority, serials, number=number, **more))

    def facts(self, *to: str, revision: int = 1, now: float | None = None) -> Facts:
        at = now or NOW
        those = to or (BOB,)
        asked = self.gatherer.gather(envelope(ANN, those), those, message(those), Queued(at, at), revision)
        return asyncio.run(asked)

    def why(self, facts: Facts) -> str:
        return "\n".join(render(decide(envelope(ANN, [BOB]), Opened(), Findings(), facts).trace))


def _fields(reads: Any) -> dict[str, Any]:
    return {name: getattr(reads, name) for name in reads.__dataclass_fields__}


@pytest.fixture(autouse=True)
def _this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long run the file was read long ago, and lists and answers made now would be of the future."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC).timestamp())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def reasons(facts: Facts, to: str = BOB) -> tuple[tuple[Reason, ...], ...]:
    return tuple(each.reasons for each in facts.recipients[to].personal.rejected)


@pytest.mark.req("C1", "C2")
def test_a_list_that_comes_acts_on_the_next_message(scene: Scene) -> None:
    scene.publish()
    found = scene.facts()
    assert found.recipients[BOB].personal.chosen
    assert found.recipients[BOB].personal.unsure == ()
    assert found.sender.signers.chosen
    scene.publish(scene.ann, scene.bob, number=2)
    later = scene.facts(revision=2, now=NOW + 1)
    assert reasons(later) == ((Reason.REVOKED,),)
    assert later.sender.signers.rejected[0].reasons == (Reason.REVOKED,)
    assert scene.why(later).count("revoked on 20") == 2
    assert "by the CRL of CN=" in scene.why(later)


@pytest.mark.req("C1", "C2")
def test_what_is_not_known_is_accepted_and_told_or_refused(scene: Scene) -> None:
    soft = scene.facts()
    assert len(soft.recipients[BOB].personal.unsure) == 1
    assert scene.why(soft).count("not known whether revoked: ") == 2
    scene.set(BOB, "hard")
    hard = scene.facts(revision=2)
    assert reasons(hard) == ((Reason.REVOCATION_UNKNOWN,),)
    assert hard.sender.signers.chosen, "the sender's own setting is soft"
    assert "refused, because smime_revocation = hard" in scene.why(hard)
    scene.publish()
    assert scene.facts(revision=3).recipients[BOB].personal.chosen


@pytest.mark.req("C1", "A3")
def test_the_stricter_side_wins_and_one_recipient_does_not_bind_another(scene: Scene) -> None:
    scene.keep(CARL, scene.authority.issue(CARL, "p256"))
    scene.set(CARL, "hard")
    found = scene.facts(BOB, CARL)
    assert found.recipients[BOB].personal.chosen
    assert not found.recipients[CARL].personal.chosen
    scene.set(ANN, "hard")
    scene.set(BOB, "none")
    found = scene.facts(BOB, CARL, revision=2)
    assert not found.recipients[BOB].personal.chosen
    assert not found.sender.signers.chosen


@pytest.mark.req("C1")
def test_none_does_not_ask(scene: Scene) -> None:
    scene.publish(scene.ann, scene.bob)
    for address in (ANN, BOB):
        scene.set(address, "none")
    found = scene.facts()
    assert found.recipients[BOB].personal.chosen
    assert found.sender.signers.chosen
    assert scene.store.asked == []


@pytest.mark.req("C2")
def test_facts_end_with_the_list_they_rest_on(scene: Scene) -> None:
    scene.set(BOB, "hard")
    scene.publish(lasts=timedelta(minutes=3))  # made a minute ago
    assert scene.facts().recipients[BOB].personal.chosen
    assert scene.facts(now=NOW + 100).recipients[BOB].personal.chosen
    assert reasons(scene.facts(now=NOW + 130)) == ((Reason.REVOCATION_UNKNOWN,),)
    assert "ended on 20" in scene.why(scene.facts(now=NOW + 130))


@pytest.mark.req("C4")
def test_an_ocsp_answer_acts_within_a_minute(scene: Scene) -> None:
    """No new revision tells of it: facts that rest on one are made anew after ANSWERED_FOR."""
    who = scene.authority.issue(CARL, "p256", extensions=[access(ocsp_at="http://ocsp.example.org/")])
    scene.keep(CARL, who)
    scene.set(CARL, "hard")
    scene.store.answer(who, scene.authority, make_answer(who, scene.authority))
    assert scene.facts(CARL).recipients[CARL].personal.chosen
    answer = make_answer(who, scene.authority, status=OCSPCertStatus.REVOKED)
    scene.store.answer(who, scene.authority, answer)
    assert scene.facts(CARL, now=NOW + ANSWERED_FOR - 1).recipients[CARL].personal.chosen
    assert reasons(scene.facts(CARL, now=NOW + ANSWERED_FOR), CARL) == ((Reason.REVOKED,),)


@pytest.mark.req("C4")
def test_a_first_answer_acts_within_a_minute_too(scene: Scene) -> None:
    """Another process may have asked for it: nothing tells this one."""
    who = scene.authority.issue(CARL, "p256", extensions=[access(ocsp_at="http://ocsp.example.org/")])
    scene.keep(CARL, who)
    assert scene.facts(CARL).recipients[CARL].personal.unsure
    answer = make_answer(who, scene.authority, status=OCSPCertStatus.REVOKED)
    scene.store.answer(who, scene.authority, answer)
    assert reasons(scene.facts(CARL, now=NOW + ANSWERED_FOR), CARL) == ((Reason.REVOKED,),)


@pytest.mark.req("C1")
def test_signatures_are_judged_by_the_strictest_of_the_recipients(scene: Scene) -> None:
    def mode(*to: str, revision: int = 1) -> str:
        return asyncio.run(scene.gatherer.revocation(CARL, to, revision))

    assert mode(ANN, BOB) == "soft"
    scene.set(ANN, "hard")
    scene.set(BOB, "none")
    assert (mode(ANN, BOB, revision=2), mode(BOB, revision=2), mode(ANN, revision=2)) == ("hard", "soft", "hard")
    scene.set(CARL, "none")
    assert mode(BOB, revision=3) == "none"
