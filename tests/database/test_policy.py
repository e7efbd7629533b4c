"""Settings by level: which value wins for whom, and that every change is seen and written down."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from letterlock.database.errors import DatabaseFault, Denied
from letterlock.policy import calls as policy
from tests.database.world import World, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both


async def _effective(w: World, *addresses: str) -> dict[tuple[str, str], tuple[Any, str, str]]:
    rows = await policy.settings_for(w.flow, addresses=addresses)
    assert list(rows) == list(await policy.explain(w.admin, token=await w.login(), addresses=addresses))
    return {(row.address, row.name): (row.value, row.level, row.origin) for row in rows}


def test_the_nearest_level_wins(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            (default,) = await policy.organisations(w.admin, token=token)
            address = "User@a.b.corp.test"
            for name in ("corp.test", "*.b.corp.test"):
                done = await policy.add_domain(w.admin, token=token, name=name, internal=True, organisation=None)
                assert done == "done"
            assert await _effective(w, address) == {}
            for level, scope, origin in (
                ("gateway", "", ""),
                ("organisation", "default", str(default.id)),
                ("wildcard", "*.test", "*.test"),
                ("wildcard", "*.corp.test", "*.corp.test"),
                ("wildcard", "*.B.corp.test", "*.b.corp.test"),
                ("domain", "a.b.corp.test", "a.b.corp.test"),
                ("user", "user@A.b.corp.test", "user@a.b.corp.test"),
            ):
                done = await policy.set(w.admin, token=token, level=level, scope=scope, name="mode", value=origin)
                assert done == "done"
                assert await _effective(w, address) == {(address, "mode"): (origin, level, origin)}
            await policy.set(
                w.admin, token=token, level="wildcard", scope="*.test", name="other", value=[1, {"a": None}]
            )
            assert (await _effective(w, address))[address, "other"] == ([1, {"a": None}], "wildcard", "*.test")

    asyncio.run(scenario())


def test_each_address_has_its_own(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            await policy.set(w.admin, token=token, level="gateway", scope="", name="mode", value="allow")
            await policy.set(w.admin, token=token, level="domain", scope="x.test", name="mode", value="mandatory")
            await policy.set(w.admin, token=token, level="wildcard", scope="*.x.test", name="mode", value="none")
            found = await _effective(w, "a@x.test", "a@sub.x.test", "a@y.test", '"odd@name"@x.test')
            assert {address: value for (address, _), (value, _, _) in found.items()} == {
                "a@x.test": "mandatory",  # a wildcard is for the names below
                "a@sub.x.test": "none",
                "a@y.test": "allow",
                '"odd@name"@x.test': "mandatory",
            }

    asyncio.run(scenario())


def test_the_organisation_is_that_of_the_domain(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            other = uuid4()
            w.do("INSERT INTO policy.organisation VALUES (%s, 'other', now())", other)
            for name, organisation in (("mine.test", None), ("*.mine.test", other)):
                await policy.add_domain(w.admin, token=token, name=name, internal=True, organisation=organisation)
            for scope in ("default", str(other)):
                await policy.set(w.admin, token=token, level="organisation", scope=scope, name="mode", value=scope)
            found = await _effective(w, "a@mine.test", "a@deep.sub.mine.test", "a@elsewhere.test")
            assert {address: value for (address, _), (value, _, _) in found.items()} == {
                "a@mine.test": "default",
                "a@deep.sub.mine.test": str(other),
            }

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("level", "scope"),
    [
        ("gateway", "x.test"),
        ("organisation", "no-such"),
        ("wildcard", "x.test"),
        ("wildcard", "*."),
        ("domain", ""),
        ("domain", "*.x.test"),
        ("domain", "a@x.test"),
        ("user", "x.test"),
        ("user", "@x.test"),
    ],
)
def test_a_scope_that_does_not_fit_its_level_is_refused(database: Database, level: str, scope: str) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            answer = await policy.set(w.admin, token=token, level=level, scope=scope, name="mode", value=1)
            assert answer == "not-found"
            assert await policy.list(w.admin, token=token, level=None, scope=None) == []

    asyncio.run(scenario())


@pytest.mark.req("I6")
def test_changes_grow_the_revision_and_are_audited(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            assert await policy.revision(w.receive) == 1
            where = {"level": "domain", "scope": "x.test", "name": "mode"}
            await policy.set(w.admin, token=token, **where, value="old")
            await policy.set(w.admin, token=token, **where, value="new")
            assert await policy.unset(w.admin, token=token, **where) == "done"
            assert await policy.unset(w.admin, token=token, **where) == "not-found"
            assert await policy.revision(w.flow) == await policy.revision(w.deliver) == 4
            details = w.ask(
                "SELECT action, detail ->> 'old', detail ->> 'new' FROM audit.entry WHERE action ~ '^policy'"
            )
            assert sorted(details, key=str) == [
                ("policy.set", "old", "new"),
                ("policy.set", None, "old"),
                ("policy.unset", "new", None),
            ]

    asyncio.run(scenario())


def test_the_listener_knows_gateway_settings_and_domains(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            empty = await policy.listener(w.receive)
            assert (empty.settings, empty.domains) == ({}, [])
            await policy.set(w.admin, token=token, level="gateway", scope="", name="max_recipients", value=50)
            await policy.set(w.admin, token=token, level="domain", scope="x.test", name="max_recipients", value=5)
            await policy.add_domain(w.admin, token=token, name="x.test", internal=True, organisation=None)
            await policy.add_domain(w.admin, token=token, name="y.test", internal=False, organisation=None)
            seen = await policy.listener(w.receive)
            assert seen.settings == {"max_recipients": 50}
            assert [(domain.name, domain.internal) for domain in seen.domains] == [("x.test", True), ("y.test", False)]
            assert seen.revision == 5
            assert list(await policy.domains(w.flow)) == seen.domains

    asyncio.run(scenario())


def test_domains_are_added_changed_and_removed(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login("local:alice")

            async def add(name: str, internal: bool) -> str:
                return await policy.add_domain(w.admin, token=token, name=name, internal=internal, organisation=None)

            assert [await add("x.test", True), await add("x.test", True), await add("x.test", False)] == [
                "done",
                "already",
                "done",
            ]
            (listed,) = await policy.domains_list(w.admin, token=token)
            assert (listed.name, listed.internal, listed.organisation_name, listed.added_by) == (
                "x.test",
                False,
                "default",
                "local:alice",
            )
            wrong = await policy.add_domain(w.admin, token=token, name="z.test", internal=True, organisation=uuid4())
            assert wrong == "not-found"
            with pytest.raises(DatabaseFault):
                await add("Upper.test", True)
            assert await policy.remove_domain(w.admin, token=token, name="x.test") == "done"
            assert await policy.remove_domain(w.admin, token=token, name="x.test") == "not-found"

    asyncio.run(scenario())


@pytest.mark.req("I6")
def test_nothing_of_it_without_a_token(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            wrong = b"0" * 32
            for call in (
                policy.set(w.admin, token=wrong, level="gateway", scope="", name="mode", value=1),
                policy.unset(w.admin, token=wrong, level="gateway", scope="", name="mode"),
                policy.list(w.admin, token=wrong, level=None, scope=None),
                policy.explain(w.admin, token=wrong, addresses=["a@x.test"]),
                policy.add_domain(w.admin, token=wrong, name="x.test", internal=True, organisation=None),
                policy.remove_domain(w.admin, token=wrong, name="x.test"),
                policy.domains_list(w.admin, token=wrong),
                policy.organisations(w.admin, token=wrong),
            ):
                with pytest.raises(Denied):
                    await call
            assert len(w.audited("policy.change")) == 4
            assert len(w.audited("policy.read")) == 4
            assert await policy.revision(w.flow) == 1

    asyncio.run(scenario())
