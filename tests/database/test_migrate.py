"""Migrating: in order, once, all or nothing, and never backwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from letterlock.database import files, migrate
from letterlock.database.files import SqlFile
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both

Change = Callable[..., None]


def _function(name: str, signature: str, body: str = "SELECT 1") -> SqlFile:
    text = (
        f"CREATE OR REPLACE FUNCTION {name}{signature} LANGUAGE sql SECURITY DEFINER SET search_path = ''"
        f" AS $$ {body} $$; ALTER FUNCTION {name} OWNER TO fn_queue; REVOKE ALL ON FUNCTION {name} FROM PUBLIC;"
        f" GRANT EXECUTE ON FUNCTION {name} TO ll_flow;"
    )
    return SqlFile(name, text, str(hash(text)))


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Make the next migrate see other files."""

    def to(*, functions: list[SqlFile] | None = None, migrations: list[SqlFile] | None = None) -> None:
        more, changed = functions or [], migrations or []
        names = {file.name for file in changed}
        known = [file for file in files.migrations() if file.name not in names]
        monkeypatch.setattr(migrate, "functions", lambda: files.functions() + more)
        monkeypatch.setattr(migrate, "migrations", lambda: sorted(known + changed))

    return to


def _ask(connection: psycopg.Connection[Any], name: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT pg_get_function_arguments(oid), pg_get_function_result(oid), pg_get_userbyid(proowner) FROM pg_proc"
        " WHERE pronamespace = 'queue'::regnamespace AND proname = %s",
        [name],
    ).fetchall()


def test_a_new_migration_is_applied_once(database: Database, change: Change) -> None:
    change(migrations=[SqlFile("0900_more", "CREATE TABLE queue.more (a int)", "1")])
    with database.superuser() as connection:
        assert migrate.migrate(connection) == ["0900_more"]
        assert migrate.migrate(connection) == []
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'more'").fetchone()
        assert owner == ("ll_owner",)


def test_a_migration_that_changed_after_it_was_applied_is_refused(database: Database, change: Change) -> None:
    change(migrations=[SqlFile("0001_queue", "SELECT 1", "another")])
    with database.superuser() as connection, pytest.raises(migrate.MigrationChanged):
        migrate.migrate(connection)


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.superuser() as connection:
        connection.execute("INSERT INTO letterlock.migration VALUES ('9999_future', 'x', now())")
        with pytest.raises(migrate.SchemaNewer) as refused:
            migrate.migrate(connection)
        assert "9999_future" in refused.value.detail
        assert refused.value.permanent


def test_a_migration_that_fails_leaves_nothing(database: Database, change: Change) -> None:
    change(migrations=[SqlFile("0900_bad", "CREATE TABLE queue.half (a int); SELECT 1/0", "1")])
    with database.superuser() as connection:
        with pytest.raises(migrate.MigrationFailed, match="0900_bad"):
            migrate.migrate(connection)
        assert connection.execute("SELECT to_regclass('queue.half')").fetchone() == (None,)
        assert connection.execute("SELECT current_user").fetchone() == ("letterlock",)


def test_a_function_is_replaced_whatever_changed(database: Database, change: Change) -> None:
    with database.superuser() as connection:
        for signature, described in (
            ("(p_a int) RETURNS int", ("p_a integer", "integer")),
            ("(p_a int) RETURNS bigint", ("p_a integer", "bigint")),  # the result
            ("(p_b int) RETURNS bigint", ("p_b integer", "bigint")),  # a name
            ("(p_b int, p_c text) RETURNS bigint", ("p_b integer, p_c text", "bigint")),  # the arguments
            ("() RETURNS bigint", ("", "bigint")),
        ):
            change(functions=[_function("queue.trial", signature)])
            assert migrate.migrate(connection) == ["queue.trial"]
            assert _ask(connection, "trial") == [(*described, "fn_queue")]
        change()
        assert migrate.migrate(connection) == ["without queue.trial"]
        assert _ask(connection, "trial") == []


def test_functions_are_replaced_all_or_none(database: Database, change: Change) -> None:
    change(functions=[_function("queue.a_trial", "() RETURNS int"), _function("queue.b_trial", "() RETURNS nonsense")])
    with database.superuser() as connection:
        with pytest.raises(migrate.MigrationFailed, match=r"queue\.b_trial"):
            migrate.migrate(connection)
        assert _ask(connection, "a_trial") == []
        may_create = connection.execute("SELECT has_schema_privilege('fn_queue', 'queue', 'CREATE')").fetchone()
        assert may_create == (False,)


def test_two_migrations_at_once_wait_for_one_another(database: Database) -> None:
    name = f"{database.name}_bare"
    with database.superuser() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    applied: list[list[str]] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            with database.server.superuser(name) as connection:
                applied.append(migrate.migrate(connection))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.superuser() as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    assert faults == []
    everything = sorted(file.name for file in [*files.migrations(), *files.functions()])
    done = [name for part in applied for name in part]
    assert sorted(done) == sorted([*everything, "grants.sql", "types.sql"])
