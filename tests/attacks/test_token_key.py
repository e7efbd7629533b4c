"""Attacks on keys of a PKCS #11 token: a padding oracle by what is refused or waits, a row that names another's key, a
forged reference, the PIN."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from letterlock.config.settings import Pkcs11, Settings
from letterlock.keyholder.records import StoredKey
from letterlock.keyholder.token_drawer import Reference
from letterlock.vault.errors import KeyholderUnavailable, KeyRefused
from tests.fakes.keyholder import ORGANISATION, House, running
from tests.fakes.records import envelope
from tests.fakes.softhsm import PIN, SoftToken, soft_token

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.req("M1")]

ALICE, BOB = "alice@ours.test", "bob@ours.test"


@pytest.fixture
def soft(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path / "soft") as made:
        yield made


def with_house(soft: SoftToken, story: Callable[[House], Awaitable[None]]) -> None:
    settings = Settings(pkcs11=Pkcs11(soft.module, soft.uri, f"file:{soft.pin_file()}"))
    state = soft.folder / "state"
    state.mkdir()

    async def tell() -> None:
        async with running(state, settings=settings) as house:
            await story(house)

    asyncio.run(tell())


async def make(house: House, address: str) -> tuple[UUID, rsa.RSAPublicKey]:
    key, spki = await house.client("admin").make_key(b"importer", ORGANISATION, "rsa-2048", "mail", on_token=True)
    _, wrapped, organisation = house.records.made[key]
    house.records.keys[key] = StoredKey(wrapped, organisation, frozenset({address}))
    public = load_der_public_key(spki)
    assert isinstance(public, rsa.RSAPublicKey)
    return key, public


async def outcome(house: House, key: UUID, octets: bytes, length: int = 32) -> str:
    """What flow learns of an unwrap: the length of the key, or the kind and sentence of what was raised."""
    lease, content = house.lease(await house.client("smtpd").session(), sealed=envelope("x@theirs.test", ALICE))
    try:
        return str(len(await house.client("flow").unwrap(lease, content.id, key, "rsa-pkcs1", octets, length)))
    except (KeyRefused, KeyholderUnavailable) as error:
        return f"{type(error).__name__}: {error.public}"


@pytest.mark.req("B14")
@pytest.mark.parametrize("bare", [True, False])
def test_no_answer_tells_whether_the_padding_was_right(
    soft: SoftToken, bare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SoftHSM says CKR_GENERAL_ERROR for wrong padding, as for a token that is gone: it may neither refuse nor wait."""
    if not bare:  # signers are forked from here
        monkeypatch.setattr("letterlock.pki.hsm.Token._does_bare_rsa", lambda _: False)

    async def story(house: House) -> None:
        key, public = await make(house, ALICE)
        numbers = public.public_numbers()
        right = public.encrypt(b"k" * 32, padding.PKCS1v15())
        blocks = (
            b"\x00\x01" + os.urandom(254),
            bytes(256),
            b"\x00\x02" + b"\xff" * 254,
            b"\x00\x02" + b"\xff" * 220 + b"\0" + b"k" * 33,
        )
        wrong = [pow(int.from_bytes(block), numbers.e, numbers.n).to_bytes(256) for block in blocks]
        every = [right, *wrong, b"\xff" * 256, b"", os.urandom(255), b"\0" * 257]
        assert {await outcome(house, key, octets) for octets in every} == {"32"}
        soft.go_away()
        answers = set()
        for octets in every[:5]:
            await asyncio.sleep(1.0)
            answers.add(await outcome(house, key, octets))
        assert len(answers) == 1
        assert "does not answer" in answers.pop()

    with_house(soft, story)


def test_a_row_that_names_another_persons_key_opens_nothing(soft: SoftToken) -> None:
    """Who can write the database swaps what is stored for two keys, with their URIs."""

    async def story(house: House) -> None:
        records = house.records
        alice, _ = await make(house, ALICE)
        bob, _ = await make(house, BOB)
        records.keys[alice] = records.keys[alice]._replace(wrapped=records.keys[bob].wrapped)
        lease, content = house.lease(await house.client("smtpd").session(), sealed=envelope(ALICE))
        with pytest.raises(KeyRefused, match="does not open"):
            await house.client("flow").sign(lease, content.id, alice, b"tbs", "rsa-pkcs1-sha256")

    with_house(soft, story)


def test_a_forged_reference_is_no_private_key(soft: SoftToken) -> None:
    """Who may import keys brings, in place of one, what stands for somebody's key on the token."""

    async def story(house: House) -> None:
        bob, public = await make(house, BOB)
        forged = msgspec.msgpack.encode(Reference(house.records.token_uris[bob], b""))
        with pytest.raises(KeyRefused, match="not a private key"):
            await house.client("admin").import_key(b"importer", ORGANISATION, forged)
        assert public.key_size == 2048

    with_house(soft, story)


def test_the_pin_is_in_no_command_line_environment_or_log(soft: SoftToken, caplog: pytest.LogCaptureFixture) -> None:
    async def story(house: House) -> None:
        await make(house, ALICE)
        soft.go_away()
        with pytest.raises(KeyholderUnavailable):
            await house.client("admin").list_token()
        for each in psutil.Process().children(recursive=True):
            assert PIN not in str(each.cmdline()) + str(each.environ())

    caplog.set_level("DEBUG")
    with_house(soft, story)
    assert PIN not in caplog.text
