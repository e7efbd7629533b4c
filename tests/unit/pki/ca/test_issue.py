"""What an authority may be called."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from letterlock.pki.ca.errors import AuthorityError
from letterlock.pki.ca.issue import Founding, Office, found
from tests.fakes.office import now


@pytest.mark.req("C5")
@pytest.mark.parametrize(
    "name", ["", " ", "\t", "Ho\nuse", "House\n", " House", "Ho\x1b[2Juse", "Ho\u202euse", "H" * 51]
)
def test_an_authority_has_a_name_that_can_be_read(name: str) -> None:
    wanted = Founding(UUID(int=0), name, "http://pki.test")
    nowhere: Any = None  # it is refused before anybody is asked
    with pytest.raises(AuthorityError, match="^An authority's name "):
        asyncio.run(found(Office(nowhere, nowhere), wanted, now()))
