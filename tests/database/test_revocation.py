"""From a CRL that is stored to the next message: the same claim's revision, the real store, a process that reads it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from letterlock.pki import calls as pki
from letterlock.pki import crl as lists
from letterlock.pki.at_hand import AtHand
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.reasons import Reason
from letterlock.pki.trust import Trust
from letterlock.pki.wanted import cert_id
from letterlock.policy import calls as policy
from tests.database.wanted import CRL, FAR, take, want
from tests.database.world import World, now, world
from tests.fakes.authority import Authority
from tests.fakes.postgres import Database
from tests.fakes.published import access
from tests.fakes.revocation import make_answer, make_crl

pytestmark = pytest.mark.postgres_both


class Process:
    """A flow process's view."""

    def __init__(self, w: World, authority: Authority) -> None:
        self._w = w
        self._anchor = parse(authority.der)
        self._hand = AtHand(partial(pki.crls, w.flow), partial(pki.ocsp_answers, w.flow))

    async def reasons(self, who: Certificate, later: float = 0.0) -> tuple[Reason, ...]:
        at = datetime.now(UTC)
        trust = Trust([self._anchor], revision=await policy.revision(self._w.flow))
        informed = await self._hand.inform(trust, [who], at.timestamp() + later)
        return informed.trust.verdict(who, at, "sign", (), "hard").reasons


async def fetch(w: World, der: bytes) -> None:
    """What the fetch station does with a list."""
    await want(w, CRL)
    (taken,) = await take(w)
    found = lists.parse(der)
    assert await pki.store_crls(
        w.fetch,
        digest=taken.digest,
        lease=taken.lease,
        due_at=now() - timedelta(seconds=1),
        good_until=now() + timedelta(hours=1),
        ders=[der],
        issuers=[found.issuer_key],
        issuer_key_ids=[b""],
        is_delta=[False],
        this_update=[found.this_update],
        next_update=[found.next_update],
    )


@pytest.mark.req("C1", "C2")
def test_a_list_acts_as_soon_as_it_is_stored(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            authority = Authority.create()
            who = parse(authority.issue("a@example.org", "p256").der)
            process = Process(w, authority)
            assert await process.reasons(who) == (Reason.REVOCATION_UNKNOWN,)
            await fetch(w, make_crl(authority))
            assert await process.reasons(who) == ()
            await fetch(w, make_crl(authority, {who.serial: None}, number=2))
            assert await process.reasons(who) == (Reason.REVOKED,)
            for _ in range(3):  # forged ones, which push out the others of this URL, do not clear
                await fetch(w, make_crl(Authority.create()))
                assert await process.reasons(who) != ()

    asyncio.run(scenario())


@pytest.mark.req("C1", "C4")
def test_an_answer_acts_within_a_minute(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            authority = Authority.create()
            made = authority.issue("a@example.org", "p256", extensions=[access(ocsp_at="http://o.test/")])
            who = parse(made.der)
            process = Process(w, authority)
            assert await process.reasons(who) == (Reason.REVOCATION_UNKNOWN,)
            await want(w, ("ocsp", "http://o.test/", cert_id(who, parse(authority.der)), "o.test"))
            (taken,) = await take(w)
            await pki.store_ocsp_answer(
                w.fetch,
                digest=taken.digest,
                lease=taken.lease,
                due_at=FAR,
                good_until=FAR,
                der=make_answer(made, authority),
                this_update=now(),
                next_update=now() + timedelta(hours=1),
            )
            assert await process.reasons(who, later=1.0) == ()

    asyncio.run(scenario())
