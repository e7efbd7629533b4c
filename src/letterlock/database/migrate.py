"""Bring a database to the schema of this version.

Order
    roles, types (when changed), migrations not yet applied, column grants, every function whose file changed, the audit
    trail's days to come.
    All but the roles runs as ll_owner.

Guarantees
    A migration runs once, in a transaction of its own, and its text is remembered: one that changed after it was
    applied is refused, and so is a database that a newer version has migrated. Functions are replaced together in one
    transaction; one that is no longer in the tree is dropped. Two migrations at once wait for one another.
    Nothing but the days changes when nothing is to be done.

Raises
    SchemaNewer, MigrationChanged, MigrationFailed, DatabaseUnavailable.

See also
    ``files.py``, ``roles.py``; ``tests/database/test_snapshot.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from letterlock.database.errors import DatabaseUnavailable
from letterlock.database.files import SqlFile, functions, migrations, one
from letterlock.database.roles import OWNER, apply_roles
from letterlock.errors import PermanentError, SystemFailure

LOCK_FOR = "10s"
"""How long a migration waits for a lock before it fails; the old version may still be running."""

DAYS_AHEAD = 7
"""Days of the audit trail that have a partition when the gateway starts; housekeeping goes on from there."""

MIGRATION_LOCK = 0x6C65747465726C6B
"""Key of the one advisory lock: "letterlk"."""

_BOOKS: LiteralString = """
CREATE TABLE IF NOT EXISTS letterlock.migration (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS letterlock.file (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL);
"""


class SchemaNewer(PermanentError):
    """The database was migrated by a newer version of Letterlock; install that version."""


class MigrationChanged(PermanentError):
    """A migration that was applied to this database has another text in this version."""


class MigrationFailed(SystemFailure):
    """The database could not be brought to this version's schema; nothing was changed by the step that failed."""


def open_database(**parameters: Any) -> psycopg.Connection[Any]:
    """A connection for migrate and set_passwords, autocommit. Raises DatabaseUnavailable."""
    try:
        return psycopg.connect(**parameters, autocommit=True, connect_timeout=10, application_name="letterlock migrate")
    except psycopg.Error as error:
        raise DatabaseUnavailable(detail=str(error).strip()) from error


def migrate(connection: psycopg.Connection[Any]) -> list[str]:
    """Apply what is missing; the names of what was applied. ``connection``: a superuser's, autocommit."""
    done: list[str] = []
    with _explained("lock"):
        # whoever comes second waits here, and then finds the work done; nothing but migrations takes this lock
        connection.execute("SELECT pg_catalog.pg_advisory_lock(%s)", [MIGRATION_LOCK])
    try:
        with _explained("roles"):
            apply_roles(connection)
        done += _apply_files(connection)
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    return done


def _apply_files(connection: psycopg.Connection[Any]) -> list[str]:
    done: list[str] = []
    with _as_owner(connection):
        connection.execute(_BOOKS)
        _refuse_newer(connection)
        done += _apply_when_changed(connection, one("types.sql"))
        for migration in migrations():
            done += _apply_once(connection, migration)
        done += _apply_when_changed(connection, one("grants.sql"))
        done += _apply_functions(connection)
        # before anybody writes: a row in the default partition would keep its day from having one of its own
        connection.execute("SELECT audit.make_partitions(%s)", [DAYS_AHEAD])
    return done


@contextmanager
def _explained(step: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip()
        raise MigrationFailed(detail=f"{step}: {error.sqlstate}: {said} {error.diag.context or ''}".strip()) from error


@contextmanager
def _as_owner(connection: psycopg.Connection[Any]) -> Iterator[None]:
    with _explained("SET ROLE"):
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
        connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(LOCK_FOR)))
        connection.execute("SET check_function_bodies = on")
        connection.execute("SET client_min_messages = warning")
    try:
        with _explained("migration"):
            yield
    finally:
        if not connection.closed:
            connection.execute("RESET ROLE")


def _refuse_newer(connection: psycopg.Connection[Any]) -> None:
    known = {migration.name for migration in migrations()}
    applied = {name for (name,) in connection.execute("SELECT name FROM letterlock.migration")}
    if applied - known:
        raise SchemaNewer(detail=", ".join(sorted(applied - known)))


