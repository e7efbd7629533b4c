"""Verdicts are remembered, and only as long as they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from letterlock.pki import crl
from letterlock.pki import trust as trust_module
from letterlock.pki.certificate import parse
from letterlock.pki.chains import Path
from letterlock.pki.path import Shape
from letterlock.pki.reasons import Purpose, Reason
from letterlock.pki.revocation import Knowledge
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority
from tests.fakes.revocation import make_crl

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


def test_a_chain_is_put_to_openssl_once_whatever_is_learned(anchor: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    now = datetime.now(UTC)  # lists made now must not be of the future
    real = trust_module.shape
    monkeypatch.setattr(trust_module, "shape", lambda path, *more: (looked.append(path), real(path, *more))[1])
    end = now + timedelta(hours=2)
    person = parse(anchor.issue("a@example.org", "p256", not_after=end).der)
    first = Trust([parse(anchor.der)], revision=1)
    assert first.verdict(person, now, "sign").ok
    for revision in range(2, 5):  # a new revision, and lists that came
        trust = Trust([parse(anchor.der)], revision=revision, shapes=first.shapes)
        trust = trust.informed(Knowledge((crl.parse(make_crl(anchor, number=revision)),)))
        assert trust.verdict(person, now, "sign", (), "hard").ok
    assert len(looked) == 1
    assert first.verdict(person, end + timedelta(minutes=1), "sign").reasons == (Reason.EXPIRED,)
    assert len(looked) == 2
    first.verdict(person, now, "encrypt")
    assert len(looked) == 3


def test_what_a_child_said_is_not_kept_for_others(anchor: Authority) -> None:
    """One that was taken over lies about the message it was given, not about what is asked later."""
    stranger = Authority.create("Anchor").issue("a@example.org", "p256")  # only the name of its issuer is right

    async def lies(paths: Sequence[Path], _at: datetime, _purpose: Purpose) -> dict[Path, Shape]:
        return dict.fromkeys(paths, ((), ""))

    trust = Trust([parse(anchor.der)])
    assert asyncio.run(trust.verdict_apart(lies, parse(stranger.der), NOW, "sign")).ok
    later = Trust([parse(anchor.der)], revision=2, shapes=trust.shapes)
    assert not later.verdict(parse(stranger.der), NOW, "sign").ok


def test_an_informed_trust_is_made_once(anchor: Authority) -> None:
    trust, known = Trust([parse(anchor.der)]), Knowledge((crl.parse(make_crl(anchor)),))
    informed = trust.informed(known)
    assert trust.informed(known) is informed
    assert trust.informed(Knowledge(known.crls)) is informed
    assert informed.informed(known) is informed
    assert trust.informed(Knowledge()) is trust
    assert trust.informed(known.hearing(())) is trust.informed(known)
