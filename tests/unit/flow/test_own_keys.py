"""Whose keys are asked for: the recipients' for mail that comes in, the sender's own where it is to be encrypted anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from letterlock.flow.own_keys import OwnKeys
from letterlock.mail.envelope import Envelope, Recipient

WORK = SimpleNamespace(
    row=None, envelope=Envelope("Ann@Inside.example", (Recipient("ben@inside.example"), Recipient("x@outside.example")))
)


@pytest.mark.req("A18", "B1")
@pytest.mark.parametrize(
    ("only", "addresses", "asked"),
    [
        ("", ["ben@inside.example"], True),
        ("", ["carl@inside.example"], True),  # the keyholder decides
        ("", ["ann@inside.example"], False),
        ("", ["ann@inside.example", "ben@inside.example"], True),
        ("ann@inside.example", ["ann@inside.example"], True),
        ("ann@inside.example", ["ben@inside.example"], False),
        ("ann@inside.example", ["@ann@inside.example", "@inside.example"], False),
    ],
)
def test_whose(only: str, addresses: list[str], asked: bool) -> None:
    keys = OwnKeys(cast("Any", None), cast("Any", WORK), only=only)
    assert keys._may(addresses) is asked
