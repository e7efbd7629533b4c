"""A sender gets a certificate from an ACME server by itself: HTTPS, challenge mail and reply, as the whole product."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.acme_house import AcmeHouse
from tests.fakes.acme_server import SENDER
from tests.fakes.tls import Certificates
from tests.stories.world import World, letter

pytestmark = [pytest.mark.slow]


class Enrolling:
    """A gateway that knows an ACME server, and the server."""

    def __init__(self, world: World, house: AcmeHouse) -> None:
        self.world, self.house = world, house
        self.ask = world.gateway.ask

    def request(self, request_id: str) -> dict[str, Any]:
        """What ``ca pending list`` says of one request."""
        return next(each for each in self.ask("ca", "pending", "list", "--all") if each["id"] == request_id)

    def wait(self, request_id: str, fits: Callable[[dict[str, Any]], bool], within: float = 60.0) -> dict[str, Any]:
        """The request when it is so far."""
        end = time.monotonic() + within
        while not fits(found := self.request(request_id)):
            assert time.monotonic() < end, (found, self.house.server.told, self.house.server.faults)
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def enrolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enrolling]:
    certificates = Certificates(tmp_path_factory.mktemp("tls"), "localhost")
    house = AcmeHouse(certificates.server_context())
    try:
        with World(environment={"SSL_CERT_FILE": str(certificates.authority)}) as world:
            house.post = lambda address, octets: world.gateway.receive("bounces@acme.test", address, octets)
            world.set("acme_directory", house.directory)
            world.set("fetch_networks", "127.0.0.0/8, ::1/128")
            world.trust(house.authority)
            yield Enrolling(world, house)
    finally:
        house.close()


@pytest.mark.req("C6")
@pytest.mark.req("C12")
def test_a_certificate_by_acme_signs_the_next_mail(enrolling: Enrolling) -> None:
    world, house = enrolling.world, enrolling.house
    sender = world.address("inside.test", "acme")
    world.set("smime_sign", "yes", "--user", sender)
    world.set("encrypt_mode", "mandatory", "--user", sender)
    asked = enrolling.ask("ca", "issue", sender, "--handler", "acme")
    assert asked["state"] == "enrolling"
    reply = world.arrived(SENDER, within=60.0)
    assert (reply.sender, reply.recipients) == (sender, (SENDER,))
    house.take(reply.octets)
    assert house.server.proved
    done = enrolling.wait(asked["id"], lambda each: each["state"] == "done")
    assert house.server.faults == []
    (kept,) = enrolling.ask("certificate", "list", sender)
    assert (kept["id"], bool(kept["key"])) == (done["issued"], True)
    world.quiet(sender, lambda: world.wait_for_gone(sender))  # the challenge mail never reached its recipient
    world.set("encrypt_mode", "allow", "--user", sender)
    world.gateway.submit(sender, ["reader@outside.test"], letter(sender, "reader@outside.test"))
    assert b"multipart/signed" in world.arrived("reader@outside.test").octets
