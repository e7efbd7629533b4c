"""What passed through leaves no octet in clear: not in the database, its log, segment files, logs, temporary files."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import openssl
from tests.stories.world import World, letter

CANARY = b"canary-7f3a9c-sings-in-clear"
OVERLAP = 4096
FORMS = (
    CANARY,
    base64.b64encode(CANARY)[4:-4],
    CANARY[::-1],
    CANARY.decode().encode("utf-16-le"),
    CANARY.hex().encode(),
)
"""Plain, inside base64 at the offset the attachment below gives it, and forms a log or dump might choose."""


def hits(path: Path) -> list[bytes]:
    """Which forms of the canary stand in a file."""
    found, before = set(), b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(8 << 20):
                found |= {form for form in FORMS if form in before + chunk}
                before = chunk[-OVERLAP:]
    except (FileNotFoundError, OSError):
        return []
    return sorted(found)


def files(*folders: Path) -> Iterator[Path]:
    """Every regular file below the folders."""
    for folder in folders:
        for parent, _, names in os.walk(folder):
            yield from (
                path for path in (Path(parent) / name for name in names) if path.is_file() and not path.is_symlink()
            )


def _big(sender: str, to: str) -> bytes:
    """A message with an attachment of three segments, canaries in text, subject, file name and content."""
    name = CANARY.decode()
    encoded = base64.encodebytes((CANARY + b"!!") * 90_000).replace(b"\n", b"\r\n")
    head = letter(sender, to, f"big {name}", Content_Type='multipart/mixed; boundary="b"', text="")
    return (
        head
        + b"--b\r\nContent-Type: text/plain\r\n\r\n"
        + CANARY
        + b"\r\n--b\r\nContent-Type: application/octet-stream; "
        b'name="' + name.encode() + b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + encoded + b"\r\n--b--\r\n"
    )


@pytest.mark.req("A3", "I1")
def test_the_scan_itself_finds_a_canary(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (8 << 20) + CANARY)
    (tmp_path / "b").write_bytes(b"x" * ((8 << 20) - 5) + CANARY)
    assert [bool(hits(path)) for path in files(tmp_path)] == [True, True]


@pytest.mark.req("A3", "I1")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_octet_of_the_mail_is_left_in_clear() -> None:
    with World({"max_message_octets": "60M"}) as world:
        senders = _load(world)
        held = world.wait_for_held(senders[0])
        shown = world.gateway.cli("queue", "show", held["id"], "--content", "--purpose", "test").stdout
        assert CANARY.decode() in shown
        look = [world.gateway.folder, *_shared_memory()]
        world.gateway.restart()  # PostgreSQL writes all its pages
        assert _clear(look, world) == []
        world.gateway.stop()
        assert _clear(look, world) == []


def _clear(folders: list[Path], world: World) -> list[tuple[str, list[bytes]]]:
    seen = list(files(*folders))
    assert len(seen) > 500, "the database's folder was not found"
    assert any("pg_wal" in str(path) for path in seen)
    return [(str(path), found) for path in seen if (found := hits(path))]


def _shared_memory() -> list[Path]:
    return [path for path in (Path("/dev/shm"),) if path.exists()]


def _load(world: World) -> list[str]:
    """Mail of every way with canaries in it; returns the senders, first the one whose mail is held."""
    sender, _ = world.member()
    to, reader = world.stranger()
    unknown, _ = world.stranger(known=False)
    insider, own = world.member()
    text = CANARY.decode() + "\r\n"
    for number in range(30):
        world.gateway.submit(sender, to, letter(sender, to, f"{CANARY.decode()} {number}", text=text))
    world.gateway.submit(sender, unknown, letter(sender, unknown, CANARY.decode(), text=text))
    world.gateway.submit(sender, to, _big(sender, to))
    signed = openssl.sign(b"Content-Type: text/plain\r\n\r\n" + text.encode(), reader)
    world.gateway.receive(
        to, insider, openssl.encrypt(signed, [own], fields=f"From: {to}\r\nTo: {insider}\r\n".encode())
    )
    holder, _ = world.member()
    world.gateway.submit(holder, unknown, letter(holder, unknown, f"[encrypt] {CANARY.decode()}", text=text))
    refused = world.address("outside.test", "gone")
    world.hop.fail("rcpt", reply="550 5.1.1 gone", recipient=refused)
    world.gateway.submit(sender, refused, letter(sender, refused, CANARY.decode(), text=text), mail=["RET=FULL"])
    world.hop.wait_for_recipient(to, count=31, within=60)
    world.arrived(unknown)
    assert CANARY in world.arrived(insider).octets
    world.arrived(sender)
    return [holder, sender]
