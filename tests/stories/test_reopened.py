"""Mail that a desktop program has encrypted: opened with the sender's key and encrypted anew, or held, or refused.

See also
    docs/decisions/0019 for the rule that makes this no oracle; tests/unit/decision/test_anew.py for every branch.
"""

from __future__ import annotations

import subprocess
import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest

from tests.fakes import openssl
from tests.fakes.authority import Identity
from tests.fakes.next_hop import Arrival
from tests.stories.world import World

SECRET = b"meet me at the old mill at nine"
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\nContent-Language: en\r\n\r\n" + SECRET + b"\r\n"


def sealed(sender: str, to: str, *readers: Identity, inside: bytes = ENTITY, subject: str = "hello") -> bytes:
    """What a desktop program submits; the sender is one of its readers."""
    fields = f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{time.time_ns()}@client.test>\r\n"
    return openssl.encrypt(inside, list(readers), fields=fields.encode())


def told(world: World, sender: str) -> str:
    """The trace of the held message."""
    entry = world.wait_for_held(sender)
    return world.gateway.cli("queue", "show", "--trace", entry["id"]).stdout


def recipient_infos(arrival: Arrival) -> int:
    """How many can open it."""
    done = subprocess.run(
        ["openssl", "cms", "-cmsout", "-print"], input=arrival.octets, capture_output=True, check=True
    )
    return done.stdout.count(b"d.ktri:") + done.stdout.count(b"d.kari:")


@pytest.mark.req("A18")
@pytest.mark.peer
@pytest.mark.slow
def test_opened_and_encrypted_anew(world: World) -> None:
    sender, own = world.member()
    to, reader = world.stranger()
    world.set("client_encrypted", "open-or-hold", "--user", sender)
    world.set("smime_header_protection", "hide", "--user", sender)
    message = sealed(sender, to, own, reader, subject="[encrypt] the plan")
    world.gateway.submit(sender, to, message)
    arrival = world.arrived(to)
    assert arrival.subject == "[...]" and SECRET not in arrival.octets
    assert recipient_infos(arrival) == 1  # the sender's is not in it any more
    content, signed_by = openssl.verify(openssl.decrypt(arrival.octets, reader), world.authority)
    assert signed_by.strip() == own.pem.decode().strip()  # by the gateway, in the sender's name
    inside = cast("EmailMessage", message_from_bytes(openssl.crlf(content), policy=default))
    assert (inside["Subject"], inside["Content-Language"]) == ("the plan", "en")
    assert SECRET.decode() in inside.get_content()


@pytest.mark.req("A18", "B1")
@pytest.mark.peer
@pytest.mark.slow
def test_the_senders_own_signature_is_kept(world: World) -> None:
    sender, own = world.member()
    to, reader = world.stranger()
    world.set("client_encrypted", "open-or-hold", "--user", sender)
    signed = openssl.sign(ENTITY, own)
    world.gateway.submit(sender, to, sealed(sender, to, own, reader, inside=signed))
    arrival = world.arrived(to)
    assert recipient_infos(arrival) == 1
    within = openssl.crlf(openssl.decrypt(arrival.octets, reader))
    assert within == openssl.crlf(signed)  # octet by octet
    openssl.verify(within, world.authority)


@pytest.mark.req("A18")
@pytest.mark.peer
@pytest.mark.slow
def test_what_cannot_be_opened_is_held_or_refused(world: World) -> None:
    sender, own = world.member()
    to, reader = world.stranger()
    world.set("client_encrypted", "open-or-hold", "--user", sender)
    world.gateway.submit(sender, to, sealed(sender, to, reader))
    assert "not encrypted to a key of its sender" in told(world, sender)
    world.set("client_encrypted", "open-or-refuse", "--user", sender)
    other, other_reader = world.stranger()
    world.gateway.submit(sender, other, sealed(sender, other, own, reader))
    notice = world.arrived(sender)
    assert SECRET not in notice.octets
    assert not [each for each in world.hop.arrivals if other in each.recipients]
    assert other_reader


@pytest.mark.req("A18", "A12")
@pytest.mark.peer
@pytest.mark.slow
def test_inside_and_outside_in_one_message(world: World) -> None:
    sender, own = world.member()
    colleague, colleague_key = world.member()
    bystander, _ = world.member()
    world.set("smime_strict", "no", "--user", bystander)
    to, reader = world.stranger()
    world.set("client_encrypted", "open-or-hold", "--user", sender)
    message = sealed(sender, f"{to}, {colleague}", own, reader, colleague_key)
    world.gateway.submit(sender, [to, colleague], message)
    assert SECRET in openssl.verify(openssl.decrypt(world.arrived(to).octets, reader), world.authority)[0]
    assert SECRET in world.arrived(colleague).octets
    # The sender's key opens nothing for those inside, not even for one who takes what any key opens.
    world.gateway.submit(sender, bystander, sealed(sender, bystander, own))
    assert SECRET not in world.arrived(bystander).octets


def _captured(world: World) -> tuple[str, Identity, Identity]:
    """(an insider, its identity, a correspondent who wrote to it)."""
    insider, own = world.member()
    _, author = world.stranger()
    world.set("client_encrypted", "open-or-hold", "--user", insider)
    return insider, own, author


@pytest.mark.req("A18", "B1")
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["another's signature", "another author", "another sender", "from outside", "not named"]
)
def test_a_captured_ciphertext_is_not_opened_for_another(world: World, case: str) -> None:
    """Somebody inside sends it in again, to himself outside; he even writes himself in as a reader."""
    insider, own, author = _captured(world)
    attacker, attacker_key = world.stranger()
    sender, source = insider, "127.0.0.1"
    inside = openssl.sign(ENTITY, author) if case == "another's signature" else ENTITY
    readers = (own,) if case == "not named" else (own, attacker_key)
    message = sealed(insider, attacker, *readers, inside=inside)
    if case == "another author":
        message = message.replace(f"From: {insider}".encode(), b"From: boss@inside.test")
    elif case == "another sender":
        sender, _ = world.member()
        world.set("client_encrypted", "open-or-hold", "--user", sender)
    elif case == "from outside":
        source = "127.0.0.2"
        to, _ = world.member()
        world.gateway.submit(insider, to, message, source=source)
        assert SECRET not in world.arrived(to).octets
        return
    world.gateway.submit(sender, attacker, message, source=source)
    world.wait_for_held(sender)
    assert not [each for each in world.hop.arrivals if attacker in each.recipients]
