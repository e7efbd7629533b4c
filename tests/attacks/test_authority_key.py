"""Who wants a signature of the certificate authority without the right to it: each way in, and that it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from letterlock.database.errors import Denied
from letterlock.keyholder import calls as keyholder
from letterlock.pki.ca import calls, tbs
from letterlock.pki.ca.errors import AuthorityError
from letterlock.pki.ca.issue import Subject, issue, signed
from letterlock.pki.ca.pending import Wish, ask
from letterlock.pki.ca.profile import Profile
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import new_id
from tests.fakes.office import Desks, now, office
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.slow, pytest.mark.req("C5"), pytest.mark.req("I4")]

ALICE = "alice@inside.test"
QUICK = Profile(key="ec-p256")


def at_work(database: Database, state: Path, story: Callable[[Desks], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with office(database, state) as desks:
            await story(desks)

    asyncio.run(tell())


def own_key() -> bytes:
    """The public key of the attacker."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def certificate_for(address: str, spki: bytes, authority: calls.Authority, name: str = "x") -> bytes:
    issuer = x509.load_der_x509_certificate(authority.der)
    places = tbs.Places(authority.url, authority.label)
    return tbs.person(QUICK, tbs.name(name), address, spki, issuer, places, now())


async def order(desks: Desks, kind: str, key: UUID, octets: bytes) -> UUID:
    order_id = new_id()
    person = desks.person
    answer = await calls.order_signature(
        person.gate, token=person.token, id=order_id, kind=kind, key_id=key, request=None, tbs=octets
    )
    assert answer == "done"
    return order_id


