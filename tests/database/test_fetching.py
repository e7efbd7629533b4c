"""One wanted thing after the other is fetched from a web server and stored, whatever the server does."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from letterlock.fetch import schedule
from letterlock.fetch.reach import Reach
from letterlock.fetch.wanted import Fetcher, Means
from letterlock.pki import calls as pki
from letterlock.pki.certificate import parse
from letterlock.pki.wanted import Noted, Want, cert_id, revocation
from letterlock.telemetry.metrics import Registry
from tests.database.world import World, world
from tests.fakes import published as fake
from tests.fakes.authority import Authority, Identity
from tests.fakes.postgres import Database
from tests.fakes.web import Web

REACH = Reach([ipaddress.ip_network("127.0.0.1/32")])


@dataclass
class Scene:
    """A database, a web server, a fetcher between, and an authority."""

    w: World
    web: Web
    fetcher: Fetcher
    authority: Authority
    bob: Identity

    async def fetch(self, want: Want) -> str:
        """Note it, take it, fetch it; the answer."""
        await pki.want(self.w.flow, kinds=[want.kind], names=[want.name], abouts=[want.about], hosts=[want.host])
        of_address = want.kind in ("directory", "smimea")
        (taken,) = await pki.take_wanted(self.w.fetch, max=1, of_address=of_address, lease_for=timedelta(minutes=1))
        return await self.fetcher.answer(taken)

    def row(self) -> tuple[str, datetime, datetime, int]:
        """Of the one wanted thing: answer, due_at, good_until, failures."""
        ((answer, due_at, good_until, failures),) = self.w.ask(
            "SELECT answer, due_at, good_until, failures FROM pki.wanted"
        )
        return answer, due_at, good_until, failures


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


@asynccontextmanager
async def _scene(database: Database, web: Web, authority: Authority) -> AsyncIterator[Scene]:
    async with world(database) as w:
        fetcher = Fetcher(w.fetch, Registry(), Means(REACH))
        yield Scene(w, web, fetcher, authority, authority.issue("bob@x.test", "p256"))


def _near(at: datetime, span: timedelta, within: timedelta = timedelta(seconds=20)) -> bool:
    return abs(at - datetime.now(UTC) - span) < within


@pytest.mark.req("C2")
@pytest.mark.parametrize("form", ["der", "pem"])
def test_a_crl(database: Database, web: Web, authority: Authority, form: str) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            der = fake.crl(authority, 7)
            pem = b"-----BEGIN X509 CRL-----\n" + _base64(der) + b"-----END X509 CRL-----\n"
            at = web.give("/crl", der if form == "der" else pem)
            assert await s.fetch(Want("crl", at, host="127.0.0.1")) == "found"
            (kept,) = await pki.crls(s.w.flow, issuers=None, known=[], most=1 << 20)
            issuer = parse(authority.der)
            assert (kept.der, kept.issuer, kept.issuer_key_id) == (der, issuer.subject_key, issuer.key_identifier)
            assert kept.next_update is not None and kept.next_update > kept.this_update
            answer, due_at, good_until, _ = s.row()
            assert answer == "found" and _near(due_at, timedelta(hours=12)) and good_until > due_at

    asyncio.run(scenario())


def _base64(octets: bytes) -> bytes:
    import base64

    return base64.encodebytes(octets)


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>not found</html>", "200 OK"),
        (b"", "200 OK"),
        (b"0" * 1000, "200 OK"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----", "200 OK"),
        (b"x", "404 Not Found"),
        (b"x", "403 Forbidden"),
        (b"x", "204 No Content"),
    ],
)
def test_no_crl(database: Database, web: Web, authority: Authority, body: bytes, status: str) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            want = Want("crl", web.give("/crl", body, status), host="127.0.0.1")
            assert await s.fetch(want) == "failed"
            answer, due_at, _, failures = s.row()
            assert answer == "failed" and failures == 1 and _near(due_at, timedelta(minutes=1))
            assert s.w.ask("SELECT * FROM pki.host_backoff") == []  # the server did answer
            assert await pki.crls(s.w.flow, issuers=None, known=[], most=1 << 20) == []

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_server_in_trouble_is_left_alone(database: Database, web: Web, authority: Authority) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            at = web.give("/crl", b"", "503 Service Unavailable")
            assert await s.fetch(Want("crl", at, host="127.0.0.1")) == "failed"
            ((host, until),) = s.w.ask("SELECT host, not_before FROM pki.host_backoff")
            assert host == "127.0.0.1" and _near(until, timedelta(seconds=30))

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_a_crl_that_is_already_over_is_fetched_again_soon(database: Database, web: Web, authority: Authority) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            old = fake.now() - timedelta(days=2)
            at = web.give("/crl", fake.crl(authority, this_update=old, next_update=old + timedelta(days=1)))
            assert await s.fetch(Want("crl", at, host="127.0.0.1")) == "found"
            assert _near(s.row()[1], schedule.OVERDUE)
            assert len(await pki.stale_crls(s.w.fetch)) == 1

    asyncio.run(scenario())


@pytest.mark.req("C4")
@pytest.mark.parametrize(
    ("how", "answer", "methods"),
    [
        ({}, "found", ["POST"]),
        ({"nonce": False}, "found", ["POST"]),  # a responder that gives everybody the same answer (RFC 5019)
        ({"wrong_nonce": True}, "found", ["POST", "GET"]),
    ],
)
def test_ocsp(
    database: Database, web: Web, authority: Authority, how: dict[str, bool], answer: str, methods: list[str]
) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            web.handle("/ocsp*", fake.responder(authority, s.bob, **how))
            about = cert_id(parse(s.bob.der), parse(authority.der))
            assert await s.fetch(Want("ocsp", web.url("/ocsp"), about, "127.0.0.1")) == answer
            assert [each.method for each in web.requests] == methods
            (kept,) = await pki.ocsp_answers(s.w.flow, cert_ids=[about])
            assert kept.next_update is not None and _near(kept.next_update, timedelta(hours=2))
            assert s.row()[1] == schedule.FAR and _near(s.row()[2], timedelta(hours=2))

    asyncio.run(scenario())


@pytest.mark.req("C4")
def test_an_ocsp_answer_about_somebody_else_is_none(database: Database, web: Web, authority: Authority) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            web.handle("/ocsp*", fake.responder(authority, s.bob))
            carl = authority.issue("carl@x.test", "p256")
            about = cert_id(parse(carl.der), parse(authority.der))
            assert await s.fetch(Want("ocsp", web.url("/ocsp"), about, "127.0.0.1")) == "failed"
            assert await pki.ocsp_answers(s.w.flow, cert_ids=[about]) == []

    asyncio.run(scenario())


@pytest.mark.req("C2")
def test_issuers(database: Database, web: Web, authority: Authority) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            between = authority.intermediate()
            both = [s.bob.certificate, between.certificate]
            at = web.give("/ca.p7c", serialize_certificates(both, Encoding.DER))
            assert await s.fetch(Want("issuer", at, host="127.0.0.1")) == "found"
            assert await pki.authorities(s.w.flow) == [(between.der, False)]  # of bob nothing is kept here
            s.w.do("DELETE FROM pki.wanted")
            alone = web.give("/ee.cer", s.bob.der)
            assert await s.fetch(Want("issuer", alone, host="127.0.0.1")) == "failed"

    asyncio.run(scenario())


@pytest.mark.req("C2")
@pytest.mark.parametrize("kind", ["crl", "issuer", "ocsp"])
@pytest.mark.parametrize(
    "name", ["http://10.0.0.1/x", "http://169.254.169.254/x", "ldap://127.0.0.2/cn=x", "file:///etc/passwd", "x"]
)
def test_what_may_not_be_reached_is_refused(
    database: Database, web: Web, authority: Authority, kind: str, name: str
) -> None:
    """Even when somebody wrote it into the database past pki/wanted.py."""

    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            about = cert_id(parse(s.bob.der), parse(authority.der)) if kind == "ocsp" else b""
            assert await s.fetch(Want(kind, name, about, "h")) == "refused"  # type: ignore[arg-type]
            assert s.row()[:2] == ("refused", schedule.FAR)

    asyncio.run(scenario())


@pytest.mark.req("C14")
def test_without_directory_or_resolver_there_is_nothing_to_find(
    database: Database, web: Web, authority: Authority
) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            assert await s.fetch(Want("directory", "bob@x.test")) == "absent"
            s.w.do("DELETE FROM pki.wanted")
            s.fetcher.means = Means(REACH, resolver="192.0.2.1:53")
            assert await s.fetch(Want("smimea", "bob@x.test")) == "failed"

    asyncio.run(scenario())


@pytest.mark.req("C2", "C4")
def test_flow_notes_what_a_path_needs_by_one_call_and_then_by_none(
    database: Database, web: Web, authority: Authority
) -> None:
    async def scenario() -> None:
        async with _scene(database, web, authority) as s:
            calls = 0

            async def ask(**arguments: object) -> object:
                nonlocal calls
                calls += 1
                return await pki.want(s.w.flow, **arguments)  # type: ignore[arg-type]

            noted = Noted(ask)  # type: ignore[arg-type]
            first, second = web.url("/gone"), web.give("/crl", fake.crl(authority))
            reader = authority.issue(
                "r@x.test", "p256", extensions=[fake.crl_at(first, second), fake.access(ocsp_at=web.url("/ocsp"))]
            )
            path = (parse(reader.der), parse(authority.der))
            clock = time.time()

            async def missing() -> dict[str, bool]:
                nonlocal clock
                clock += 61
                found = await noted.note(revocation(path, noted), clock)
                return {want.name: is_open for want, is_open in found.items()}

            assert await missing() == {first: True}
            (taken,) = await pki.take_wanted(s.w.fetch, max=9, of_address=False, lease_for=timedelta(minutes=1))
            assert await s.fetcher.answer(taken) == "failed"
            assert await missing() == {first: False}
            assert await missing() == {second: True}  # the other name of the same CRL
            (taken,) = await pki.take_wanted(s.w.fetch, max=9, of_address=False, lease_for=timedelta(minutes=1))
            assert await s.fetcher.answer(taken) == "found"
            assert await missing() == {second: True}  # it came since we last asked: read again
            assert await missing() == {}
            before = calls
            for _ in range(5):
                assert await missing() == {}
            assert calls == before

    asyncio.run(scenario())
