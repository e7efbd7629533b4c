"""The keyholder with a real database: grants, private keys and seals, asked for over its socket.

See also
    ``test_keyholder.py`` for what it destroys and refuses.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key

from letterlock.audit import calls as audit
from letterlock.audit import verify
from letterlock.audit.chain import Seal
from letterlock.keyholder.own_record import kept_seals
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.pki import calls as pki
from letterlock.pki.certificate import parse
from letterlock.policy import calls as policy
from letterlock.queue import calls as queue
from letterlock.vault.content import open_content, open_envelope
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import Part, new_id
from tests.fakes.authority import Authority
from tests.fakes.keyholder_scene import RECIPIENT, SENDER, scene
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.slow]


@pytest.mark.req("I3")
def test_held_message_is_looked_into_once_and_by_whom_it_was_granted(database: Database, tmp_path: Path) -> None:
    async def tell() -> None:
        async with scene(database, tmp_path) as s:
            token = await s.world.login()
            admin, flow = s.house.client("admin"), s.house.client("flow")
            content, octets = await s.seal(await s.session())
            await s.accept(content)
            (row,) = await s.world.claim()
            keys = await flow.message_keys(row.lease, [row.id])
            s.world.sessions["ll_flow"] = (await flow.session()).id
            await s.world.advance(
                [row],
                "held",
                outcome_of=[1],
                outcome_addresses=[RECIPIENT],
                outcome_states=["held"],
                traces=[keys[row.id].seal_part(Part.TRACE, b"why")],
            )
            grant = await queue.request_open(s.world.admin, token=token, id=row.id, purpose="look")
            assert grant is not None
            with pytest.raises(KeyRefused):
                await admin.take(grant, await s.world.login("local:mallory"))
            key = await admin.take(grant, token)
            found = await queue.read_open(s.world.admin, token=token, grant=grant)
            assert found is not None
            assert found.trace is not None
            assert b"".join(open_content(key, found, s.store)) == octets
            assert open_envelope(key, found) == Envelope(SENDER, (Recipient(RECIPIENT),)).encode()
            assert key.open_part(Part.TRACE, found.trace) == b"why"
            with pytest.raises(KeyRefused):
                await admin.take(grant, token)
            assert str(grant) in (tmp_path / "audit/seals").read_text()

    asyncio.run(tell())


@pytest.mark.req("I3")
def test_private_key_signs_for_whom_its_certificate_names(database: Database, tmp_path: Path) -> None:
    alice = Authority.create().issue(SENDER, "p256")
    certificate = parse(alice.der)

    async def tell() -> None:
        async with scene(database, tmp_path) as s:
            token = await s.world.login()
            organisation = (await policy.organisations(s.world.admin, token=token))[0].id
            pkcs8 = alice.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            admin, flow = s.house.client("admin"), s.house.client("flow")
            with pytest.raises(KeyRefused):
                await admin.import_key(os.urandom(32), organisation, pkcs8)
            key_id = await admin.import_key(token, organisation, pkcs8)
            assert await admin.import_key(token, organisation, pkcs8) == key_id  # the same again
            await s.accept((await s.seal(await s.session(), origin="internet"))[0])
            (row,) = await s.world.claim()
            with pytest.raises(KeyRefused, match="does not belong"):  # there is no certificate yet
                await flow.sign(row.lease, row.id, key_id, b"tbs", "ecdsa-sha256")
            await pki.import_certificate(
                s.world.admin,
                token=token,
                id=new_id(),
                organisation=organisation,
                der=certificate.der,
                fingerprint=certificate.thumbprint,
                subject=certificate.subject,
                issuer=certificate.issuer,
                serial=certificate.issuer_serial,
                ski=certificate.key_identifier,
                spki=certificate.spki,
                addresses=certificate.addresses,
                is_ca=False,
                not_before=certificate.not_before,
                not_after=certificate.not_after,
                key_id=key_id,
            )
            s.clock.now += 31  # what was known of the key is asked again
            signature = await flow.sign(row.lease, row.id, key_id, b"tbs", "ecdsa-sha256")
            public = certificate.parsed.public_key()
            assert isinstance(public, ec.EllipticCurvePublicKey)
            public.verify(signature, b"tbs", ec.ECDSA(SHA256()))
            with pytest.raises(KeyRefused, match="does not belong to a recipient"):
                await flow.agree(row.lease, row.id, key_id, "ecdh-p256", b"")

    asyncio.run(tell())


@pytest.mark.req("I6")
def test_audit_rows_are_sealed_and_verified(database: Database, tmp_path: Path) -> None:
    async def tell() -> None:
        async with scene(database, tmp_path) as s:
            token = await s.world.login()
            for _ in range(3):
                await s.accept((await s.seal(await s.session()))[0])
                await s.house.keyholder.seals.seal()
            assert await s.house.keyholder.seals.compare()
            seals = list(await audit.seals(s.world.admin, token=token, from_=1, max=100))
            public = load_pem_public_key((tmp_path / "audit/seal.pub").read_bytes())
            pieces: dict[int, list[tuple[bytes, int]]] = {}
            for seal in seals:
                found = await audit.encoded(
                    s.world.admin, token=token, from_=seal.from_xid, upto=seal.upto_xid, limit=100_000
                )
                pieces[seal.number] = [(found.blob, found.rows)]

            def encoded(seal: Seal) -> tuple[list[bytes], int]:
                return [blob for blob, _ in pieces[seal.number]], sum(rows for _, rows in pieces[seal.number])

            def check(_: str, link: bytes, signature: bytes) -> None:
                public.verify(signature, link)  # type: ignore[call-arg, union-attr]  # it is Ed25519

            proof = verify.verify(seals, encoded, check, kept=kept_seals(tmp_path))
            assert proof.rows == sum(seal.rows for seal in seals) >= 6
            assert proof.seals == len(kept_seals(tmp_path)) >= 3

    asyncio.run(tell())
