"""What a signer does with a private key: each algorithm against its public half, and what is refused."""

from __future__ import annotations

import os
import socket
import threading

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from letterlock.keyholder import signer
from letterlock.keyholder.errors import UseRefused
from letterlock.keyholder.signer import Drop, Inspected, Load, Outcome, Task
from letterlock.vault.frames import FrameReader, encode

RSA = rsa.generate_private_key(65537, 2048)
CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
EC = {name: ec.generate_private_key(curve) for name, curve in CURVES.items()}
ED = ed25519.Ed25519PrivateKey.generate()
X = x25519.X25519PrivateKey.generate()
ML_DSA = {44: mldsa.MLDSA44PrivateKey, 65: mldsa.MLDSA65PrivateKey, 87: mldsa.MLDSA87PrivateKey}
KEM = mlkem.MLKEM768PrivateKey.generate()
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
TBS = b"signed attributes"


def pkcs8(key: object) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]  # any key


@pytest.mark.parametrize("name", HASHES)
def test_sign(name: str) -> None:
    digest = HASHES[name]
    RSA.public_key().verify(signer.sign(RSA, f"rsa-pkcs1-{name}", TBS), TBS, padding.PKCS1v15(), digest)
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    RSA.public_key().verify(signer.sign(RSA, f"rsa-pss-{name}", TBS), TBS, pss, digest)
    for key in EC.values():
        key.public_key().verify(signer.sign(key, f"ecdsa-{name}", TBS), TBS, ec.ECDSA(digest))
    ED.public_key().verify(signer.sign(ED, "ed25519", TBS), TBS)


@pytest.mark.req("B12")
@pytest.mark.parametrize("level", ML_DSA)
def test_sign_ml_dsa(level: int) -> None:
    key = ML_DSA[level].generate()
    key.public_key().verify(signer.sign(key, f"ml-dsa-{level}", TBS), TBS)
    for other in {44, 65, 87} - {level}:
        with pytest.raises(UseRefused):
            signer.sign(key, f"ml-dsa-{other}", TBS)


@pytest.mark.req("B12")
def test_decapsulate() -> None:
    secret, ciphertext = KEM.public_key().encapsulate()
    assert signer.decapsulate(KEM, "ml-kem-768", ciphertext) == secret
    spoilt = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    other = signer.decapsulate(KEM, "ml-kem-768", spoilt)  # implicit rejection: another secret, no error
    assert len(other) == 32
    assert other != secret
    for key, algorithm, octets in (
        (KEM, "ml-kem-1024", ciphertext),
        (KEM, "ml-kem-768", ciphertext[:-1]),
        (KEM, "ml-kem-768", b""),
        (KEM, "ml-kem", ciphertext),
        (RSA, "ml-kem-768", ciphertext),
        (X, "ml-kem-768", ciphertext),
    ):
        with pytest.raises(UseRefused):
            signer.decapsulate(key, algorithm, octets)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "rsa-pkcs1-sha1"),
        (RSA, "rsa-pkcs1-md5"),
        (RSA, "ecdsa-sha256"),
        (RSA, "ed25519"),
        (RSA, ""),
        (RSA, "sha256"),
        (EC["p256"], "rsa-pkcs1-sha256"),
        (EC["p256"], "ecdsa-sha1"),
        (ED, "ecdsa-sha256"),
        (X, "ed25519"),
    ],
)
def test_sign_refuses(key: object, algorithm: str) -> None:
    with pytest.raises(UseRefused):
        signer.sign(key, algorithm, TBS)


OAEP = {
    "rsa-oaep-sha256": ("sha256", "sha256"),
    "rsa-oaep-sha256-sha1": ("sha256", "sha1"),
    "rsa-oaep-sha1": ("sha1", "sha1"),
    "rsa-oaep-sha512-sha256": ("sha512", "sha256"),
}


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("algorithm", ["rsa-pkcs1", *OAEP])
def test_unwrap(algorithm: str, length: int) -> None:
    key = os.urandom(length)
    if algorithm == "rsa-pkcs1":
        wrapped = RSA.public_key().encrypt(key, padding.PKCS1v15())
    else:
        known = {**HASHES, "sha1": hashes.SHA1()}
        digest, mask = (known[name] for name in OAEP[algorithm])
        wrapped = RSA.public_key().encrypt(key, padding.OAEP(padding.MGF1(mask), digest, None))
    assert signer.unwrap(RSA, algorithm, wrapped, length) == key
    other = signer.unwrap(RSA, algorithm, wrapped, length + 1)
    assert len(other) == length + 1
    assert key not in other


@pytest.mark.parametrize("algorithm", ["rsa-pkcs1", "rsa-oaep-sha256"])
def test_what_does_not_unwrap_is_random(algorithm: str) -> None:
    for wrapped in (os.urandom(255), bytes(256), b"", os.urandom(256)[:1] + os.urandom(255), b"\xff" * 256):
        found = [signer.unwrap(RSA, algorithm, wrapped, 32) for _ in range(2)]
        assert all(len(each) == 32 for each in found)
        assert found[0] != bytes(32)


