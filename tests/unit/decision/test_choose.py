"""What S/MIME a recipient can read: one family of keys, the best that all certificates announce, never below the floor."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509

from letterlock.asn1 import oid
from letterlock.decision import outgoing
from letterlock.decision.choose import Protection, protection, signing_algorithm, usable
from letterlock.decision.known import Findings, Opened
from letterlock.pki.certificate import parse
from letterlock.pki.select import Candidate, Selection
from letterlock.smime.capabilities import ANNOUNCED
from tests.fakes.authority import Authority, KeyKind
from tests.fakes.facts import candidate, envelope, facts, recipient, sender

ANCHOR = Authority.create()
BOB, CARL, EVE, ESCROW = (f"{name}@partner.example" for name in ("bob", "carl", "eve", "escrow"))


def announcing(address: str, key: KeyKind = "rsa2048") -> Candidate:
    """A certificate that announces all we can write (RFC 4262)."""
    value = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid.dotted(oid.SMIME_CAPABILITIES)), ANNOUNCED)
    return Candidate(uuid4(), parse(ANCHOR.issue(address, key, extensions=[(value, False)]).der))


def protected(*own: Candidate, additional: tuple[Candidate, ...] = (), **values: Any) -> Protection:
    """The protection under these settings of the recipient."""
    return protection(own, additional, recipient(BOB, sender(), **values).terms)


@pytest.mark.req("B8", "B9", "B10")
def test_unknown_is_what_everybody_reads() -> None:
    found = protected(candidate(BOB))
    assert (found.transport, found.cipher) == ("rsa-pkcs1", "aes256-cbc")
    announced = protected(announcing(BOB))
    assert (announced.transport, announced.cipher) == ("rsa-oaep-sha256", "aes256-gcm")
    both = protected(announcing(BOB), candidate(BOB))
    assert (both.transport, both.cipher) == ("rsa-pkcs1", "aes256-cbc")
    for escrow, expected in ((announcing(ESCROW), "aes256-gcm"), (candidate(ESCROW), "aes256-cbc")):
        assert protected(announcing(BOB), additional=(escrow,)).cipher == expected


@pytest.mark.req("B5", "B9", "B10")
def test_what_was_learned_from_a_signature_counts() -> None:
    learned = candidate(BOB)._replace(capabilities=frozenset({"aes256-gcm", "rsa-oaep"}))
    assert protected(learned)[3:] == ("rsa-oaep-sha256", "aes256-gcm")
    assert protected(learned, candidate(BOB, number=1))[3:] == ("rsa-pkcs1", "aes256-cbc")
    taken_back = announcing(BOB)._replace(capabilities=frozenset({"aes128-cbc"}))  # newer than the certificate
    assert protected(taken_back)[3:] == ("rsa-pkcs1", "aes128-cbc")
    assert protected(taken_back, smime_encryption_floor="aes256").cipher == "aes256-cbc"


@pytest.mark.req("B10")
def test_settings_name_the_key_transport_and_the_signature() -> None:
    assert protected(candidate(BOB), smime_key_transport="oaep").transport == "rsa-oaep-sha256"
    assert protected(announcing(BOB), smime_key_transport="pkcs1").transport == "rsa-pkcs1"
    assert protected(candidate(BOB, kind="ec"), smime_key_transport="oaep").transport == "ecdh"
    for asked, kind, expected in (
        ("auto", "rsa", ""),
        ("rsa-pss-sha384", "rsa", "rsa-pss-sha384"),
        ("rsa-pkcs1-sha512", "rsa", "rsa-pkcs1-sha512"),
        ("rsa-pss-sha256", "ec", ""),
    ):
        settings = sender(smime_signing_alg=asked).settings
        assert signing_algorithm(candidate(BOB, kind=kind), settings) == expected


@pytest.mark.req("B5")
def test_the_preferred_certificate_decides_on_the_family() -> None:
    rsa, ec = candidate(BOB), candidate(BOB, kind="ec")._replace(preferred=True)
    assert protected(rsa, ec).transport == "ecdh"
    # but never without the additional certificate that can only be in the other one
    assert protected(rsa, ec, additional=(candidate(ESCROW),)).transport == "rsa-pkcs1"


@pytest.mark.req("B11", "B12")
@pytest.mark.parametrize(
    ("kind", "transport"), [("rsa", "rsa-pkcs1"), ("ec", "ecdh"), ("x25519", "x25519"), ("ml-kem", "ml-kem")]
)
def test_each_family(kind: str, transport: str) -> None:
    assert protected(candidate(BOB, kind=kind)).transport == transport


@pytest.mark.req("B4")
def test_a_recipient_of_several_families_gets_the_one_more_programs_know() -> None:
    found = protected(candidate(BOB, kind="ec"), candidate(BOB, number=1), candidate(BOB, kind="ml-kem"))
    assert found.certificates == (candidate(BOB, number=1),)


@pytest.mark.req("B7")
def test_additional_certificates_are_of_the_same_family() -> None:
    rsa, ec = candidate(ESCROW), candidate(ESCROW, kind="ec")
    found = protected(candidate(BOB, kind="ec"), additional=(rsa, ec))
    assert (found.additional, found.apart) == ((ec,), ())
    alone = protected(candidate(BOB, kind="ec"), additional=(rsa,))
    assert (alone.additional, alone.apart) == ((), (rsa,))
    # of several families, the one in which the additional certificate can be there too
    chosen = protected(candidate(BOB), candidate(BOB, kind="ec"), additional=(ec,))
    assert (chosen.transport, chosen.additional, chosen.apart) == ("ecdh", (ec,), ())


@pytest.mark.req("B8")
@pytest.mark.parametrize(
    ("values", "cipher"),
    [
        ({}, "aes256-cbc"),
        ({"smime_encryption_alg": "aes128-cbc"}, "aes128-cbc"),
        ({"smime_encryption_alg": "aes128-cbc", "smime_encryption_floor": "aes256"}, "aes256-cbc"),
        ({"smime_encryption_alg": "aes256-cbc", "smime_encryption_floor": "aes256"}, "aes256-cbc"),
        ({"smime_encryption_alg": "aes256-cbc", "smime_encryption_floor": "aes256-gcm"}, "aes256-gcm"),
        ({"smime_encryption_alg": "aes128-gcm", "smime_encryption_floor": "aes256-gcm"}, "aes256-gcm"),
        ({"smime_encryption_floor": "aes256-gcm"}, "aes256-gcm"),
    ],
)
def test_the_floor(values: dict[str, str], cipher: str) -> None:
    assert protected(candidate(BOB), **values).cipher == cipher


def test_the_stricter_floor_of_both_sides() -> None:
    by = sender(smime_encryption_floor="aes256-gcm")
    terms = recipient(BOB, by, smime_encryption_floor="aes256").terms
    assert protection((candidate(BOB),), (), terms).cipher == "aes256-gcm"


@pytest.mark.parametrize("kind", ["ed25519", "rsa-pss", "x448", "dsa", "other", "ml-dsa"])
def test_keys_nothing_can_be_encrypted_to(kind: str) -> None:
    assert not usable([candidate(BOB, kind=kind)])
    by = sender()
    personal = Selection((candidate(BOB, kind=kind),), ())
    given = facts(by, [recipient(BOB, by, personal=personal, encrypt_mode="mandatory")])
    plan = outgoing.decide(envelope(by, [BOB]), Opened(), Findings(), given)
    assert not plan.deliveries
    assert plan.holds[0].reason == "no-method"


@pytest.mark.req("B4", "B11", "B12")
def test_who_cannot_share_a_message_gets_one_of_his_own() -> None:
    """RSA, elliptic curve, ML-KEM, and RSA that reads more: four classes, four deliveries, and nobody is left out."""
    by = sender()
    people = {
        BOB: candidate(BOB),
        CARL: candidate(CARL, kind="ec"),
        EVE: candidate(EVE, kind="ml-kem"),
        "dora@partner.example": announcing("dora@partner.example"),
        "fay@partner.example": candidate("fay@partner.example"),
    }
    to = [recipient(each, by, personal=Selection((one,), ()), encrypt_mode="mandatory") for each, one in people.items()]
    plan = outgoing.decide(envelope(by, people), Opened(), Findings(), facts(by, to))
    assert [(each.recipients, each.transport, each.cipher) for each in plan.deliveries] == [
        ((BOB, "fay@partner.example"), "rsa-pkcs1", "aes256-cbc"),
        ((CARL,), "ecdh", "aes256-cbc"),
        ((EVE,), "ml-kem", "aes256-cbc"),
        (("dora@partner.example",), "rsa-oaep-sha256", "aes256-gcm"),
    ]
    assert all(len({one.certificate.key_kind for one in each.certificates}) == 1 for each in plan.deliveries)


def test_the_trace_says_who_is_left_out() -> None:
    by = sender()
    escrow = Selection((candidate(ESCROW),), ())
    to = recipient(BOB, by, personal=Selection((candidate(BOB, kind="ec"),), ()), additional=escrow)
    plan = outgoing.decide(envelope(by, [BOB]), Opened(), Findings(), facts(by, [to]))
    (step,) = [each for each in plan.trace.steps if each.what == "apart"]
    assert step.digests == (candidate(ESCROW).certificate.thumbprint.hex(),)
