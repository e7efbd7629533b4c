"""Capabilities learned and believed, classes made of them, and the floor that nothing falls below."""

from __future__ import annotations

from datetime import timedelta

import pytest

from letterlock.asn1 import der, oid
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.capabilities import (
    ANNOUNCED,
    EncryptionPolicy,
    Learned,
    class_of,
    family,
    group_recipients,
    read,
)
from letterlock.smime.errors import Unsupported
from letterlock.smime.party import load_party
from letterlock.smime.verify import verify_detached
from tests.fakes.authority import KeyKind
from tests.fakes.people import SIGNED_AT, person, sign

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
NOW = SIGNED_AT + timedelta(days=1)


@pytest.mark.req("B5", "B9", "B10")
def test_learned_from_a_verified_signature() -> None:
    alice = person("alice")
    (signer,) = verify_detached([sign([CONTENT], alice)[0]], CONTENT)
    learned = signer.learned
    assert learned == Learned(read(ANNOUNCED), SIGNED_AT, load_party(alice.der).certificate.thumbprint)
    assert learned.names >= {"aes256-gcm", "rsa-oaep"}
    party = load_party(alice.der, learned.names)
    (group,) = group_recipients([party])
    assert (group.cipher.name, group.transport) == ("aes256-gcm", "rsa-oaep-sha256")


def test_the_newest_word_counts_and_none_from_the_future() -> None:
    first = Learned(frozenset({"aes256-cbc"}), SIGNED_AT, b"a")
    later = Learned(frozenset({"aes128-cbc"}), SIGNED_AT + timedelta(hours=1), b"a")
    assert first.supersedes(None, NOW)
    assert later.supersedes(first, NOW)
    assert not first.supersedes(later, NOW)
    assert not later.supersedes(later, NOW)
    assert not Learned(frozenset(), NOW + timedelta(seconds=1), b"a").supersedes(first, NOW)
    assert not Learned(frozenset(), NOW, b"b").supersedes(first, NOW)


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
