"""Uses users' private keys: what one signer, a child process, does.

Guarantees
    A signer holds private keys and one socket, nothing else: no root, epoch or message key, no database, no file. It
    uses what it is told to; who may, was decided before (private_keys.py). A key import is parsed here too, so that a
    hostile file meets a process that can be killed.
    What an RSA unwrap yields is random octets whenever it is not a key of the length expected: neither the answer nor
    its kind tells whether the padding was right.

Standards
    RFC 8017 7.1, 7.2, 8.1, 8.2 (RSAES-OAEP, RSAES-PKCS1-v1_5, RSASSA-PSS, RSASSA-PKCS1-v1_5), RFC 3218 2.3.2 (random
    key on failure), FIPS 186-5 6 (ECDSA), RFC 8032 (Ed25519), SEC 1 3.3.1 (ECDH), RFC 7748 6.1 (X25519), FIPS 203 7.3
    (ML-KEM decapsulation), FIPS 204 5.2 (ML-DSA).

Raises
    UseRefused: the key cannot do that, or the octets are none.

See also
    ``token_drawer.py``: keys on a PKCS #11 token, which behave as those in memory.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from letterlock.config import approved
from letterlock.keyholder import certify, jws
from letterlock.keyholder.errors import UseRefused
from letterlock.keyholder.token_drawer import Attach, Bar, Drawer, is_reference
from letterlock.pki.errors import PinRefused, TokenAway, TokenRefused
from letterlock.pki.lattice_key import seed_form
from letterlock.vault.frames import FrameReader, encode

HELD_FOR = 0.002
"""Seconds of work after which an Outcome waits for no other: some signatures of RSA 2048, less than one of RSA 4096."""

LEAST_RSA_BITS = 2048
MOST_RSA_BITS = 8192
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - only as the hash of OAEP in mail from elsewhere (RFC 8017 7.1 default)
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_SIGNING_HASHES = ("sha256", "sha384", "sha512")
_CURVES: dict[str, ec.EllipticCurve] = {
    "ecdh-p256": ec.SECP256R1(),
    "ecdh-p384": ec.SECP384R1(),
    "ecdh-p521": ec.SECP521R1(),
}

_MlDsa = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_MlKem = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
_ML_DSA: dict[str, type[_MlDsa]] = {
    "ml-dsa-44": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
}
_ML_KEM: dict[str, type[_MlKem]] = {"ml-kem-768": mlkem.MLKEM768PrivateKey, "ml-kem-1024": mlkem.MLKEM1024PrivateKey}
_LATTICES: tuple[tuple[str, type], ...] = (*_ML_DSA.items(), *_ML_KEM.items())


class Load(msgspec.Struct, frozen=True, array_like=True, tag="load"):
    """Keep a key under an id."""

    key_id: bytes
    pkcs8: bytes

    def __repr__(self) -> str:
        return "Load()"


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop"):
    """Forget a key."""

    key_id: bytes


class Task(msgspec.Struct, frozen=True, array_like=True, tag="task"):
    """Use a key; ``number`` is repeated in the Outcome. ``inspect`` takes PKCS #8 as ``octets``;
    it, ``make`` and what is ``...-on-token`` need no key. ``certify`` and ``pack``: certify.py; ``jws``: jws.py."""

    number: int
    operation: str
    key_id: bytes
    algorithm: str
    octets: bytes
    length: int

    def __repr__(self) -> str:
        return "Task()"


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="outcome"):
    """What came of a Task: ``octets``, or a ``refusal`` that may be shown to anybody. ``later``: it may work then, the
    token is away; ``barred``: the token refused the PIN, and no other signer should try it."""

    number: int
    octets: bytes
    refusal: str = ""
    later: bool = False
    barred: bool = False

    def __repr__(self) -> str:
        return "Outcome()"


class Inspected(msgspec.Struct, frozen=True, array_like=True):
    """A private key that was looked at: its algorithm in words, its SubjectPublicKeyInfo, itself as plain PKCS #8."""

    algorithm: str
    spki: bytes
    pkcs8: bytes

    def __repr__(self) -> str:
        return "Inspected()"