def test_an_order_is_used_once_by_who_made_it_and_soon(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        authority = await desks.found()
        octets = certificate_for(ALICE, own_key(), authority)
        holder, token = desks.person.keyholder, desks.person.token
        one = await order(desks, "certificate", authority.key_id, octets)
        assert await holder.carry_out(one, token)
        for who, brought in ((holder, token), (desks.housekeeping.keyholder, b"")):
            with pytest.raises(KeyRefused):
                await who.carry_out(one, brought)
        another = await order(desks, "certificate", authority.key_id, octets)
        for who, brought in (
            (desks.housekeeping.keyholder, b""),
            (holder, b""),
            (holder, await desks.scene.world.login("local:other")),
        ):
            with pytest.raises(KeyRefused):
                await who.carry_out(another, brought)
        with pytest.raises(KeyRefused):
            await holder.carry_out(new_id(), token)
        desks.scene.world.do("UPDATE ca.signing_order SET made_at = made_at - interval '11 seconds'")
        with pytest.raises(KeyRefused):
            await holder.carry_out(another, token)

    at_work(database, tmp_path, story)


def test_stations_that_handle_mail_ask_in_vain(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        authority = await desks.found()
        one = await order(desks, "certificate", authority.key_id, certificate_for(ALICE, own_key(), authority))
        for role in ("smtpd", "flow", "delivery"):
            client = desks.scene.house.client(role)
            with pytest.raises(KeyRefused, match="may not"):
                await client.carry_out(one, desks.person.token)
            with pytest.raises(KeyRefused, match="may not"):
                await client.make_key(desks.person.token, desks.organisation, "ec-p256", "authority")
            with pytest.raises(KeyRefused, match="may not"):
                await client.export_key(desks.person.token, authority.key_id, [authority.der], "x", reason="x")

    at_work(database, tmp_path, story)


def test_flow_gets_no_use_of_an_authoritys_key_even_with_a_certificate_that_says_so(
    database: Database, tmp_path: Path
) -> None:
    async def story(desks: Desks) -> None:
        authority = await desks.found()
        # a database that was made to name the sender's certificate as the authority's key's
        made = await issue(desks.person, authority, ("smime", QUICK), Subject("alice@ours.test"), now())
        desks.scene.world.do(f"UPDATE pki.certificate SET key_id = '{authority.key_id}' WHERE id = '{made.id}'")
        assert await keyholder.private_key(desks.scene.world.keyholder, id=authority.key_id) is None
        lease, content = new_id(), new_id()
        with pytest.raises(KeyRefused):
            await desks.scene.house.client("flow").sign(lease, content, authority.key_id, b"0", "ecdsa-sha256")

    at_work(database, tmp_path, story)


def test_a_mail_key_signs_nothing_as_an_authority(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        authority = await desks.found()
        made = await issue(desks.person, authority, ("smime", QUICK), Subject(ALICE), now())
        assert made.key_id is not None
        octets = certificate_for(ALICE, own_key(), authority)
        for kind in ("certificate", "authority", "crl", "ocsp"):
            with pytest.raises(AuthorityError):
                await signed(desks.person, kind, made.key_id, octets)
        with pytest.raises(KeyRefused):  # a request is for its own key
            await signed(
                desks.person, "request", made.key_id, tbs.certification_request(tbs.name("x"), own_key(), ALICE)
            )

    at_work(database, tmp_path, story)


def test_an_authority_certifies_no_other_authority_and_nothing_disguised(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        authority = await desks.found()
        issuer = x509.load_der_x509_certificate(authority.der)
        places = tbs.Places(authority.url, authority.label)
        end = now() + timedelta(days=1)
        above = tbs.authority(tbs.name("Mine"), own_key(), issuer, places, end, now())
        good = certificate_for(ALICE, own_key(), authority)
        own_root = (await calls.authorities(desks.person.gate, token=desks.person.token))[0]
        elsewhere = certificate_for(ALICE, own_key(), own_root)
        own_spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        cases = {
            "an authority as a person": ("certificate", above),
            "a person as a list": ("crl", good),
            "a person as an answer": ("ocsp", good),
            "noise": ("certificate", b"0" * 64),
            "signed attributes of mail": ("certificate", b"\x31\x03\x02\x01\x01"),
            "another issuer's name": ("certificate", elsewhere),
            "its own key for mail": ("certificate", certificate_for(ALICE, own_spki, authority)),
            "more behind it": ("certificate", good + b"\0"),
        }
        for what, (kind, octets) in cases.items():
            with pytest.raises(KeyRefused):
                await signed(desks.person, kind, authority.key_id, octets)
                pytest.fail(what)

    at_work(database, tmp_path, story)


def test_housekeeping_certifies_only_what_was_asked_for(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        authority = await desks.found()
        office = desks.housekeeping
        with pytest.raises(AuthorityError):  # no request
            await signed(office, "certificate", authority.key_id, certificate_for(ALICE, own_key(), authority))
        with pytest.raises(AuthorityError):
            await signed(office, "authority", authority.key_id, b"")
        _, request = await ask(desks.person, Subject(ALICE), Wish(organisation=desks.organisation))
        other = certificate_for("ceo@inside.test", own_key(), authority)
        with pytest.raises(AuthorityError):  # the request has no key yet that could be certified
            await signed(office, "certificate", authority.key_id, other, request)
        (asked,) = await calls.requests(office.gate, token=b"", id=request)
        key, spki = await office.keyholder.make_key(b"", desks.organisation, "ec-p256", "mail")
        change = {
            "id": asked.id,
            "state": "due",
            "reason": "",
            "due_at": now(),
            "key_id": key,
            "csr": None,
            "issued": None,
        }
        await calls.put_request(office.gate, token=b"", **change)  # type: ignore[arg-type]  # its arguments by name
        with pytest.raises(KeyRefused, match="another key"):
            mine = certificate_for(ALICE, own_key(), authority)
            await signed(office, "certificate", authority.key_id, mine, request)
        other = certificate_for("ceo@inside.test", spki, authority)
        with pytest.raises(KeyRefused, match="another address"):
            await signed(office, "certificate", authority.key_id, other, request)
        with pytest.raises(KeyRefused):
            await office.keyholder.make_key(b"", desks.organisation, "ec-p256", "authority")
        with pytest.raises(KeyRefused):
            await office.keyholder.export_key(b"", authority.key_id, [authority.der], "x", reason="x")
        answer, _ = await calls.add_request(
            office.gate,
            token=b"",
            id=new_id(),
            organisation=None,
            handler="builtin",
            authority="",
            profile="smime",
            address="ceo@inside.test",
            name="",
            source="person",
        )
        assert answer == "denied"

    at_work(database, tmp_path, story)


def test_an_authoritys_key_never_leaves(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        authority = await desks.found()
        with pytest.raises(KeyRefused):
            await desks.person.keyholder.export_key(
                desks.person.token, authority.key_id, [authority.der], "x", reason="x"
            )
        with pytest.raises(Denied):
            await calls.authorities(desks.person.gate, token=b"x" * 32)

    at_work(database, tmp_path, story)


def test_a_key_brought_from_outside_does_not_become_an_authoritys(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        brought = await desks.person.keyholder.import_key(desks.person.token, desks.organisation, pkcs8)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        octets = tbs.authority(tbs.name("Mine"), spki, None, None, now() + timedelta(days=1), now())
        with pytest.raises(AuthorityError):
            await signed(desks.person, "authority", brought, octets)

    at_work(database, tmp_path, story)
