"""Verdicts are remembered, and only as long as they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from letterlock.pki import trust as trust_module
from letterlock.pki.certificate import parse
from letterlock.pki.reasons import Reason
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each validation that was not answered from memory."""
    count: list[int] = []
    real = trust_module.validate

    def counted(*given: object) -> object:
        count.append(1)
        return real(*given)

    monkeypatch.setattr(trust_module, "validate", counted)
    return count


def test_rows_and_revision(anchor: Authority) -> None:
    issuing = anchor.intermediate()
    trust = Trust.of_rows([(anchor.der, True), (issuing.der, False), (b"rubbish", True)], revision=7)
    assert trust.revision == 7
    assert trust.verdict(parse(issuing.issue("a@example.org", "p256").der), NOW, "sign").ok


def test_a_verdict_is_remembered(anchor: Authority, asked: list[int]) -> None:
    trust = Trust([parse(anchor.der)])
    person = parse(anchor.issue("a@example.org", "p256").der)
    assert trust.verdict(person, NOW, "sign") is trust.verdict(person, NOW, "sign")
    assert len(asked) == 1
    trust.verdict(person, NOW, "encrypt")
    assert len(asked) == 2


def test_expiry_within_the_hour_is_seen(anchor: Authority, asked: list[int]) -> None:
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    end = hour + timedelta(minutes=30)
    person = parse(anchor.issue("a@example.org", "p256", not_before=hour, not_after=end).der)
    trust = Trust([parse(anchor.der)])
    assert trust.verdict(person, end - timedelta(seconds=1), "sign").ok
    assert trust.verdict(person, end + timedelta(seconds=1), "sign").reasons == (Reason.EXPIRED,)
    assert trust.verdict(person, end - timedelta(seconds=1), "sign").ok


def test_issuer_that_begins_within_the_hour_is_seen(anchor: Authority) -> None:
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    begin = hour + timedelta(minutes=30)
    issuing = anchor.intermediate("Soon", not_before=begin)
    person = parse(issuing.issue("a@example.org", "p256", not_before=hour).der)
    trust = Trust([parse(anchor.der)], [parse(issuing.der)])
    assert trust.verdict(person, begin - timedelta(seconds=1), "sign").reasons == (Reason.ISSUER_NOT_VALID,)
    assert trust.verdict(person, begin + timedelta(seconds=1), "sign").ok


def test_brought_intermediates_help_but_are_not_kept(anchor: Authority) -> None:
    issuing = anchor.intermediate()
    person = parse(issuing.issue("a@example.org", "p256").der)
    trust = Trust([parse(anchor.der)])
    assert trust.verdict(person, NOW, "sign", [parse(issuing.der)]).ok
    assert trust.verdict(person, NOW, "sign").reasons == (Reason.UNTRUSTED,)


def test_a_brought_anchor_is_no_anchor() -> None:
    own = Authority.create("Mine")
    person = parse(own.issue("a@example.org", "p256").der)
    assert Trust([]).verdict(person, NOW, "sign", [parse(own.der)]).reasons == (Reason.UNTRUSTED,)


def test_brought_namesakes_do_not_crowd_out_our_own(anchor: Authority) -> None:
    issuing = anchor.intermediate("Issuing")
    person = parse(issuing.issue("a@example.org", "p256").der)
    trust = Trust([parse(anchor.der)], [parse(issuing.der)])
    noise = [parse(anchor.intermediate("Issuing").der) for _ in range(60)]
    assert trust.verdict(person, NOW, "sign", noise).ok


def test_memory_is_bounded(anchor: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_module, "MAX_REMEMBERED", 3)
    trust = Trust([parse(anchor.der)])
    person = parse(anchor.issue("a@example.org", "p256").der)
    for hours in range(10):
        trust.verdict(person, NOW + timedelta(hours=hours), "sign")
    assert len(trust._remembered) <= 3
