"""The other two databases a gateway may run on: the distribution's programs, and a server of somebody else's over TLS."""

from __future__ import annotations

import pytest

from tests.fakes.external_postgres import ExternalPostgres
from tests.fakes.installation import CommandFailed
from tests.fakes.postgres import distribution_programs
from tests.stories.world import World, letter


def _passes(world: World) -> None:
    """Mail is sealed, decided, sent; an administrator can look; the trail verifies."""
    sender, to = world.address("inside.test"), world.address("outside.test")
    world.gateway.submit(sender, to, letter(sender, to, "hello"))
    assert world.arrived(to).sender == sender
    world.wait_for_gone(sender, to)
    world.gateway.cli("audit", "verify")


@pytest.mark.req("A1", "I1")
@pytest.mark.slow
def test_the_programs_of_the_distribution() -> None:
    programs = distribution_programs()
    assert programs is not None
    with World(environment={"LETTERLOCK_PG_BIN": str(programs)}) as world:
        version = (next(world.gateway.state.glob("database*")) / "data" / "PG_VERSION").read_text().strip()
        assert version == programs.parent.name
        _passes(world)
        world.gateway.restart()
        _passes(world)


@pytest.mark.req("A1", "I1")
@pytest.mark.slow
def test_a_server_elsewhere() -> None:
    with ExternalPostgres() as server:
        where = {"LETTERLOCK_DATABASE_URL": server.url, "PGSSLROOTCERT": str(server.anchors)}
        with World(environment=where) as world:
            assert not list(world.gateway.state.glob("database/data"))
            _passes(world)
            with server.connect() as connection:
                clear = connection.execute(
                    "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)"
                    " WHERE NOT s.ssl AND a.backend_type = 'client backend'"
                ).fetchone()
            assert clear == (0,)
            world.gateway.restart()
            _passes(world)


@pytest.mark.req("A1", "I1")
@pytest.mark.slow
def test_a_server_that_cannot_be_verified_is_refused() -> None:
    refused = pytest.raises((CommandFailed, AssertionError), match=r"(?i)certificate|database")
    with ExternalPostgres() as server, refused, World(environment={"LETTERLOCK_DATABASE_URL": server.url}):
        raise RuntimeError("its authority is none of the system's, and it was believed")
