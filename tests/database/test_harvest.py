"""What was learned from correspondents' signed mail: their certificates, and what they said with them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from letterlock.pki import calls as pki
from letterlock.policy import calls as policy
from tests.database.test_pki import certificate
from tests.database.world import now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both


def _harvest(one: dict[str, Any], address: str, **more: Any) -> dict[str, Any]:
    left = {"token", "organisation", "spki", "is_ca", "key_id"}
    made = {name: value for name, value in one.items() if name not in left}
    return (
        made | {"address": address, "capabilities": None, "preferred": False, "signed_at": None, "wait": False} | more
    )


@pytest.mark.req("B5")
def test_harvested_once_and_used_when_approved(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            first, second = certificate("c@y.test"), certificate("c@y.test", "d@y.test")
            assert await pki.harvest(w.flow, **_harvest(first, "c@y.test", wait=True)) == ("new", False)
            revision = await policy.revision(w.flow)
            assert await pki.harvest(w.flow, **_harvest(first, "c@y.test")) == ("already", False)
            assert await pki.harvest(w.flow, **_harvest(second, "c@y.test", wait=True)) == ("waiting", True)
            assert await pki.harvest(w.flow, **_harvest(second, "e@y.test")) == ("wrong", False)
            assert await policy.revision(w.flow) == revision
            assert [each.id for each in await pki.candidates(w.flow, addresses=["c@y.test"])] == [first["id"]]
            (waits,) = await pki.waiting(w.admin, token=token, address="d@y.test", max=9)
            assert waits.id == second["id"]
            approved = second | {"id": uuid4()}
            assert await pki.import_certificate(w.admin, token=token, **approved) == ("done", second["id"])
            assert await pki.waiting(w.admin, token=token, address=None, max=9) == []
            found = await pki.candidates(w.flow, addresses=["c@y.test"])
            assert {each.id for each in found} == {first["id"], second["id"]}

    asyncio.run(scenario())


@pytest.mark.req("B5")
def test_harvest_is_bounded_and_older_capabilities_do_not_win(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            answers = [
                (await pki.harvest(w.flow, **_harvest(certificate("c@y.test"), "c@y.test"))).answer for _ in range(21)
            ]
            assert answers == ["new"] * 20 + ["full"]
            one = certificate("k@y.test")
            for days, word in ((2, "two"), (3, "three"), (-9, "ahead"), (1, "one")):
                signed_at = now() - timedelta(days=days)
                await pki.harvest(w.flow, **_harvest(one, "k@y.test", capabilities=[word], signed_at=signed_at))
                with database.superuser() as connection:
                    (names, at) = connection.execute("SELECT names, signed_at FROM pki.capabilities").fetchone() or ()
                assert names == [{2: "two", 3: "two", -9: "ahead", 1: "ahead"}[days]]
                assert at <= now()

    asyncio.run(scenario())


@pytest.mark.req("B5")
def test_what_an_owner_says_is_told_with_the_candidate_and_acts_at_once(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            first, second = certificate("c@y.test"), certificate("c@y.test")

            async def said(one: dict[str, Any], names: list[str] | None, preferred: bool, hours: int) -> bool:
                """Has anything changed that decisions know?"""
                before, signed_at = await policy.revision(w.flow), now() - timedelta(hours=hours)
                wish = {"capabilities": names, "preferred": preferred, "signed_at": signed_at}
                await pki.harvest(w.flow, **_harvest(one, "c@y.test", **wish))
                return await policy.revision(w.flow) != before

            async def known() -> dict[UUID, tuple[list[str] | None, bool]]:
                rows = await pki.candidates(w.flow, addresses=["c@y.test"])
                return {each.id: (each.capabilities, each.preferred) for each in rows}

            for one in (first, second):
                await pki.harvest(w.flow, **_harvest(one, "c@y.test"))
            assert await known() == {first["id"]: (None, False), second["id"]: (None, False)}
            assert await said(first, ["aes256-gcm"], True, 9)
            assert not await said(first, ["aes256-gcm"], True, 8)  # nothing new but the time
            assert not await said(first, ["aes128-cbc"], False, 9)  # an older word
            assert await known() == {first["id"]: (["aes256-gcm"], True), second["id"]: (None, False)}
            assert await said(second, None, True, 7)
            assert await known() == {first["id"]: (["aes256-gcm"], False), second["id"]: ([], True)}

    asyncio.run(scenario())
