"""Rows become settings that know their level and origin; the resolver reads once per revision; domains and routes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import pytest

from letterlock.policy.domains import Domain, Domains, Route, locality, route
from letterlock.policy.effective import FACTORY, EffectiveSettings, StoredSettingInvalid, of_gateway, of_rows
from letterlock.policy.resolve import Resolver
from letterlock.policy.settings import encryption, relay
from letterlock.policy.settings.declare import Effective
from tests.fakes.facts import settings

A, B = "a@x.example", "b@y.example"


class SettingRow(NamedTuple):
    address: str
    name: str
    value: object
    level: str
    origin: str


@pytest.mark.req("A7")
def test_value_level_origin() -> None:
    rows = [
        SettingRow(A, "encrypt_mode", "mandatory", "wildcard", "*.example"),
        SettingRow(A, "from_a_later_version", 1, "gateway", ""),
        SettingRow("c@z.example", "encrypt_mode", "none", "user", "c@z.example"),
    ]
    found = of_rows([A, B], rows)
    assert found[A].effective(encryption.ENCRYPT_MODE) == Effective("mandatory", "wildcard", "*.example")
    assert found[B].effective(encryption.ENCRYPT_MODE) == Effective("allow", "factory", "")
    assert found[A].named("smime_enabled").level == "factory"
    assert list(found[A].changed()) == ["encrypt_mode"]


@pytest.mark.parametrize(("value", "level"), [("mostly", "user"), (7, "user"), ("none", "planet")])
def test_stored_nonsense_is_refused(value: object, level: str) -> None:
    with pytest.raises(StoredSettingInvalid):
        of_rows([A], [SettingRow(A, "encrypt_mode", value, level, A)])


def test_gateway_values() -> None:
    assert of_gateway({"relay_networks": ["192.0.2.0/24"]}).effective(relay.RELAY_NETWORKS).level == "gateway"


class Reader:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.mode = "none"
        self.hold: asyncio.Event | None = None

    async def __call__(self, addresses: list[str]) -> Sequence[SettingRow]:
        self.asked.append(addresses)
        mode = self.mode
        if self.hold:
            await self.hold.wait()
        return [SettingRow(each, "encrypt_mode", mode, "gateway", "") for each in addresses]


@pytest.mark.req("A7")
def test_resolver_reads_once_per_revision_and_address() -> None:
    async def work() -> None:
        reader = Reader()
        resolver = Resolver(reader)
        assert set(await resolver.settings(1, [A, "A@X.example", B])) == {A, "A@X.example", B}
        await resolver.settings(1, [B])
        assert reader.asked == [[A, B]]
        await resolver.settings(2, [B])
        assert reader.asked == [[A, B], [B]]
        await resolver.settings(1, [B])
        assert len(reader.asked) == 2

    asyncio.run(work())


def test_what_was_read_under_an_old_revision_is_not_kept_for_the_new() -> None:
    async def work() -> None:
        reader = Reader()
        resolver = Resolver(reader)
        reader.hold = asyncio.Event()
        slow = asyncio.create_task(resolver.settings(1, [A]))
        await asyncio.sleep(0)
        release, reader.hold, reader.mode = reader.hold, None, "mandatory"
        await resolver.settings(2, [B])
        release.set()
        assert (await slow)[A].value(encryption.ENCRYPT_MODE) == "none"
        assert (await resolver.settings(2, [A]))[A].value(encryption.ENCRYPT_MODE) == "mandatory"

    asyncio.run(work())


def test_a_full_cache_still_answers() -> None:
    async def work() -> None:
        resolver = Resolver(Reader(), capacity=2)
        assert len(await resolver.settings(1, [A])) == 1
        assert len(await resolver.settings(1, [A, B, "c@z.example"])) == 3
        assert len(await resolver.settings(1, [A, B])) == 2

    asyncio.run(work())


HOME, LAB = UUID(int=1), UUID(int=2)
DOMAINS = Domains([Domain("x.example", True, HOME), Domain("*.x.example", True, LAB), Domain("y.example", False, HOME)])


def test_domains() -> None:
    assert DOMAINS.organisation_of("a@X.example") == HOME
    assert DOMAINS.organisation_of("a@deep.lab.x.example") == LAB
    assert DOMAINS.is_internal("a@lab.x.example")
    assert not DOMAINS.is_internal(B)
    assert DOMAINS.find("a@z.example") is None


@pytest.mark.req("A5")
@pytest.mark.parametrize(
    ("address", "own", "value", "level"),
    [
        (A, None, "internal", "domain"),
        (B, None, "external", "domain"),
        ("c@z.example", None, "external", "factory"),
        (A, Effective("external", "user", A), "external", "user"),
        (A, Effective("external", "gateway", ""), "internal", "domain"),
        ("c@z.example", Effective("internal", "wildcard", "*.example"), "internal", "wildcard"),
    ],
)
def test_locality(address: str, own: Effective[object] | None, value: str, level: str) -> None:
    found = locality(address, EffectiveSettings(address, {"locality": own} if own else {}), DOMAINS)
    assert (found.value, found.level) == (value, level)


def test_routes() -> None:
    sender = settings("", next_hop_outgoing="smart.example")
    recipient = settings("", next_hop_incoming="[10.0.0.1]:25", transport={"*.example": "", "a.example": "[m.example]"})
    assert route("u@a.example", "outgoing", sender, recipient) == Route("[m.example]", "[m.example]")
    assert route("u@B.example", "outgoing", sender, recipient) == Route("b.example", "")
    assert route("u@c.test", "outgoing", sender, recipient) == Route("smart.example", "smart.example")
    assert route("u@c.test", "incoming", sender, recipient) == Route("[10.0.0.1]:25", "[10.0.0.1]:25")
    assert route("u@c.test", "outgoing", FACTORY, FACTORY) == Route("c.test", "")
