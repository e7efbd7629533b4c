"""Users' private keys, asked for over the socket: for whose mail they are used, and for whose not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from letterlock.keyholder import private_keys
from letterlock.mail.envelope import Envelope
from letterlock.pki.private_key import KeyholderKey
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import new_id
from letterlock.vault.opening import KeyholderClient
from tests.fakes.keyholder import ORGANISATION, House, running
from tests.fakes.records import envelope

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pkcs8(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class Scene:
    """A keyholder with Alice's key, and flow at its desk."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.flow: KeyholderClient = house.client("flow")

    async def bring(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *addresses: str) -> UUID:
        key_id = await self.house.client("admin").import_key(b"importer", ORGANISATION, pkcs8(key))
        stored = self.house.records.keys[key_id]
        self.house.records.keys[key_id] = stored._replace(addresses=frozenset(addresses))
        return key_id

    async def lease(self, sealed: Envelope | bytes | None = None, role: str = "ll_flow") -> tuple[UUID, UUID]:
        lease, content = self.house.lease(await self.house.client("smtpd").session(), role, sealed)
        return lease, content.id


def with_scene(state: Path, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with running(state) as house:
            await story(Scene(house))

    asyncio.run(tell())


@pytest.mark.req("I3")
def test_sign_for_the_sender_and_nobody_else(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test")
        lease, mine = await scene.lease(envelope("Alice@ours.test", "bob@theirs.test"))
        signature = await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")
        RSA.public_key().verify(signature, b"tbs", padding.PKCS1v15(), SHA256())
        for sealed in (
            envelope("mallory@ours.test", "alice@ours.test"),
            envelope("", "alice@ours.test"),
            envelope("alice@ours.test.evil.test"),
        ):
            lease, other = await scene.lease(sealed)
            with pytest.raises(KeyRefused, match="does not belong to the sender"):
                await scene.flow.sign(lease, other, alice, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


@pytest.mark.req("C11", "I3")
@pytest.mark.parametrize(
    "sender",
    [
        "@ours.test",
        "@*.ours.test",
        "@bob@ours.test",
        "bob@ours.test",
        "a@ours.test",
        "a@x.ours.test",
        '"@bob"@ours.test',
    ],
)
def test_what_a_certificate_is_tied_to_entitles_nobody(tmp_path: Path, sender: str) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test", "@bob@ours.test", "@ours.test", "@*.ours.test")
        lease, mine = await scene.lease(envelope(sender, sender))
        with pytest.raises(KeyRefused, match="does not belong to the sender"):
            await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")
        wrapped = RSA.public_key().encrypt(b"k" * 32, padding.PKCS1v15())
        with pytest.raises(KeyRefused, match="does not belong to a recipient"):
            await scene.flow.unwrap(lease, mine, alice, "rsa-pkcs1", wrapped, 32)

    with_scene(tmp_path, story)


@pytest.mark.req("I3")
def test_unwrap_and_agree_for_a_recipient_and_nobody_else(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        bob, curve = await scene.bring(RSA, "bob@ours.test"), await scene.bring(EC, "bob@ours.test")
        wrapped = RSA.public_key().encrypt(b"k" * 32, padding.PKCS1v15())
        other = ec.generate_private_key(ec.SECP256R1())
        peer = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        lease, mine = await scene.lease(envelope("x@theirs.test", "carol@ours.test", "BOB@ours.test"))
        assert await scene.flow.unwrap(lease, mine, bob, "rsa-pkcs1", wrapped, 32) == b"k" * 32
        shared = await scene.flow.agree(lease, mine, curve, "ecdh-p256", peer)
        assert shared == other.exchange(ec.ECDH(), EC.public_key())
        lease, from_bob = await scene.lease(envelope("bob@ours.test", "carol@theirs.test", origin="internet"))
        with pytest.raises(KeyRefused, match="does not belong to a recipient"):
            await scene.flow.unwrap(lease, from_bob, bob, "rsa-pkcs1", wrapped, 32)
        with pytest.raises(KeyRefused, match="does not belong to a recipient"):
            await scene.flow.agree(lease, from_bob, curve, "ecdh-p256", peer)

    with_scene(tmp_path, story)


@pytest.mark.req("B6", "I3")
def test_the_key_of_a_domains_authority_opens_for_its_domain_and_signs_for_nobody(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        key = await scene.bring(RSA, "domain-confidentiality-authority@ours.test")
        wrapped = RSA.public_key().encrypt(b"k" * 32, padding.PKCS1v15())
        lease, mine = await scene.lease(envelope("x@theirs.test", "Bob@OURS.test", origin="internet"))
        assert await scene.flow.unwrap(lease, mine, key, "rsa-pkcs1", wrapped, 32) == b"k" * 32
        for sealed in (
            envelope("x@theirs.test", "bob@sub.ours.test", origin="internet"),
            envelope("bob@ours.test", "x@theirs.test"),
        ):
            lease, other = await scene.lease(sealed)
            with pytest.raises(KeyRefused, match="does not belong to a recipient"):
                await scene.flow.unwrap(lease, other, key, "rsa-pkcs1", wrapped, 32)
            with pytest.raises(KeyRefused, match="does not belong to the sender"):
                await scene.flow.sign(lease, other, key, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


@pytest.mark.req("A18", "I3")
def test_what_the_sender_submitted_opens_with_its_own_key(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        bob, carol = await scene.bring(RSA, "bob@ours.test"), await scene.bring(EC, "carol@ours.test")
        wrapped = RSA.public_key().encrypt(b"k" * 32, padding.PKCS1v15())
        lease, mine = await scene.lease(envelope("BOB@ours.test", "dora@theirs.test"))
        assert await scene.flow.unwrap(lease, mine, bob, "rsa-pkcs1", wrapped, 32) == b"k" * 32
        with pytest.raises(KeyRefused, match="does not belong to a recipient"):
            await scene.flow.agree(lease, mine, carol, "ecdh-p256", b"\4" + bytes(64))
        for sealed in (
            envelope("bob@ours.test", "dora@theirs.test", origin="internet"),
            envelope("bob@ours.test", "dora@theirs.test", origin="notice"),
            envelope("", "dora@theirs.test"),
            envelope("mallory@ours.test", "dora@theirs.test"),
        ):
            lease, other = await scene.lease(sealed)
            with pytest.raises(KeyRefused, match="does not belong to a recipient"):
                await scene.flow.unwrap(lease, other, bob, "rsa-pkcs1", wrapped, 32)

    with_scene(tmp_path, story)


@pytest.mark.req("B12", "I3")
def test_decapsulate_for_a_recipient_and_nobody_else(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        kem = mlkem.MLKEM768PrivateKey.generate()
        bob = await scene.bring(kem, "bob@ours.test")
        secret, ciphertext = kem.public_key().encapsulate()
        lease, mine = await scene.lease(envelope("x@theirs.test", "bob@ours.test"))
        assert await scene.flow.decapsulate(lease, mine, bob, "ml-kem-768", ciphertext) == secret
        key = KeyholderKey(scene.flow, lease, mine, bob)
        assert await key.decapsulate("ml-kem-768", ciphertext) == secret
        lease, from_bob = await scene.lease(envelope("bob@ours.test", "carol@theirs.test", origin="internet"))
        with pytest.raises(KeyRefused, match="does not belong to a recipient"):
            await scene.flow.decapsulate(lease, from_bob, bob, "ml-kem-768", ciphertext)

    with_scene(tmp_path, story)


@pytest.mark.req("B12", "I3")
def test_sign_with_ml_dsa(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        key = mldsa.MLDSA65PrivateKey.generate()
        alice = await scene.bring(key, "alice@ours.test")
        lease, mine = await scene.lease(envelope("alice@ours.test"))
        key.public_key().verify(await scene.flow.sign(lease, mine, alice, b"tbs", "ml-dsa-65"), b"tbs")

    with_scene(tmp_path, story)


@pytest.mark.req("I3")
def test_only_under_the_lease_of_the_asking_role(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test")
        lease, mine = await scene.lease()
        _, delivered = await scene.lease(role="ll_deliver")
        for under, content in ((new_id(), mine), (lease, new_id()), (lease, delivered)):
            with pytest.raises(KeyRefused, match="not leased"):
                await scene.flow.sign(under, content, alice, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


def test_a_lease_is_believed_for_a_moment_only(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test")
        lease, mine = await scene.lease()
        await scene.flow.message_keys(lease, [mine])
        scene.house.records.leased.clear()
        await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")
        scene.house.clock.now += 31
        with pytest.raises(KeyRefused, match="not leased"):
            await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


def test_the_sealed_envelope_counts_not_the_row(tmp_path: Path) -> None:
    """Somebody who writes to the database swaps in another message's envelope column."""

    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test")
        lease, mine = await scene.lease(envelope("mallory@ours.test"))
        _, hers = await scene.lease(envelope("alice@ours.test"))
        contents = {content.id: (key, content) for key, content in scene.house.records.leased.items()}
        key, content = contents[mine]
        scene.house.records.leased[key] = content._replace(envelope=contents[hers][1].envelope)
        with pytest.raises(KeyRefused):
            await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")
        lease, own = await scene.lease(envelope("alice@ours.test"))
        content = scene.house.records.leased["ll_flow", lease, own]
        scene.house.records.leased["ll_flow", lease, own] = content._replace(commitment=bytes(32))
        with pytest.raises(KeyRefused):
            await scene.flow.sign(lease, own, alice, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


def test_what_is_sealed_as_envelope_must_be_one(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test")
        lease, mine = await scene.lease(b"\xc1no envelope")
        with pytest.raises(KeyRefused):
            await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


def test_a_certificate_taken_back_takes_the_key_back(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test")
        lease, mine = await scene.lease()
        await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")
        records = scene.house.records
        records.keys[alice] = records.keys[alice]._replace(addresses=frozenset())
        scene.house.clock.now += private_keys.REMEMBERED_FOR + 1
        with pytest.raises(KeyRefused, match="does not belong"):
            await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")
        del records.keys[alice]
        scene.house.clock.now += private_keys.REMEMBERED_FOR + 1
        with pytest.raises(KeyRefused, match="no such private key"):
            await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


@pytest.mark.req("I1")
def test_kept_wrapped_under_the_organisations_permanent_key(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(RSA, "alice@ours.test")
        records = scene.house.records
        stored = records.keys[alice]
        assert pkcs8(RSA) not in stored.wrapped
        lease, mine = await scene.lease()
        for changed in (
            stored._replace(organisation=new_id()),
            stored._replace(wrapped=stored.wrapped[:-1] + bytes([stored.wrapped[-1] ^ 1])),
        ):
            records.keys[alice] = changed
            scene.house.clock.now += private_keys.REMEMBERED_FOR + 1
            with pytest.raises(KeyRefused):
                await scene.flow.sign(lease, mine, alice, b"tbs", "rsa-pkcs1-sha256")
        other = await scene.bring(EC, "alice@ours.test")
        records.keys[other] = stored  # another's wrap under this id
        with pytest.raises(KeyRefused):
            await scene.flow.sign(lease, mine, other, b"tbs", "rsa-pkcs1-sha256")

    with_scene(tmp_path, story)


def test_import_needs_a_token_that_may_and_a_key(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        admin = scene.house.client("admin")
        with pytest.raises(KeyRefused, match="may not import"):
            await admin.import_key(b"reader", ORGANISATION, pkcs8(RSA))
        with pytest.raises(KeyRefused, match="not a private key"):
            await admin.import_key(b"importer", ORGANISATION, b"\x30\x03\x02\x01\x01")
        assert not scene.house.records.keys

    with_scene(tmp_path, story)


def test_uses_of_one_turn_go_in_one_frame_and_one_question(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        alice = await scene.bring(EC, "alice@ours.test")
        leased = [await scene.lease() for _ in range(3)]
        lease = leased[0][0]
        records = scene.house.records
        records.leased = {("ll_flow", lease, content.id): content for content in records.leased.values()}
        await scene.flow.mark_key()  # connected
        records.calls.clear()
        signatures = await asyncio.gather(
            *(scene.flow.sign(lease, content, alice, b"tbs", "ecdsa-sha256") for _, content in leased * 4)
        )
        assert len(set(signatures)) == 12
        assert records.calls == ["check_leases", "private_key"]

    with_scene(tmp_path, story)
