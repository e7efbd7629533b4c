"""Encrypting and decrypting: every algorithm, every size, streamed, and one error for whatever goes wrong."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest
from asn1crypto import cms as oracle
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letterlock.asn1 import ber, der, oid
from letterlock.errors import TemporaryError
from letterlock.pki.certificate import Certificate
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.capabilities import ANNOUNCED, EncryptionPolicy, RecipientGroup, group_recipients, read
from letterlock.smime.cms_write import envelope_header, transport_prefix
from letterlock.smime.decrypt import Enveloped, open_enveloped
from letterlock.smime.encrypt import enveloped
from letterlock.smime.errors import DecryptionFailed, Malformed, NotForUs, Unsupported
from letterlock.smime.party import load_party
from letterlock.smime.spool import MemorySpool
from tests.fakes.authority import Identity, KeyKind
from tests.fakes.own_keys import Keys
from tests.fakes.people import person

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
ANY = person("bob")


def group(*who: Identity, cipher: str = "auto", transport: str = "auto") -> RecipientGroup:
    """All of them in one group."""
    (found,) = group_recipients([load_party(each.der) for each in who], EncryptionPolicy(cipher, transport))
    return found


def encrypt(content: bytes, *who: Identity, cipher: str = "auto", transport: str = "auto") -> bytes:
    """The CMS object."""
    return b"".join(enveloped([content], len(content), group(*who, cipher=cipher, transport=transport)))


def decrypt(octets: bytes, keys: Keys, pieces: int = 1000) -> tuple[bytes, tuple[Certificate, ...]]:
    """Content and holders, the object coming in pieces."""

    def source() -> Iterator[bytes]:
        return (octets[at : at + pieces] for at in range(0, len(octets), pieces))

    spool = MemorySpool()
    holders = asyncio.run(open_enveloped(source, keys, spool))
    return bytes(spool.octets()), holders


STRONG = sorted(name for name, cipher in CIPHERS.items() if not cipher.weak)


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize("cipher", STRONG)
@pytest.mark.parametrize(
    ("key", "transport"),
    [("rsa2048", "pkcs1"), ("rsa2048", "oaep"), ("p256", "auto"), ("p384", "auto"), ("p521", "auto"), ("x25519", "auto"),
     ("ml-kem-768", "auto"), ("ml-kem-1024", "auto")],
)  # fmt: skip
def test_every_algorithm(key: KeyKind, transport: str, cipher: str) -> None:
    who = person(f"reader-{key}", key)
    octets = encrypt(CONTENT, who, cipher=cipher, transport=transport)
    content, holders = decrypt(octets, Keys(person("nobody"), who), pieces=7)
    assert content == CONTENT
    assert [each.der for each in holders] == [who.der]
    assert oracle.ContentInfo.load(octets, strict=True).dump(force=True) == octets


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 70_000), max_size=6),
    st.sampled_from(["aes256-cbc", "aes256-gcm"]),
    st.integers(500, 90_000),
)
def test_every_size_in_every_cut(sizes: list[int], cipher: str, pieces: int) -> None:
    parts = [bytes((at,)) * size for at, size in enumerate(sizes)]
    octets = b"".join(enveloped(parts, sum(sizes), group(ANY, cipher=cipher)))
    assert decrypt(octets, Keys(ANY), pieces)[0] == b"".join(parts)


@pytest.mark.parametrize("length", range(34))
def test_padding(length: int) -> None:
    assert decrypt(encrypt(b"x" * length, ANY), Keys(ANY))[0] == b"x" * length


@pytest.mark.parametrize("said", [0, len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_wrong_length_is_an_error(said: int) -> None:
    with pytest.raises(ValueError, match="announced"):
        list(enveloped([CONTENT], said, group(ANY)))


@pytest.mark.req("B7")
def test_every_recipient_can_read_it() -> None:
    people = [person(name) for name in ("bob", "carol", "dave", "reader-rsa2048")]
    octets = encrypt(CONTENT, *people)
    for who in people:
        assert decrypt(octets, Keys(who))[0] == CONTENT
    for who in (person("p1", "p256"), person("p2", "p256")):
        assert decrypt(encrypt(CONTENT, person("p1", "p256"), person("p2", "p256")), Keys(who))[0] == CONTENT
    assert oracle.ContentInfo.load(octets, strict=True).dump(force=True) == octets


@pytest.mark.req("B1")
def test_no_two_messages_are_alike() -> None:
    first, second = encrypt(CONTENT, ANY), encrypt(CONTENT, ANY)
    assert len(first) == len(second)
    assert sum(a != b for a, b in zip(first, second, strict=True)) > 256


@pytest.mark.slow
def test_memory_does_not_grow_with_the_message() -> None:
    size = 30 << 20
    piece = bytes(1 << 16)
    tracemalloc.start()
    for octets in enveloped((piece for _ in range(size // len(piece))), size, group(ANY)):
        assert octets
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


# ---- groups


def test_groups() -> None:
    rsa, ec = load_party(person("bob").der), load_party(person("p1", "p256").der)
    modern = load_party(person("carol").der, read(ANNOUNCED))
    small = load_party(person("dave").der, frozenset({"aes128-cbc", "3des-cbc"}))
    groups = group_recipients([rsa, ec, modern, small, rsa])
    assert [(len(each.parties), each.cipher.name, each.transport) for each in groups] == [
        (1, "aes256-cbc", "rsa-pkcs1"),
        (1, "aes256-cbc", "ecdh"),
        (1, "aes256-gcm", "rsa-oaep-sha256"),
        (1, "aes128-cbc", "rsa-pkcs1"),
    ]
    forced = group_recipients([rsa, ec, modern, small], EncryptionPolicy("aes192-cbc", "pkcs1"))
    assert [len(each.parties) for each in forced] == [3, 1]
    assert {each.cipher.name for each in forced} == {"aes192-cbc"}


@pytest.mark.parametrize("cipher", ["3des-cbc", "rc2-cbc", "none", ""])
def test_weak_ciphers_are_not_written(cipher: str) -> None:
    with pytest.raises(Unsupported):
        group_recipients([load_party(ANY.der)], EncryptionPolicy(cipher))


def test_nothing_is_encrypted_to_a_signing_key() -> None:
    with pytest.raises(Unsupported):
        group_recipients([load_party(person("signer-ed25519", "ed25519").der)])


@pytest.mark.parametrize(
    "value", [b"", b"rubbish", der.sequence(b"\x05\x00"), der.set_of(), der.sequence(der.sequence())]
)
def test_damaged_capabilities_are_none(value: bytes) -> None:
    assert read(value) == frozenset()


def test_a_party_is_parsed_once() -> None:
    assert load_party(ANY.der) is load_party(bytes(bytearray(ANY.der)))


# ---- failures


def spoilt() -> dict[str, bytes]:
    """Messages to bob that cannot be decrypted, for every reason there is."""
    cbc = encrypt(CONTENT, ANY, cipher="aes256-cbc")
    gcm = encrypt(CONTENT, ANY, cipher="aes256-gcm")
    party = load_party(ANY.der)
    prefix = transport_prefix(party, "rsa-pkcs1")
    key_at = cbc.index(prefix) + len(prefix)
    short = party.public.encrypt(b"k" * 16, PKCS1v15())
    return {
        "last block changed": cbc[:-1] + bytes((cbc[-1] ^ 1,)),
        "block before the last changed": cbc[:-32] + bytes(16) + cbc[-16:],
        "key changed": cbc[:key_at] + bytes(16) + cbc[key_at + 16 :],
        "key of another length": envelope_header(group(ANY), prefix + short, bytes(16), 16) + bytes(32),
        "key that is no RSA value": envelope_header(group(ANY), prefix + b"\xff" * 256, bytes(16), 16) + bytes(32),
        "no whole blocks": envelope_header(group(ANY), prefix + bytes(256), bytes(16), 16)[:-1] + b"\x09" + bytes(9),
        "no content": envelope_header(group(ANY), prefix + bytes(256), bytes(16), 16)[:-1] + b"\x00",
        "content cut short": cbc[:-16],
        "octets cut short": cbc[:-7],
        "tag changed": gcm[:-1] + bytes((gcm[-1] ^ 1,)),
        "tag cut off": gcm[:-18],
        "content of gcm changed": gcm[:-20] + bytes((gcm[-20] ^ 1,)) + gcm[-19:],
    }  # fmt: skip


@pytest.mark.req("B1")
@pytest.mark.parametrize("reason", spoilt())
def test_every_failure_is_the_same(reason: str) -> None:
    # Under a random key one content in 256 ends as if it were padded: that is the price of CBC, so three are tried.
    failures = [fault for _ in range(3) if (fault := failure(spoilt()[reason])) is not None]
    assert failures
    assert {str(each) for each in failures} == {"The message could not be decrypted."}
    assert not any(each.__cause__ for each in failures)


def failure(octets: bytes) -> DecryptionFailed | None:
    """What opening it raises; when it does, nothing is left in the spool."""
    spool = MemorySpool()
    try:
        asyncio.run(open_enveloped(lambda: (octets,), Keys(ANY), spool))
    except DecryptionFailed as fault:
        assert spool.octets() == b""
        return fault
    return None


@pytest.mark.req("B1")
def test_a_key_of_another_length_is_not_used() -> None:
    """Not even when the holder of the private key hands it out, and the content would open with it."""
    content_key = bytes(range(16))
    padded = CONTENT + bytes((16 - len(CONTENT) % 16,)) * (16 - len(CONTENT) % 16)
    sealed = Cipher(AES(content_key), modes.CBC(bytes(16))).encryptor().update(padded)
    prefix = transport_prefix(load_party(ANY.der), "rsa-pkcs1")
    octets = envelope_header(group(ANY, cipher="aes256-cbc"), prefix + bytes(256), bytes(16), len(CONTENT)) + sealed
    keys = Keys(ANY)
    keys.held[0].unwrap = short_key
    with pytest.raises(DecryptionFailed):
        decrypt(octets, keys)
    assert decrypt(octets.replace(CIPHERS["aes256-cbc"].oid, CIPHERS["aes128-cbc"].oid), keys)[0] == CONTENT


async def short_key(algorithm: str, octets: bytes, length: int) -> bytes:
    """unwrap() without regard to the length."""
    return bytes(range(16))


def test_not_for_us_needs_no_key() -> None:
    keys = Keys(person("carol"))
    with pytest.raises(NotForUs):
        decrypt(encrypt(CONTENT, ANY), keys)
    assert len(keys.looked_for) == 1
    assert not keys.held[0].asked


def test_a_key_that_is_away_is_no_verdict() -> None:
    keys = Keys(ANY)
    keys.held[0].broken = True
    with pytest.raises(TemporaryError):
        decrypt(encrypt(CONTENT, ANY), keys)


def test_a_key_that_is_refused_is_not_there() -> None:
    keys = Keys(ANY, person("carol"))
    keys.held[0].refuses = True
    with pytest.raises(NotForUs):
        decrypt(encrypt(CONTENT, ANY), keys)
    assert [each.der for each in decrypt(encrypt(CONTENT, ANY, person("carol")), keys)[1]] == [person("carol").der]


@pytest.mark.req("B1")
def test_who_is_merely_named_is_no_holder() -> None:
    """Anybody who has the message can add a recipient info with rubbish: it must not entitle that recipient."""
    carol = person("carol")
    to_bob = encrypt(CONTENT, ANY)
    bob_info, carol_info = (transport_prefix(load_party(each.der), "rsa-pkcs1") for each in (ANY, carol))
    at = to_bob.index(bob_info)
    key = to_bob[at + len(bob_info) : at + len(bob_info) + 256]
    rest = to_bob[at + len(bob_info) + 256 :]
    for infos in (carol_info + bytes(range(256)) + bob_info + key, bob_info + key + carol_info + b"\1" * 256):
        data = der.sequence(der.integer(0), der.tlv(der.SET, infos), rest)
        forged = der.sequence(oid.ENVELOPED_DATA, der.explicit(0, data))
        content, holders = decrypt(forged, Keys(carol, ANY))
        assert content == CONTENT
        assert [each.der for each in holders] == [ANY.der]


def test_several_of_our_keys_hold_it() -> None:
    people = (ANY, person("carol"))
    assert {each.der for each in decrypt(encrypt(CONTENT, *people), Keys(*people))[1]} == {each.der for each in people}


@pytest.mark.parametrize("cut", [0, 5, 30, 200, 400])
def test_a_damaged_header_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        Enveloped(lambda: (encrypt(CONTENT, ANY)[:cut],))


def test_what_is_not_in_the_tables_is_unsupported() -> None:
    octets = encrypt(CONTENT, ANY)
    for old, new in (
        (CIPHERS["aes256-cbc"].oid, oid.encode("2.16.840.1.101.3.4.1.43")),
        (oid.ENVELOPED_DATA, oid.encode("1.2.840.113549.1.7.6")),
        (oid.DATA, oid.encode("1.2.840.113549.1.7.2")),
        (CIPHERS["aes256-cbc"].oid, CIPHERS["aes256-gcm"].oid),  # with parameters of CBC, in the content type of CBC
    ):
        changed = octets.replace(old, new)
        with pytest.raises((Unsupported, Malformed)):
            Enveloped(lambda octets=changed: (octets,))


@pytest.mark.parametrize(
    ("cipher", "kind"), [("aes256-gcm", oid.ENVELOPED_DATA), ("aes256-cbc", oid.AUTH_ENVELOPED_DATA)]
)
def test_content_type_and_cipher_must_agree(cipher: str, kind: bytes) -> None:
    """Else a tag would be no protection: the same content key could be tried in the weaker form."""
    (data,) = ber.single(encrypt(CONTENT, ANY, cipher=cipher)).children()[1].children()
    with pytest.raises(Unsupported):
        Enveloped(lambda: (der.sequence(kind, der.explicit(0, data.raw)),))
