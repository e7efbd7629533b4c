"""CMS objects made to cost time or memory, or to slip past a limit: each ends in a verdict, at once."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from letterlock.asn1 import der, oid
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.capabilities import EncryptionPolicy, group_recipients
from letterlock.smime.cms_read import MAX_CERTIFICATES, MAX_RECIPIENTS, MAX_SIGNERS
from letterlock.smime.cms_write import certificates_only
from letterlock.smime.decrypt import MAX_TRIES, Enveloped, open_enveloped
from letterlock.smime.describe import describe
from letterlock.smime.encrypt import enveloped
from letterlock.smime.errors import DecryptionFailed, Malformed, SmimeError, Unsupported
from letterlock.smime.key_management import PBKDF2, TRANSPORTS, WRAP_OF
from letterlock.smime.party import load_party
from letterlock.smime.sign import detached, prepare_signature
from letterlock.smime.spool import MemorySpool
from letterlock.smime.verify import examine_detached, examine_opaque
from tests.fakes.own_keys import KeyInMemory, Keys
from tests.fakes.people import SIGNED_AT, person

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
BOB = person("bob")
ALGORITHM = der.sequence(CIPHERS["aes256-cbc"].oid, der.octet_string(bytes(16)))


def enveloped_data(infos: bytes, content: bytes = bytes(32)) -> bytes:
    """EnvelopedData around these recipient infos."""
    info = der.sequence(oid.DATA, ALGORITHM, der.implicit(0, content))
    data = der.sequence(der.integer(0), der.tlv(der.SET, infos), info)
    return der.sequence(oid.ENVELOPED_DATA, der.explicit(0, data))


def transported(key: bytes = bytes(256)) -> bytes:
    """A recipient info that names bob."""
    serial = load_party(BOB.der).certificate.issuer_serial
    return der.sequence(der.integer(0), serial, TRANSPORTS["rsa-pkcs1"], der.octet_string(key))


@pytest.mark.req("B2")
def test_too_many_recipients() -> None:
    small = der.explicit(2, der.integer(4))
    Enveloped(lambda: (enveloped_data(small * MAX_RECIPIENTS),))
    with pytest.raises(Malformed):
        Enveloped(lambda: (enveloped_data(small * (MAX_RECIPIENTS + 1)),))


@pytest.mark.req("B2")
def test_many_recipient_infos_for_one_key_use_it_a_few_times() -> None:
    keys = Keys(BOB)
    started = time.process_time()
    octets = enveloped_data(b"".join(transported(bytes((each & 0xFF, each >> 8)) * 128) for each in range(1000)))
    with pytest.raises(DecryptionFailed):
        asyncio.run(open_enveloped(lambda: (octets,), keys, MemorySpool()))
    assert len(keys.held[0].asked) <= 4 * MAX_TRIES
    assert time.process_time() - started < 1


@pytest.mark.req("B2")
def test_too_many_certificates_and_signers() -> None:
    def numbered(count: int) -> list[bytes]:
        return [der.sequence(der.integer(each)) for each in range(count)]

    assert len(examine_opaque((certificates_only(numbered(MAX_CERTIFICATES)),), len).certificates) == MAX_CERTIFICATES
    with pytest.raises(Malformed):
        examine_opaque((certificates_only(numbered(MAX_CERTIFICATES + 1)),), len)
    pending = prepare_signature([CONTENT], load_party(BOB.der), (), SIGNED_AT)
    done = pending.signed(KeyInMemory(BOB).sign_now(pending.tbs, pending.algorithm))
    assert len(examine_detached((detached([done] * MAX_SIGNERS),), CONTENT).outcomes) == MAX_SIGNERS
    with pytest.raises(Malformed):
        examine_detached((detached([done] * (MAX_SIGNERS + 1)),), CONTENT)


def password(iterations: int, salt: bytes = b"salt", octets: bytes = b"") -> bytes:
    """A recipient info with a password that costs so much."""
    parameters = der.sequence(der.octet_string(salt), der.integer(iterations), octets)
    return der.explicit(
        3, der.integer(0), der.explicit(0, PBKDF2, parameters), WRAP_OF[32], der.octet_string(bytes(40))
    )


@pytest.mark.req("B8")
@pytest.mark.parametrize(
    "info",
    [password(10**9), password(10**30), password(-1), password(0), password(1, bytes(5000)),
     password(1, octets=der.integer(1 << 30)), password(1, octets=der.sequence(oid.DATA))],
    ids=["iterations", "huge", "negative", "none", "salt", "length", "function"],
)  # fmt: skip
def test_passwords_that_cost_too_much(info: bytes) -> None:
    started = time.process_time()
    with pytest.raises((Unsupported, Malformed)):
        asyncio.run(Enveloped(lambda: (enveloped_data(info),)).open_with_password("x", MemorySpool()))
    assert time.process_time() - started < 0.5


@pytest.mark.req("B12")
def test_sizes_of_encapsulated_keys_are_bounded() -> None:
    for octets in (0, -1, 65_536, 1 << 100):
        fields = (der.integer(0), der.implicit(0, b"k"), der.sequence(oid.DATA), der.octet_string(b""),
                  der.sequence(oid.DATA), der.integer(octets), WRAP_OF[32], der.octet_string(b""))  # fmt: skip
        info = der.explicit(4, oid.encode("1.2.840.113549.1.9.16.13.3"), der.sequence(*fields))
        with pytest.raises(SmimeError):
            Enveloped(lambda info=info: (enveloped_data(info),))


@pytest.mark.req("B2")
@pytest.mark.parametrize("depth", [40, 5000])
def test_nesting_without_end(depth: int) -> None:
    for octets in (b"\x30\x80" * depth, enveloped_data(b"\x30\x80" * depth), enveloped_data(b"\xa4\x80" * depth)):
        with pytest.raises(SmimeError):
            describe(lambda octets=octets: (octets,))


@pytest.mark.req("B1")
@pytest.mark.slow
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_memory_does_not_grow_with_what_is_opened(cipher: str) -> None:
    size = 30 << 20
    piece = bytes(1 << 16)
    (group,) = group_recipients([load_party(BOB.der)], EncryptionPolicy(cipher))
    octets = b"".join(enveloped((piece for _ in range(size // len(piece))), size, group))

    class Counting:
        """A sink that keeps nothing."""

        count = 0

        def write(self, octets: bytes) -> None:
            self.count += len(octets)

        def clear(self) -> None:
            self.count = 0

    def source() -> Iterator[memoryview]:
        view = memoryview(octets)
        return (view[at : at + 65_536] for at in range(0, len(octets), 65_536))

    sink = Counting()
    tracemalloc.start()
    asyncio.run(open_enveloped(source, Keys(BOB), sink))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sink.count == size
    assert peak < 1 << 20
