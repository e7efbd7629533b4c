"""Signatures in their forms: several signers, content inside, certificates only; compression; the unkeyed types."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

import pytest
from asn1crypto import cms as oracle
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from letterlock.asn1 import der, oid
from letterlock.smime.algorithms import CIPHERS, DIGESTS, SHAKE256
from letterlock.smime.cms_write import SignedBy, certificates_only
from letterlock.smime.compress import compress
from letterlock.smime.decompress import decompress
from letterlock.smime.errors import BadSignature, DecryptionFailed, Malformed, Unsupported
from letterlock.smime.party import load_party
from letterlock.smime.sign import detached, opaque, prepare_signature
from letterlock.smime.signatures import SIGNATURES
from letterlock.smime.spool import MemorySpool
from letterlock.smime.unkeyed import read_data, read_digested, read_encrypted
from letterlock.smime.verify import examine_opaque, verify_detached, verify_opaque
from tests.fakes.authority import Identity, KeyKind
from tests.fakes.own_keys import KeyInMemory
from tests.fakes.people import SIGNED_AT, person

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n" * 50
RSA, ED, ML = person("alice"), person("signer-ed25519", "ed25519"), person("signer-ml-dsa-65", "ml-dsa-65")


def done(who: Identity, content: bytes = CONTENT) -> SignedBy:
    """One finished signer."""
    pending = prepare_signature([content], load_party(who.der), (), SIGNED_AT)
    return pending.signed(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))


def small(octets: bytes) -> Iterable[bytes]:
    """The octets in small pieces."""
    return (octets[at : at + 77] for at in range(0, len(octets), 77))


@pytest.mark.req("B1", "B3", "B11", "B12")
def test_several_signers() -> None:
    octets = detached([done(RSA), done(ED), done(ML)])
    signers = verify_detached([octets], CONTENT)
    assert {each.certificate.der for each in signers} == {each.der for each in (RSA, ED, ML)}
    two = detached([done(RSA), done(ED)])  # the oracle does not know ML-DSA
    assert oracle.ContentInfo.load(two, strict=True).dump(force=True) == two
    with pytest.raises(BadSignature):
        verify_detached([octets], CONTENT + b"x")


@pytest.mark.req("B14")
@pytest.mark.parametrize("people", [(RSA,), (RSA, ED), (ML,)])
def test_content_inside(people: tuple[Identity, ...]) -> None:
    octets = b"".join(opaque([CONTENT[:99], CONTENT[99:]], len(CONTENT), [done(each) for each in people]))
    found = MemorySpool()
    signers = verify_opaque(small(octets), found.write)
    assert found.octets() == CONTENT
    assert {each.certificate.der for each in signers} == {each.der for each in people}
    if ML not in people:
        info = oracle.ContentInfo.load(octets, strict=True)
        assert info.dump(force=True) == octets
        assert info["content"]["encap_content_info"]["content"].native == CONTENT


@pytest.mark.req("B14")
def test_content_inside_that_was_changed() -> None:
    octets = b"".join(opaque([CONTENT], len(CONTENT), [done(RSA)]))
    with pytest.raises(BadSignature):
        verify_opaque(small(octets.replace(b"Hello", b"hello", 1)), len)
    with pytest.raises(ValueError, match="announced"):
        list(opaque([CONTENT], len(CONTENT) + 1, [done(RSA)]))


def test_a_restricted_key_signs_only_its_way() -> None:
    for name in ("ml-dsa-44", "rsa-pkcs1-sha256"):
        with pytest.raises(Unsupported):
            prepare_signature([CONTENT], load_party(ML.der), algorithm=name)


@pytest.mark.req("B1")
def test_certificates_only() -> None:
    octets = certificates_only([RSA.der, ED.der])
    found = examine_opaque(small(octets), len)
    assert set(found.certificates) == {RSA.der, ED.der}
    assert found.outcomes == ()
    assert oracle.ContentInfo.load(octets, strict=True).dump(force=True) == octets


# ---- keys that hash inside: Ed25519 and ML-DSA


def by_hand(who: Identity, digest: str, *, bare: bool = False, inside: bool = False) -> bytes:
    """SignedData with that digest. ``bare``: no signed attributes, the content itself is signed."""
    party = load_party(who.der)
    algorithm = SIGNATURES[party.signature_algorithm]
    told = (DIGESTS | {"shake256": SHAKE256})[digest].identifier
    its = hashlib.shake_256(CONTENT).digest(64) if digest == "shake256" else hashlib.new(digest, CONTENT).digest()
    attributes = b"".join(
        der.sequence(kind, der.set_of(value))
        for kind, value in ((oid.CONTENT_TYPE, oid.DATA), (oid.MESSAGE_DIGEST, der.octet_string(its)))
    )
    signature = KeyInMemory(who).sign_now(CONTENT if bare else der.tlv(der.SET, attributes), algorithm.name)
    signer = der.sequence(
        der.integer(1),
        party.certificate.issuer_serial,
        told,
        b"" if bare else der.explicit(0, attributes),
        algorithm.identifier,
        der.octet_string(signature),
    )
    info = der.sequence(oid.DATA, der.explicit(0, der.octet_string(CONTENT)) if inside else b"")
    data = der.sequence(der.integer(1), der.set_of(told), info, der.explicit(0, who.der), der.set_of(signer))
    return der.sequence(oid.SIGNED_DATA, der.explicit(0, data))


@pytest.mark.req("B11", "B12")
@pytest.mark.parametrize(
    ("key", "digests"),
    [
        ("ed25519", ["sha512"]),  # RFC 8419 3.1
        ("ml-dsa-44", ["sha256", "sha384", "sha512", "shake256"]),  # RFC 9882 3.3, table 1
        ("ml-dsa-65", ["sha384", "sha512", "shake256"]),
        ("ml-dsa-87", ["sha512", "shake256"]),
    ],
)
def test_only_digests_that_are_as_strong_as_the_signature(key: KeyKind, digests: list[str]) -> None:
    who = person(f"signer-{key}", key)
    for digest in ("sha256", "sha384", "sha512", "shake256"):
        if digest in digests:
            assert verify_detached([by_hand(who, digest)], CONTENT)[0].digest == digest
        else:
            with pytest.raises(Unsupported):
                verify_detached([by_hand(who, digest)], CONTENT)


@pytest.mark.parametrize("who", [RSA, person("signer-p256", "p256")], ids=["rsa", "ecdsa"])
def test_shake_is_for_ml_dsa_alone(who: Identity) -> None:
    """RSA and ECDSA with SHAKE256 have identifiers of their own (RFC 8702 3.2); with those of SHA-2 it is nothing."""
    with pytest.raises(Unsupported):
        verify_detached([by_hand(who, "shake256")], CONTENT)


@pytest.mark.req("B11", "B12")
@pytest.mark.parametrize("who", [ED, ML], ids=["ed25519", "ml-dsa"])
def test_without_attributes_the_content_itself_is_signed(who: Identity) -> None:
    """RFC 8419 3.2, RFC 9882 3.2; where the content only streams by, it cannot be verified."""
    assert verify_detached([by_hand(who, "sha512", bare=True)], CONTENT)
    assert verify_detached([by_hand(who, "sha512", bare=True)], CONTENT.replace(b"\r\n", b"\n"))
    with pytest.raises(BadSignature):
        verify_detached([by_hand(who, "sha512", bare=True)], CONTENT + b"x")
    with pytest.raises(Unsupported):
        verify_opaque(small(by_hand(who, "sha512", bare=True, inside=True)), len)


@pytest.mark.parametrize("key", ["x25519", "ml-kem-768"])
def test_a_key_for_encryption_signs_nothing(key: KeyKind) -> None:
    with pytest.raises(Unsupported):
        assert load_party(person(f"reader-{key}", key).der).verifying


# ---- compressed


@pytest.mark.req("B14")
def test_compressed_and_inflated() -> None:
    octets = b"".join(compress(small(CONTENT)))
    assert len(octets) < len(CONTENT) // 4
    spool = MemorySpool()
    decompress(small(octets), spool)
    assert spool.octets() == CONTENT
    assert oracle.ContentInfo.load(octets, strict=True)["content"].decompressed == CONTENT


def test_nothing_hides_behind_compressed_content() -> None:
    inside = zlib.compress(CONTENT)
    for hidden in (inside + b"more", inside + inside, inside[:-1]):
        info = der.sequence(oid.DATA, der.explicit(0, der.octet_string(hidden)))
        data = der.sequence(der.integer(0), der.sequence(oid.ZLIB), info)
        with pytest.raises(Malformed):
            decompress(small(der.sequence(oid.COMPRESSED_DATA, der.explicit(0, data))), MemorySpool())


# ---- the types that S/MIME does not use


def test_data_and_digested_data() -> None:
    spool = MemorySpool()
    read_data(lambda: small(der.sequence(oid.DATA, der.explicit(0, der.octet_string(CONTENT)))), spool)
    assert spool.octets() == CONTENT
    digest = DIGESTS["sha256"]
    info = oracle.ContentInfo(
        {
            "content_type": "digested_data",
            "content": {
                "version": "v0",
                "digest_algorithm": {"algorithm": "sha256"},
                "encap_content_info": {"content_type": "data", "content": CONTENT},
                "digest": hashlib.sha256(CONTENT).digest(),
            },
        }
    ).dump()
    spool = MemorySpool()
    assert read_digested(lambda: small(info), spool) == digest.name
    assert spool.octets() == CONTENT
    with pytest.raises(BadSignature):
        read_digested(lambda: small(info.replace(b"Hello", b"hello", 1)), MemorySpool())
    with pytest.raises(Unsupported):
        read_data(lambda: small(info), MemorySpool())


def test_encrypted_data() -> None:
    key, padded = bytes(32), CONTENT + bytes((16 - len(CONTENT) % 16,)) * (16 - len(CONTENT) % 16)
    cipher = CIPHERS["aes256-cbc"]
    sealed = Cipher(cipher.block_cipher(key), modes.CBC(bytes(16))).encryptor().update(padded)
    info = der.sequence(oid.DATA, der.sequence(cipher.oid, der.octet_string(bytes(16))), der.implicit(0, sealed))
    octets = der.sequence(oid.ENCRYPTED_DATA, der.explicit(0, der.sequence(der.integer(0), info)))
    spool = MemorySpool()
    assert read_encrypted(lambda: small(octets), key, spool) == "aes256-cbc"
    assert spool.octets() == CONTENT
    with pytest.raises(Unsupported):
        read_encrypted(lambda: small(octets), bytes(16), MemorySpool())
    with pytest.raises(DecryptionFailed):
        read_encrypted(lambda: small(octets[:-1] + bytes((octets[-1] ^ 1,))), key, MemorySpool())
