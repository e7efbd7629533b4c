"""``letterlock explain`` says what would happen to a message and why, and sends nothing."""

from __future__ import annotations

import json

import pytest

from tests.stories.world import World, letter


def _explain(world: World, sender: str, to: str, message: bytes, code: int = 0) -> str:
    """The whole explanation as text. ``code``: 1 when the message would be held or refused."""
    path = world.gateway.folder / "explained.eml"
    path.write_bytes(message)
    return json.dumps(world.gateway.ask("explain", str(path), "--from", sender, "--to", to, code=code))


@pytest.mark.req("B4", "A7", "J3")
@pytest.mark.slow
def test_the_certificate_and_the_setting_with_its_level_are_named(world: World) -> None:
    sender, _ = world.member()
    to, _ = world.stranger()
    world.set("encrypt_mode", "mandatory", "--user", to)
    before = len(world.hop.arrivals)
    said = _explain(world, sender, to, letter(sender, to)).lower()
    assert "smime" in said and "mandatory" in said and "user" in said and to in said
    assert not world.queued(sender)
    assert len(world.hop.arrivals) == before


@pytest.mark.req("A21", "J3")
@pytest.mark.slow
def test_a_hold_is_foretold(world: World) -> None:
    sender, _ = world.member()
    to, _ = world.stranger(known=False)
    assert "hold" in _explain(world, sender, to, letter(sender, to, "[encrypt] x"), code=1).lower()


@pytest.mark.req("B4", "A21")
@pytest.mark.slow
def test_each_certificate_that_was_not_taken_is_named_with_its_fault(world: World) -> None:
    sender, _ = world.member()
    to = world.address("outside.test")
    world.import_identity(world.authority.issue(to, usage=("digital_signature",)), key=False)
    said = _explain(world, sender, to, letter(sender, to, "[encrypt] x"), code=1).lower()
    assert "usage" in said and "hold" in said


@pytest.mark.req("J3")
@pytest.mark.slow
def test_nothing_of_the_text_is_in_the_trace(world: World) -> None:
    sender, _ = world.member()
    to, _ = world.stranger()
    said = _explain(world, sender, to, letter(sender, to, "plan B", text="the password is swordfish\r\n"))
    assert "swordfish" not in said and "plan B" not in said
