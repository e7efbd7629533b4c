"""Under the profile fips: what is not approved is neither written nor read; every algorithm in our tables has its row."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from letterlock.asn1 import der
from letterlock.asn1.ber import single
from letterlock.config import approved
from letterlock.keyholder import signer
from letterlock.keyholder.errors import UseRefused
from letterlock.mail.message import Message
from letterlock.pki import bundle
from letterlock.pki.certificate import parse
from letterlock.pki.errors import CertificateError
from letterlock.pki.fitness import own_faults, path_faults
from letterlock.pki.reasons import Reason
from letterlock.smime import key_management, signatures
from letterlock.smime.algorithms import CIPHERS, DIGESTS, Algorithm, content_cipher, digest_of
from letterlock.smime.capabilities import EncryptionPolicy, class_of, group_recipients
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.errors import DecryptionFailed, Unsupported
from letterlock.smime.party import load_party
from letterlock.smime.peel import peel
from letterlock.smime.spool import MemorySpool
from letterlock.smime.verify import verify_detached
from tests.attacks.test_cms_limits import enveloped_data, password
from tests.fakes.authority import Authority, Identity
from tests.fakes.own_keys import Keys
from tests.fakes.people import TEXT, authority, encrypted, person, sign

ROWS = {(each.area, each.name): each for each in approved.TABLE}
ALICE, BOB = person("alice"), person("bob")


def _names(area: str) -> set[str]:
    return {name for where, name in ROWS if where == area}


@pytest.mark.req("M2")
def test_every_algorithm_of_ours_has_its_row() -> None:
    assert _names("content encryption") == set(CIPHERS)
    assert _names("digest") == set(DIGESTS)
    assert _names("key wrap") == {each.name for each in key_management.WRAPS.values()}
    assert _names("key encapsulation") == set(key_management.KEMS.values())
    assert _names("key agreement") == {*key_management.AGREEMENTS.values(), "x25519"}
    assert _names("curve") == set(key_management.AGREEMENTS)
    derivations = (*key_management.AGREEMENT_DERIVATIONS.values(), *key_management.KEM_DERIVATIONS.values())
    assert _names("key derivation") == {each.name for each in derivations}
    families = {each.rpartition("-")[0] if "sha" in each else each.partition("-")[0] for each in signatures.SIGNATURES}
    assert {each.replace("ml", "ml-dsa") if each == "ml" else each for each in families} | {"dsa"} == _names(
        "signature"
    )


@pytest.mark.req("M2")
def test_what_we_emit_for_ourselves_is_approved() -> None:
    """Nothing that is signed needs a look: every signature algorithm we write, and its digest, is in an approved row."""
    for name, algorithm in signatures.SIGNATURES.items():
        family = next(each for each in _names("signature") if name.startswith(each))
        assert ROWS["signature", family].approved
        assert ROWS["digest", algorithm.digest.name].approved


@pytest.mark.req("M2")
@pytest.mark.parametrize("name", CIPHERS)
def test_content_ciphers(name: str) -> None:
    cipher = CIPHERS[name]
    vector = der.octet_string(bytes(12 if cipher.mode == "gcm" else cipher.block_octets))
    parameters = vector
    if cipher.mode == "gcm":
        parameters = der.sequence(vector)
    elif name == "rc2-cbc":
        parameters = der.sequence(der.integer(58), vector)
    algorithm = Algorithm.read(single(der.sequence(cipher.oid, parameters)))
    assert content_cipher(algorithm)[0] is cipher
    with approved.keeping("fips"):
        if ROWS["content encryption", name].approved:
            assert content_cipher(algorithm)[0] is cipher
        else:
            with pytest.raises(Unsupported, match="not supported"):
                content_cipher(algorithm)


@pytest.mark.req("M2")
def test_sha1_in_signatures() -> None:
    with approved.keeping("fips"), pytest.raises(Unsupported):
        digest_of(Algorithm.read(single(DIGESTS["sha1"].identifier)))


def _opened(octets: bytes, *who: Identity) -> tuple[bool, str]:
    (layer,) = asyncio.run(peel(Message(octets), Keys(*who))).layers
    return layer.opened, layer.verdict


@pytest.mark.req("M2")
@pytest.mark.parametrize(
    ("transport", "expected"), [("pkcs1", (False, "unsupported")), ("oaep", (True, "ok"))]
)  # fmt: skip
def test_key_transport_is_read_by_oaep_only(transport: str, expected: tuple[bool, str]) -> None:
    octets = encrypted(TEXT, BOB, transport=transport)
    assert _opened(octets, BOB) == (True, "ok")
    with approved.keeping("fips"):
        assert _opened(octets, BOB) == expected


@pytest.mark.req("M2")
def test_key_transport_is_written_by_oaep_only() -> None:
    for transport in ("auto", "pkcs1", "oaep"):
        with approved.keeping("fips"):
            (group,) = group_recipients([load_party(BOB.der)], EncryptionPolicy(transport=transport))
            assert group.transport == "rsa-oaep-sha256"
            assert _opened(encrypted(TEXT, BOB, transport=transport), BOB) == (True, "ok")


@pytest.mark.req("M2")
def test_x25519_is_neither_chosen_nor_read() -> None:
    who = authority().issue("x@example.net", "x25519")
    octets = encrypted(TEXT, who)
    assert _opened(octets, who) == (True, "ok")
    assert own_faults(parse(who.der), "encrypt") == []
    with approved.keeping("fips"):
        assert _opened(octets, who) == (False, "unsupported")
        assert Reason.UNSUPPORTED_KEY in own_faults(parse(who.der), "encrypt")
        with pytest.raises(Unsupported):
            class_of([load_party(who.der)], EncryptionPolicy())


@pytest.mark.req("M2")
@pytest.mark.parametrize("kind", ["p256", "p384", "ml-kem-768"])
def test_approved_families_go_on(kind: str) -> None:
    who = authority().issue("x@example.net", kind)  # type: ignore[arg-type]
    with approved.keeping("fips"):
        assert own_faults(parse(who.der), "encrypt") == []
        assert _opened(encrypted(TEXT, who), who) == (True, "ok")


@pytest.mark.req("M2")
def test_other_curves() -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    who = authority().issue("k@example.net", key)
    signed = der.set_of(der.octet_string(b"x"))
    signature = key.sign(signed, ec.ECDSA(SHA256()))
    algorithm = Algorithm.read(single(signatures.SIGNATURES["ecdsa-sha256"].identifier))

    def check() -> str:
        return signatures.check_signature(
            key.public_key(), algorithm, DIGESTS["sha256"], signed, signature, prehashed=False
        )

    assert check() == "ecdsa-sha256"
    with approved.keeping("fips"):
        with pytest.raises(Unsupported):
            check()
        assert Reason.UNSUPPORTED_KEY in own_faults(parse(who.der), "sign")
        above = parse(who.der)
        assert Reason.UNSUPPORTED_KEY in path_faults((parse(BOB.der), above), "sign")


@pytest.mark.req("M2")
def test_signatures_of_ours_are_verified() -> None:
    with approved.keeping("fips"):
        for who, algorithm in ((ALICE, ""), (ALICE, "rsa-pss-sha256"), (person("carl", "p256"), "")):
            assert verify_detached([sign([TEXT], who, algorithm=algorithm)[0]], TEXT)
        ed25519 = Authority.create().issue("e@example.net", "ed25519")
        assert verify_detached([sign([TEXT], ed25519)[0]], TEXT)


@pytest.mark.req("M2")
def test_files_with_keys() -> None:
    who = person("dora", "p256")
    sealed, plain = who.p12("secret"), who.pem + who.key_pem
    found = bundle.read(plain)
    with approved.keeping("fips"):
        key = found.keys[0].pkcs8
        for refused in (
            lambda: bundle.read(sealed, "secret"),
            lambda: bundle.to_p12(key, found.certificates[0], (), "x"),
        ):
            with pytest.raises(CertificateError, match="crypto_profile is fips"):
                refused()
        assert bundle.read(plain).keys
        assert bundle.read(who.sealed_pem("secret"), "secret").keys
        other = authority().issue("x@example.net", "x25519")
        with pytest.raises(CertificateError, match="X25519"):
            bundle.read(other.pem + other.key_pem)


@pytest.mark.req("M2")
def test_the_keyholder_refuses_by_itself() -> None:
    """Whatever process asks: the signer knows the profile too."""
    key = rsa.generate_private_key(65537, 2048)
    wrapped = key.public_key().encrypt(bytes(16), padding.PKCS1v15())
    bench = signer.Bench()
    bench._keys[b"k"] = key

    def ask(operation: str, algorithm: str) -> signer.Outcome:
        outcome = bench.obey(signer.Task(1, operation, b"k", algorithm, wrapped, 16))
        assert outcome is not None
        return outcome

    assert ask("unwrap", "rsa-pkcs1").octets == bytes(16)
    with approved.keeping("fips"):
        assert "crypto_profile is fips" in ask("unwrap", "rsa-pkcs1").refusal
        assert "sha1" in ask("unwrap", "rsa-oaep-sha1-sha1").refusal
        assert not ask("unwrap", "rsa-oaep-sha256-sha256").refusal
        assert "x25519" in ask("agree", "x25519").refusal
        assert "PKCS#12" in ask("pack", "").refusal
        with pytest.raises(UseRefused, match="x25519"):
            signer.inspect(authority().issue("y@example.net", "x25519").pkcs8)


@pytest.mark.req("M2")
def test_passwords_do_not_open_cms() -> None:
    octets = enveloped_data(password(1))

    def opened() -> None:
        asyncio.run(Enveloped(lambda: (octets,)).open_with_password("x", MemorySpool()))

    with pytest.raises(DecryptionFailed):  # the password is wrong, but it is tried
        opened()
    with approved.keeping("fips"), pytest.raises(Unsupported):
        opened()
