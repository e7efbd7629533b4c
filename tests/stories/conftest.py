"""One world for all stories that do not break it; stories that do make their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stories.world import World


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """A running gateway with its surroundings, shared: use new addresses, change no setting of the gateway."""
    with World() as made:
        yield made