def _apply_once(connection: psycopg.Connection[Any], migration: SqlFile) -> list[str]:
    with connection.transaction(), _explained(migration.name):
        before = connection.execute(
            "SELECT sha256 FROM letterlock.migration WHERE name = %s", [migration.name]
        ).fetchone()
        if before is not None:
            if before[0] != migration.sha256:
                raise MigrationChanged(detail=migration.name)
            return []
        connection.execute(migration.text)
        connection.execute(
            "INSERT INTO letterlock.migration (name, sha256, applied_at) VALUES (%s, %s, now())",
            [migration.name, migration.sha256],
        )
    return [migration.name]


def _is_changed(connection: psycopg.Connection[Any], file: SqlFile) -> bool:
    before = connection.execute("SELECT sha256 FROM letterlock.file WHERE name = %s", [file.name]).fetchone()
    return before is None or before[0] != file.sha256


def _remember(connection: psycopg.Connection[Any], file: SqlFile) -> None:
    connection.execute(
        "INSERT INTO letterlock.file (name, sha256, applied_at) VALUES (%s, %s, now())"
        " ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, applied_at = excluded.applied_at",
        [file.name, file.sha256],
    )


def _apply_when_changed(connection: psycopg.Connection[Any], file: SqlFile) -> list[str]:
    with connection.transaction(), _explained(file.name):
        if not _is_changed(connection, file):
            return []
        connection.execute(file.text)
        _remember(connection, file)
    return [file.name]


def _apply_functions(connection: psycopg.Connection[Any]) -> list[str]:
    files = functions()
    schemas = sorted({file.name.partition(".")[0] for file in files})
    with connection.transaction():
        changed = [file for file in files if _is_changed(connection, file)]
        gone = _gone(connection, files)
        if not changed and not gone:
            return []
        # An owner of functions needs CREATE on their schema for the moment in which they become its own.
        _definers(connection, schemas, "GRANT CREATE ON SCHEMA {} TO {}")
        for file in changed:
            with _explained(file.name):
                _replace(connection, file)
                _remember(connection, file)
        for name in gone:
            _drop(connection, name)
            connection.execute("DELETE FROM letterlock.file WHERE name = %s", [name])
        _definers(connection, schemas, "REVOKE CREATE ON SCHEMA {} FROM {}")
    return [file.name for file in changed] + [f"without {name}" for name in gone]


def _gone(connection: psycopg.Connection[Any], files: list[SqlFile]) -> list[str]:
    known = {file.name for file in files} | {"types.sql", "grants.sql"}
    return sorted({name for (name,) in connection.execute("SELECT name FROM letterlock.file")} - known)


def _definers(connection: psycopg.Connection[Any], schemas: list[str], form: LiteralString) -> None:
    for schema in schemas:
        owners = [f"fn_{schema}", *(["fn_partition"] if schema == "audit" else [])]
        for owner in owners:
            connection.execute(sql.SQL(form).format(sql.Identifier(schema), sql.Identifier(owner)))
    # fn_partition adds days at any time, so it keeps the right in its one schema
    connection.execute("GRANT CREATE ON SCHEMA audit TO fn_partition")


def _replace(connection: psycopg.Connection[Any], file: SqlFile) -> None:
    """CREATE OR REPLACE; where arguments or result changed, the former one goes, so that a name means one function."""
    try:
        with connection.transaction():
            connection.execute(file.text)
    except psycopg.errors.InvalidFunctionDefinition:  # the result changed
        _drop(connection, file.name)
        connection.execute(file.text)
    except psycopg.errors.AmbiguousFunction:  # the arguments changed: ALTER FUNCTION name means two
        _drop(connection, file.name)
        connection.execute(file.text)


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    schema, _, function = name.partition(".")
    signatures = connection.execute(
        "SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc p"
        " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = %s AND p.proname = %s",
        [schema, function],
    ).fetchall()
    for (signature,) in signatures:
        connection.execute(sql.SQL("DROP FUNCTION {}").format(sql.SQL(cast("LiteralString", signature))))
