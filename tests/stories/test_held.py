"""Held mail: never sent in clear, its sender told, looked into in two steps, released or dropped by an operator.

See also
    docs/walks (what hold and release do), RFC 3464 (the report at the end).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes import openssl
from tests.stories.world import World, letter

SECRET = "the safe stands behind the second picture"


def _hold(world: World) -> tuple[str, str, dict[str, Any]]:
    """Submit mail that must be encrypted and cannot be; returns (sender, recipient, its queue entry)."""
    sender, _ = world.member()
    to, _ = world.stranger(known=False)
    world.gateway.submit(sender, to, letter(sender, to, "[encrypt] the safe", text=f"{SECRET}\r\n"))
    return sender, to, world.wait_for_held(sender)


@pytest.mark.req("A6", "A8", "A21", "G4")
@pytest.mark.slow
def test_held_and_the_sender_told(world: World) -> None:
    sender, to, entry = _hold(world)
    notice = world.arrived(sender)
    assert notice.sender == ""
    assert to.encode() in notice.octets
    assert SECRET.encode() not in notice.octets
    world.quiet(to, lambda: world.gateway.cli("queue", "show", entry["id"]))


@pytest.mark.req("A21", "A22")
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_bounced_when_its_time_is_over(world: World) -> None:
    to, _ = world.stranger(known=False)
    world.gateway.cli("domain", "add", "short.test", "--internal")
    sender = world.address("short.test")
    world.set("hold_life", "1m", "--domain", "short.test")
    world.gateway.submit(sender, to, letter(sender, to, "[encrypt] the safe", text=f"{SECRET}\r\n"))
    world.wait_for_held(sender)
    reports = world.hop.wait_for(
        lambda a: sender in a.recipients and a.mail.get_content_type() == "multipart/report", within=150
    )
    assert b"Action: failed" in reports[0].octets
    assert SECRET.encode() not in reports[0].octets
    world.quiet(to, lambda: world.wait_for_gone(sender, to))


@pytest.mark.req("G4", "J3", "A6")
@pytest.mark.slow
def test_released_without_a_certificate_it_is_held_again(world: World) -> None:
    sender, to, entry = _hold(world)
    world.gateway.cli("queue", "release", entry["id"], "--reason", "please send it")
    world.wait_for_queued(sender, lambda now: now["state"] == "held" and now != entry)
    world.quiet(to, lambda: world.wait_for_held(sender))


@pytest.mark.req("G4", "J3")
@pytest.mark.slow
def test_released_with_a_certificate_it_leaves_encrypted(world: World) -> None:
    _, to, entry = _hold(world)
    reader = world.authority.issue(to)
    world.import_identity(reader, key=False)
    world.gateway.cli("queue", "release", entry["id"], "--reason", "certificate came")
    assert SECRET.encode() in openssl.decrypt(world.arrived(to).octets, reader)


@pytest.mark.req("G4", "J3")
@pytest.mark.slow
def test_dropped_it_is_gone(world: World) -> None:
    sender, to, entry = _hold(world)
    world.gateway.cli("queue", "drop", entry["id"], "--reason", "sent in error")
    world.quiet(to, lambda: world.wait_for_gone(sender, to))
    world.gateway.cli("queue", "show", entry["id"], code=1)
    world.gateway.cli("queue", "drop", entry["id"], "--reason", "again", code=1)


@pytest.mark.req("G4", "J3")
@pytest.mark.slow
def test_hold_retry_and_release_of_waiting_mail(world: World) -> None:
    sender, _ = world.insider(key=None)
    to = world.address("outside.test", "busy")
    busy = world.hop.fail("rcpt", reply="451 4.2.1 come back later", recipient=to)
    world.gateway.submit(sender, to, letter(sender, to))
    entry = world.wait_for_queued(
        to, lambda now: now["kind"] == "delivery" and bool(busy.used) and now["state"] == "due"
    )
    world.hop.mend()
    world.gateway.cli("queue", "retry", entry["id"])
    assert world.arrived(to)
    world.wait_for_gone(sender, to)


@pytest.mark.req("I3", "I6", "I7", "B1")
@pytest.mark.slow
def test_looking_into_it_takes_two_steps_and_leaves_two_rows(world: World) -> None:
    _, _, entry = _hold(world)
    listed = world.gateway.cli("queue", "show", entry["id"], "--json").stdout
    assert SECRET not in listed and "the safe" not in listed  # neither content nor subject in the plain view
    shown = world.gateway.cli("queue", "show", entry["id"], "--content", "--purpose", "the sender asked").stdout
    assert SECRET in shown
    rows = world.gateway.ask("audit", "list")
    mine = [row for row in rows if entry["id"] in json.dumps(row)]
    actions = " ".join(str(row.get("action")) for row in mine)
    assert "open" in actions, mine
    assert SECRET not in json.dumps(rows)
    world.gateway.cli("audit", "verify")