Order = Load | Drop | Task | Attach | Bar


def sign(key: Any, algorithm: str, octets: bytes) -> bytes:
    """The signature over ``octets``. Raises UseRefused."""
    scheme, _, name = algorithm.rpartition("-")
    if algorithm == "ed25519" and isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(octets)
    lattice = _ML_DSA.get(algorithm)
    if lattice is not None and isinstance(key, lattice):
        return key.sign(octets)  # pure, with an empty context (RFC 9882 3.1)
    if name not in _SIGNING_HASHES:
        raise UseRefused
    digest = _HASHES[name]
    if scheme == "rsa-pkcs1" and isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), digest)
    if scheme == "rsa-pss" and isinstance(key, rsa.RSAPrivateKey):
        # RFC 8551 2.2 and RFC 4056 3: MGF1 with the same hash, salt as long as the digest
        return key.sign(octets, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(octets, ec.ECDSA(digest))
    raise UseRefused


def unwrap(key: Any, algorithm: str, octets: bytes, length: int) -> bytes:
    """The wrapped key, or as many random octets. Raises UseRefused for another kind of key or algorithm."""
    if not isinstance(key, rsa.RSAPrivateKey) or not 5 <= length <= 64:
        raise UseRefused
    if algorithm == "rsa-pkcs1":
        # OpenSSL answers bad padding with a synthetic plaintext (implicit rejection), of random length.
        scheme: Any = padding.PKCS1v15()
    else:
        names = algorithm.removeprefix("rsa-oaep-").split("-")
        if not algorithm.startswith("rsa-oaep-") or not 1 <= len(names) <= 2 or any(n not in _HASHES for n in names):
            raise UseRefused
        scheme = padding.OAEP(padding.MGF1(_HASHES[names[-1]]), _HASHES[names[0]], None)
    random = os.urandom(length)
    try:
        found = key.decrypt(octets, scheme)
    except ValueError:
        return random
    return found if len(found) == length else random


def agree(key: Any, algorithm: str, peer: bytes) -> bytes:
    """The shared secret with the public key ``peer``. Raises UseRefused, also when it is no point of the curve."""
    try:
        if algorithm == "x25519" and isinstance(key, x25519.X25519PrivateKey):
            return key.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        curve = _CURVES.get(algorithm)
        if curve is not None and isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == curve.name:
            return key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(curve, peer))
    except ValueError:
        raise UseRefused from None
    raise UseRefused


def decapsulate(key: Any, algorithm: str, octets: bytes) -> bytes:
    """The encapsulated secret, another one when ``octets`` are damaged. Raises UseRefused."""
    kind = _ML_KEM.get(algorithm)
    if kind is None or not isinstance(key, kind):
        raise UseRefused
    try:
        return key.decapsulate(octets)
    except ValueError:  # not as long as a ciphertext: that much is public
        raise UseRefused from None


