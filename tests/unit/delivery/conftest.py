"""Fixtures for the tests of connections to next hops."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from letterlock.delivery import pool as pools
from tests.fakes.tls import Certificates


@pytest.fixture(params=["asyncio", "uvloop"])
def each_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test on both event loops."""
    if request.param == "uvloop":
        monkeypatch.setattr(asyncio, "run", uvloop.run)


@pytest.fixture
def no_long_good_byes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted servers do not know QUIT."""
    monkeypatch.setattr(pools, "CLOSE_SECONDS", 0.1)


@pytest.fixture
def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "FEW_LANES", 1)
    monkeypatch.setattr(pools, "PATIENCE", 60.0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A server's that names hop.test."""
    return Certificates(tmp_path_factory.mktemp("tls"), name="hop.test")