@pytest.mark.parametrize(
    ("key", "algorithm", "length"),
    [
        (EC["p256"], "rsa-pkcs1", 32),
        (RSA, "rsa-oaep", 32),
        (RSA, "rsa-oaep-", 32),
        (RSA, "rsa-oaep-md5", 32),
        (RSA, "rsa-oaep-sha256-sha256-sha256", 32),
        (RSA, "pkcs1", 32),
        (RSA, "rsa-pkcs1", 0),
        (RSA, "rsa-pkcs1", 65),
        (RSA, "rsa-pkcs1", -1),
    ],
)
def test_unwrap_refuses(key: object, algorithm: str, length: int) -> None:
    with pytest.raises(UseRefused):
        signer.unwrap(key, algorithm, bytes(256), length)


@pytest.mark.parametrize("name", CURVES)
def test_agree(name: str) -> None:
    other = ec.generate_private_key(CURVES[name])
    for form in (PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint):
        peer = other.public_key().public_bytes(Encoding.X962, form)
        assert signer.agree(EC[name], f"ecdh-{name}", peer) == other.exchange(ec.ECDH(), EC[name].public_key())


def test_agree_x25519() -> None:
    other = x25519.X25519PrivateKey.generate()
    assert signer.agree(X, "x25519", other.public_key().public_bytes_raw()) == other.exchange(X.public_key())


@pytest.mark.parametrize(
    ("key", "algorithm", "peer"),
    [
        (EC["p256"], "ecdh-p256", b"\x04" + b"\x01" * 64),  # not on the curve
        (EC["p256"], "ecdh-p256", b"\x00"),  # the point at infinity
        (EC["p256"], "ecdh-p256", b""),
        (EC["p256"], "ecdh-p384", b"\x04" + bytes(96)),
        (EC["p256"], "x25519", bytes(32)),
        (X, "x25519", bytes(32)),  # a point of small order
        (X, "x25519", bytes(31)),
        (RSA, "ecdh-p256", bytes(65)),
        (EC["p256"], "ecdh", bytes(65)),
    ],
)
def test_agree_refuses(key: object, algorithm: str, peer: bytes) -> None:
    with pytest.raises(UseRefused):
        signer.agree(key, algorithm, peer)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "rsa-2048"), (EC["p256"], "ec-p256"), (EC["p521"], "ec-p521"), (ED, "ed25519"), (X, "x25519"),
     (KEM, "ml-kem-768"), (ML_DSA[44].generate(), "ml-dsa-44"), (ML_DSA[87].generate(), "ml-dsa-87")],
)  # fmt: skip
def test_inspect(key: object, algorithm: str) -> None:
    found = signer.inspect(pkcs8(key))
    assert found.algorithm == algorithm
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]  # any key
    assert found.spki == public
    assert pkcs8(load_der_private_key(found.pkcs8, None)) == pkcs8(key)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30\x80",
        os.urandom(200),
        pkcs8(ec.generate_private_key(ec.SECP256K1())),
        pkcs8(ed448.Ed448PrivateKey.generate()),
        pkcs8(dsa.generate_private_key(1024)),
        RSA.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())[:-1],
        pkcs8(RSA)[:-1],
    ],
    ids=["nothing", "no-end", "noise", "secp256k1", "ed448", "dsa", "traditional-cut", "cut"],
)
def test_inspect_refuses(octets: bytes) -> None:
    with pytest.raises(UseRefused) as caught:
        signer.inspect(octets)
    assert caught.value.public.endswith(".")


def test_inspect_checks_that_the_key_is_consistent() -> None:
    octets = bytearray(pkcs8(RSA))
    octets[-20] ^= 1  # in the last of its numbers
    with pytest.raises(UseRefused):
        signer.inspect(bytes(octets))


def test_serve_obeys_until_the_socket_closes() -> None:
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=signer.serve, args=(theirs,))
    serving.start()
    orders = [
        Load(b"k", pkcs8(ED)),
        Task(1, "sign", b"k", "ed25519", TBS, 0),
        Task(2, "sign", b"k", "ecdsa-sha256", TBS, 0),
        Drop(b"k"),
        Task(3, "sign", b"k", "ed25519", TBS, 0),
        Task(4, "inspect", b"", "", pkcs8(X), 0),
        Task(5, "export", b"k", "", b"", 0),
        Load(b"m", pkcs8(KEM)),
        Task(6, "decapsulate", b"m", "ml-kem-768", KEM.public_key().encapsulate()[1], 0),
    ]
    ours.sendall(encode(orders[:3]) + encode(orders[3:]))
    reader: FrameReader[list[Outcome]] = FrameReader(list[Outcome])
    found: list[Outcome] = []
    while len(found) < 6:
        for outcomes in reader.feed(ours.recv(65_536)):
            found += outcomes
    ours.close()
    serving.join(5)
    theirs.close()
    assert not serving.is_alive()
    assert [bool(outcome.refusal) for outcome in found] == [False, True, True, False, True, False]
    ED.public_key().verify(found[0].octets, TBS)
    assert msgspec.msgpack.decode(found[3].octets, type=Inspected).algorithm == "x25519"
    assert "secret" not in repr([Task(1, "secret", b"", "secret", b"secret", 0), Load(b"", b"secret")])
