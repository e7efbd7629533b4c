"""The schema a migrated database has is the schema that was looked at: on each PostgreSQL, new or upgraded."""

from __future__ import annotations

import pytest

from letterlock.database.migrate import migrate
from tests.database.catalogue import SNAPSHOT, describe
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both


@pytest.mark.req("I4")
def test_the_schema_is_that_of_the_snapshot(database: Database) -> None:
    with database.superuser() as connection:
        assert describe(connection).splitlines() == SNAPSHOT.read_text().splitlines()


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.superuser() as connection:
        assert migrate(connection) == []
        assert describe(connection) == SNAPSHOT.read_text()


def test_a_lost_grant_or_function_is_put_right_when_its_file_is_applied_again(database: Database) -> None:
    with database.superuser() as connection:
        connection.execute("GRANT SELECT ON queue.message TO fn_vault; GRANT ALL ON FUNCTION queue.accept TO PUBLIC")
        connection.execute("REVOKE EXECUTE ON FUNCTION queue.settle FROM ll_deliver")
        assert describe(connection) != SNAPSHOT.read_text()
        connection.execute("DELETE FROM letterlock.file")
        assert len(migrate(connection)) > 80
        assert describe(connection) == SNAPSHOT.read_text()
