"""What a decision lacks is fetched while the message waits a little: certificates, issuers, revocation data."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.fakes import openssl, published
from tests.fakes.authority import Authority, Identity
from tests.fakes.directory import Directory
from tests.fakes.next_hop import Arrival
from tests.fakes.web import Asked, Web
from tests.fakes.zone import Resolver, Zone, record
from tests.stories.world import World, letter

pytestmark = [pytest.mark.peer, pytest.mark.slow]

TEXT = "found where nobody had looked\r\n"


class Outside:
    """A gateway and what it may fetch from: a directory, a signed zone, a web server."""

    def __init__(self, world: World, directory: Directory, zone: Resolver, web: Web) -> None:
        self.world = world
        self.directory = directory
        self.zone = zone
        self.web = web

    def send(self, to: str, *, mandatory: bool = False) -> Arrival:
        """A message of ours to ``to``, as it arrived."""
        sender = self.world.address("inside.test", "sender")
        subject = "[encrypt] news" if mandatory else "news"
        self.world.gateway.submit(sender, to, letter(sender, to, subject, TEXT))
        return self.world.arrived(to, within=30)

    def trace(self, arrival: Arrival) -> str:
        """Why it was decided so."""
        match = re.search(rb"id ([0-9a-f-]{36})", arrival.octets)
        assert match
        lines: list[str] = self.world.gateway.ask("queue", "show", match[1].decode(), "--trace")["trace"]
        return "\n".join(lines)


def _certificates(world: World) -> tuple[Directory, Zone, dict[str, Identity]]:
    people = {
        address: world.authority.issue(address, "rsa2048")
        for address in ("bob@directory.test", "bob@signed.test", "eve@directory.test", "eve@signed.test")
    }
    directory, zone = Directory(), Zone("signed.test")
    directory.add_person("bob@directory.test", people["bob@directory.test"].der)
    directory.add_person("eve@directory.test", people["bob@directory.test"].der)  # another's certificate
    stranger = Authority.create("Somebody's own", key="rsa2048")
    directory.add_person("stray@directory.test", stranger.issue("stray@directory.test").der)
    zone.add("stray@signed.test", record(stranger.issue("stray@signed.test").der))
    zone.add("bob@signed.test", record(people["bob@signed.test"].der))
    zone.add("eve@signed.test", record(people["bob@signed.test"].der))
    return directory, zone, people


@pytest.fixture(scope="module")
def people() -> dict[str, Identity]:
    return {}


@pytest.fixture(scope="module")
def outside(people: dict[str, Identity]) -> Iterator[Outside]:
    with World({"fetch_networks": "127.0.0.1/32"}) as world:
        directory, zone, made = _certificates(world)
        people.update(made)
        others = [Zone(name, signed=False) for name in ("directory.test", "outside.test")]
        with directory, Resolver(zone, *others) as resolver, Web() as web:
            world.set("certificate_directories", directory.url)
            world.set("smimea_lookup", "yes")
            world.set("dnssec_resolver", resolver.setting)
            yield Outside(world, directory, resolver, web)


@pytest.mark.req("C14", "B1")
@pytest.mark.parametrize("address", ["bob@directory.test", "bob@signed.test"])
def test_a_certificate_is_found_while_the_message_waits(
    outside: Outside, people: dict[str, Identity], address: str
) -> None:
    arrival = outside.send(address, mandatory=True)
    assert TEXT.encode() not in arrival.octets
    assert TEXT.strip().encode() in openssl.decrypt(arrival.octets, people[address])
    assert "method smime: used" in outside.trace(arrival)


@pytest.mark.req("C14")
@pytest.mark.parametrize("address", ["eve@directory.test", "eve@signed.test"])
def test_a_certificate_of_somebody_else_is_not_used(outside: Outside, address: str) -> None:
    arrival = outside.send(address)
    assert TEXT.strip().encode() in arrival.octets
    why = outside.trace(arrival)
    assert "address-mismatch" in why, why


@pytest.mark.req("C14")
@pytest.mark.parametrize("address", ["stray@directory.test", "stray@signed.test"])
def test_nobody_trusts_a_certificate_because_of_where_it_was_found(outside: Outside, address: str) -> None:
    """Without our anchor above it, it is a candidate and no more."""
    arrival = outside.send(address)
    assert TEXT.strip().encode() in arrival.octets
    why = outside.trace(arrival)
    assert "certificate not used: untrusted" in why, why


@pytest.mark.req("C2", "C4", "B1")
def test_an_issuer_is_fetched(outside: Outside) -> None:
    world = outside.world
    between = world.authority.intermediate("Between", key="rsa2048")
    at = outside.web.give("/between.cer", between.der)
    to = world.address("outside.test", "reader")
    reader = between.issue(to, "rsa2048", extensions=[published.access(issuer_at=at)])
    world.import_identity(reader, key=False)
    arrival = outside.send(to, mandatory=True)
    assert TEXT.strip().encode() in openssl.decrypt(arrival.octets, reader)
    assert outside.web.asked("/between.cer") == 1


@pytest.mark.req("C2")
def test_a_crl_is_fetched_once_and_kept(outside: Outside) -> None:
    world = outside.world
    at = outside.web.give("/crl", published.crl(world.authority))
    to = world.address("outside.test", "reader")
    reader = world.authority.issue(to, "rsa2048", extensions=[published.crl_at(at)])
    world.import_identity(reader, key=False)
    began = time.monotonic()
    for _ in range(3):
        arrival = outside.send(to)
        assert TEXT.strip().encode() in openssl.decrypt(arrival.octets, reader)
    assert time.monotonic() - began < 10
    assert "not at hand" not in outside.trace(arrival)
    assert outside.web.asked("/crl") == 1
    assert 'letterlock_fetched_total{answer="found",kind="crl"} ' in world.gateway.status("/metrics")[1]


@pytest.mark.req("C2", "C4")
def test_what_does_not_come_is_named_and_the_message_goes_on(outside: Outside) -> None:
    world = outside.world

    def silent(_: Asked) -> Iterator[bytes]:
        time.sleep(60)
        yield b""

    with Web() as slow:
        at = slow.handle("/crl", silent)
        to = world.address("outside.test", "reader")
        reader = world.authority.issue(to, "rsa2048", extensions=[published.crl_at(at)])
        world.import_identity(reader, key=False)
        began = time.monotonic()
        arrival = outside.send(to)
        took = time.monotonic() - began
    assert TEXT.strip().encode() in openssl.decrypt(arrival.octets, reader)
    assert 9 < took < 14, "it waits ten seconds, and no longer"
    assert "not at hand when this was decided: the CRL at 127.0.0.1" in outside.trace(arrival)


@pytest.mark.req("C2")
def test_what_may_not_be_reached_is_not_waited_for_long(outside: Outside) -> None:
    world = outside.world
    with Web("127.0.0.2") as inside:
        at = inside.give("/crl", published.crl(world.authority))
        to = world.address("outside.test", "reader")
        reader = world.authority.issue(to, "rsa2048", extensions=[published.crl_at(at)])
        world.import_identity(reader, key=False)
        began = time.monotonic()
        arrival = outside.send(to)
        assert time.monotonic() - began < 5
        assert not inside.requests
    assert "the CRL at 127.0.0.2" in outside.trace(arrival)
