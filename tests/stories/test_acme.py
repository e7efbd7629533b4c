"""A sender gets a certificate from an ACME server by itself: HTTPS, challenge mail and reply, as the whole product."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.acme_house import AcmeHouse
from tests.fakes.acme_server import SENDER
from tests.fakes.next_hop import Arrival
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

    def reply(self, sender: str, within: float = 60.0) -> Arrival:
        """The first mail from ``sender`` to the server."""
        return self.world.hop.wait_for(lambda each: each.sender == sender and SENDER in each.recipients, within=within)[
            0
        ]

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
            world.set("acme_head_start", "3s")
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
    reply = enrolling.reply(sender)
    assert reply.recipients == (SENDER,)
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


@pytest.mark.req("C12")
def test_a_sender_without_a_certificate_gets_one_by_acme_by_itself(enrolling: Enrolling) -> None:
    world, house = enrolling.world, enrolling.house
    sender = world.address("inside.test", "auto")
    for name, value in (("smime_sign", "yes"), ("smime_auto_request_cert", "yes"), ("smime_request_handler", "acme")):
        world.set(name, value, "--user", sender)
    world.gateway.submit(sender, ["first@outside.test"], letter(sender, "first@outside.test"))
    assert b"multipart/signed" not in world.arrived("first@outside.test").octets
    reply = enrolling.reply(sender, within=120.0)
    house.take(reply.octets)
    (asked,) = [each for each in enrolling.ask("ca", "pending", "list", "--all") if each["address"] == sender]
    assert (asked["source"], asked["handler"]) == ("automatic", "acme")
    enrolling.wait(asked["id"], lambda each: each["state"] == "done")
    world.gateway.submit(sender, ["second@outside.test"], letter(sender, "second@outside.test"))
    assert b"multipart/signed" in world.arrived("second@outside.test").octets
    assert house.server.faults == []


@pytest.mark.req("C12")
def test_a_challenge_that_nobody_waits_for_is_ordinary_mail(enrolling: Enrolling) -> None:
    world = enrolling.world
    reader = world.address("inside.test", "reader")
    subject = "ACME: 0123456789012345678901234567"
    octets = letter(SENDER, reader, subject, Auto_Submitted="auto-generated; type=acme")
    world.gateway.receive(SENDER, reader, octets)
    assert world.arrived(reader).mail["Subject"] == subject


@pytest.mark.req("C6")
@pytest.mark.req("C7")
def test_what_a_request_waits_for_can_be_seen_and_it_survives_a_crash(enrolling: Enrolling) -> None:
    world, house = enrolling.world, enrolling.house
    sender = world.address("inside.test", "crash")
    post, house.post = house.post, None
    try:
        asked = enrolling.ask("ca", "issue", sender, "--handler", "acme")
        seen = enrolling.wait(asked["id"], lambda each: each["reason"].startswith("Waits"))
        assert seen["reason"] == f"Waits for the challenge mail from {SENDER}."
        world.gateway.kill()
        world.gateway.start()
        assert post is not None
        post(sender, house.mails[-1])
        house.take(enrolling.reply(sender).octets)
        enrolling.wait(asked["id"], lambda each: each["state"] == "done")
    finally:
        house.post = post
