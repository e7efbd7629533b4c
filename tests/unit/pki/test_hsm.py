"""One key, two places: what a signer does with a key in memory and with one on a token is the same. And the token itself."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from letterlock.keyholder import signer
from letterlock.keyholder.errors import UseRefused
from letterlock.pki import hsm_keys
from letterlock.pki.errors import PinRefused, TokenAway, TokenRefused
from letterlock.pki.hsm import CURVES, RESTS_FOR, Held, Token
from letterlock.pki.pkcs11_uri import TokenUri, parse
from tests.fakes.softhsm import PIN, SoftToken, soft_token

pytestmark = [pytest.mark.peer, pytest.mark.slow]

HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
MAKING: dict[str, Callable[[], Any]] = {
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    **{name: lambda kind=kind: ec.generate_private_key(kind()) for name, (_, kind) in CURVES.items()},  # type: ignore[misc]
}


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    with soft_token(tmp_path_factory.mktemp("token") / "soft") as made:
        yield made


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def token(soft: SoftToken, clock: Ticking) -> Iterator[Token]:
    made = Token(soft.module, parse(soft.uri), PIN, clock)
    yield made
    made.close()


@pytest.fixture(scope="module")
def pairs(soft: SoftToken) -> dict[str, Held]:
    """A key of each kind on the token."""
    making = Token(soft.module, parse(soft.uri), PIN)
    made = {kind: making.make(kind, os.urandom(16)) for kind in MAKING}
    making.close()
    return made


@pytest.fixture(params=["software", "token", "token that takes the padding off"])
def key_of(request: pytest.FixtureRequest, token: Token, pairs: dict[str, Held]) -> Callable[[str], Any]:
    """A private key of a kind: in memory, on a token, on a token without CKM_RSA_X_509."""

    def make(kind: str) -> Any:
        if request.param == "software":
            return MAKING[kind]()
        key = token.key(pairs[kind].uri, pairs[kind].spki)
        if request.param != "token" and isinstance(key, hsm_keys.TokenRsaKey):
            key._bare = lambda: False
        return key

    return make


@pytest.mark.req("M1")
@pytest.mark.parametrize("name", HASHES)
def test_rsa_signs(key_of: Callable[[str], Any], name: str) -> None:
    key, digest = key_of("rsa-2048"), HASHES[name]
    key.public_key().verify(signer.sign(key, f"rsa-pkcs1-{name}", b"tbs"), b"tbs", padding.PKCS1v15(), digest)
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    key.public_key().verify(signer.sign(key, f"rsa-pss-{name}", b"tbs"), b"tbs", pss, digest)


@pytest.mark.req("M1")
@pytest.mark.parametrize("kind", CURVES)
def test_curves_sign_and_agree(key_of: Callable[[str], Any], kind: str) -> None:
    key = key_of(kind)
    for name, digest in HASHES.items():
        key.public_key().verify(signer.sign(key, f"ecdsa-{name}", b"tbs"), b"tbs", ec.ECDSA(digest))
    for _ in range(20):  # a secret may begin with zeros
        other = ec.generate_private_key(key.curve)
        point = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        secret = signer.agree(key, f"ecdh-{kind.removeprefix('ec-')}", point)
        assert secret == other.exchange(ec.ECDH(), key.public_key())
    with pytest.raises(UseRefused):  # no point of the curve
        signer.agree(key, f"ecdh-{kind.removeprefix('ec-')}", point[:-1] + bytes([point[-1] ^ 1]))


@pytest.mark.req("M1")
def test_rsa_unwraps(key_of: Callable[[str], Any], request: pytest.FixtureRequest) -> None:
    key = key_of("rsa-2048")
    for length in (16, 24, 32):
        secret = os.urandom(length)
        wrapped = key.public_key().encrypt(secret, padding.PKCS1v15())
        assert signer.unwrap(key, "rsa-pkcs1", wrapped, length) == secret
    every = {**HASHES, "sha1": hashes.SHA1()}
    for name, digest in every.items():
        for mask, its in every.items():
            wrapped = key.public_key().encrypt(secret, padding.OAEP(padding.MGF1(its), digest, None))
            if "takes the padding off" in request.node.name and (name, mask) != ("sha1", "sha1"):
                with pytest.raises(TokenRefused):  # SoftHSM 2.6 knows SHA-1 only
                    signer.unwrap(key, f"rsa-oaep-{name}-{mask}", wrapped, length)
            else:
                assert signer.unwrap(key, f"rsa-oaep-{name}-{mask}", wrapped, length) == secret


def _raw(key: Any, block: bytes) -> bytes:
    numbers = key.public_key().public_numbers()
    return pow(int.from_bytes(block), numbers.e, numbers.n).to_bytes(256)


WRONG_BLOCKS = {
    "first octet": b"\x01\x02" + b"\xff" * 221 + b"\0" + b"k" * 32,
    "second octet": b"\x00\x01" + b"\xff" * 221 + b"\0" + b"k" * 32,
    "no end of padding": b"\x00\x02" + b"\xff" * 254,
    "seven octets of padding": b"\x00\x02" + b"\xff" * 7 + b"\0" + b"k" * 246,
    "zero padding": b"\x00\x02\x00" + b"k" * 253,
    "another length": b"\x00\x02" + b"\xff" * 220 + b"\0" + b"k" * 33,
    "nothing": b"\x00\x02" + b"\xff" * 253 + b"\0",
    "all zeros": bytes(256),
}


@pytest.mark.req("M1", "B14")
@pytest.mark.parametrize("wrong", WRONG_BLOCKS.values(), ids=WRONG_BLOCKS.keys())
def test_wrong_padding_gives_a_random_key_and_no_error(key_of: Callable[[str], Any], wrong: bytes) -> None:
    """Bleichenbacher's and Manger's question gets the answer that a right one gets: a key of the length asked for."""
    key = key_of("rsa-2048")
    for algorithm in ("rsa-pkcs1", "rsa-oaep-sha1-sha1"):
        found = {signer.unwrap(key, algorithm, _raw(key, wrong), 32) for _ in range(2)}
        assert {len(each) for each in found} == {32}
        assert len(found) == 2 or (isinstance(key, rsa.RSAPrivateKey) and not isinstance(key, hsm_keys.TokenRsaKey))
        assert b"k" * 32 not in found


@pytest.mark.req("M1", "B14")
@pytest.mark.parametrize("octets", [b"", b"x", b"x" * 255, b"\xff" * 256, b"x" * 257])
def test_what_is_no_ciphertext_gives_a_random_key(key_of: Callable[[str], Any], octets: bytes) -> None:
    assert len(signer.unwrap(key_of("rsa-2048"), "rsa-pkcs1", octets, 24)) == 24


@pytest.mark.req("M1")
def test_padding_is_judged_as_the_software_judges_it() -> None:
    """Damage of every octet of an OAEP block is seen; so is that of a v1.5 block's head."""
    key = rsa.generate_private_key(65537, 2048)
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    numbers, private = key.public_key().public_numbers(), key.private_numbers()
    block = pow(int.from_bytes(key.public_key().encrypt(b"secret", scheme)), private.d, numbers.n).to_bytes(256)
    assert hsm_keys._without_oaep(block, hashes.SHA256(), hashes.SHA256()) == b"secret"
    for at in range(256):
        damaged = block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]
        assert hsm_keys._without_oaep(damaged, hashes.SHA256(), hashes.SHA256()) != b"secret"


