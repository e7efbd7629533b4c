"""Capabilities learned and believed, classes made of them, and the floor that nothing falls below."""

from __future__ import annotations

import pytest

from letterlock.asn1 import der, oid
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.attributes import read_preference
from letterlock.smime.capabilities import (
    ANNOUNCED,
    EncryptionPolicy,
    class_of,
    family,
    group_recipients,
    read,
)
from letterlock.smime.errors import Unsupported
from letterlock.smime.party import RecipientId, load_party
from letterlock.smime.verify import examine_detached, verify_detached
from tests.fakes.authority import KeyKind
from tests.fakes.people import SIGNED_AT, person, sign

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
SERIAL = der.sequence(der.sequence(), der.integer(7))


@pytest.mark.req("B5", "B9", "B10")
def test_learned_from_a_verified_signature() -> None:
    alice = person("alice")
    (signer,) = verify_detached([sign([CONTENT], alice)[0]], CONTENT)
    assert signer.signed_at == SIGNED_AT
    assert signer.capabilities == read(ANNOUNCED) >= {"aes256-gcm", "rsa-oaep"}
    party = load_party(alice.der, signer.capabilities)
    (group,) = group_recipients([party])
    assert (group.cipher.name, group.transport) == ("aes256-gcm", "rsa-oaep-sha256")


@pytest.mark.req("B5")
def test_the_certificate_to_be_answered_with_is_under_the_signature() -> None:
    alice, reader = person("alice"), person("alice", "p256")
    wanted = load_party(reader.der).certificate
    signed, _ = sign([CONTENT], alice, preferred=wanted)
    (signer,) = verify_detached([signed], CONTENT)
    assert signer.preferred is not None
    assert signer.preferred.names(wanted)
    assert not signer.preferred.names(load_party(alice.der).certificate)
    assert wanted.der in read_signers_certificates(signed)
    (plain,) = verify_detached([sign([CONTENT], alice)[0]], CONTENT)
    assert plain.preferred is None


def read_signers_certificates(signed: bytes) -> tuple[bytes, ...]:
    """The certificates in a detached SignedData."""
    return examine_detached([signed], CONTENT).certificates


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (der.retag(0xA0, SERIAL), RecipientId(issuer_serial=SERIAL)),
        (der.retag(0xA1, der.sequence(der.octet_string(b"key"))), RecipientId(key_identifier=b"key")),
        (der.implicit(2, b"key"), RecipientId(key_identifier=b"key")),
        (der.implicit(3, b"key"), None),
        (der.sequence(), None),
        (b"\xa1\x00", None),
        (b"\xa1\x05\x04\x09", None),
        (b"", None),
    ],
)
def test_every_form_of_a_preference_is_read_and_a_damaged_one_is_none(value: bytes, named: RecipientId | None) -> None:
    assert read_preference(value) == named


def announced(*names: str) -> bytes:
    """SMIMECapabilities with these ciphers."""
    return der.sequence(*(der.sequence(CIPHERS[name].oid) for name in names))


@pytest.mark.req("B8", "B9")
@pytest.mark.parametrize(
    ("names", "policy", "cipher"),
    [
        ((), {}, "aes256-cbc"),
        (("3des-cbc",), {}, "aes256-cbc"),
        (("aes128-cbc", "3des-cbc"), {}, "aes128-cbc"),
        (("aes128-cbc", "aes256-cbc"), {}, "aes256-cbc"),
        (("aes128-gcm", "aes128-cbc"), {}, "aes128-gcm"),
        (("aes128-gcm", "aes256-cbc"), {}, "aes256-cbc"),
        (("aes256-cbc", "aes256-gcm"), {}, "aes256-gcm"),
        (("aes128-cbc",), {"least_key_octets": 32}, "aes256-cbc"),
        (("aes128-gcm",), {"least_key_octets": 32}, "aes256-cbc"),
        (("aes128-gcm",), {"authenticated": True}, "aes128-gcm"),
        (("aes256-cbc",), {"authenticated": True}, "aes256-gcm"),
        ((), {"least_key_octets": 32, "authenticated": True}, "aes256-gcm"),
    ],
)
def test_the_best_that_is_announced_and_never_below_the_floor(
    names: tuple[str, ...], policy: dict[str, object], cipher: str
) -> None:
    party = load_party(person("bob").der, read(announced(*names)))
    assert class_of([party], EncryptionPolicy(**policy)).cipher.name == cipher  # type: ignore[arg-type]  # a table


def test_what_is_asked_for_below_the_floor_is_refused() -> None:
    for policy in (
        EncryptionPolicy("aes128-cbc", least_key_octets=32),
        EncryptionPolicy("aes256-cbc", authenticated=True),
    ):
        with pytest.raises(Unsupported):
            class_of([load_party(person("bob").der)], policy)


@pytest.mark.req("B4", "B11", "B12")
def test_families_never_share_a_message() -> None:
    keys: tuple[KeyKind, ...] = ("rsa2048", "p256", "x25519", "ml-kem-768", "ml-kem-1024", "p384")
    parties = [load_party(person(f"reader-{key}", key).der) for key in keys]
    groups = group_recipients(parties)
    assert [sorted(each.kind for each in group.parties) for group in groups] == [
        ["rsa"], ["ec", "ec"], ["x25519"], ["ml-kem", "ml-kem"],
    ]  # fmt: skip
    with pytest.raises(Unsupported):
        class_of(parties, EncryptionPolicy())
    assert [family(each.certificate) for each in parties[:4]] == ["rsa", "ec", "x25519", "ml-kem"]


@pytest.mark.parametrize("key", ["ed25519", "ml-dsa-44"])
def test_nothing_is_encrypted_to_a_signing_key(key: KeyKind) -> None:
    with pytest.raises(Unsupported):
        family(load_party(person(f"signer-{key}", key).der).certificate)


def test_one_unknown_reader_decides_for_all() -> None:
    known = load_party(person("carol").der, read(ANNOUNCED))
    unknown = load_party(person("bob").der)
    found = class_of([known, unknown], EncryptionPolicy())
    assert (found.transport, found.cipher.name) == ("rsa-pkcs1", "aes256-cbc")
    assert oid.dotted(CIPHERS["aes256-cbc"].oid) == "2.16.840.1.101.3.4.1.42"
