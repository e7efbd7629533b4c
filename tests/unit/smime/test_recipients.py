"""Recipients of every kind: X25519, ML-KEM, passwords, key identifiers, old wraps; what is refused before a key is used."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.asn1 import der, oid
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.capabilities import EncryptionPolicy, group_recipients
from letterlock.smime.content_keys import MAX_ITERATIONS
from letterlock.smime.decrypt import Enveloped, open_enveloped
from letterlock.smime.describe import describe
from letterlock.smime.encrypt import enveloped
from letterlock.smime.errors import DecryptionFailed, Malformed, NotForUs, Unsupported
from letterlock.smime.key_management import (
    AGREEMENT_DERIVATIONS,
    EC_PUBLIC_KEY,
    KEM_DERIVATIONS,
    KEM_IDENTIFIERS,
    KEM_RECIPIENT,
    PASSWORD_WRAP,
    PBKDF2,
    PSEUDO_RANDOM,
    WRAP_OF,
    WRAPS,
    X25519,
    kem_info,
    shared_info,
)
from letterlock.smime.party import load_party
from letterlock.smime.spool import MemorySpool
from tests.fakes.authority import Identity
from tests.fakes.own_keys import Keys
from tests.fakes.people import person

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
KEY = bytes(range(32))
X = person("reader-x25519", "x25519")
KEM = person("reader-ml-kem-768", "ml-kem-768")
P256 = person("p1", "p256")


def message(*infos: bytes, key: bytes = KEY, cipher: str = "aes256-cbc") -> bytes:
    """EnvelopedData with these recipient infos."""
    count = 16 - len(CONTENT) % 16
    padded = CONTENT + bytes((count,)) * count
    sealed = Cipher(AES(key), modes.CBC(bytes(16))).encryptor().update(padded)
    algorithm = der.sequence(CIPHERS[cipher].oid, der.octet_string(bytes(16)))
    info = der.sequence(oid.DATA, algorithm, der.implicit(0, sealed))
    data = der.sequence(der.integer(3), der.set_of(*infos), info)
    return der.sequence(oid.ENVELOPED_DATA, der.explicit(0, data))


def opened(octets: bytes, *who: Identity) -> bytes:
    """The content."""
    spool = MemorySpool()
    asyncio.run(open_enveloped(lambda: (octets,), Keys(*who), spool))
    return bytes(spool.octets())


def serial(who: Identity) -> bytes:
    """IssuerAndSerialNumber."""
    return load_party(who.der).certificate.issuer_serial


def identifier(who: Identity) -> bytes:
    """The subject key identifier."""
    return load_party(who.der).certificate.key_identifier


# ---- key agreement


def agreement(who: Identity, derivation: bytes, wrap: bytes, *, ukm: bytes | None = None, named: bytes = b"") -> bytes:
    """A KeyAgreeRecipientInfo by hand. ``wrap``: AlgorithmIdentifier; ``named``: instead of issuer and serial number."""
    public = who.key.public_key()
    if isinstance(public, x25519.X25519PublicKey):
        own = x25519.X25519PrivateKey.generate()
        secret, octets, kind = own.exchange(public), own.public_key().public_bytes_raw(), X25519
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        other = ec.generate_private_key(public.curve)
        secret, kind = other.exchange(ec.ECDH(), public), EC_PUBLIC_KEY
        octets = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    length = 32
    wrapping = AGREEMENT_DERIVATIONS[derivation].derive(secret, length, shared_info(wrap, length, ukm))
    originator = der.explicit(0, der.explicit(1, der.sequence(kind), der.bit_string(octets)))
    material = der.explicit(1, der.octet_string(ukm)) if ukm is not None else b""
    key = der.sequence(der.sequence(named or serial(who), der.octet_string(aes_key_wrap(wrapping, KEY))))
    return der.explicit(1, der.integer(3), originator, material, der.sequence(derivation, wrap), key)


@pytest.mark.req("B11")
@pytest.mark.parametrize("derivation", AGREEMENT_DERIVATIONS, ids=oid.dotted)
@pytest.mark.parametrize("who", [X, P256], ids=["x25519", "p256"])
@pytest.mark.parametrize("ukm", [None, b"", b"user keying material"])
def test_every_derivation_is_read(who: Identity, derivation: bytes, ukm: bytes | None) -> None:
    assert opened(message(agreement(who, derivation, WRAP_OF[32], ukm=ukm)), who) == CONTENT


def test_null_parameters_of_the_wrap_are_part_of_the_derivation() -> None:
    """RFC 5753 7.2: as the sender encoded it."""
    wrap = der.sequence(oid.encode("2.16.840.1.101.3.4.1.45"), der.NULL)
    assert opened(message(agreement(P256, oid.encode("1.3.132.1.11.1"), wrap)), P256) == CONTENT


def test_named_by_key_identifier() -> None:
    derivation = oid.encode("1.3.132.1.11.1")
    named = der.explicit(0, der.octet_string(identifier(P256)))
    assert opened(message(agreement(P256, derivation, WRAP_OF[32], named=named)), P256) == CONTENT


@pytest.mark.parametrize(
    ("derivation", "wrap", "why"),
    [
        ("1.3.132.1.11.9", WRAP_OF[32], "key agreement 1.3.132.1.11.9"),
        ("1.3.132.1.11.1", der.sequence(oid.encode("2.16.840.1.101.3.4.1.46")), "key wrap 2.16.840.1.101.3.4.1.46"),
    ],
)
def test_unknown_algorithms_are_told_and_no_key_is_used(derivation: str, wrap: bytes, why: str) -> None:
    known = agreement(P256, oid.encode("1.3.132.1.11.1"), WRAP_OF[32])
    octets = message(known.replace(oid.encode("1.3.132.1.11.1"), oid.encode(derivation)).replace(WRAP_OF[32], wrap))
    keys = Keys(P256)
    with pytest.raises(Unsupported) as caught:
        asyncio.run(open_enveloped(lambda: (octets,), keys, MemorySpool()))
    assert not keys.held[0].asked
    assert caught.value.detail in (
        why,
        "element and its container disagree",
        "truncated",
        "element longer than its container",
    )


def test_an_originator_of_another_kind() -> None:
    """A key on a curve and one of X25519 have nothing to agree on."""
    derivation = oid.encode("1.3.132.1.11.1")
    for own, other in ((P256, X), (X, P256)):
        octets = message(agreement(own, derivation, WRAP_OF[32], named=serial(other)))
        keys = Keys(other)
        with pytest.raises(Unsupported):
            asyncio.run(open_enveloped(lambda octets=octets: (octets,), keys, MemorySpool()))
        assert not keys.held[0].asked


def test_another_recipient_info_that_we_know_is_enough() -> None:
    good = agreement(P256, oid.encode("1.3.132.1.11.1"), WRAP_OF[32])
    unknown = good.replace(oid.encode("1.3.132.1.11.1"), oid.encode("1.3.132.1.11.9"))
    assert opened(message(good, unknown, der.explicit(2, der.integer(4)), der.explicit(4, oid.DATA, der.NULL)), P256)


def test_a_lasting_key_of_the_sender_is_not_agreed_with() -> None:
    """RFC 5753 3.1.1: ephemeral-static only."""
    info = der.explicit(1, der.integer(3), der.explicit(0, serial(P256)), der.sequence(EC_PUBLIC_KEY), der.sequence())
    enveloped_ = Enveloped(lambda: (message(info),))
    assert enveloped_.envelope.strangers == ("key agreement with a lasting key",)
    with pytest.raises(NotForUs):
        opened(message(info), P256)


def test_a_point_that_is_on_no_curve_fails_like_everything_else() -> None:
    good = message(agreement(P256, oid.encode("1.3.132.1.11.1"), WRAP_OF[32]))
    at = good.index(b"\x03\x42\x00\x04") + 4
    with pytest.raises((DecryptionFailed, NotForUs)):
        opened(good[:at] + bytes(64) + good[at + 64 :], P256)


# ---- key encapsulation


def encapsulation(who: Identity, derivation: bytes = b"", *, ukm: bytes | None = None, named: bytes = b"") -> bytes:
    """A KEMRecipientInfo by hand."""
    public = who.key.public_key()
    assert isinstance(public, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey)
    secret, ciphertext = public.encapsulate()
    derivation = derivation or next(iter(KEM_DERIVATIONS))
    wrapping = KEM_DERIVATIONS[derivation].derive(secret, 32, kem_info(WRAP_OF[32], 32, ukm))
    fields = [
        der.integer(0),
        named or serial(who),
        KEM_IDENTIFIERS[load_party(who.der).kem],
        der.octet_string(ciphertext),
        der.sequence(derivation),
        der.integer(32),
        der.explicit(0, der.octet_string(ukm)) if ukm is not None else b"",
        WRAP_OF[32],
        der.octet_string(aes_key_wrap(wrapping, KEY)),
    ]
    return der.explicit(4, KEM_RECIPIENT, der.sequence(*fields))


@pytest.mark.req("B12")
@pytest.mark.parametrize("derivation", KEM_DERIVATIONS, ids=oid.dotted)
@pytest.mark.parametrize("ukm", [None, b"user keying material"])
def test_encapsulated_keys(derivation: bytes, ukm: bytes | None) -> None:
    assert opened(message(encapsulation(KEM, derivation, ukm=ukm)), KEM) == CONTENT
    named = der.implicit(0, identifier(KEM))
    assert opened(message(encapsulation(KEM, derivation, ukm=ukm, named=named)), KEM) == CONTENT


@pytest.mark.req("B12")
def test_a_damaged_encapsulated_key_fails_like_everything_else() -> None:
    good = message(encapsulation(KEM))
    at = good.index(b"\x04\x82\x04\x40") + 4
    with pytest.raises(DecryptionFailed):
        opened(good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :], KEM)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (KEM_IDENTIFIERS["ml-kem-768"], der.sequence(oid.encode("2.16.840.1.101.3.4.4.1")), "key encapsulation"),
        (KEM_IDENTIFIERS["ml-kem-768"], KEM_IDENTIFIERS["ml-kem-1024"], "encapsulated key"),
        (oid.encode("1.2.840.113549.1.9.16.3.28"), oid.encode("1.2.840.113549.1.9.16.3.27"), "key derivation"),
        (der.integer(32) + WRAP_OF[32], der.integer(16) + WRAP_OF[32], "key wrap"),
    ],
)
def test_unknown_encapsulation(old: bytes, new: bytes, why: str) -> None:
    info = encapsulation(KEM)
    assert old in info
    with pytest.raises(Unsupported) as caught:
        opened(message(info.replace(old, new)), KEM)
    assert caught.value.detail.startswith(why)


# ---- passwords


def by_password(
    password: str = "correct horse",
    *,
    iterations: int = 1000,
    prf: bytes = oid.encode("1.2.840.113549.2.9"),
    salt: bytes = b"saltsalt",
    wrap: Callable[[bytes], tuple[bytes, bytes]] | None = None,
    said: int = 0,
) -> bytes:
    """A PasswordRecipientInfo by hand. ``wrap``: key to AlgorithmIdentifier and wrapped key; RFC 3211 unless given."""
    function = PSEUDO_RANDOM[prf]
    wrapping = PBKDF2HMAC(function, 32, salt, iterations).derive(password.encode())
    algorithm, wrapped = (wrap or rfc3211)(wrapping)
    parameters = der.sequence(
        der.octet_string(salt), der.integer(said or iterations), der.integer(32), der.sequence(prf, der.NULL)
    )
    return der.explicit(3, der.integer(0), der.explicit(0, PBKDF2, parameters), algorithm, der.octet_string(wrapped))


def rfc3211(wrapping: bytes) -> tuple[bytes, bytes]:
    """RFC 3211 2.3.1: encrypted twice, the second time with the last block as vector."""
    vector = os.urandom(16)
    block = bytes((32, *(each ^ 0xFF for each in KEY[:3]))) + KEY
    block += os.urandom(-len(block) % 16)
    once = Cipher(AES(wrapping), modes.CBC(vector)).encryptor().update(block)
    twice = Cipher(AES(wrapping), modes.CBC(once[-16:])).encryptor().update(once)
    return der.sequence(PASSWORD_WRAP, der.sequence(CIPHERS["aes256-cbc"].oid, der.octet_string(vector))), twice


def aes_wrap(wrapping: bytes) -> tuple[bytes, bytes]:
    """RFC 3394."""
    return WRAP_OF[32], aes_key_wrap(wrapping, KEY)


def opened_with(password: str, octets: bytes) -> bytes:
    """The content."""
    spool = MemorySpool()
    asyncio.run(Enveloped(lambda: (octets,)).open_with_password(password, spool))
    return bytes(spool.octets())


@pytest.mark.req("B1")
@pytest.mark.parametrize("prf", PSEUDO_RANDOM, ids=oid.dotted)
@pytest.mark.parametrize("wrap", [rfc3211, aes_wrap])
def test_passwords(prf: bytes, wrap: Callable[[bytes], tuple[bytes, bytes]]) -> None:
    octets = message(by_password(prf=prf, wrap=wrap))
    assert opened_with("correct horse", octets) == CONTENT
    failures = 0
    for wrong in ("correct horse ", "", "Correct horse"):  # under a random key one content in 256 ends as if padded
        try:
            opened_with(wrong, octets)
        except DecryptionFailed:
            failures += 1
    assert failures >= 2


def test_no_password_is_asked_for_where_there_is_none() -> None:
    with pytest.raises(NotForUs):
        opened_with("x", message(agreement(P256, oid.encode("1.3.132.1.11.1"), WRAP_OF[32])))
    with pytest.raises(NotForUs):
        opened(message(by_password()), P256)


@pytest.mark.parametrize("iterations", [0, -1, MAX_ITERATIONS + 1, 1 << 40])
def test_iterations_are_bounded(iterations: int) -> None:
    with pytest.raises((Unsupported, Malformed)):
        opened_with("x", message(by_password(said=iterations or -5)))


def test_two_passwords_at_most_are_tried() -> None:
    infos = [by_password(f"password {each}") for each in range(3)]
    ordered = sorted(infos)
    octets = message(*infos)
    with pytest.raises(DecryptionFailed):
        last = infos.index(ordered[2])
        for _ in range(3):
            opened_with(f"password {last}", octets)


# ---- old wraps and the rest


@pytest.mark.req("B8")
def test_triple_des_wrap_is_read_and_weak() -> None:
    vector, first = bytes.fromhex("4adda22c79e82105"), os.urandom(8)
    public = P256.key.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    other = ec.generate_private_key(public.curve)
    wrap = der.sequence(oid.encode("1.2.840.113549.1.9.16.3.6"), der.NULL)
    derivation = oid.encode("1.3.133.16.840.63.0.2")
    secret = other.exchange(ec.ECDH(), public)
    wrapping = AGREEMENT_DERIVATIONS[derivation].derive(secret, 24, shared_info(wrap, 24))
    key = KEY[:24]
    block = CIPHERS["3des-cbc"].block_cipher(wrapping)
    inner = Cipher(block, modes.CBC(first)).encryptor().update(key + hashlib.sha1(key).digest()[:8])
    wrapped = Cipher(block, modes.CBC(vector)).encryptor().update((first + inner)[::-1])
    point = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    originator = der.explicit(0, der.explicit(1, der.sequence(EC_PUBLIC_KEY), der.bit_string(point)))
    keys = der.sequence(der.sequence(serial(P256), der.octet_string(wrapped)))
    info = der.explicit(1, der.integer(3), originator, der.sequence(derivation, wrap), keys)
    octets = message(info, key=key, cipher="aes192-cbc")
    assert opened(octets, P256) == CONTENT
    assert describe(lambda: (octets,)).weak == ("sha1", "3des-wrap")
    assert all(not each.weak for each in WRAPS.values() if each.name.startswith("aes"))


@pytest.mark.req("B9")
@pytest.mark.parametrize("spoil", [False, True])
def test_authenticated_attributes_are_part_of_what_the_tag_protects(spoil: bool) -> None:
    """RFC 5083 2.2: they stand behind the content; a changed one must not pass."""
    attributes = der.sequence(oid.CONTENT_TYPE, der.set_of(oid.DATA))
    bob = person("bob")
    (group,) = group_recipients([load_party(bob.der)], EncryptionPolicy("aes256-gcm"))
    plain = b"".join(enveloped([CONTENT], len(CONTENT), group))
    infos = plain[plain.index(b"\x31\x82") :]
    infos = infos[: 4 + int.from_bytes(infos[2:4], "big")]
    spool = MemorySpool()
    keys = Keys(bob)
    enveloped_ = Enveloped(lambda: (plain,))
    asyncio.run(enveloped_.open(keys, spool))
    (recipient,) = enveloped_.envelope.recipients
    key = asyncio.run(keys.held[0].unwrap("rsa-pkcs1", recipient.encrypted_key, 32))
    nonce = os.urandom(12)
    sealing = Cipher(AES(key), modes.GCM(nonce)).encryptor()
    sealing.authenticate_additional_data(der.tlv(der.SET, attributes))
    sealed = sealing.update(CONTENT) + sealing.finalize()
    told = attributes.replace(oid.DATA, oid.SIGNED_DATA) if spoil else attributes
    algorithm = der.sequence(CIPHERS["aes256-gcm"].oid, der.sequence(der.octet_string(nonce), der.integer(16)))
    info = der.sequence(oid.DATA, algorithm, der.implicit(0, sealed))
    data = der.sequence(der.integer(0), infos, info, der.explicit(1, told), der.octet_string(sealing.tag))
    octets = der.sequence(oid.AUTH_ENVELOPED_DATA, der.explicit(0, data))
    if spoil:
        with pytest.raises(DecryptionFailed):
            opened(octets, bob)
    else:
        assert opened(octets, bob) == CONTENT
