"""What ``explain`` says of what it does not look at."""

from __future__ import annotations

import pytest

from letterlock.cli import explain
from tests.fakes.authority import Authority
from tests.fakes.people import encrypted, signed

PLAIN = b"From: a@outside.test\r\nTo: b@inside.test\r\nSubject: x\r\n\r\nText.\r\n"


@pytest.mark.req("J3")
@pytest.mark.parametrize(
    ("kind", "said"), [("plain", ""), ("signed", "was not verified"), ("encrypted", "was not looked at")]
)
def test_the_unseen_is_named(kind: str, said: str) -> None:
    who = Authority.create(key="rsa2048").issue("b@inside.test")
    octets = {"plain": PLAIN, "signed": signed(PLAIN, who), "encrypted": encrypted(PLAIN, who)}[kind]
    unseen = explain.unseen(*explain.look(octets))
    assert (said in unseen) if said else not unseen
