"""Recipients whose keys are of different families: one delivery each, out; and every family decrypted, in."""

from __future__ import annotations

import asyncio

import pytest

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.describe import describe
from letterlock.smime.peel import peel
from tests.fakes.authority import KeyKind
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted
from tests.stories.world import World, letter

SECRET = "the eagle has landed"
KEYS: tuple[KeyKind, ...] = ("rsa2048", "p256", "x25519", "ml-kem-768")


@pytest.mark.req("A12", "B4", "B11", "B12")
@pytest.mark.slow
def test_recipients_of_every_family_in_one_message(world: World) -> None:
    """Nobody is held or left out, and no message mixes what an older program would refuse."""
    sender, signer = world.member()
    readers = dict(world.stranger(key=key) for key in KEYS)
    everybody = list(readers)
    world.gateway.submit(sender, everybody, letter(sender, ", ".join(everybody), text=f"{SECRET}\r\n"))
    for address, reader in readers.items():
        arrival = world.arrived(address)
        assert arrival.recipients == (address,)
        assert SECRET.encode() not in arrival.octets
        message = Message(arrival.octets)
        told = describe(Part.of(message).decoded)
        assert len(told.recipients) == 1
        found = asyncio.run(peel(message, Keys(reader)))
        assert [each.verdict for each in found.layers] == ["ok", "ok"]
        (outcome,) = found.layers[1].outcomes
        assert outcome.signer is not None
        assert outcome.signer.certificate.der == signer.der
        assert SECRET.encode() in bytes(found.bare().body)


@pytest.mark.req("B11", "B12", "I3")
@pytest.mark.slow
@pytest.mark.parametrize("key", ["x25519", "ml-kem-768", "ml-kem-1024"])
def test_the_keyholder_opens_it(world: World, key: KeyKind) -> None:
    to, reader = world.member(key=key)
    sender, _ = world.stranger()
    world.gateway.receive(sender, to, encrypted(letter(sender, to, text=f"{SECRET}\r\n"), reader))
    arrival = world.arrived(to)
    assert SECRET.encode() in arrival.octets
    assert "[decrypted]" in arrival.subject


@pytest.mark.req("B12")
@pytest.mark.slow
def test_signed_with_ml_dsa(world: World) -> None:
    sender, signer = world.member(key="ml-dsa-65")
    to, reader = world.stranger()
    world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    found = asyncio.run(peel(Message(world.arrived(to).octets), Keys(reader)))
    (outcome,) = found.layers[1].outcomes
    assert outcome.signer is not None
    assert (outcome.verdict, outcome.signer.algorithm) == ("ok", "ml-dsa-65")
    assert outcome.signer.certificate.der == signer.der
