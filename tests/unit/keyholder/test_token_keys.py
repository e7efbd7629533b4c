"""Keys on the PKCS #11 token, asked for over the keyholder's socket: made, taken, used, away and back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from letterlock.config.settings import Pkcs11, Settings
from letterlock.keyholder.errors import PinMissing
from letterlock.keyholder.records import StoredKey
from letterlock.keyholder.token_keys import attachment
from letterlock.pki.hsm import RESTS_FOR
from letterlock.vault.errors import KeyholderUnavailable, KeyRefused
from tests.fakes.keyholder import ORGANISATION, House, running
from tests.fakes.records import envelope
from tests.fakes.softhsm import SoftToken, soft_token

pytestmark = [pytest.mark.peer, pytest.mark.slow]

ALICE = "alice@ours.test"


@pytest.fixture
def soft(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path / "soft") as made:
        yield made


def with_house(soft: SoftToken, story: Callable[[House], Awaitable[None]], pin: Path | None = None) -> None:
    settings = Settings(pkcs11=Pkcs11(soft.module, soft.uri, f"file:{pin or soft.pin_file()}"))
    state = soft.folder / "state"
    state.mkdir()

    async def tell() -> None:
        async with running(state, settings=settings) as house:
            await story(house)

    asyncio.run(tell())


async def make(house: House, algorithm: str = "rsa-2048") -> tuple[UUID, bytes]:
    """A key of Alice's, made on the token."""
    made = await house.client("admin").make_key(b"importer", ORGANISATION, algorithm, "mail", on_token=True)
    _, wrapped, organisation = house.records.made[made[0]]
    house.records.keys[made[0]] = StoredKey(wrapped, organisation, frozenset({ALICE}))
    return made


async def sign(house: House, key: UUID, algorithm: str = "rsa-pkcs1-sha256") -> bytes:
    lease, content = house.lease(await house.client("smtpd").session(), sealed=envelope(ALICE))
    return await house.client("flow").sign(lease, content.id, key, b"tbs", algorithm)


@pytest.mark.req("M1")
def test_a_key_made_on_the_token_signs_and_opens_for_whom_it_is(soft: SoftToken) -> None:
    async def story(house: House) -> None:
        key, spki = await make(house)
        public = load_der_public_key(spki)
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(await sign(house, key), b"tbs", padding.PKCS1v15(), SHA256())
        flow = house.client("flow")
        lease, content = house.lease(await house.client("smtpd").session(), sealed=envelope("x@y.test", ALICE))
        wrapped = public.encrypt(b"k" * 32, padding.PKCS1v15())
        assert await flow.unwrap(lease, content.id, key, "rsa-pkcs1", wrapped, 32) == b"k" * 32
        with pytest.raises(KeyRefused, match="does not belong to the sender"):
            await flow.sign(lease, content.id, key, b"tbs", "rsa-pkcs1-sha256")
        curve, spki = await make(house, "ec-p384")
        public_point = load_der_public_key(spki)
        assert isinstance(public_point, ec.EllipticCurvePublicKey)
        public_point.verify(await sign(house, curve, "ecdsa-sha256"), b"tbs", ec.ECDSA(SHA256()))
        rows = await house.client("admin").list_token()
        assert {(row["algorithm"], row["key"], row["use"]) for row in rows} == {
            ("rsa-2048", str(key), "mail"),
            ("ec-p384", str(curve), "mail"),
        }
        assert {row["id"] for row in rows} == {key.hex, curve.hex}

    with_house(soft, story)


@pytest.mark.req("M1")
def test_what_is_kept_is_no_key(soft: SoftToken) -> None:
    async def story(house: House) -> None:
        key, _ = await make(house)
        assert house.records.token_uris[key].startswith("pkcs11:token=letterlock%20test;")
        assert f"id=%{key.bytes[0]:02X}" in house.records.token_uris[key]

    with_house(soft, story)


@pytest.mark.req("M1")
def test_a_token_that_is_away_is_waited_for(soft: SoftToken) -> None:
    async def story(house: House) -> None:
        key, _ = await make(house)
        signature = await sign(house, key)
        soft.go_away()
        for _ in range(2):
            with pytest.raises(KeyholderUnavailable, match="The PKCS #11 token does not answer"):
                await sign(house, key)
        soft.come_back()
        await asyncio.sleep(RESTS_FOR)
        assert await sign(house, key) == signature
        assert house.keyholder.pools._token.deaths == 0

    with_house(soft, story)


