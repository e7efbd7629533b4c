"""The words for states are the same in Python and SQL."""

from __future__ import annotations

import re

import pytest

from letterlock.queue.message import DELIVERY_STATES, MESSAGE_STATES, RECIPIENT_STATES
from tests.fakes.postgres import Database


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("queue.message_state", MESSAGE_STATES),
        ("queue.recipient_state", RECIPIENT_STATES),
        ("queue.delivery_state", DELIVERY_STATES),
        ("policy.level", ("gateway", "organisation", "wildcard", "domain", "user")),
    ],
)
def test_the_words_of_a_state(database: Database, domain: str, words: tuple[str, ...]) -> None:
    with database.superuser() as connection:
        ((check,),) = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contypid = %s::regtype", [domain]
        ).fetchall()
    assert tuple(re.findall(r"'(\w+)'", check)) == words
