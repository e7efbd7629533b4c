"""Fixtures for all tests.

``database``: a fresh database of the product's schema, on the PostgreSQL that comes along. A test marked
``postgres_both`` runs a second time on the distribution's; a missing one fails, unless LETTERLOCK_TEST_FAST is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fakes.postgres import DISTRIBUTION, WHEEL, Database, Server, Servers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the fixture ``server`` its programs."""
    if "server" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("postgres_both") and not os.environ.get("LETTERLOCK_TEST_FAST")
        metafunc.parametrize("server", [WHEEL, DISTRIBUTION] if both else [WHEEL], indirect=True)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Octets made at random must not name a test: two processes that share the tests would collect different ones."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The PostgreSQL servers of this run."""
    running = Servers()
    yield running
    running.remove()


@pytest.fixture
def server(servers: Servers, request: pytest.FixtureRequest) -> Server:
    """A running PostgreSQL with a migrated template database."""
    return servers.get(request.param)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A database of the product's schema, this test's own."""
    fresh = server.fresh()
    yield fresh
    server.drop(fresh)