@pytest.mark.req("M1", "B14")
@pytest.mark.parametrize(
    ("block", "found"),
    [
        (b"\x00\x02" + b"\xff" * 8 + b"\0message", b"message"),
        (b"\x00\x02" + b"\x01" * 200 + b"\0message\0\0", b"message\0\0"),
        (b"\x00\x02" + b"\xff" * 7 + b"\0message", None),
        (b"\x00\x02" + b"\0message", None),
        (b"\x01\x02" + b"\xff" * 8 + b"\0message", None),
        (b"\x00\x01" + b"\xff" * 8 + b"\0message", None),
        (b"\x00\x03" + b"\xff" * 8 + b"\0message", None),
    ],
)
def test_padding_of_version_1_5_is_judged_by_the_book(block: bytes, found: bytes | None) -> None:
    """RFC 8017 7.2.2: what is wrong gives something else, as long."""
    got = hsm_keys._without_pkcs1(block)
    assert got == found if found is not None else not got.startswith(b"message")


@pytest.mark.req("M1")
def test_a_key_on_a_token_cannot_be_taken_out(token: Token, pairs: dict[str, Held]) -> None:
    for held in pairs.values():
        key = token.key(held.uri, held.spki)
        for take in (
            key.private_numbers,
            lambda key=key: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        ):  # type: ignore[misc]
            with pytest.raises(TokenRefused, match="cannot be taken out"):
                take()
        assert copy.deepcopy(key) is copy.copy(key) is key
        attributes = token.use(
            lambda session, held=held: next(
                iter(
                    session.get_objects(
                        {pkcs11.Attribute.ID: held.uri.id, pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
                    )
                )
            )
        )  # type: ignore[misc]
        assert attributes[pkcs11.Attribute.SENSITIVE]
        assert not attributes[pkcs11.Attribute.EXTRACTABLE]


@pytest.mark.req("M1")
def test_keys_are_listed_found_and_removed(token: Token, pairs: dict[str, Held]) -> None:
    assert set(pairs.values()) <= set(token.held())
    for held in pairs.values():
        assert token.find(TokenUri(id=held.uri.id)) == held
        assert token.find(TokenUri(object=held.uri.object)) == held
        load_der_public_key(held.spki)
    with pytest.raises(TokenRefused, match="no such key"):
        token.find(TokenUri(id=b"none"))
    with pytest.raises(TokenRefused, match="by its id or its label"):
        token.find(TokenUri())
    spare = token.make("ec-p256", b"spare")
    assert spare in token.held()
    token.destroy(spare.uri)
    assert spare not in token.held()
    with pytest.raises(TokenRefused, match="of the kinds"):
        token.make("rsa-1024", b"weak")


@pytest.mark.req("M1")
def test_a_public_key_that_is_not_the_keys_is_noticed(token: Token) -> None:
    """A token that keeps no public keys is told one; what it is told is proved."""
    held = token.make("ec-p256", b"no public")
    public = {pkcs11.Attribute.ID: held.uri.id, pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY}
    token.use(lambda session: [each.destroy() for each in list(session.get_objects(public))])
    with pytest.raises(TokenRefused, match="give its certificate"):
        token.find(held.uri)
    assert token.find(held.uri, held.spki) == held
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(TokenRefused, match="another public key"):
        token.find(held.uri, other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    token.destroy(held.uri)


@pytest.mark.req("M1")
def test_a_token_that_goes_away_and_comes_back(
    soft: SoftToken, token: Token, clock: Ticking, pairs: dict[str, Held]
) -> None:
    key = token.key(pairs["rsa-2048"].uri, pairs["rsa-2048"].spki)
    signer.sign(key, "rsa-pkcs1-sha256", b"tbs")
    wrapped = key.public_key().encrypt(b"k" * 32, padding.PKCS1v15())
    soft.go_away()
    try:
        for octets in (wrapped, b"\0" + b"x" * 255):  # away is away, whatever the padding
            clock.now += 10
            with pytest.raises(TokenAway):
                signer.unwrap(key, "rsa-pkcs1", octets, 32)
        with pytest.raises(TokenAway):
            signer.sign(key, "rsa-pkcs1-sha256", b"tbs")
    finally:
        soft.come_back()
    with pytest.raises(TokenAway):  # it rests
        signer.sign(key, "rsa-pkcs1-sha256", b"tbs")
    clock.now += RESTS_FOR
    assert signer.unwrap(key, "rsa-pkcs1", wrapped, 32) == b"k" * 32


@pytest.mark.req("M1")
def test_a_wrong_pin_is_tried_once(soft: SoftToken, clock: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    token = Token(soft.module, parse(soft.uri), "wrong", clock)
    opened = Token._opened
    monkeypatch.setattr(Token, "_opened", lambda self: tries.append(1) or opened(self))
    for _ in range(3):
        clock.now += 10
        with pytest.raises(PinRefused):
            token.held()
    assert len(tries) == 1
    assert repr(token) == "Token()"
    token.close()


@pytest.mark.req("M1")
def test_a_module_or_token_that_is_not_there(soft: SoftToken, clock: Ticking, tmp_path: Path) -> None:
    for module, uri in ((str(tmp_path / "none.so"), soft.uri), (soft.module, "pkcs11:token=other")):
        token = Token(module, parse(uri), PIN, clock)
        with pytest.raises(TokenAway):
            token.held()
        token.close()
