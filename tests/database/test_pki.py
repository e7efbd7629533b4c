"""Certificates in the database: kept by their octets, found by address, trusted only by a deliberate act."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from letterlock.database.errors import Denied
from letterlock.keyholder import calls as keyholder
from letterlock.pki import calls as pki
from letterlock.policy import calls as policy
from tests.database.world import World, now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both


def certificate(*addresses: str, **more: Any) -> dict[str, Any]:
    der = os.urandom(700)
    made: dict[str, Any] = {
        "id": uuid4(),
        "organisation": None,
        "der": der,
        "fingerprint": hashlib.sha256(der).digest(),
        "subject": "CN=someone",
        "issuer": "CN=issuer",
        "serial": os.urandom(20),
        "ski": os.urandom(20),
        "spki": os.urandom(294),
        "addresses": list(addresses),
        "is_ca": False,
        "not_before": now() - timedelta(days=1),
        "not_after": now() + timedelta(days=365),
        "key_id": None,
    }
    return made | more


async def _organisation(w: World, token: bytes) -> UUID:
    return (await policy.organisations(w.admin, token=token))[0].id


async def _key(w: World, token: bytes, spki: bytes) -> UUID:
    return await keyholder.store_key(
        w.keyholder,
        token=token,
        id=uuid4(),
        organisation=await _organisation(w, token),
        wrapped=os.urandom(1300),
        spki=spki,
        algorithm="rsa",
    )


def test_a_certificate_is_kept_once(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            one = certificate("a@x.test", "b@x.test", "a@x.test")
            assert await pki.import_certificate(w.admin, token=token, **one) == ("done", one["id"])
            again = one | {"id": uuid4()}
            assert await pki.import_certificate(w.admin, token=token, **again) == ("already", one["id"])
            (listed,) = await pki.list(w.admin, token=token, address=None, max=10)
            assert (listed.id, listed.addresses, listed.is_anchor, listed.key_id) == (
                one["id"],
                ["a@x.test", "b@x.test"],
                False,
                None,
            )
            shown = await pki.show(w.admin, token=token, id=None, fingerprint=one["fingerprint"])
            assert shown is not None
            assert shown.der == one["der"]
            assert await pki.show(w.admin, token=token, id=uuid4(), fingerprint=None) is None
            assert await pki.list(w.admin, token=token, address="c@x.test", max=10) == []
            wrong = certificate() | {"fingerprint": b"0" * 32}
            assert await pki.import_certificate(w.admin, token=token, **wrong) == ("wrong-key", None)

    asyncio.run(scenario())


def test_candidates_are_found_by_address(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            old = certificate("a@x.test", not_after=now() - timedelta(days=1))
            new = certificate("a@x.test", "b@x.test")
            for one in (old, new):
                await pki.import_certificate(w.admin, token=token, **one)
            found = await pki.candidates(w.flow, addresses=["a@x.test", "b@x.test", "c@x.test", "a@x.test"])
            assert [(one.address, one.id, one.der, one.key_id) for one in found] == [
                ("a@x.test", new["id"], new["der"], None),  # those valid longest first
                ("a@x.test", old["id"], old["der"], None),  # the expired too: a trace says why not
                ("b@x.test", new["id"], new["der"], None),
            ]
            assert await pki.candidates(w.flow, addresses=["A@x.test"]) == []  # match form is the caller's to make
            assert list(await pki.explain_candidates(w.admin, token=token, addresses=["b@x.test"])) == list(found[2:])

    asyncio.run(scenario())


def test_trust_is_a_deliberate_act(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            root, ca, leaf = certificate(is_ca=True), certificate(is_ca=True), certificate("a@x.test")
            for one in (root, ca, leaf):
                await pki.import_certificate(w.admin, token=token, **one)
            assert sorted(await pki.authorities(w.flow)) == sorted([(root["der"], False), (ca["der"], False)])
            assert await pki.add_anchor(w.admin, token=token, id=root["id"]) == "done"
            assert await pki.add_anchor(w.admin, token=token, id=root["id"]) == "already"
            assert await pki.add_anchor(w.admin, token=token, id=uuid4()) == "not-found"
            trusted = await pki.authorities(w.flow)
            assert sorted(trusted) == sorted([(root["der"], True), (ca["der"], False)])
            assert list(await pki.explain_authorities(w.admin, token=token)) == list(trusted)
            assert await pki.remove_anchor(w.admin, token=token, id=root["id"]) == "done"
            assert await pki.remove_anchor(w.admin, token=token, id=root["id"]) == "not-found"
            assert await pki.add_anchor(w.admin, token=token, id=root["id"]) == "done"
            assert await pki.delete(w.admin, token=token, id=root["id"], force=True, reason="tidy") == "done"
            assert await pki.delete(w.admin, token=token, id=root["id"], force=True, reason="tidy") == "not-found"
            assert await pki.authorities(w.flow) == [(ca["der"], False)]
            assert w.ask("SELECT count(*) FROM pki.anchor") == [(0,)]
            assert await policy.revision(w.flow) == 8

    asyncio.run(scenario())


def test_a_key_is_joined_to_its_own_certificate_only(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            mine, other = certificate("a@x.test"), certificate("b@x.test")
            key = await _key(w, token, mine["spki"])
            assert await _key(w, token, mine["spki"]) == key  # the same key again is the same key
            answer = await pki.import_certificate(w.admin, token=token, **other | {"key_id": key})
            assert answer == ("wrong-key", None)
            answer = await pki.import_certificate(w.admin, token=token, **mine | {"key_id": uuid4()})
            assert answer == ("wrong-key", None)
            assert (await pki.import_certificate(w.admin, token=token, **mine)).answer == "done"
            joined = mine | {"key_id": key}
            assert await pki.import_certificate(w.admin, token=token, **joined) == ("done", mine["id"])
            assert await pki.import_certificate(w.admin, token=token, **joined) == ("already", mine["id"])
            held = await keyholder.private_key(w.keyholder, id=key)
            assert held is not None
            assert (held.spki, held.addresses) == (mine["spki"], ["a@x.test"])
            for scope in ("b@x.test", "x.test", "*.x.test"):  # a tie makes nobody the owner of the key
                assert await pki.tie(w.admin, token=token, id=mine["id"], scope=scope) == "done"
            held = await keyholder.private_key(w.keyholder, id=key)
            assert held is not None
            assert held.addresses == ["a@x.test"]
            assert await keyholder.private_key(w.keyholder, id=uuid4()) is None

    asyncio.run(scenario())


def test_our_own_certificates_are_found_as_a_cms_recipient_names_them(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            mine, theirs = certificate("a@x.test"), certificate("b@x.test")
            key = await _key(w, token, mine["spki"])
            for one in (mine | {"key_id": key}, theirs):
                await pki.import_certificate(w.admin, token=token, **one)
            for serials, skis in (([mine["serial"]], []), ([], [mine["ski"]]), ([mine["serial"]], [mine["ski"]])):
                (found,) = await pki.own_certificates(w.flow, serials=serials, skis=skis)
                assert found == (mine["id"], mine["der"], key, ["a@x.test"])
            assert await pki.own_certificates(w.flow, serials=[theirs["serial"]], skis=[theirs["ski"]]) == []

    asyncio.run(scenario())


@pytest.mark.req("I6")
def test_nothing_of_it_without_a_token(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            wrong = b"0" * 32
            for call in (
                pki.import_certificate(w.admin, token=wrong, **certificate("a@x.test")),
                pki.add_anchor(w.admin, token=wrong, id=uuid4()),
                pki.remove_anchor(w.admin, token=wrong, id=uuid4()),
                pki.delete(w.admin, token=wrong, id=uuid4(), force=True, reason="tidy"),
                pki.list(w.admin, token=wrong, address=None, max=1),
                pki.show(w.admin, token=wrong, id=uuid4(), fingerprint=None),
                pki.explain_candidates(w.admin, token=wrong, addresses=[]),
                pki.explain_authorities(w.admin, token=wrong),
                pki.explain_crls(w.admin, token=wrong, issuers=None, known=[], most=1),
                pki.explain_ocsp_answers(w.admin, token=wrong, cert_ids=[]),
                keyholder.store_key(
                    w.keyholder, token=wrong, id=uuid4(), organisation=uuid4(), wrapped=b"", spki=b"", algorithm=""
                ),
            ):
                with pytest.raises(Denied):
                    await call
            assert [len(w.audited(what)) for what in ("pki.change", "pki.read", "keys.import")] == [4, 6, 1]

    asyncio.run(scenario())


@pytest.mark.req("C10")
def test_a_thumbprint_finds_its_certificate(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            made = [certificate(), certificate(), certificate() | {"der": b""}]
            made[2]["fingerprint"] = hashlib.sha256(b"").digest()
            for one in made:
                await pki.import_certificate(w.admin, token=token, **one)
            for one in made:
                sha1 = hashlib.sha1(one["der"], usedforsecurity=False).digest()
                for digest in (one["fingerprint"], sha1):
                    for length in (4, 11, len(digest)):
                        assert await pki.find(w.admin, token=token, prefix=digest[:length], max=9) == [one["id"]]
                    assert await pki.find(w.admin, token=token, prefix=digest[:3], max=9) == []
                    assert await pki.find(w.admin, token=token, prefix=digest + b"0", max=9) == []

    asyncio.run(scenario())


def test_sha1_is_sha1(database: Database) -> None:
    with database.superuser() as connection:
        for length in (0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 1000):
            octets = os.urandom(length)
            (found,) = connection.execute("SELECT pki.sha1(%s)", [octets]).fetchone() or ()
            assert found == hashlib.sha1(octets, usedforsecurity=False).digest(), length


@pytest.mark.req("C13")
def test_what_is_in_use_is_not_deleted(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            spki = os.urandom(294)
            key = await _key(w, token, spki)
            own = certificate("a@x.test", spki=spki, key_id=key)
            renewed = certificate("a@x.test", spki=spki, key_id=key)
            escrow, tied, root = certificate("escrow@x.test"), certificate("t@x.test"), certificate(is_ca=True)
            for one in (own, renewed, escrow, tied, root):
                await pki.import_certificate(w.admin, token=token, **one)
            await pki.add_anchor(w.admin, token=token, id=root["id"])
            await pki.tie(w.admin, token=token, id=tied["id"], scope="x.test")
            await policy.set(
                w.admin,
                token=token,
                level="gateway",
                scope="",
                name="smime_additional_certificates",
                value=["escrow@x.test"],
            )

            async def delete(one: dict[str, Any], *, force: bool = False, reason: str | None = None) -> str:
                return await pki.delete(w.admin, token=token, id=one["id"], force=force, reason=reason)

            assert await delete(root) == "anchor"
            assert await delete(tied) == "tied"
            assert await delete(escrow) == "in-setting"
            assert await delete(own) == "done"  # the renewal still names the key
            assert await delete(renewed) == "only-key"
            assert await delete(renewed, force=True) == "only-key"  # and a reason
            assert await delete(renewed, force=True, reason="left the company") == "done"
            assert await delete(renewed) == "not-found"

    asyncio.run(scenario())


@pytest.mark.req("B6")
def test_a_tie_is_found_by_its_scope_only(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            one = certificate("gateway@partner.test")
            await pki.import_certificate(w.admin, token=token, **one)
            assert await pki.tie(w.admin, token=token, id=one["id"], scope="*.partner.test") == "done"
            assert await pki.tie(w.admin, token=token, id=one["id"], scope="*.partner.test") == "already"
            assert await pki.tie(w.admin, token=token, id=uuid4(), scope="*.partner.test") == "not-found"
            asked = ["@*.partner.test", "*.partner.test", "@partner.test"]
            assert [each.address for each in await pki.candidates(w.flow, addresses=asked)] == ["@*.partner.test"]
            assert await pki.untie(w.admin, token=token, id=one["id"], scope="*.partner.test") == "done"
            assert await pki.untie(w.admin, token=token, id=one["id"], scope="*.partner.test") == "not-found"
            assert await pki.candidates(w.flow, addresses=asked) == []

    asyncio.run(scenario())


@pytest.mark.req("C3")
def test_the_trust_list_keeps_who_why_and_until(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            entry: dict[str, Any] = {
                "token": token,
                "id": uuid4(),
                "action": "deny",
                "by": "spki",
                "digest": os.urandom(32),
                "allow_expired": False,
                "reason": "stolen",
                "until": None,
            }
            before = await policy.revision(w.flow)
            assert await pki.set_ctl_entry(w.admin, **entry) == ("done", entry["id"])
            again = entry | {"id": uuid4(), "reason": "stolen, and sold"}
            await pki.set_ctl_entry(w.admin, **again)
            over = entry | {"id": uuid4(), "digest": os.urandom(32), "until": now() - timedelta(seconds=1)}
            await pki.set_ctl_entry(w.admin, **over)
            assert await policy.revision(w.flow) == before + 3
            (flows,) = await pki.ctl_entries(w.flow)
            assert (flows.id, flows.reason, flows.by, flows.digest) == (
                again["id"],
                "stolen, and sold",
                "spki",
                entry["digest"],
            )
            assert flows.author
            shown = await pki.explain_ctl_entries(w.admin, token=token)
            assert [each.id for each in shown] == [again["id"], over["id"]]
            assert await pki.remove_ctl_entry(w.admin, token=token, id=again["id"]) == "done"
            assert await policy.revision(w.flow) == before + 4  # who had read the list reads it again
            assert await pki.remove_ctl_entry(w.admin, token=token, id=again["id"]) == "not-found"
            assert await pki.ctl_entries(w.flow) == []

    asyncio.run(scenario())


@pytest.mark.req("C13")
def test_what_ends_soon_is_told(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            over, soon, later = (certificate(not_after=now() + timedelta(days=each)) for each in (-1, 10, 40))
            for one in (later, soon, over):
                await pki.import_certificate(w.admin, token=token, **one)
            assert await pki.expiring(w.admin, token=token, before=now() + timedelta(days=30), max=9) == [soon["id"]]

    asyncio.run(scenario())
