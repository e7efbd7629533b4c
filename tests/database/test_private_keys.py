"""Private keys in the database: those on a token, and those that leave, by whom and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from letterlock.database.errors import Denied
from letterlock.keyholder import calls as keyholder
from letterlock.pki import calls as pki
from letterlock.policy import calls as policy
from tests.database.world import World, world
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.postgres_both]

OTHER = UUID("018f0000-0000-7000-8000-00000000000f")


def at_work(database: Database, story: Callable[[World, UUID], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with world(database) as w:
            organisation = (await policy.organisations(w.admin, token=await w.login()))[0].id
            await story(w, organisation)

    asyncio.run(tell())


async def on_token(w: World, organisation: UUID, spki: bytes, **other: Any) -> UUID | None:
    """Have a key on the token kept."""
    arguments: dict[str, Any] = {
        "token": await w.login(),
        "role": "ll_admin",
        "id": uuid4(),
        "organisation": organisation,
        "use": "mail",
        "wrapped": b"sealed reference",
        "spki": spki,
        "algorithm": "rsa-2048",
        "token_uri": "pkcs11:id=%01",
        "new": True,
    }
    return await keyholder.store_token_key(w.keyholder, **{**arguments, **other})


async def in_memory(w: World, organisation: UUID, *addresses: str, spki: bytes = b"spki") -> UUID:
    """A key kept here, with a certificate of these addresses."""
    key = uuid4()
    token = await w.login()
    stored = await keyholder.store_key(
        w.keyholder, token=token, id=key, organisation=organisation, wrapped=b"wrapped", spki=spki, algorithm="rsa-2048"
    )
    certificate = uuid4()
    w.do(
        "INSERT INTO pki.certificate (id, organisation, der, fingerprint, subject, issuer, serial, ski, is_ca,"
        " not_before, not_after, key_id, imported_by, imported_at)"
        " VALUES (%s, %s, %s, sha256(%s), 's', 'i', %s, '', false, now(), now() + interval '1 year', %s, 'x', now())",
        certificate, organisation, certificate.bytes, certificate.bytes, certificate.bytes, stored,
    )  # fmt: skip
    for address in addresses:
        w.do("INSERT INTO pki.address (certificate, address) VALUES (%s, %s)", certificate, address)
    return stored


@pytest.mark.req("M1")
def test_a_key_on_the_token_is_kept_once_and_for_one_use(database: Database) -> None:
    async def story(w: World, organisation: UUID) -> None:
        first = await on_token(w, organisation, b"one")
        assert first is not None
        assert await on_token(w, organisation, b"one") == first
        assert await on_token(w, organisation, b"one", use="authority") is None
        assert await on_token(w, OTHER, b"one", use="authority") is None, "nor in another organisation"
        assert await on_token(w, organisation, b"two", use="authority", new=False) is None, "what was there is for mail"
        assert await on_token(w, organisation, b"two", role="ll_housekeeping", token=b"", use="authority") is None
        assert await on_token(w, organisation, b"two", role="ll_housekeeping", token=b"", new=False) is None
        assert await on_token(w, organisation, b"two", role="ll_housekeeping", token=b"") is not None
        with pytest.raises(Denied):
            await on_token(w, organisation, b"three", token=b"x")
        rows = await keyholder.token_keys(w.keyholder)
        assert {row[0] for row in rows} >= {first}
        assert {row[1:] for row in rows} == {("pkcs11:id=%01", "mail")}
        found = await keyholder.private_key(w.keyholder, id=first)
        assert found is not None
        assert found.wrapped == b"sealed reference"

    at_work(database, story)


@pytest.mark.req("C10")
def test_a_key_leaves_with_a_reason_and_a_fresh_proof_only(database: Database) -> None:
    async def story(w: World, organisation: UUID) -> None:
        token = await w.login("local:eve")
        key = await in_memory(w, organisation, "alice@inside.test")

        async def export(which: UUID, reason: str = "because") -> str:
            return (await keyholder.export_key(w.keyholder, token=token, id=which, reason=reason)).answer

        with pytest.raises(Denied):
            await keyholder.export_key(w.keyholder, token=b"x", id=key, reason="because")
        assert await export(uuid4()) == "not-found"
        assert await export(key, " ") == "no-reason"
        hard = await on_token(w, organisation, b"hard")
        assert hard is not None
        assert await export(hard) == "on-token"
        w.do(
            "UPDATE accounts.session SET made_at = made_at - interval '5 minutes 1 second' WHERE principal = 'local:eve'"
        )
        assert await export(key) == "not-fresh"
        assert w.ask("SELECT count(*) FROM pki.key_export") == [(0,)]
        token = await w.login("local:eve")
        found = await keyholder.export_key(w.keyholder, token=token, id=key, reason="because")
        assert found == ("done", b"wrapped", organisation)
        said = w.ask(
            "SELECT ok, detail->>'answer', detail->>'reason', detail->>'addresses' FROM audit.entry"
            " WHERE action = 'keyholder.export_key' AND object = %s AND principal = 'local:eve' ORDER BY at, id", key,
        )  # fmt: skip
        assert [row[1] for row in said] == ["no-reason", "not-fresh", "done"]
        assert said[-1] == (True, "done", "because", '["alice@inside.test"]')

    at_work(database, story)


@pytest.mark.req("C10")
def test_who_is_told_of_a_key_that_left(database: Database) -> None:
    async def story(w: World, organisation: UUID) -> None:
        token = await w.login()
        for name in ("inside.test", "other.test"):
            await policy.add_domain(w.admin, token=token, name=name, organisation=None, internal=True)
        await policy.set(
            w.admin, token=token, level="domain", scope="other.test", name="postmaster", value="chief@other.test"
        )
        keys = {
            "inside": await in_memory(w, organisation, "a@inside.test", "x@outside.test", spki=b"1"),
            "other": await in_memory(w, organisation, "b@other.test", spki=b"2"),
            "outside": await in_memory(w, organisation, "c@outside.test", spki=b"3"),
        }
        w.do(
            "INSERT INTO pki.address (certificate, address, tied_by, tied_at)"
            " SELECT c.id, '@tied@other.test', 'x', now() FROM pki.certificate c WHERE c.key_id = %s",
            keys["inside"],
        )
        told: dict[str, tuple[list[str], list[str]]] = {}
        for name, key in keys.items():
            await keyholder.export_key(w.keyholder, token=token, id=key, reason=name)
        for each in await pki.exports_untold(w.housekeeping, max=10):
            told[each.reason] = (sorted(each.people), sorted(each.postmasters))
            await pki.export_told(w.housekeeping, id=each.id)
        assert told == {
            "inside": (["a@inside.test"], ["postmaster@inside.test"]),
            "other": (["b@other.test"], ["chief@other.test"]),
            "outside": ([], ["chief@other.test", "postmaster@inside.test"]),
        }
        assert await pki.exports_untold(w.housekeeping, max=10) == []

    at_work(database, story)


def test_the_proof_is_as_old_as_the_login(database: Database) -> None:
    """Use of a token does not make its proof fresher."""

    async def story(w: World, organisation: UUID) -> None:
        key = await in_memory(w, organisation, "alice@inside.test")
        token = await w.login("local:old")
        w.do("UPDATE accounts.session SET made_at = made_at - interval '6 minutes'")
        await pki.list(w.admin, token=token, address=None, max=1)
        assert (await keyholder.export_key(w.keyholder, token=token, id=key, reason="x")).answer == "not-fresh"

    at_work(database, story)
