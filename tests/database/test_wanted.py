"""What is missing is noted once, taken by one, answered by who took it, and forgotten when nobody asks any more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from letterlock.pki import calls as pki
from letterlock.policy import calls as policy
from tests.database.world import World, now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both

URL = "http://crl.example.test/a.crl"
HOST = "crl.example.test"
FAR = datetime(9999, 12, 31, tzinfo=UTC)
CRL = ("crl", URL, b"", HOST)
BOB = ("directory", "bob@x.test", b"", "")


async def _want(w: World, *things: tuple[str, str, bytes, str]) -> list[tuple[bool, str]]:
    kinds, names, abouts, hosts = ([each[n] for each in things] for n in range(4))
    rows = await pki.want(w.flow, kinds=kinds, names=names, abouts=abouts, hosts=hosts)  # type: ignore[arg-type]
    assert [row.place for row in rows] == list(range(1, len(things) + 1))
    return [(row.open, row.answer) for row in rows]


async def _take(w: World, most: int = 10, lease_for: timedelta = timedelta(minutes=1)) -> Sequence[pki.Taken]:
    found: list[pki.Taken] = []
    for of_address in (False, True):
        room = most - len(found)
        found += await pki.take_wanted(w.fetch, max=room, of_address=of_address, lease_for=lease_for)
    return found


async def _answer(w: World, taken: pki.Taken, answer: str = "absent", **more: Any) -> bool:
    arguments: dict[str, Any] = {
        "digest": taken.digest,
        "lease": taken.lease,
        "answer": answer,
        "due_at": FAR,
        "good_until": now() + timedelta(hours=1),
        "host_until": None,
    }
    return await pki.answer_wanted(w.fetch, **arguments | more)


async def _store_crl(w: World, taken: pki.Taken, *ders: bytes, next_update: datetime | None = None) -> bool:
    n = len(ders)
    return await pki.store_crls(
        w.fetch,
        digest=taken.digest,
        lease=taken.lease,
        due_at=now() - timedelta(seconds=1),
        good_until=now() + timedelta(hours=1),
        ders=list(ders),
        issuers=[b"i" * 32] * n,
        issuer_key_ids=[b"k"] * n,
        is_delta=[False] * n,
        this_update=[now() - timedelta(hours=1)] * n,
        next_update=[next_update or now() + timedelta(hours=1)] * n,
    )


async def _store_certificates(w: World, taken: pki.Taken, *ders: bytes, is_ca: bool = False) -> bool:
    n = len(ders)
    return await pki.store_certificates(
        w.fetch,
        digest=taken.digest,
        lease=taken.lease,
        due_at=FAR,
        good_until=now() + timedelta(hours=1),
        ids=[uuid4() for _ in ders],
        ders=list(ders),
        is_ca=[is_ca] * n,
        not_after=[now() + timedelta(days=1)] * n,
    )


@pytest.mark.req("C2", "C14")
def test_a_thing_is_noted_once(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            assert await _want(w, CRL, BOB, CRL) == [(True, "")] * 3
            assert await _want(w, CRL) == [(True, "")]
            taken = await _take(w)
            assert sorted((one.kind, one.name, one.host) for one in taken) == [
                ("crl", URL, HOST),
                ("directory", "bob@x.test", ""),
            ]
            assert await _take(w) == []
            assert await _want(w, CRL) == [(True, "")]  # it is being fetched
            assert await _want(w) == []
            assert w.ask("SELECT count(*) FROM pki.wanted") == [(2,)]

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_the_same_url_for_different_questions(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            one, two = (("ocsp", "http://o.test/", os.urandom(70), "o.test") for _ in range(2))
            await _want(w, one, two, ("issuer", "http://o.test/", b"", "o.test"))
            assert len(await _take(w)) == 3

    asyncio.run(scenario())


@pytest.mark.req("C14")
def test_an_answer_holds_for_its_time(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, BOB)
            (taken,) = await _take(w)
            assert await _answer(w, taken)
            assert await _want(w, BOB) == [(False, "absent")]  # a negative answer, cached
            assert await _take(w) == []
            w.do("UPDATE pki.wanted SET good_until = now() - interval '1 second'")
            assert await _take(w) == []  # nobody asks
            assert await _want(w, BOB) == [(True, "")]
            assert len(await _take(w)) == 1

    asyncio.run(scenario())


@pytest.mark.req("C14")
def test_what_was_not_found_is_open_again_when_the_settings_change(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, BOB)
            (taken,) = await _take(w)
            await _answer(w, taken)
            token = await w.login()
            await policy.set(
                w.admin, token=token, level="gateway", scope="", name="certificate_directories", value=["ldap://d/x"]
            )
            assert await _want(w, BOB) == [(True, "")]
            (again,) = await _take(w)
            assert again.revision > taken.revision
            assert (await policy.fetcher(w.fetch)).settings == {"certificate_directories": ["ldap://d/x"]}

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_server_that_does_not_answer_is_left_alone(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            other = ("crl", "http://crl.example.test/b.crl", b"", HOST)
            await _want(w, CRL)
            (taken,) = await _take(w)
            later = now() + timedelta(hours=1)
            assert await _answer(w, taken, "failed", due_at=now(), good_until=now(), host_until=later)
            assert await _want(w, CRL, other) == [(False, "failed")] * 2  # nobody waits for it
            assert await _take(w) == []
            w.do("UPDATE pki.host_backoff SET not_before = now()")
            again = await _take(w)
            assert sorted(one.failures for one in again) == [0, 1]
            await _answer(w, again[0])
            assert w.ask("SELECT host FROM pki.host_backoff") == []

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_nobody_waits_for_what_nobody_fetches(database: Database) -> None:
    """The fetch station may be down: after a minute a missing thing delays no message any more."""

    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, CRL)
            w.do("UPDATE pki.wanted SET open_since = now() - interval '61 seconds'")
            assert await _want(w, CRL) == [(False, "failed")]
            assert len(await _take(w)) == 1

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_two_takers_never_get_the_same(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, *(("crl", f"http://h{n}.test/", b"", f"h{n}.test") for n in range(40)))
            shares = await asyncio.gather(*(_take(w, 10) for _ in range(6)))
            digests = [one.digest for share in shares for one in share]
            assert len(digests) == len(set(digests)) == 40

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_taker_does_not_wait_for_another(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            other = ("crl", "http://b.test/", b"", "b.test")
            await _want(w, CRL, other)
            with database.superuser() as connection, connection.transaction():
                connection.execute("SELECT 1 FROM pki.wanted WHERE host = %s FOR UPDATE", [HOST])
                async with asyncio.timeout(5):
                    assert [one.host for one in await _take(w)] == ["b.test"]

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_addresses_do_not_keep_crls_waiting(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, *(("smimea", f"a{n}@x.test", b"", "") for n in range(50)))
            await _want(w, CRL)
            (taken,) = await pki.take_wanted(w.fetch, max=5, of_address=False, lease_for=timedelta(minutes=1))
            assert taken.kind == "crl"
            others = await pki.take_wanted(w.fetch, max=5, of_address=True, lease_for=timedelta(minutes=1))
            assert {one.kind for one in others} == {"smimea"}

    asyncio.run(scenario())


@pytest.mark.req("C2", "I4")
def test_only_what_was_wanted_and_is_leased_can_be_stored(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, CRL, BOB)
            crl, bob = sorted(await _take(w), key=lambda one: one.kind)
            stranger = crl._replace(digest=os.urandom(32))
            late = crl._replace(lease=uuid4())
            for one in (stranger, late, bob):  # bob: leased, but no CRL was asked for
                assert not await _store_crl(w, one, b"x")
            for one in (stranger, bob._replace(lease=uuid4()), crl):
                assert not await _store_certificates(w, one, b"x")
            ocsp = {"der": b"x", "this_update": now(), "next_update": None}
            times = {"due_at": FAR, "good_until": FAR}
            for one in (stranger, late, bob, crl):
                assert not await pki.store_ocsp_answer(
                    w.fetch,
                    digest=one.digest,
                    lease=one.lease,
                    **times,
                    **ocsp,  # type: ignore[arg-type]
                )
            assert await _store_crl(w, crl, b"x")
            assert not await _store_crl(w, crl, b"y")  # the lease is over
            assert not await _answer(w, crl)
            assert w.ask("SELECT der FROM pki.crl") == [(b"x",)]
            assert w.ask("SELECT count(*) FROM pki.fetched_certificate") == [(0,)]

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_crls_are_kept_and_handed_out(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, CRL)
            before = await policy.revision(w.flow)
            for der in (b"one", b"one", b"two"):
                (taken,) = await _take(w)
                assert await _store_crl(w, taken, der)
            assert await policy.revision(w.flow) == before + 2
            assert await _want(w, CRL) == [(False, "found")]
            two, one = await pki.crls(w.flow, known=[])
            assert (two.der, one.der, two.url, two.issuer, two.issuer_key_id) == (b"two", b"one", URL, b"i" * 32, b"k")
            half = await pki.crls(w.flow, known=[one.fingerprint])
            assert [row.der for row in half] == [b"two", None]
            for der in (b"three", b"four"):
                (taken,) = await _take(w)
                await _store_crl(w, taken, der)
            assert {row.der for row in await pki.crls(w.flow, known=[])} == {b"two", b"three", b"four"}
            assert len(w.audited("pki.store_crls")) == 4
            assert {row[0] for row in w.audited("pki.store_crls")} == {"ll_fetch"}

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_crl_past_its_next_update_is_stale(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, CRL)
            (taken,) = await _take(w)
            over = now() - timedelta(minutes=5)
            await _store_crl(w, taken, b"old", next_update=over)
            (stale,) = await pki.stale_crls(w.fetch)
            assert (stale.url, stale.host, stale.next_update) == (URL, HOST, over)
            (taken,) = await _take(w)
            await _store_crl(w, taken, b"new")
            assert await pki.stale_crls(w.fetch) == []

    asyncio.run(scenario())


@pytest.mark.req("C4")
def test_an_ocsp_answer_replaces_the_one_before(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            about = os.urandom(70)
            for der in (b"first", b"second"):
                await _want(w, ("ocsp", "http://o.test/", about, "o.test"))
                (taken,) = await _take(w)
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
            await _want(w, BOB)
            (taken,) = await _take(w)
            await _store_certificates(w, taken, b"one", b"two")
            found = await pki.candidates(w.flow, addresses=["bob@x.test", "carl@x.test"])
            assert sorted((row.address, row.der, row.key_id) for row in found) == [
                ("bob@x.test", b"one", None),
                ("bob@x.test", b"two", None),
            ]
            assert await pki.authorities(w.flow) == []
            ids = {row.der: row.id for row in found}
            for ders in ((b"two", b"three"), ()):
                w.do("UPDATE pki.wanted SET good_until = now()")
                await _want(w, BOB)
                (taken,) = await _take(w)
                await (_store_certificates(w, taken, *ders) if ders else _answer(w, taken))
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

            await _want(w, BOB)
            (taken,) = await _take(w)
            await _store_certificates(w, taken, b"one")
            assert await offered()
            w.do("UPDATE pki.wanted SET good_until = now() - interval '1 second'")
            assert not await offered()
            assert await _want(w, BOB) == [(True, "")]
            assert not await offered()  # it is being asked for again
            w.do(
                "UPDATE pki.wanted SET open_since = open_since - interval '6 seconds', answered_at = now() - interval '1 h'"
            )
            assert await offered()  # and nobody has answered
            (taken,) = await _take(w)
            later = now() + timedelta(hours=1)
            await _answer(w, taken, "failed", good_until=later)
            assert await offered()
            await _want(w, BOB)
            w.do("UPDATE pki.wanted SET good_until = now()")
            await _want(w, BOB)
            (taken,) = await _take(w)
            await _answer(w, taken, "absent")
            assert not await offered()

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_fetched_authority_is_no_anchor(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            before = await policy.revision(w.flow)
            await _want(w, ("issuer", "http://i.test/ca", b"", "i.test"))
            (taken,) = await _take(w)
            await _store_certificates(w, taken, b"ca", is_ca=True)
            assert await pki.authorities(w.flow) == [(b"ca", False)]
            assert await policy.revision(w.flow) == before + 1
            token = await w.login()
            (id_,) = w.ask("SELECT id FROM pki.fetched_certificate")[0]
            assert await pki.add_anchor(w.admin, token=token, id=id_) == "not-found"

    asyncio.run(scenario())


def test_what_nobody_asks_for_is_forgotten(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await _want(w, CRL, BOB)
            for one in await _take(w):
                await (_store_crl(w, one, b"x") if one.kind == "crl" else _store_certificates(w, one, b"y"))
            assert await pki.tidy(w.housekeeping) == 0
            w.do("UPDATE pki.wanted SET wanted_at = now() - interval '31 days'")
            assert await _take(w) == []
            w.do("UPDATE pki.wanted SET wanted_at = now() - interval '41 days'")
            assert await pki.tidy(w.housekeeping) == 2
            counts = "SELECT (SELECT count(*) FROM pki.crl) + (SELECT count(*) FROM pki.fetched_certificate)"
            assert w.ask(counts) == [(0,)]

    asyncio.run(scenario())


def test_a_word_nobody_knows_is_refused(database: Database) -> None:
    with database.superuser() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("SELECT * FROM pki.want('{virus}', '{x}', '{\"\"}', '{h}')")
