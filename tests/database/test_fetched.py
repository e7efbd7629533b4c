"""What was fetched is kept and handed out unjudged: CRLs, OCSP answers, certificates as candidates."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from letterlock.pki import calls as pki
from letterlock.policy import calls as policy
from tests.database.wanted import BOB, CRL, FAR, HOST, URL, answer, store_certificates, store_crl, take, want
from tests.database.world import now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both


@pytest.mark.req("C2")
def test_crls_are_kept_and_handed_out(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, CRL)
            before = await policy.revision(w.flow)
            for der in (b"one", b"one", b"two"):
                (taken,) = await take(w)
                assert await store_crl(w, taken, der)
            assert await policy.revision(w.flow) == before + 2
            assert await want(w, CRL) == [(False, "found")]
            two, one = await pki.crls(w.flow, issuers=None, known=[], most=1 << 20)
            assert (two.der, one.der, two.url, two.issuer, two.issuer_key_id) == (b"two", b"one", URL, b"i" * 32, b"k")
            half = await pki.crls(w.flow, issuers=None, known=[one.fingerprint], most=1 << 20)
            assert [row.der for row in half] == [b"two", None]
            for der in (b"three", b"four"):
                (taken,) = await take(w)
                await store_crl(w, taken, der)
            assert {row.der for row in await pki.crls(w.flow, issuers=None, known=[], most=1 << 20)} == {
                b"two",
                b"three",
                b"four",
            }
            assert len(w.audited("pki.store_crls")) == 4
            assert {row[0] for row in w.audited("pki.store_crls")} == {"ll_fetch"}

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_crls_come_by_issuer_and_piece_by_piece(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            await want(w, CRL)
            for der in (b"a" * 100, b"b" * 100, b"c" * 100):
                (taken,) = await take(w)
                await store_crl(w, taken, der)
            mine = [b"i" * 32]
            assert await pki.crls(w.flow, issuers=[b"j" * 32], known=[], most=1000) == []
            known: list[bytes] = []
            for expected in ([b"c", None, None], [None, b"b", None], [None, None, b"a"]):
                rows = await pki.crls(
                    w.flow, issuers=mine, known=known, most=1
                )  # one comes, however little there is room
                assert [row.der and row.der[:1] for row in rows] == expected
                known += [row.fingerprint for row in rows if row.der]
            assert [row.der for row in await pki.crls(w.flow, issuers=mine, known=known, most=1)] == [None] * 3
            rows = await pki.crls(w.flow, issuers=None, known=known[:1], most=150)
            assert [row.der and row.der[:1] for row in rows] == [None, b"b", None]
            rows = await pki.crls(w.flow, issuers=None, known=[], most=300)
            assert all(row.der for row in rows)
            assert await pki.explain_crls(w.admin, token=token, issuers=mine, known=[], most=300) == rows

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_crl_past_its_next_update_is_stale(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, CRL)
            (taken,) = await take(w)
            over = now() - timedelta(minutes=5)
            await store_crl(w, taken, b"old", next_update=over)
            (stale,) = await pki.stale_crls(w.fetch)
            assert (stale.url, stale.host, stale.next_update) == (URL, HOST, over)
            (taken,) = await take(w)
            await store_crl(w, taken, b"new")
            assert await pki.stale_crls(w.fetch) == []

    asyncio.run(scenario())


@pytest.mark.req("C4")
def test_an_ocsp_answer_replaces_the_one_before(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            about = os.urandom(70)
            for der in (b"first", b"second"):
                await want(w, ("ocsp", "http://o.test/", about, "o.test"))
                (taken,) = await take(w)
                assert taken.about == about
                over = now() - timedelta(seconds=1)
                await pki.store_ocsp_answer(
                    w.fetch,
                    digest=taken.digest,
                    lease=taken.lease,
                    due_at=FAR,
                    good_until=over,
                    der=der,
                    this_update=over,
                    next_update=over,
                )
            (found,) = await pki.ocsp_answers(w.flow, cert_ids=[about, b"other"])
            assert (found.cert_id, found.der, found.next_update) == (about, b"second", over)

    asyncio.run(scenario())


@pytest.mark.req("C14")
def test_certificates_are_candidates_until_they_are_gone(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, BOB)
            (taken,) = await take(w)
            await store_certificates(w, taken, b"one", b"two")
            found = await pki.candidates(w.flow, addresses=["bob@x.test", "carl@x.test"])
            assert sorted((row.address, row.der, row.key_id) for row in found) == [
                ("bob@x.test", b"one", None),
                ("bob@x.test", b"two", None),
            ]
            assert await pki.authorities(w.flow) == []
            ids = {row.der: row.id for row in found}
            for ders in ((b"two", b"three"), ()):
                w.do("UPDATE pki.wanted SET good_until = now()")
                await want(w, BOB)
                (taken,) = await take(w)
                await (store_certificates(w, taken, *ders) if ders else answer(w, taken))
                found = await pki.candidates(w.flow, addresses=["bob@x.test"])
                assert {row.der for row in found} == set(ders)
                assert all(ids.get(row.der, row.id) == row.id for row in found)
            origins = w.ask("SELECT detail->>'origin' FROM audit.entry WHERE action = 'pki.store_certificates'")
            assert origins == [("directory",), ("directory",)]

    asyncio.run(scenario())


@pytest.mark.req("C14")
def test_a_fetched_certificate_is_offered_while_its_answer_holds(database: Database) -> None:
    """And afterwards only when asking again brings nothing: a directory that is away must not turn encryption off."""

    async def scenario() -> None:
        async with world(database) as w:

            async def offered() -> bool:
                return bool(await pki.candidates(w.flow, addresses=["bob@x.test"]))

            await want(w, BOB)
            (taken,) = await take(w)
            await store_certificates(w, taken, b"one")
            assert await offered()
            w.do("UPDATE pki.wanted SET good_until = now() - interval '1 second'")
            assert not await offered()
            assert await want(w, BOB) == [(True, "")]
            assert not await offered()  # it is being asked for again
            w.do(
                "UPDATE pki.wanted SET open_since = open_since - interval '6 seconds', answered_at = now() - interval '1 h'"
            )
            assert await offered()  # and nobody has answered
            (taken,) = await take(w)
            await answer(w, taken, "failed", good_until=now() - timedelta(seconds=1))
            assert await offered()
            await want(w, BOB)
            (taken,) = await take(w)
            await answer(w, taken, "absent")
            assert not await offered()

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_fetched_authority_is_no_anchor(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            before = await policy.revision(w.flow)
            await want(w, ("issuer", "http://i.test/ca", b"", "i.test"))
            (taken,) = await take(w)
            await store_certificates(w, taken, b"ca", is_ca=True)
            assert await pki.authorities(w.flow) == [(b"ca", False)]
            assert await policy.revision(w.flow) == before + 1
            token = await w.login()
            (id_,) = w.ask("SELECT id FROM pki.fetched_certificate")[0]
            assert await pki.add_anchor(w.admin, token=token, id=id_) == "not-found"

    asyncio.run(scenario())
