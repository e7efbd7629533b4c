"""Lists and answers of who has no say, put where a process reads what is at hand: they neither clear nor revoke anybody.

See also
    ``test_hostile_paths.py`` for the same rules one by one; docs/decisions for why lists are kept unjudged.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.ocsp import OCSPCertStatus
from cryptography.x509.oid import NameOID

from letterlock.pki import at_hand, crl, packed
from letterlock.pki.certificate import parse
from letterlock.pki.packed import Packed
from letterlock.pki.reasons import Reason
from tests.fakes.at_hand import World
from tests.fakes.authority import Authority, Identity
from tests.fakes.published import access
from tests.fakes.revocation import distribution_point, make_answer, make_crl, make_large_crl, odd_authority

UNKNOWN, REVOKED = (Reason.REVOCATION_UNKNOWN,), (Reason.REVOKED,)


@pytest.fixture(params=["short", "long"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """Lists as they come, or all of them packed as only long ones are."""
    if request.param == "long":
        monkeypatch.setattr(at_hand, "LONG", 0)
    return World()


def forgers(world: World) -> list[Authority | Identity]:
    """One of the authority's very name with another key; a person below the authority; the person himself."""
    return [Authority.create("Anchor"), world.anchor.issue("clerk@example.org", "p256"), world.person]


@pytest.mark.req("C1", "C2")
def test_a_list_by_another_revokes_nobody(world: World) -> None:
    serial = world.person.certificate.serial_number
    for each in forgers(world):
        world.store.add(world.anchor, make_crl(each, {serial: None}))
    informed = world.inform()
    assert world.reasons(informed, mode="soft") == ()
    assert world.reasons(informed, mode="hard") == UNKNOWN


@pytest.mark.req("C1", "C2")
def test_a_newer_list_by_another_clears_nobody(world: World) -> None:
    serial = world.person.certificate.serial_number
    world.store.add(world.anchor, make_crl(world.anchor, {serial: None}, at=datetime.now(UTC) - timedelta(minutes=5)))
    for number, each in enumerate(forgers(world), start=100):
        world.store.add(world.anchor, make_crl(each, number=number))
        world.store.add(
            world.anchor, make_crl(each, number=number, extensions=[distribution_point(uri="http://x/", indirect=True)])
        )
    assert world.reasons(world.inform(), mode="soft") == REVOKED


@pytest.mark.req("C2")
def test_a_list_is_not_changed_under_its_signature(world: World) -> None:
    serial = world.person.certificate.serial_number
    octets = make_large_crl(world.anchor, [serial, 5, 6])
    inner = serial.to_bytes(20, "big").lstrip(b"\0")
    assert octets.count(inner) == 1
    world.store.add(world.anchor, octets.replace(inner, inner[:-1] + bytes([inner[-1] ^ 1])))
    assert world.reasons(world.inform()) == UNKNOWN


@pytest.mark.req("C1", "C4")
def test_an_answer_by_another_neither_clears_nor_revokes(world: World) -> None:
    who = world.anchor.issue("o@example.org", "p256", extensions=[access(ocsp_at="http://ocsp.example.org/")])
    for forger in [*forgers(world), who]:
        for status in (OCSPCertStatus.GOOD, OCSPCertStatus.REVOKED):
            world.store.answer(who, world.anchor, make_answer(who, world.anchor, forger, status=status))
            informed = world.inform(who)
            assert world.reasons(informed, who, "soft") == ()
            assert world.reasons(informed, who, "hard") == UNKNOWN


@pytest.mark.req("C1", "C4")
def test_a_good_answer_by_another_does_not_save_the_revoked(world: World) -> None:
    who = world.anchor.issue("o@example.org", "p256", extensions=[access(ocsp_at="http://ocsp.example.org/")])
    world.store.add(world.anchor, make_crl(world.anchor, {who.certificate.serial_number: None}))
    for signer in (None, *forgers(world)):  # not even one by the authority itself: whoever says revoked wins
        world.store.answer(who, world.anchor, make_answer(who, world.anchor, signer))
        assert world.reasons(world.inform(who), who, "soft") == REVOKED


@pytest.mark.req("C2")
def test_entries_of_one_list_do_not_pass_for_those_of_another() -> None:
    """A child answers about the list it was given; what is kept is the list's own signature over the list's own octets."""
    anchor, forger = Authority.create("Anchor"), Authority.create("Anchor")
    clean, forged = make_crl(anchor), make_crl(forger, {7: None})
    made = crl.outline(forged, Packed.of(packed.pack(clean)))
    assert not crl.is_signed_by(made, parse(anchor.der))


@pytest.mark.req("C1", "C2")
@pytest.mark.slow
def test_a_hundred_certificates_that_a_message_brings_cost_little() -> None:
    """All of one name, each with a responder and hundreds of names of who else might issue lists."""
    world = World()
    names = [x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"x{n}")])) for n in range(60)]
    points = x509.CRLDistributionPoints([x509.DistributionPoint(None, None, None, names) for _ in range(20)])
    extensions = [access(ocsp_at="http://ocsp.example.org/"), (points, False)]
    brought = [parse(odd_authority("Anchor", None, extensions).der) for _ in range(100)]
    began = time.process_time()
    informed = asyncio.run(world.hand.inform(world.trust, [parse(world.person.der), *brought], world.now, brought))
    took = time.process_time() - began
    assert took < 0.25, took
    assert world.store.asked == ["crls", "answers"]
    assert world.reasons(informed, mode="soft") == ()