def inspect(octets: bytes) -> Inspected:
    """A private key on its way in, fully checked. Raises UseRefused with a sentence."""
    try:
        key = load_der_private_key(seed_form(octets), None)
    except (ValueError, TypeError):
        raise UseRefused("This is not a private key in PKCS #8.") from None
    except Exception as error:
        raise UseRefused("This private key is of a kind that is not known.", detail=type(error).__name__) from None
    if isinstance(key, rsa.RSAPrivateKey):
        if not LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
            raise UseRefused(
                f"RSA keys have {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits here; this one has {key.key_size}."
            )
        algorithm = f"rsa-{key.key_size}"
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in {curve.name for curve in _CURVES.values()}:
            raise UseRefused("Elliptic curve keys are of P-256, P-384 or P-521 here.")
        algorithm = f"ec-p{key.key_size}"
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = "ed25519"
    elif isinstance(key, x25519.X25519PrivateKey):
        _require("certificate key", "x25519")
        algorithm = "x25519"
    else:
        algorithm = next((name for name, kind in _LATTICES if isinstance(key, kind)), "")
        if not algorithm:
            raise UseRefused("This private key is of a kind that is not used for S/MIME.")
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Inspected(algorithm, spki, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


_ON_TOKEN: dict[str, Callable[[Drawer, Task], bytes]] = {
    "make-on-token": lambda drawer, task: drawer.make(task.algorithm, task.octets),
    "find-on-token": lambda drawer, task: drawer.find(task.octets),
    "destroy-on-token": lambda drawer, task: drawer.destroy(task.octets),
    "list-on-token": lambda drawer, _: drawer.keys(),
}


def _require(area: approved.Area, name: str) -> None:
    if not approved.permits(area, name):
        raise UseRefused(f"{name} is not used while crypto_profile is fips.")


def _require_approved(task: Task) -> None:
    """Whoever asks keeps the profile as well; nothing of the key is used for one who does not. Raises UseRefused."""
    if task.operation == "unwrap":
        _require("key transport", "rsa-oaep" if task.algorithm.startswith("rsa-oaep-") else task.algorithm)
        for name in task.algorithm.split("-")[2:]:
            _require("digest", name)
    elif task.operation == "agree":
        _require("key agreement", task.algorithm)
    elif task.operation == "pack":
        _require("password", "PKCS#12")


class Bench:
    """The keys one signer holds, and what it does with them."""

    def __init__(self) -> None:
        self._keys: dict[bytes, Any] = {}
        self._drawer = Drawer()

    def obey(self, order: Order) -> Outcome | None:
        """Carry out one order; the Outcome of a Task."""
        if isinstance(order, Attach | Bar):
            self._drawer.obey(order)
            return None
        if isinstance(order, Load):
            if is_reference(order.pkcs8):
                self._keys[order.key_id] = order.pkcs8
                return None
            # It was checked in full when it was imported; the check costs more than a signature.
            self._keys[order.key_id] = load_der_private_key(order.pkcs8, None, unsafe_skip_rsa_key_validation=True)
            return None
        if isinstance(order, Drop):
            self._keys.pop(order.key_id, None)
            return None
        try:
            return Outcome(order.number, self._use(order))
        except (UseRefused, TokenRefused) as error:
            return Outcome(order.number, b"", error.public)
        except (TokenAway, PinRefused) as error:
            return Outcome(order.number, b"", error.public, later=True, barred=isinstance(error, PinRefused))
        except Exception as error:
            return Outcome(order.number, b"", f"The private key could not be used ({type(error).__name__}).")

    def _use(self, task: Task) -> bytes:
        _require_approved(task)
        if task.operation == "inspect":
            return msgspec.msgpack.encode(inspect(task.octets))
        if task.operation == "make":
            return msgspec.msgpack.encode(inspect(certify.generate(task.algorithm)))
        if task.operation in _ON_TOKEN:
            return _ON_TOKEN[task.operation](self._drawer, task)
        key = self._keys[task.key_id]
        if isinstance(key, bytes):
            key = self._keys[task.key_id] = self._drawer.key(key)
        if task.operation == "sign":
            return sign(key, task.algorithm, task.octets)
        if task.operation == "unwrap":
            return unwrap(key, task.algorithm, task.octets, task.length)
        if task.operation == "agree":
            return agree(key, task.algorithm, task.octets)
        if task.operation == "decapsulate":
            return decapsulate(key, task.algorithm, task.octets)
        if task.operation == "certify":
            return certify.certify(key, task.octets)
        if task.operation == "jws":
            return jws.sign(key, task.octets)
        if task.operation == "pack":
            return certify.pack(key, task.octets)
        raise UseRefused


def serve(channel: socket.socket) -> None:
    """Obey orders until the keyholder closes the socket; Outcomes go back together, none later than HELD_FOR."""
    bench = Bench()
    reader: FrameReader[list[Order]] = FrameReader(list[Order])
    while octets := channel.recv(262_144):
        finished: list[Outcome] = []
        until = time.monotonic() + HELD_FOR
        for order in chain.from_iterable(reader.feed(octets)):
            outcome = bench.obey(order)
            if outcome is None:
                continue
            finished.append(outcome)
            if time.monotonic() >= until:
                channel.sendall(encode(finished))
                finished.clear()
                until = time.monotonic() + HELD_FOR
        if finished:
            channel.sendall(encode(finished))
