"""Received certificates judged in a child: the same verdicts, and a no when the child does not live to say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from letterlock.confine.errors import NoForkServer
from letterlock.confine.limits import Limits
from letterlock.confine.server import ForkServer, Work
from letterlock.pki import apart
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.ctl import Ctl, CtlEntry
from letterlock.pki.reasons import Reason
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority

NOW = datetime.now(UTC)
ANCHOR = Authority.create("Anchor")
ISSUING = ANCHOR.intermediate("Issuing")


def person(**more: object) -> Certificate:
    return parse(ISSUING.issue("a@example.org", "p256", **more).der)  # type: ignore[arg-type]


def ask(forks: ForkServer, trust: Trust, certificate: Certificate, at: datetime = NOW) -> tuple[Reason, ...]:
    brought = [parse(ISSUING.der)]
    return asyncio.run(trust.verdict_apart(partial(apart.shapes, forks), certificate, at, "sign", brought)).reasons


def running(work: Work, seconds: float = 2) -> Iterator[ForkServer]:
    forks = ForkServer.start({apart.NAME: work}, Limits(seconds=seconds))
    yield forks
    forks.stop()


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    yield from running(apart.judge)


@pytest.fixture(params=["hangs", "raises", "lies"])
def broken(request: pytest.FixtureRequest) -> Iterator[ForkServer]:
    work: dict[str, Work] = {
        "hangs": lambda _: bytes(time.sleep(60) or b""),
        "raises": lambda _: bytes(1 // 0),
        "lies": lambda job: job,
    }
    yield from running(work[request.param], 0.1)


@pytest.mark.req("C1")
def test_the_same_verdicts_as_without_a_child(forks: ForkServer) -> None:
    for certificate in (
        person(),
        person(usage=("key_encipherment",)),
        person(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1)),
        parse(Authority.create("Other").issue("a@example.org", "p256").der),
    ):
        here = Trust([parse(ANCHOR.der)]).verdict(certificate, NOW, "sign", [parse(ISSUING.der)])
        assert ask(forks, Trust([parse(ANCHOR.der)]), certificate) == here.reasons


@pytest.mark.req("C3")
def test_the_trust_list_is_asked_too(forks: ForkServer) -> None:
    deny = CtlEntry("deny", "thumbprint", parse(ISSUING.der).thumbprint)
    assert ask(forks, Trust([parse(ANCHOR.der)], ctl=Ctl([deny])), person()) == (Reason.FORBIDDEN,)


@pytest.mark.req("C1")
def test_a_child_that_does_not_answer_is_a_no(broken: ForkServer, forks: ForkServer) -> None:
    trust, certificate = Trust([parse(ANCHOR.der)]), person()
    assert ask(broken, trust, certificate) == (Reason.TOO_COMPLEX,)
    assert ask(forks, trust, certificate, NOW + timedelta(seconds=1)) == (Reason.TOO_COMPLEX,), "remembered a while"
    assert ask(forks, trust, certificate, NOW + timedelta(minutes=6)) == ()


def test_without_a_fork_server_it_is_for_later() -> None:
    stopped = ForkServer.start({apart.NAME: apart.judge})
    stopped.stop()
    with pytest.raises(NoForkServer):
        ask(stopped, Trust([parse(ANCHOR.der)]), person())


@pytest.mark.req("C1")
def test_a_remembered_verdict_needs_no_child(forks: ForkServer) -> None:
    trust, certificate = Trust([parse(ANCHOR.der)]), person()
    assert ask(forks, trust, certificate) == ()
    stopped = ForkServer.start({})
    stopped.stop()
    assert ask(stopped, trust, certificate) == ()