@pytest.mark.req("M1")
def test_a_key_made_for_nobody_is_removed_again(soft: SoftToken) -> None:
    async def story(house: House) -> None:
        with pytest.raises(KeyRefused, match="may not have keys made"):
            await house.client("admin").make_key(b"mallory", ORGANISATION, "ec-p256", "mail", on_token=True)
        assert await house.client("admin").list_token() == []

    with_house(soft, story)


@pytest.mark.req("M1")
def test_a_key_that_is_there_is_taken_over(soft: SoftToken) -> None:
    async def story(house: House) -> None:
        admin = house.client("admin")
        key, spki = await make(house, "ec-p256")
        house.records.token_uris.clear()
        (row,) = await admin.list_token()
        assert (row["key"], row["use"]) == ("", "")
        taken, public = await admin.adopt_key(b"importer", ORGANISATION, row["uri"])
        assert public == spki
        assert taken != key
        with pytest.raises(KeyRefused, match="may not import"):
            await admin.adopt_key(b"mallory", ORGANISATION, row["uri"])
        for uri, why in (("pkcs11:id=%00", "no such key"), ("pkcs11:", "by its id"), ("alice", "no PKCS #11 URI")):
            with pytest.raises(KeyRefused, match=why):
                await admin.adopt_key(b"importer", ORGANISATION, uri)

    with_house(soft, story)


@pytest.mark.req("M1")
def test_one_signer_tries_a_wrong_pin_and_all_leave_it(soft: SoftToken, caplog: pytest.LogCaptureFixture) -> None:
    async def story(house: House) -> None:
        admin = house.client("admin")
        for _ in range(6):
            with pytest.raises(KeyholderUnavailable, match="refused the PIN"):
                await admin.list_token()
        said = [each for each in caplog.records if getattr(each, "event", "") == "keyholder.pin-refused"]
        assert len(said) == 1
        assert "98989898" not in caplog.text

    with_house(soft, story, soft.pin_file("98989898"))


@pytest.mark.req("M1")
def test_without_a_token_its_keys_wait(tmp_path: Path) -> None:
    async def tell() -> None:
        async with running(tmp_path) as house:
            with pytest.raises(KeyholderUnavailable, match="names none"):
                await house.client("admin").list_token()

    asyncio.run(tell())


@pytest.mark.req("M1")
def test_where_the_pin_comes_from(tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.touch(mode=0o600)

    def attached(source: str, token: str = "pkcs11:token=x") -> str:
        found = attachment(Pkcs11("/m.so", token, source), tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert found is not None
        assert "1234" not in repr(found)
        return found.pin

    for written in ("1234", "1234\n"):
        pin.write_text(written)
        assert attached("file:pin") == attached("credential:pin") == "1234"
    for wrong, why in (("", "one line"), ("1\n2\n", "one line"), ("x" * 300, "one line")):
        pin.write_text(wrong)
        with pytest.raises(PinMissing, match=why):
            attached("file:pin")
    for source in ("file:none", "credential:../pin", "pin", "env:PIN"):
        with pytest.raises(PinMissing):
            attached(source)
    pin.chmod(0o640)
    with pytest.raises(PinMissing, match="0600"):
        attached("file:pin")
    with pytest.raises(PinMissing, match="names a token and no key"):
        attached("file:pin", "pkcs11:object=key")
    assert attachment(Pkcs11(), tmp_path) is None


@pytest.mark.req("M1")
def test_a_token_that_hangs_holds_up_nobody_else(soft: SoftToken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterlock.keyholder.signers.LONGEST_USE", 0.5)

    async def story(house: House) -> None:
        key, spki = await make(house)
        secret = rsa.generate_private_key(65537, 2048)
        octets = secret.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        mine = await house.client("admin").import_key(b"importer", ORGANISATION, octets)
        house.records.keys[mine] = house.records.keys[mine]._replace(addresses=frozenset({ALICE}))
        pool = house.keyholder.pools._token
        stopped = [member.pid for member in pool._signers]
        for pid in stopped:  # both of the token's hang; those that follow do not
            os.kill(pid, signal.SIGSTOP)
        waiting = asyncio.create_task(sign(house, key))
        secret.public_key().verify(await sign(house, mine), b"tbs", padding.PKCS1v15(), SHA256())
        assert not waiting.done()
        with pytest.raises(KeyholderUnavailable, match="could not be used in time"):
            await waiting
        public = load_der_public_key(spki)
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(await sign(house, key), b"tbs", padding.PKCS1v15(), SHA256())
        assert pool.deaths == 2

    with_house(soft, story)
