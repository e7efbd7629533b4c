"""The audit trail: append-only, in one encoding everywhere, sealed so that any change shows."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from letterlock.audit import calls as audit
from letterlock.audit import chain
from letterlock.audit.chain import Entry, MalformedTrail, Seal
from letterlock.audit.verify import Proof, TrailBroken, verify
from letterlock.database.migrate import DAYS_AHEAD
from letterlock.keyholder import calls as keyholder
from letterlock.policy import calls as policy
from tests.database.world import World, world
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.postgres_both, pytest.mark.req("I6")]

KEY = b"k" * 32


def _check(key_id: str, link: bytes, signature: bytes) -> None:
    assert key_id == "test"
    assert hmac.compare_digest(hmac.digest(KEY, link, "sha256"), signature)


async def _seal(w: World, limit: int = 1000) -> Seal | None:
    """What the keyholder does each second."""
    found = await keyholder.unsealed(w.keyholder, limit=limit)
    if not found.rows:
        return None
    facts = {
        "number": found.number,
        "from_xid": found.from_xid,
        "upto_xid": found.upto_xid,
        "rows": found.rows,
        "digest": hashlib.sha256(found.blob).digest(),
        "previous": found.previous,
        "sealed_at": 1_700_000_000_000_000,
    }
    link = chain.link(**facts)  # type: ignore[arg-type]
    seal = Seal(**facts, link=link, signature=hmac.digest(KEY, link, "sha256"), key_id="test")  # type: ignore[arg-type]
    assert await keyholder.store_seal(w.keyholder, seal)
    return seal


async def _verify(w: World, token: bytes, kept: Sequence[Seal] = ()) -> Proof:
    seals = await audit.seals(w.admin, token=token, from_=1, max=1000)
    blobs: dict[int, tuple[list[bytes], int]] = {}
    for seal in seals:
        pieces, rows, at = [], 0, seal.from_xid
        while at < seal.upto_xid:
            piece = await audit.encoded(w.admin, token=token, from_=at, upto=seal.upto_xid, limit=3)
            pieces.append(piece.blob)
            rows, at = rows + piece.rows, piece.upto
        blobs[seal.number] = pieces, rows
    return verify(seals, lambda seal: blobs[seal.number], _check, kept=kept)


async def _life(w: World) -> bytes:
    """Something of everything, with awkward values."""
    token = await w.login("local:J\u00fcrgen \U0001f511")
    await policy.set(
        w.admin, token=token, level="gateway", scope="", name="x", value={"b": 1.50, "a": ['\u20ac\n"', None]}
    )
    await w.accept(["a@x.test"], ["b@x.test"])
    await w.advance(await w.claim())
    await w.settle(await w.claim_deliveries())
    return token


def test_both_encodings_are_the_same(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await _life(w)
            entries = await audit.entries(w.admin, token=token, before=None, object=None, max=1000)
            blob = (await keyholder.unsealed(w.keyholder, limit=100_000)).blob
            decoded = chain.decode(blob)
            assert decoded == sorted(entries, key=lambda entry: (entry.xid, entry.id.bytes))
            assert b"".join(map(chain.encode, decoded)) == blob
            assert {entry.action for entry in entries} >= {"accounts.login", "queue.accept", "queue.delivered"}
            assert any("\u20ac" in (entry.detail or "") for entry in entries)

    asyncio.run(scenario())


def test_seals_cover_every_row_once(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _life(w)
            first = await _seal(w)
            assert first is not None
            assert (first.number, first.from_xid, first.previous) == (1, 0, b"")
            token = await _life(w)
            limited = await _seal(w, limit=2)
            assert limited is not None
            assert 2 <= limited.rows < 15  # whole transactions only
            while await _seal(w):
                pass
            proof = await _verify(w, token)
            ((rows,),) = w.ask("SELECT count(*) FROM audit.entry")
            assert proof.rows == rows
            assert proof.seals >= 3
            assert list(await keyholder.seals(w.keyholder, from_=1, max=100)) == list(
                await audit.seals(w.admin, token=token, from_=1, max=100)
            )
            assert not await keyholder.store_seal(w.keyholder, first)  # does not follow

    asyncio.run(scenario())


def test_a_row_of_a_running_transaction_waits_for_its_seal(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            await _seal(w)
            with database.login("ll_admin") as connection, connection.transaction():
                connection.execute("SELECT queue.hold(%s, gen_random_uuid(), 'slow')", [token])
                await w.accept(["a@x.test"])  # later, and committed earlier
                assert await _seal(w) is None
            seal = await _seal(w)
            assert seal is not None
            assert seal.rows == 2

    asyncio.run(scenario())


TAMPERING = {
    "a row changed": "UPDATE audit.entry SET ok = NOT ok WHERE action = 'queue.accept'",
    "a detail changed": "UPDATE audit.entry SET detail = '{}' WHERE action = 'queue.accept'",
    "a row removed": "DELETE FROM audit.entry WHERE action = 'queue.delivered'",
    "a row added": "INSERT INTO audit.entry SELECT day, xid, gen_random_uuid(), at, db_role, principal, organisation,"
    " action, object, ok, detail FROM audit.entry WHERE action = 'accounts.login'",
    "a seal removed": "DELETE FROM audit.seal WHERE number = 1",
    "a seal's rows and digest changed": "UPDATE audit.seal SET digest = sha256('') WHERE number = 2",
    "a seal's time changed": "UPDATE audit.seal SET sealed_at = sealed_at + 1 WHERE number = 2",
    "a seal's signature changed": "UPDATE audit.seal SET signature = sha256(signature) WHERE number = 1",
    "the last seal removed": "DELETE FROM audit.seal WHERE number = 2",
}


@pytest.mark.parametrize("how", TAMPERING)
def test_whatever_a_superuser_changes_shows(database: Database, how: str) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await _life(w)
            kept = [await _seal(w)]
            await _life(w)
            kept.append(await _seal(w))
            seals = [seal for seal in kept if seal is not None]
            assert (await _verify(w, token, seals)).seals == 2
            w.do("ALTER TABLE audit.entry DISABLE TRIGGER ALL")
            w.do(TAMPERING[how])
            with pytest.raises(TrailBroken):
                await _verify(w, token, seals)

    asyncio.run(scenario())


def test_the_trail_is_append_only_even_for_a_superuser(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.login()
            for statement in (
                "UPDATE audit.entry SET ok = false",
                "DELETE FROM audit.entry",
                "TRUNCATE audit.entry",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    w.do(statement)
            assert await audit.make_partitions(w.housekeeping, days=2) <= 2
            (today,) = w.ask("SELECT tableoid::regclass::text FROM audit.entry LIMIT 1")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                w.do(f"DELETE FROM {today[0]}")

    asyncio.run(scenario())


def test_days_get_their_partitions(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            today = datetime.now(UTC).date()

            def names(days: int) -> set[str]:
                return {f"audit.entry_{today + timedelta(days=n):%Y%m%d}" for n in range(days)} | {"audit.entry_other"}

            def found() -> dict[str, str]:
                return dict(
                    w.ask(
                        "SELECT inhrelid::regclass::text, pg_get_userbyid(relowner) FROM pg_inherits JOIN pg_class ON"
                        " pg_class.oid = inhrelid WHERE inhparent = 'audit.entry'::regclass"
                    )
                )

            await w.login()
            assert set(found()) >= names(DAYS_AHEAD)  # made before anybody wrote
            assert {name for (name,) in w.ask("SELECT tableoid::regclass::text FROM audit.entry")} <= names(2) - names(
                0
            )
            assert await audit.make_partitions(w.housekeeping, days=0) == 0
            assert await audit.make_partitions(w.housekeeping, days=-1) == 0
            assert await audit.make_partitions(w.housekeeping, days=DAYS_AHEAD + 2) >= 2
            assert await audit.make_partitions(w.housekeeping, days=DAYS_AHEAD + 2) == 0
            assert set(found()) >= names(DAYS_AHEAD + 2)
            assert set(found().values()) == {"fn_partition"}
            # a day whose rows are in the default partition already stays there
            w.do(
                "INSERT INTO audit.entry SELECT day + 20, xid, id, at, db_role, principal, organisation, action, object,"
                " ok, detail FROM audit.entry LIMIT 1"
            )
            await audit.make_partitions(w.housekeeping, days=22)
            assert f"audit.entry_{today + timedelta(days=20):%Y%m%d}" not in found()
            assert len(await _all(w)) > 0

    asyncio.run(scenario())


async def _all(w: World) -> Sequence[Entry]:
    return await audit.entries(w.admin, token=await w.login(), before=None, object=None, max=10)


@pytest.mark.req("I7")
def test_entries_are_found_by_object_and_time(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await _life(w)
            everything = await audit.entries(w.admin, token=token, before=None, object=None, max=1000)
            assert list(everything) == sorted(everything, key=lambda entry: (entry.xid, entry.id.bytes), reverse=True)
            middle = everything[3]
            older = await audit.entries(w.admin, token=token, before=middle.at, object=None, max=2)
            assert len(older) == 2
            assert all(entry.at < middle.at for entry in older)
            accepted = next(entry for entry in everything if entry.action == "queue.accept")
            about = await audit.entries(w.admin, token=token, before=None, object=accepted.object, max=10)
            assert [entry.action for entry in about] == ["queue.advance", "queue.accept"]

    asyncio.run(scenario())


ROW = Entry(
    date(2026, 1, 2),
    77,
    UUID(int=5),
    datetime(2026, 1, 2, tzinfo=UTC),
    "ll_x",
    None,
    None,
    "a.b",
    UUID(int=6),
    True,
    "{}",
)


@pytest.mark.parametrize(
    "blob",
    [
        b"\x02" + chain.encode(ROW)[1:],
        chain.encode(ROW)[:-1],
        chain.encode(ROW) + b"\x01",
        chain.encode(ROW).replace(b"\x00\x00\x00\x04ll_x", b"\x00\x00\x00\x04\xff\xff\xff\xff"),
        chain.encode(ROW).replace(b"\x00\x00\x00\x04ll_x", b"\xff\xff\xff\xff"),
        chain.encode(ROW).replace(b"\x00\x00\x00\x04ll_x", b"\xff\xff\xff\xfell_x"),
    ],
)
def test_octets_that_are_no_trail_are_refused(blob: bytes) -> None:
    assert chain.decode(chain.encode(ROW) * 2) == [ROW, ROW]
    with pytest.raises(MalformedTrail):
        chain.decode(blob)
