"""Which authority is meant when one shall be revoked, and what is said when there is no such."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from letterlock.pki.ca.calls import Authority
from letterlock.pki.ca.errors import AuthorityError
from letterlock.pki.ca.succession import chosen

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def one(generation: int, *, kind: str = "issuing", revoked: bool = False) -> Authority:
    return Authority(
        id=UUID(int=generation),
        organisation=UUID(int=0),
        name="House",
        kind=kind,
        parent=None,
        label="a",
        url="http://pki.test",
        der=b"",
        key_id=UUID(int=0),
        not_after=NOW,
        crl_number=0,
        crl_next=NOW,
        crl_until=None,
        generation=generation,
        revoked_at=NOW if revoked else None,
    )


ROWS = [one(1, kind="root"), one(1, revoked=True), one(2), one(3)]


@pytest.mark.req("C5")
def test_the_one_that_is_named() -> None:
    assert chosen(ROWS, "House", 3) == ROWS[3]
    assert chosen(ROWS, "House", 1) == ROWS[1], "again, although it is revoked"
    assert chosen(ROWS[:3], "House", None) == ROWS[2]
    assert chosen(ROWS[:2], "House", None) == ROWS[1]


@pytest.mark.req("C5")
@pytest.mark.parametrize(
    ("name", "generation", "sentence"),
    [
        ("House", 9, "There is no authority 'House' of generation 9; 'letterlock ca list' shows those there are."),
        ("Horse", None, "There is no authority 'Horse'; 'letterlock ca list' shows those there are."),
        ("Horse", 1, "There is no authority 'Horse'; 'letterlock ca list' shows those there are."),
        ("House", None, "Say which with --generation: of the name 'House' there are 2, 3."),
    ],
)
def test_what_is_said_of_one_that_is_not_there(name: str, generation: int | None, sentence: str) -> None:
    with pytest.raises(AuthorityError) as caught:
        chosen(ROWS, name, generation)
    assert caught.value.public == sentence
