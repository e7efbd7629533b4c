"""Old keys are kept: what was encrypted to any key that an address ever had here is opened."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes import openssl
from tests.fakes.authority import Identity
from tests.stories.world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer]

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nFrom years ago.\r\n"


def _history(world: World) -> tuple[str, list[Identity]]:
    """An address with three keys of three years; the oldest certificates have ended."""
    address = world.address("inside.test", "veteran")
    keys = []
    for years in (3, 2, 0):
        since = datetime.now(UTC) - timedelta(days=365 * years + 10)
        until = since + timedelta(days=365)
        keys.append(
            world.authority.issue(address, "p256" if years == 2 else "rsa2048", not_before=since, not_after=until)
        )
        world.import_identity(keys[-1], key=True)
    return address, keys


@pytest.mark.req("C13")
@pytest.mark.parametrize("options", [(), ("-keyid",)], ids=["issuer and serial", "key identifier"])
def test_each_key_opens_what_its_recipient_info_names(world: World, options: tuple[str, ...]) -> None:
    to, keys = _history(world)
    outsider = world.authority.issue("outsider@outside.test")
    for number, reader in enumerate(keys):
        sender = world.address("outside.test")
        fields = f"From: {sender}\r\nTo: {to}\r\nSubject: number {number}\r\n".encode()
        sealed = openssl.encrypt(CONTENT, [outsider, reader], fields=fields, options=options)
        world.gateway.receive(sender, to, sealed)
    for arrival in world.hop.wait_for_recipient(to, count=len(keys)):
        assert b"From years ago." in arrival.octets
        assert arrival.subject.startswith("[decrypted]")


@pytest.mark.req("C13")
def test_one_key_that_does_not_open_it_leaves_the_others_their_turn(world: World) -> None:
    """Two of our keys are named, and what is wrapped for the first was damaged on the way."""
    to, keys = _history(world)
    first, last = keys[0], keys[-1]
    sender = world.address("outside.test")
    fields = f"From: {sender}\r\nTo: {to}\r\nSubject: damaged\r\n".encode()
    world.gateway.receive(sender, to, fields + _damaged(openssl.encrypt(CONTENT, [first, last]), first))
    assert b"From years ago." in world.arrived(to).octets


def _damaged(message: bytes, who: Identity) -> bytes:
    """The same with one octet of the encrypted key for ``who`` changed."""
    head, _, body = message.partition(b"\r\n\r\n")
    der = bytearray(base64.b64decode(body))
    serial = who.certificate.serial_number
    named = der.index(serial.to_bytes((serial.bit_length() + 8) // 8, "big"))
    wrapped = der.index(b"\x04\x82\x01\x00", named) + 4
    der[wrapped + 100] ^= 1
    return head + b"\r\n\r\n" + base64.encodebytes(bytes(der)).replace(b"\n", b"\r\n")
