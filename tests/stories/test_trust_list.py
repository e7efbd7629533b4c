"""What an administrator denies is not used and not believed, whatever its path says; who asks why is told the entry."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import openssl
from tests.fakes.authority import Authority, Identity
from tests.stories.world import World, letter

pytestmark = [pytest.mark.req("C3"), pytest.mark.peer, pytest.mark.slow]

SECRET = "only for you"


def _enter(world: World, action: str, pem: bytes, reason: str) -> str:
    """``trust deny`` or ``trust allow``; the entry's id."""
    path = world.gateway.folder / f"{action}-{reason.replace(' ', '-')}.pem"
    path.write_bytes(pem)
    entry: str = world.gateway.ask("trust", action, str(path), "--reason", reason)["id"]
    return entry


def _held_because_of(world: World, sender: str, to: str, entry: str) -> dict[str, Any]:
    """Mail that must be encrypted is held, and its trace names the entry; the held message."""
    world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    held = world.wait_for_held(sender)
    trace = "\n".join(world.gateway.ask("queue", "show", held["id"], "--trace")["trace"])
    assert f"forbidden by entry {entry} of the certificate trust list" in trace
    return held


def _reads(world: World, to: str, reader: Identity) -> bool:
    plain, _ = openssl.verify(openssl.decrypt(world.arrived(to).octets, reader), world.authority)
    return SECRET.encode() in plain


def test_a_denied_certificate_is_not_encrypted_to_until_the_entry_is_removed(world: World) -> None:
    sender, _ = world.member()
    to, reader = world.stranger()
    world.set("encrypt_mode", "mandatory", "--user", to)
    entry = _enter(world, "deny", reader.pem, "stolen laptop")
    held = _held_because_of(world, sender, to, entry)
    (rejected,) = world.gateway.ask("certificate", "why", to, "--encrypt")["encrypt"]["rejected"]
    assert rejected["reasons"] == ["forbidden"]
    assert entry in rejected["detail"]
    assert "stolen laptop" in rejected["detail"]
    world.gateway.cli("trust", "remove", entry)
    world.gateway.cli("queue", "release", held["id"], "--reason", "not stolen")
    assert _reads(world, to, reader)


def test_a_denied_authority_denies_what_it_issued(world: World) -> None:
    sender, _ = world.member()
    other = Authority.create("An authority that went wrong", key="rsa2048")
    world.trust(other)
    to = world.address("outside.test", "issued")
    reader = other.issue(to)
    world.import_identity(reader, key=False)
    world.set("encrypt_mode", "mandatory", "--user", to)
    entry = _enter(world, "deny", other.pem, "broken into")
    _held_because_of(world, sender, to, entry)


def test_an_allowed_certificate_needs_no_authority(world: World) -> None:
    sender, _ = world.member()
    to = world.address("outside.test", "selfmade")
    reader = Authority.create("Nobody's", key="rsa2048").issue(to)
    world.import_identity(reader, key=False)
    world.set("encrypt_mode", "mandatory", "--user", to)
    _enter(world, "allow", reader.pem, "checked by telephone")
    world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    assert _reads(world, to, reader)


def test_the_signature_of_a_denied_certificate_is_not_believed(world: World) -> None:
    member, _ = world.member()
    sender, identity = world.stranger(known=False)
    _enter(world, "deny", identity.pem, "no more")
    content = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
    fields = f"From: {sender}\r\nTo: {member}\r\nSubject: hello\r\n".encode()
    world.gateway.receive(sender, member, openssl.sign(content, identity, fields=fields))
    world.arrived(member)
    assert world.gateway.ask("certificate", "list", sender) == []  # nothing is learned from it
