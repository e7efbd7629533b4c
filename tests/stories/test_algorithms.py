"""Algorithms by setting, on the wire: what openssl opens and verifies, and what the message says of itself."""

from __future__ import annotations

import asyncio

import pytest

from letterlock.mail.message import Message
from letterlock.smime.peel import peel
from tests.fakes import openssl
from tests.fakes.own_keys import Keys
from tests.stories.world import World, letter

pytestmark = [pytest.mark.peer, pytest.mark.slow]


@pytest.mark.req("B10")
def test_pss_and_oaep_by_setting(world: World) -> None:
    sender, _ = world.member()
    to, identity = world.stranger()
    world.set("smime_signing_alg", "rsa-pss-sha384", "--user", sender)
    world.set("smime_key_transport", "oaep", "--user", to)
    world.gateway.submit(sender, to, letter(sender, to, text="for you\r\n"))
    octets = world.arrived(to).octets
    content, _ = openssl.verify(openssl.decrypt(octets, identity), world.authority)
    assert b"for you" in content
    found = asyncio.run(peel(Message(octets), Keys(identity)))
    (outcome,) = found.layers[1].outcomes
    assert outcome.signer is not None
    assert outcome.signer.algorithm == "rsa-pss-sha384"
    assert "rsaesOaep" in openssl.printed(octets)
