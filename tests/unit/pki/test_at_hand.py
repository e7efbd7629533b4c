"""What a process has at hand of revocation: read once, again when the store has grown, and never without bound."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.x509.ocsp import OCSPCertStatus

from letterlock.confine.errors import ChildEnded
from letterlock.pki import at_hand
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.reasons import Reason
from letterlock.pki.trust import Trust
from tests.fakes.at_hand import World
from tests.fakes.authority import Authority
from tests.fakes.published import access
from tests.fakes.revocation import make_answer, make_crl, make_large_crl


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.req("C2")
def test_lists_are_read_once_and_again_when_the_store_has_grown(world: World) -> None:
    assert world.reasons(world.inform()) == (Reason.REVOCATION_UNKNOWN,)
    world.store.add(world.anchor, make_crl(world.anchor))
    assert world.reasons(world.inform()) == (Reason.REVOCATION_UNKNOWN,), "nobody has said that there is more"
    first = world.inform(revision=2)
    assert world.reasons(first) == ()
    assert world.inform(revision=2).trust is first.trust, "verdicts stay remembered"
    world.store.asked.clear()
    world.store.add(world.anchor, make_crl(world.anchor, {world.person.certificate.serial_number: None}, number=2))
    later = world.inform(revision=3)
    assert world.store.asked == ["crls"]
    assert world.reasons(later) == (Reason.REVOKED,)
    world.inform(revision=3)
    assert world.store.asked == ["crls"]


@pytest.mark.req("C2")
def test_an_issuer_that_nobody_trusts_is_not_asked_about(world: World) -> None:
    world.inform(Authority.create("Nobody's").issue("x@example.org", "p256"))
    assert world.store.asked == []


@pytest.mark.req("C2")
def test_a_long_list_is_packed_once_and_many_come_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_hand, "LONG", 2000)
    serial = world.person.certificate.serial_number
    for number in range(3):
        world.store.add(world.anchor, make_large_crl(world.anchor, [serial, *range(number * 1000, number * 1000 + 99)]))
    assert world.reasons(world.inform()) == (Reason.REVOKED,)
    assert world.store.packs == 3
    for revision in (2, 3):
        assert world.reasons(world.inform(revision=revision)) == (Reason.REVOKED,)
    assert world.store.packs == 3


@pytest.mark.req("C2")
def test_a_list_that_cannot_be_read_is_left_out_and_tried_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_hand, "LONG", 0)
    world.store.add(world.anchor, make_crl(world.anchor))
    whole = world.hand._pack

    async def dies(_: bytes) -> bytes:
        raise ChildEnded

    world.hand._pack = dies
    assert world.reasons(world.inform()) == (Reason.REVOCATION_UNKNOWN,)
    world.hand._pack = whole
    assert world.reasons(world.inform(later=1)) == (Reason.REVOCATION_UNKNOWN,)
    assert world.reasons(world.inform(later=at_hand.AGAIN_AFTER)) == ()


@pytest.mark.req("C2")
def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Authority.create("Other")
    world.trust = Trust([parse(world.anchor.der), parse(other.der)], revision=1)
    monkeypatch.setattr(at_hand, "MOST_OCTETS", 10)
    for each in (world.anchor, other):
        world.store.add(each, make_crl(each))
    stranger = other.issue("b@example.org", "p256")
    assert world.reasons(world.inform()) == ()
    assert world.reasons(world.inform(stranger), stranger) == ()
    assert world.reasons(world.inform(stranger)) == (Reason.REVOCATION_UNKNOWN,), "it made room for the other"
    assert world.reasons(world.inform()) == (), "and is read again when it is asked for"


@pytest.mark.req("C4")
def test_an_ocsp_answer_is_read_again_after_a_minute(world: World) -> None:
    who = world.anchor.issue("o@example.org", "p256", extensions=[access(ocsp_at="http://ocsp.example.org/")])
    first = world.inform(who)
    assert (world.reasons(first, who), first.until) == ((Reason.REVOCATION_UNKNOWN,), world.now + at_hand.ANSWERED_FOR)
    assert world.inform().until == float("inf"), "nobody answers about that one"
    world.store.answer(who, world.anchor, make_answer(who, world.anchor))
    found = world.inform(who, later=1)
    assert (world.reasons(found, who), found.until) == ((), world.now + 1 + at_hand.ANSWERED_FOR)
    world.store.answer(who, world.anchor, make_answer(who, world.anchor, status=OCSPCertStatus.REVOKED))
    assert world.reasons(world.inform(who, later=2), who) == ()
    assert world.reasons(world.inform(who, later=1 + at_hand.ANSWERED_FOR), who) == (Reason.REVOKED,)


@pytest.mark.req("C2")
def test_many_at_once_read_once(world: World) -> None:
    world.store.add(world.anchor, make_crl(world.anchor))
    about: list[Certificate] = [parse(world.person.der)]

    async def batch() -> None:
        await asyncio.gather(*(world.hand.inform(world.trust, about, world.now) for _ in range(20)))

    asyncio.run(batch())
    assert world.store.asked == ["crls"]


@pytest.mark.req("C4")
def test_an_answer_that_nobody_waits_for_is_not_asked_for_each_time(world: World) -> None:
    who = world.anchor.issue("o@example.org", "p256", extensions=[access(ocsp_at="http://ocsp.example.org/")])
    for later in (0, 1, 2):
        world.inform(who, later=later)
    assert world.store.asked.count("answers") == 3, "it may come, and somebody waits"
    world.store.add(world.anchor, make_crl(world.anchor))
    for later in (3, 4, 3 + at_hand.ANSWERED_FOR):
        world.inform(who, revision=2, later=later)
    assert world.store.asked.count("answers") == 5
