"""The door: what an administrator's command gets, and what others do."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from letterlock.accounts.door import SOCKET_NAME, DoorClosed, NotLetIn, open_door
from letterlock.config.start import Credentials
from letterlock.database.errors import DatabaseUnavailable
from letterlock.doorkeeper import local
from letterlock.doorkeeper.local import User
from letterlock.doorkeeper.serve import Doorkeeper
from letterlock.vault import frames
from tests.fakes.keyholder import start_of

DATABASE = Credentials("/run/db", 5432, "ll_admin", "password of the role", "letterlock")


class Logins:
    """What the database would be told."""

    def __init__(self) -> None:
        self.made: list[tuple[str, bytes]] = []
        self.accepts = True
        self.away = False

    async def __call__(self, principal: str, token_hash: bytes) -> bool:
        if self.away:
            raise DatabaseUnavailable
        self.made.append((principal, token_hash))
        return self.accepts


def with_door(state: Path, story: Callable[[Logins], Awaitable[None]], database: Credentials | None = DATABASE) -> None:
    async def tell() -> None:
        serving, stopping, logins = asyncio.Event(), asyncio.Event(), Logins()
        start = replace(
            start_of(state, ready=serving.set, stopping=stopping), admin_database=database, admin_key_token=b"k" * 32
        )
        task = asyncio.create_task(Doorkeeper(start, logins).serve())
        await serving.wait()
        try:
            await story(logins)
        finally:
            stopping.set()
            await task

    asyncio.run(tell())
    uvloop.run(tell())


@pytest.mark.req("J3")
def test_who_is_admitted_gets_all_a_command_needs(tmp_path: Path) -> None:
    async def story(logins: Logins) -> None:
        one, two = await asyncio.gather(open_door(tmp_path), open_door(tmp_path))
        assert one.principal == f"local:{local.user_of(os.geteuid()).name}"
        assert (one.database, one.key_token) == (DATABASE, b"k" * 32)
        assert len(one.token) == 32
        assert one.token != two.token
        hashes = {hashlib.sha256(each.token).digest() for each in (one, two)}
        assert {token_hash for _, token_hash in logins.made} == hashes
        assert {principal for principal, _ in logins.made} == {one.principal}
        for hidden in (one.token.hex(), repr(one.token), "password of the role", repr(one.key_token)):
            assert hidden not in repr(one)

    with_door(tmp_path, story)


def test_others_are_told_so_and_it_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def strangers(peer: local.Peer, *, own_uid: int) -> str:
        return real(peer, own_uid=own_uid + 1, look_up=lambda uid: User("mallory", frozenset()))

    real = local.admit
    monkeypatch.setattr(local, "admit", strangers)
    monkeypatch.setattr(local, "peer_of", lambda channel: local.Peer(1, 4242, 4242))

    async def story(logins: Logins) -> None:
        with pytest.raises(NotLetIn, match="mallory"):
            await open_door(tmp_path)
        assert logins.made == []

    with caplog.at_level(logging.WARNING):
        with_door(tmp_path, story)
    assert "nobody was admitted" in caplog.text


def test_what_the_database_refuses_is_refused(tmp_path: Path) -> None:
    async def story(logins: Logins) -> None:
        logins.accepts = False
        with pytest.raises(NotLetIn):
            await open_door(tmp_path)
        logins.away = True
        with pytest.raises(DoorClosed):
            await open_door(tmp_path)

    with_door(tmp_path, story)


def test_without_credentials_nobody_is_admitted(tmp_path: Path) -> None:
    async def story(logins: Logins) -> None:
        with pytest.raises(NotLetIn):
            await open_door(tmp_path)
        assert logins.made == []

    with_door(tmp_path, story, database=None)


def test_no_installation_answers(tmp_path: Path) -> None:
    with pytest.raises(DoorClosed, match="letterlock run"):
        asyncio.run(open_door(tmp_path))


@pytest.mark.parametrize("said", [b"", b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", frames.encode(frames.Hello(b"x" * 32))])
def test_another_question_is_refused(said: bytes, tmp_path: Path) -> None:
    async def story(logins: Logins) -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
        writer.write(said)
        writer.write_eof()
        answer = next(frames.FrameReader(frames.DoorAnswer).feed(await reader.read()))
        assert isinstance(answer, frames.Refused)
        assert logins.made == []
        writer.close()
        await writer.wait_closed()

    with_door(tmp_path, story)


def test_anybody_may_knock(tmp_path: Path) -> None:
    async def story(_: Logins) -> None:
        assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o666

    with_door(tmp_path, story)
