"""What is missing is noted once, taken by one, answered by who took it, and forgotten when nobody asks any more."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from letterlock.pki import calls as pki
from letterlock.pki import url
from letterlock.pki.wanted import MAX_ABOUT
from letterlock.policy import calls as policy
from tests.database.wanted import BOB, CRL, FAR, HOST, URL, answer, store_certificates, store_crl, take, want
from tests.database.world import now, world
from tests.fakes.postgres import Database

pytestmark = pytest.mark.postgres_both


@pytest.mark.req("C2", "C14")
def test_a_thing_is_noted_once(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            assert await want(w, CRL, BOB, CRL) == [(True, "")] * 3
            assert await want(w, CRL) == [(True, "")]
            taken = await take(w)
            assert sorted((one.kind, one.name, one.host) for one in taken) == [
                ("crl", URL, HOST),
                ("directory", "bob@x.test", ""),
            ]
            assert await take(w) == []
            assert await want(w, CRL) == [(True, "")]  # it is being fetched
            assert await want(w) == []
            assert w.ask("SELECT count(*) FROM pki.wanted") == [(2,)]

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_the_same_url_for_different_questions(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            one, two = (("ocsp", "http://o.test/", os.urandom(70), "o.test") for _ in range(2))
            await want(w, one, two, ("issuer", "http://o.test/", b"", "o.test"))
            assert len(await take(w)) == 3

    asyncio.run(scenario())


@pytest.mark.req("C14")
def test_an_answer_holds_for_its_time(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, BOB)
            (taken,) = await take(w)
            assert await answer(w, taken)
            assert await want(w, BOB) == [(False, "absent")]  # a negative answer, cached
            assert await take(w) == []
            w.do("UPDATE pki.wanted SET good_until = now() - interval '1 second'")
            assert await take(w) == []  # nobody asks
            assert await want(w, BOB) == [(True, "")]
            assert len(await take(w)) == 1

    asyncio.run(scenario())


@pytest.mark.req("C14")
def test_what_was_not_found_is_open_again_when_the_settings_change(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, BOB)
            (taken,) = await take(w)
            await answer(w, taken)
            token = await w.login()
            await policy.set(
                w.admin, token=token, level="gateway", scope="", name="certificate_directories", value=["ldap://d/x"]
            )
            assert await want(w, BOB) == [(True, "")]
            (again,) = await take(w)
            assert again.revision > taken.revision
            assert (await policy.fetcher(w.fetch)).settings == {"certificate_directories": ["ldap://d/x"]}

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_server_that_does_not_answer_is_left_alone(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            other = ("crl", "http://crl.example.test/b.crl", b"", HOST)
            await want(w, CRL)
            (taken,) = await take(w)
            later = now() + timedelta(hours=1)
            assert await answer(w, taken, "failed", due_at=now(), good_until=now(), host_until=later)
            assert await want(w, CRL, other) == [(False, "failed")] * 2  # nobody waits for it
            assert await take(w) == []
            w.do("UPDATE pki.host_backoff SET not_before = now()")
            again = await take(w)
            assert sorted(one.failures for one in again) == [0, 1]
            await answer(w, again[0])
            assert w.ask("SELECT host FROM pki.host_backoff") == []

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_nobody_waits_for_what_nobody_fetches(database: Database) -> None:
    """The fetch station may be down: after a minute a missing thing delays no message any more."""

    async def scenario() -> None:
        async with world(database) as w:
            await want(w, CRL)
            w.do("UPDATE pki.wanted SET open_since = now() - interval '61 seconds'")
            assert await want(w, CRL) == [(False, "failed")]
            assert len(await take(w)) == 1

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_two_takers_never_get_the_same(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, *(("crl", f"http://h{n}.test/", b"", f"h{n}.test") for n in range(40)))
            shares = await asyncio.gather(*(take(w, 10) for _ in range(6)))
            digests = [one.digest for share in shares for one in share]
            assert len(digests) == len(set(digests)) == 40

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_taker_does_not_wait_for_another(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            other = ("crl", "http://b.test/", b"", "b.test")
            await want(w, CRL, other)
            with database.superuser() as connection, connection.transaction():
                connection.execute("SELECT 1 FROM pki.wanted WHERE host = %s FOR UPDATE", [HOST])
                async with asyncio.timeout(5):
                    assert [one.host for one in await take(w)] == ["b.test"]

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_addresses_do_not_keep_crls_waiting(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, *(("smimea", f"a{n}@x.test", b"", "") for n in range(50)))
            await want(w, CRL)
            (taken,) = await pki.take_wanted(w.fetch, max=5, of_address=False, lease_for=timedelta(minutes=1))
            assert taken.kind == "crl"
            others = await pki.take_wanted(w.fetch, max=5, of_address=True, lease_for=timedelta(minutes=1))
            assert {one.kind for one in others} == {"smimea"}

    asyncio.run(scenario())


@pytest.mark.req("C2", "I4")
def test_only_what_was_wanted_and_is_leased_can_be_stored(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, CRL, BOB)
            crl, bob = sorted(await take(w), key=lambda one: one.kind)
            stranger = crl._replace(digest=os.urandom(32))
            late = crl._replace(lease=uuid4())
            for one in (stranger, late, bob):  # bob: leased, but no CRL was asked for
                assert not await store_crl(w, one, b"x")
            for one in (stranger, bob._replace(lease=uuid4()), crl):
                assert not await store_certificates(w, one, b"x")
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
            assert await store_crl(w, crl, b"x")
            assert not await store_crl(w, crl, b"y")  # the lease is over
            assert not await answer(w, crl)
            assert w.ask("SELECT der FROM pki.crl") == [(b"x",)]
            assert w.ask("SELECT count(*) FROM pki.fetched_certificate") == [(0,)]

    asyncio.run(scenario())


def test_what_nobody_asks_for_is_forgotten(database: Database) -> None:
    async def scenario() -> None:
        async with world(database) as w:
            await want(w, CRL, BOB)
            for one in await take(w):
                await (store_crl(w, one, b"x") if one.kind == "crl" else store_certificates(w, one, b"y"))
            assert await pki.tidy(w.housekeeping) == 0
            w.do("UPDATE pki.wanted SET wanted_at = now() - interval '31 days'")
            assert await take(w) == []
            w.do("UPDATE pki.wanted SET wanted_at = now() - interval '41 days'")
            assert await pki.tidy(w.housekeeping) == 2
            counts = "SELECT (SELECT count(*) FROM pki.crl) + (SELECT count(*) FROM pki.fetched_certificate)"
            assert w.ask(counts) == [(0,)]

    asyncio.run(scenario())


@pytest.mark.req("C2", "C4")
def test_the_longest_of_everything_fits(database: Database) -> None:
    """What pki/wanted.py lets pass is never too long for the table: it would stop the message."""

    async def scenario() -> None:
        async with world(database) as w:
            longest = str(url.parse("http://h?".ljust(url.MAX_OCTETS, "x")))
            host = "h" * 253
            assert await want(w, ("crl", longest, b"", host), ("ocsp", longest, b"x" * MAX_ABOUT, host)) == [
                (True, ""),
                (True, ""),
            ]

    asyncio.run(scenario())


def test_a_word_nobody_knows_is_refused(database: Database) -> None:
    with database.superuser() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("SELECT * FROM pki.want('{virus}', '{x}', '{\"\"}', '{h}')")
