"""The gate: values of every type arrive as they are, errors arrive as ours, and a restarted database is found again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import uvloop

from letterlock.database.connect import Gate, connect
from letterlock.database.errors import DatabaseBusy, DatabaseFault, DatabaseUnavailable, Denied, from_sqlstate
from letterlock.policy import calls as policy
from letterlock.queue import calls as queue
from tests.database.world import world
from tests.fakes.postgres import Database

TYPES: dict[str, tuple[Any, ...]] = {
    "boolean": (True, False),
    "bytea": (b"", b"\x00\xff" * 40),
    "bigint": (0, -1, 2**63 - 1),
    "smallint": (0, -32768),
    "int": (0, 2**31 - 1),
    "text": ("", "\u00e4\u20ac \U0001f511 ' ; -- $1 \\"),
    "date": (date(1999, 12, 31), date(2026, 1, 1)),
    "timestamptz": (datetime(1999, 1, 1, tzinfo=UTC), datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)),
    "interval": (timedelta(0), timedelta(days=400, microseconds=1), -timedelta(minutes=3)),
    "uuid": (UUID(int=0), uuid4()),
    "jsonb": (None, [], {"a": ["\u20ac", 1.5, None, True]}),
}


def _add(database: Database, text: str) -> None:
    with database.superuser() as connection:
        connection.execute(text.encode())


async def _call(database: Database, function: str, **arguments: Any) -> list[tuple[Any, ...]]:
    gate = await database.gate("ll_flow")
    try:
        return await gate.call(function, **arguments)
    finally:
        await gate.close()


@pytest.mark.postgres_both
@pytest.mark.parametrize("kind", TYPES)
def test_values_arrive_as_they_are(database: Database, kind: str) -> None:
    _add(
        database,
        f"CREATE FUNCTION queue.echo(p_one {kind}, p_many {kind}[]) RETURNS TABLE (one {kind}, many {kind}[])"
        " LANGUAGE sql AS 'SELECT $1, $2'; GRANT EXECUTE ON FUNCTION queue.echo TO ll_flow",
    )

    async def scenario() -> None:
        gate = await database.gate("ll_flow")
        values = TYPES[kind]
        for value in values:
            for many in ([], [value], [*values, *values], [None, value]):
                one: Any = value
                if kind == "jsonb" and None in many:
                    continue  # NULL and null cannot be told apart by a list
                assert await gate.call("queue.echo", one=one, many=many) == [(one, many)]
        assert await gate.call("queue.echo", one=None, many=None) == [(None, None)]
        await gate.close()

    asyncio.run(scenario())


def test_a_value_python_cannot_hold_is_a_fault(database: Database) -> None:
    _add(
        database,
        "CREATE FUNCTION queue.ever() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''infinity''::timestamptz';"
        " GRANT EXECUTE ON FUNCTION queue.ever TO ll_flow",
    )
    with pytest.raises(DatabaseFault):
        asyncio.run(_call(database, "queue.ever"))


@pytest.mark.req("I5")
def test_words_of_sql_are_only_words(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            for words in ("'; DROP TABLE queue.message; --", "$$", "%s", "\\'", "x' OR 'a'='a"):
                await w.accept([words])
                (row,) = await w.claim()
                assert row.recipients == [words]
                assert await policy.settings_for(w.flow, addresses=[words]) == []
            with pytest.raises(DatabaseFault):
                await w.flow.call("queue.free_leases(NULL); SELECT 1; --", worker=uuid4())

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "wrong",
    [
        {"worker": "not a uuid"},
        {"worker": b"0123456789abcdef"},
        {},
        {"worker": uuid4(), "more": 1},
    ],
)
def test_wrong_arguments_are_refused_before_they_are_sent(database: Database, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        asyncio.run(_call(database, "queue.free_leases", **wrong))


def test_a_function_that_is_not_ours_is_a_fault(database: Database) -> None:
    for name in ("queue.accept", "pg_catalog.pg_sleep", "queue.no_such"):
        with pytest.raises(DatabaseFault):
            asyncio.run(_call(database, name))


def test_errors_become_ours() -> None:
    assert type(from_sqlstate("53100", "disk full")) is DatabaseUnavailable
    assert type(from_sqlstate("57P01", "terminating")) is DatabaseUnavailable
    assert type(from_sqlstate("08006", "lost")) is DatabaseUnavailable
    assert type(from_sqlstate(None, "lost")) is DatabaseUnavailable
    assert type(from_sqlstate("40P01", "deadlock")) is DatabaseBusy
    assert type(from_sqlstate("55P03", "lock timeout")) is DatabaseBusy
    assert type(from_sqlstate("57014", "statement timeout")) is DatabaseBusy
    assert type(from_sqlstate("42501", "permission denied")) is DatabaseFault
    assert type(from_sqlstate("LL002", "denied")) is Denied
    unavailable = DatabaseUnavailable()
    assert (unavailable.code, unavailable.status, unavailable.permanent) == (451, "4.3.0", False)


def test_an_error_of_the_server_shows_no_value(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await w.accept(["secret-address@x.test"])
            rows = await w.claim()
            arguments = w.transition(rows)
            arguments["delivery_ids"] *= 2
            for name in [name for name in arguments if name.startswith("delivery_") and name != "delivery_ids"]:
                arguments[name] = arguments[name] * 2
            with pytest.raises(DatabaseFault) as refused:  # twice the same id
                await queue.advance(w.flow, **arguments)
            assert "secret-address" not in str(refused.value)
            assert str(arguments["delivery_ids"][0]) not in str(refused.value)

    asyncio.run(scenario())
    log = database.server.cluster.log.read_text()
    assert "secret-address" not in log


def test_more_calls_than_connections_wait_their_turn(database: Database) -> None:
    _add(
        database,
        "CREATE FUNCTION queue.nap() RETURNS int LANGUAGE sql AS 'SELECT pg_backend_pid() FROM pg_sleep(0.01)';"
        " GRANT EXECUTE ON FUNCTION queue.nap TO ll_flow",
    )

    async def scenario() -> None:
        gate = await database.gate("ll_flow", size=3)
        answers = await asyncio.gather(*(gate.call("queue.nap") for _ in range(30)))
        assert len({answer[0][0] for answer in answers}) == 3
        await gate.close()
        with pytest.raises(DatabaseUnavailable):
            await gate.call("queue.nap")

    asyncio.run(scenario())


def test_a_cancelled_call_takes_no_connection_with_it(database: Database) -> None:
    _add(
        database,
        "CREATE FUNCTION queue.long_nap() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(60)';"
        " GRANT EXECUTE ON FUNCTION queue.long_nap TO ll_flow",
    )

    async def scenario() -> None:
        gate = await database.gate("ll_flow", size=1)
        sleeper = asyncio.create_task(gate.call("queue.long_nap"))
        waiter = asyncio.create_task(gate.call("policy.revision"))
        await asyncio.sleep(0.1)
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper
        assert await waiter == [(1,)]
        assert await gate.call("policy.revision") == [(1,)]
        await gate.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_more_than_a_socket_takes_goes_and_comes(database: Database, loop: Callable[[], Any]) -> None:
    _add(
        database,
        "CREATE FUNCTION queue.double(p_octets bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1 || $1';"
        " GRANT EXECUTE ON FUNCTION queue.double TO ll_flow",
    )
    octets = os.urandom(3 << 20)

    async def scenario() -> None:
        gate = await database.gate("ll_flow", size=1)
        for _ in range(2):
            sending = asyncio.create_task(gate.call("queue.double", octets=octets))
            for _ in range(3):  # on its way, and not all of it gone
                await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert await gate.call("queue.double", octets=octets) == [(octets * 2,)]
        await gate.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_idle_connection_that_was_ended_costs_no_time(database: Database, loop: Callable[[], Any]) -> None:
    async def scenario() -> None:
        gate = await database.gate("ll_flow", size=2)
        await asyncio.gather(*(gate.call("policy.revision") for _ in range(4)))
        assert _end_connections(database) == 2
        await asyncio.sleep(0.02)
        started = time.process_time()
        await asyncio.sleep(0.1)
        assert time.process_time() - started < 0.05
        with pytest.raises(DatabaseUnavailable):
            await gate.call("policy.revision")
        assert await gate.call("policy.revision") == [(1,)]
        await gate.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


def _end_connections(database: Database) -> int:
    with database.superuser() as connection:
        found = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        ).fetchall()
    return int(found[0][0])


def test_after_a_restart_one_call_fails_and_the_next_connects_anew(database: Database) -> None:
    async def scenario() -> None:
        gate = await database.gate("ll_flow", size=4)
        await asyncio.gather(*(gate.call("policy.revision") for _ in range(8)))
        assert _end_connections(database) >= 1
        with pytest.raises(DatabaseUnavailable):
            await gate.call("policy.revision")
        assert await gate.call("policy.revision") == [(1,)]
        await gate.check()
        await gate.close()

    asyncio.run(scenario())


def test_a_database_that_is_away_is_unavailable_at_once(database: Database) -> None:
    async def scenario(gate: Gate) -> float:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await gate.call("policy.revision")
        return time.monotonic() - started

    async def away() -> None:
        gate = await database.gate("ll_flow")
        socket = Path(database.server.cluster.host) / ".s.PGSQL.5432"
        hidden = socket.with_name("hidden")
        socket.rename(hidden)
        try:
            _end_connections_hidden(database, hidden)
            assert await scenario(gate) < 1
            assert await scenario(gate) < 1
        finally:
            hidden.rename(socket)
        assert await gate.call("policy.revision") == [(1,)]
        await gate.close()

    asyncio.run(away())


def _end_connections_hidden(database: Database, hidden: Path) -> None:
    back = hidden.with_name(".s.PGSQL.5433")
    back.symlink_to(hidden)
    try:
        with psycopg.connect(host=str(hidden.parent), port=5433, user="letterlock", dbname=database.name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'll_flow' AND datname = %s",
                [database.name],
            )
    finally:
        back.unlink()


def test_wrong_credentials_are_unavailable_without_the_password(database: Database) -> None:
    who = database.credentials("ll_flow")
    wrong = type(who)(who.host, who.port, who.user, "guess-of-a-password", who.dbname)
    with pytest.raises(DatabaseUnavailable) as refused:
        asyncio.run(connect(wrong))
    assert "guess-of-a-password" not in str(refused.value)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_question_that_the_dying_server_never_read_is_answered(database: Database, loop: Callable[[], Any]) -> None:
    """Its end then is an error of the socket, not its end: libuv says nothing more, and the call waited for ever."""

    async def scenario() -> None:
        gate = await database.gate("ll_flow", size=1)
        for last_words in (True, False):
            assert await gate.call("policy.revision") == [(1,)]
            ((backend,),) = _ask(database, "SELECT pid FROM pg_stat_activity WHERE usename = 'll_flow'")
            os.kill(backend, signal.SIGSTOP)
            asking = asyncio.create_task(gate.call("policy.revision"))
            await asyncio.sleep(0.05)
            if last_words:
                os.kill(backend, signal.SIGTERM)
                os.kill(backend, signal.SIGCONT)
            else:
                os.kill(backend, signal.SIGKILL)
            async with asyncio.timeout(5):
                with pytest.raises(DatabaseUnavailable):
                    await asking
        await gate.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())
    for _ in range(100):  # the others of the cluster were ended too
        try:
            _ask(database, "SELECT 1")
        except (psycopg.OperationalError, DatabaseUnavailable):
            time.sleep(0.1)
        else:
            return


def _ask(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.superuser() as connection:
        return connection.execute(query.encode()).fetchall()
