"""The keyholder asked over its socket: who may ask what, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from letterlock.keyholder import desk
from letterlock.keyholder.desk import DATABASE_ROLES, MAY, Door
from letterlock.keyholder.serve import SOCKET_NAME
from letterlock.vault import frames
from letterlock.vault.content import open_content, open_envelope, seal_small
from letterlock.vault.errors import KeyholderUnavailable, KeyRefused
from letterlock.vault.keys import new_id
from tests.fakes.keyholder import TOKENS, House, running
from tests.fakes.records import envelope


def with_house(state: Path, story: Callable[[House], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with running(state) as house:
            await story(house)

    asyncio.run(tell())


@pytest.mark.req("I2")
@pytest.mark.req("I3")
def test_sealed_by_one_role_opened_by_the_lease_of_another(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        smtpd, flow = house.client("smtpd"), house.client("flow")
        session = await smtpd.session()
        lease, one = house.lease(session)
        _, two = house.lease(session, lease=lease)
        stranger = seal_small(session, new_id(), b"", [b"not leased"])
        keys = await flow.message_keys(lease, [one.id, stranger.id, two.id])
        assert set(keys) == {one.id, two.id}
        assert open_envelope(keys[one.id], one) == envelope().encode()
        assert list(open_content(keys[two.id], two, None)) == [b"the content"]
        assert await flow.message_keys(new_id(), [one.id]) == {}

    with_house(tmp_path, story)


def test_session_is_kept_wrapped_only_and_bound(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        session = await house.client("smtpd").session()
        epoch, cls, role, not_after, wrapped = house.records.sessions[session.id]
        assert (epoch, cls, role) == (session.epoch, "queue", "ll_receive")
        assert not_after == session.not_after == int(house.clock.now) + 4200
        assert len(wrapped) == 60
        # whoever changes what the row says of a session gets nothing out of it
        lease, sealed = house.lease(session)
        flow = house.client("flow")
        for changed in (
            (epoch, cls, "ll_flow", not_after, wrapped),
            (epoch, cls, role, not_after + 1, wrapped),
            (epoch, "inbox", role, not_after, wrapped),
            (new_id(), cls, role, not_after, wrapped),
            (epoch, cls, role, not_after, bytes(60)),
        ):
            house.records.sessions[session.id] = changed
            house.keyholder.sessions.forget()
            assert await flow.message_keys(lease, [sealed.id]) == {}
        house.records.sessions[session.id] = (epoch, cls, role, not_after, wrapped)
        house.keyholder.sessions.forget()
        assert set(await flow.message_keys(lease, [sealed.id])) == {sealed.id}
        # ... nor when the session's key is remembered
        house.records.sessions[session.id] = (new_id(), cls, role, not_after, wrapped)
        assert await flow.message_keys(lease, [sealed.id]) == {}

    with_house(tmp_path, story)


def test_not_after_goes_by_the_slower_clock(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.records.skew = -200
        session = await house.client("smtpd").session()
        assert session.not_after == int(house.clock.now - 200) + 4200

    with_house(tmp_path, story)


ASKS: dict[str, Callable[[House, str], Awaitable[object]]] = {
    "OpenSession": lambda house, role: house.client(role).session(),
    "MessageKeys": lambda house, role: house.client(role).message_keys(new_id(), []),
    "Use": lambda house, role: house.client(role).sign(new_id(), new_id(), new_id(), b"", "ed25519"),
    "MarkKey": lambda house, role: house.client(role).mark_key(),
    "Take": lambda house, role: house.client(role).take(new_id(), b"x"),
    "ImportKey": lambda house, role: house.client(role).import_key(b"x", new_id(), b"x"),
    "Inquire": lambda house, role: house.client(role).inquire(),
    "ConfirmTime": lambda house, role: house.client(role).confirm_time(),
    "MakeKey": lambda house, role: house.client(role).make_key(b"x", new_id(), "ec-p256", "mail"),
    "CarryOut": lambda house, role: house.client(role).carry_out(new_id(), b"x"),
    "ExportKey": lambda house, role: house.client(role).export_key(b"x", new_id(), [], "x", reason="x"),
    "AdoptKey": lambda house, role: house.client(role).adopt_key(b"x", new_id(), "pkcs11:id=x"),
    "ListToken": lambda house, role: house.client(role).list_token(),
}
ALLOWED = {
    "smtpd": {"OpenSession", "MarkKey"},
    "flow": {"OpenSession", "MessageKeys", "Use", "MarkKey"},
    "delivery": {"OpenSession", "MessageKeys"},
    "admin": {
        "Take",
        "ImportKey",
        "Inquire",
        "ConfirmTime",
        "MakeKey",
        "CarryOut",
        "ExportKey",
        "AdoptKey",
        "ListToken",
    },
    "housekeeping": {"OpenSession", "MakeKey", "CarryOut"},
}


@pytest.mark.req("I3")
def test_each_role_may_ask_exactly_this(tmp_path: Path) -> None:
    assert {role: {kind.__name__ for kind in may} for role, may in MAY.items()} == ALLOWED
    assert set(DATABASE_ROLES) == set(ALLOWED)

    async def story(house: House) -> None:
        for role in ALLOWED:
            for name, ask in ASKS.items():
                before = list(house.records.calls)
                try:
                    await ask(house, role)
                except KeyRefused as refusal:
                    forbidden = "This process may not" in refusal.public
                except KeyholderUnavailable:  # there is no token
                    forbidden = False
                else:
                    forbidden = False
                assert forbidden == (name not in ALLOWED[role]), (role, name)
                assert not forbidden or house.records.calls == before

    with_house(tmp_path, story)


@pytest.mark.parametrize("token", [b"", bytes(32), TOKENS["flow"][:31], TOKENS["flow"] + b"x"])
def test_an_unknown_token_gets_no_word(token: bytes, tmp_path: Path) -> None:
    async def story(house: House) -> None:
        with pytest.raises(KeyholderUnavailable):
            await house.client("flow", token or b"\0").mark_key()
        assert house.records.calls.count("open_session") == 0

    with_house(tmp_path, story)


@pytest.mark.parametrize(
    "said",
    [
        frames.encode(frames.MarkKey(1)),
        b"GET / HTTP/1.0\r\n\r\n",
        (100_000).to_bytes(4, "big"),
        frames.encode(frames.Hello(TOKENS["flow"])) * 2,
        frames.encode(frames.Hello(TOKENS["flow"])) + b"\xff\xff\xff\xff",
    ],
)
def test_who_speaks_another_language_is_hung_up_on(said: bytes, tmp_path: Path) -> None:
    async def story(house: House) -> None:
        reader, writer = await asyncio.open_unix_connection(str(house.state / SOCKET_NAME))
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    with_house(tmp_path, story)


def test_socket_is_ours_alone(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        assert (house.state / SOCKET_NAME).stat().st_mode & 0o777 == 0o600

    with_house(tmp_path, story)


def test_other_users_are_not_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Transport(asyncio.Transport):
        def __init__(self, uid: int) -> None:
            super().__init__()
            self.uid = uid

        def get_extra_info(self, name: str, default: object = None) -> object:
            return self

        def getsockopt(self, *_: object) -> bytes:
            return b"".join(number.to_bytes(4, "little") for number in (1, self.uid, 1))

    door = Door({})
    assert set(door.roles_of(Transport(os.geteuid()))) == set(desk.MAY)
    assert set(door.roles_of(Transport(0))) == set(desk.MAY)
    assert not door.roles_of(Transport(12_345))
    monkeypatch.setattr(desk, "is_admin", lambda uid: uid == 12_345)  # and has no other role's door open
    assert set(door.roles_of(Transport(12_345))) == {"admin"}
    assert not door.roles_of(Transport(12_346))


def test_grant_is_used_once_by_whose_it_is(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        session = await house.client("smtpd").session()
        sealed = seal_small(session, new_id(), b"e", [b"held mail"])
        grant, admin = new_id(), house.client("admin")
        house.records.grants[grant] = (b"token", sealed)
        with pytest.raises(KeyRefused):
            await admin.take(grant, b"another")
        key = await admin.take(grant, b"token")
        assert list(open_content(key, sealed, None)) == [b"held mail"]
        with pytest.raises(KeyRefused):
            await admin.take(grant, b"token")
        written = (house.state / "audit" / "seals").read_text()
        assert str(grant) in written
        assert str(sealed.id) in written

    with_house(tmp_path, story)


def test_mark_key_lasts(tmp_path: Path) -> None:
    found: list[bytes] = []

    async def story(house: House) -> None:
        found.append((await house.client("smtpd").mark_key()).octets)
        found.append((await house.client("flow").mark_key()).octets)

    with_house(tmp_path, story)
    with_house(tmp_path, story)
    assert len(set(found)) == 1
    assert len(found[0]) == 32


def test_database_away_is_temporary(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        flow = house.client("flow")
        await flow.session()
        house.records.away = True
        for ask in (flow.session(), flow.message_keys(new_id(), [new_id()])):
            with pytest.raises(KeyholderUnavailable):
                await ask
        with pytest.raises(KeyholderUnavailable):
            await flow.sign(new_id(), new_id(), new_id(), b"", "ed25519")
        house.records.away = False
        await flow.session()

    with_house(tmp_path, story)


def test_what_was_given_by_lease_stands_in_our_own_file(tmp_path: Path) -> None:
    ids: list[UUID] = []

    async def story(house: House) -> None:
        lease, sealed = house.lease(await house.client("smtpd").session())
        await house.client("flow").message_keys(lease, [sealed.id])
        ids.extend((lease, sealed.id))

    with_house(tmp_path, story)
    (given,) = (tmp_path / "audit").glob("given-*")
    assert given.read_text().split()[1:] == ["ll_flow", ids[0].hex, ids[1].hex]


def test_broken_request_does_not_break_the_connection(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        reader, writer = await asyncio.open_unix_connection(str(house.state / SOCKET_NAME))
        writer.write(frames.encode(frames.Hello(TOKENS["flow"])))
        writer.write(frames.encode(frames.MessageKeys(1, b"short", b"ids")))
        writer.write(frames.encode(frames.Use([frames.Job(2, "sign", b"", b"", b"", "", b"")])))
        writer.write(frames.encode(frames.OpenSession(3, "inbox")))
        writer.write(frames.encode(frames.MarkKey(4)))
        words: dict[int, object] = {}
        cut: frames.FrameReader[frames.Answer] = frames.FrameReader(frames.Answer)
        while len(words) < 4:
            for word in cut.feed(await reader.read(4096)):
                words |= (
                    {done.serial: done for done in word.done} if isinstance(word, frames.Used) else {word.serial: word}
                )
        writer.close()
        assert [type(words[serial]).__name__ for serial in (1, 2, 3, 4)] == ["Refused", "Done", "Refused", "MarkGiven"]

    with_house(tmp_path, story)
