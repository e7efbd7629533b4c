"""Fetching from servers that were not written here: slapd, unbound, openssl's OCSP responder."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from letterlock.fetch import http, ldap
from letterlock.fetch.dns import Insecure, NoValidatingResolver, resolver_of, smimea
from letterlock.fetch.errors import FetchAbsent, FetchFailed, FetchRefused, HostUnreachable
from letterlock.fetch.reach import Reach
from letterlock.pki import fetched, url
from letterlock.pki.certificate import parse
from letterlock.pki.wanted import cert_id
from tests.fakes import published as revocation
from tests.fakes.authority import Authority
from tests.fakes.directory import BASE, PASSWORD, READER, Directory, free_port
from tests.fakes.tls import Certificates
from tests.fakes.zone import Resolver, Zone, record

pytestmark = [pytest.mark.peer, pytest.mark.slow]

REACH = Reach([ipaddress.ip_network("127.0.0.1/32")])
MOST = 100_000
SECRET = ldap.Secret(READER, PASSWORD)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"), name="dir.test")


@pytest.fixture(scope="module")
def directory(authority: Authority, certificates: Certificates) -> Iterator[Directory]:
    made = Directory(certificates.server)
    made.add_person("one@x.test", authority.issue("one@x.test", "p256").der)
    made.add_person("two@x.test", *(authority.issue("two@x.test", "p256").der for _ in range(2)))
    bundle = serialize_certificates(
        [authority.issue("p7b@x.test", "p256").certificate, authority.certificate], Encoding.DER
    )
    made.add_person("p7b@x.test", p7b=bundle)
    made.add_person("none@x.test")
    made.add_person("closed@x.test", authority.issue("closed@x.test", "p256").der, where="closed")
    made.add_person("*", authority.issue("star@x.test", "p256").der)
    made.add_authority("issuer", authority.der, revocation.crl(authority, 5))
    with made:
        yield made


def _search(directory: Directory, address: str, **more: object) -> list[bytes]:
    where = url.parse(directory.url)
    options = {"most": MOST, **more}
    return asyncio.run(ldap.search(REACH, where, ldap.of_address(BASE, address), **options))  # type: ignore[arg-type]


@pytest.mark.req("C14")
def test_certificates_of_an_address(directory: Directory) -> None:
    (one,) = _search(directory, "one@x.test")
    assert parse(one).addresses == ("one@x.test",)
    assert len(_search(directory, "two@x.test")) == 2
    (bundle,) = _search(directory, "p7b@x.test")
    assert [each.addresses for each in fetched.read_certificates(bundle, authorities=False)] == [("p7b@x.test",)]
    for nobody in ("none@x.test", "other@x.test"):
        with pytest.raises(FetchAbsent):
            _search(directory, nobody)


@pytest.mark.req("C14")
@pytest.mark.parametrize(
    "address",
    ["*@x.test", "o*", "one@x.test)(mail=*", "*)(objectClass=*", "\\2a", "(|(mail=*))"],
)
def test_an_address_is_never_part_of_a_filter(directory: Directory, address: str) -> None:
    with pytest.raises(FetchAbsent):
        _search(directory, address)


def test_a_star_is_a_star(directory: Directory) -> None:
    assert len(_search(directory, "*")) == 1


@pytest.mark.req("C14")
def test_with_a_name_and_a_password(directory: Directory) -> None:
    with pytest.raises(FetchAbsent):
        _search(directory, "closed@x.test")
    assert len(_search(directory, "closed@x.test", secret=SECRET)) == 1
    with pytest.raises(FetchFailed, match="password"):
        _search(directory, "closed@x.test", secret=ldap.Secret(READER, "wrong"))


@pytest.mark.req("C14")
def test_over_tls(directory: Directory, certificates: Certificates) -> None:
    async def here(_: str) -> list[str]:
        return ["127.0.0.1"]

    def search(host: str) -> list[bytes]:
        reach = Reach([ipaddress.ip_network("127.0.0.1/32")], here, certificates.client_context())
        where = url.Url("ldaps", host, directory.tls_port, "/")
        what = ldap.of_address(BASE, "closed@x.test")
        return asyncio.run(ldap.search(reach, where, what, most=MOST, secret=SECRET))

    assert len(search("dir.test")) == 1
    with pytest.raises(HostUnreachable, match="certificate|verify"):
        search("other.test")


def test_more_than_the_limit_is_not_read(directory: Directory) -> None:
    with pytest.raises(FetchFailed, match="more than"):
        _search(directory, "one@x.test", most=200)


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    "asked",
    [
        "?certificateRevocationList;binary",
        "?certificateRevocationList;binary?base?(objectClass=pkiCA)",
        "?certificateRevocationList?base",
        "",
    ],
)
def test_a_crl_by_url(directory: Directory, authority: Authority, asked: str) -> None:
    where = url.parse(f"ldap://127.0.0.1:{directory.port}/cn=issuer,ou=open,{BASE}{asked}")
    (found,) = asyncio.run(ldap.search(REACH, where, ldap.of_url(where, "crl"), most=MOST))
    assert fetched.read_crl(found).issuer == parse(authority.der).subject_key


@pytest.mark.req("C2")
def test_an_issuer_by_url(directory: Directory, authority: Authority) -> None:
    where = url.parse(f"ldap://127.0.0.1:{directory.port}/cn=issuer,ou=open,{BASE}?cACertificate;binary")
    assert asyncio.run(ldap.search(REACH, where, ldap.of_url(where, "issuer"), most=MOST)) == [authority.der]
    nowhere = url.parse(f"ldap://127.0.0.1:{directory.port}/cn=nobody,{BASE}?cACertificate;binary")
    with pytest.raises(FetchAbsent):
        asyncio.run(ldap.search(REACH, nowhere, ldap.of_url(nowhere, "issuer"), most=MOST))


def test_other_uses_of_an_ldap_url_are_refused() -> None:
    for rest in (
        "?userPassword",
        "?certificateRevocationList;binary,userPassword",
        "?*",
        "?certificateRevocationList?sub?(&(a=b)(c=d))",
        "?certificateRevocationList?sub?(cn=a*b)",
        "?certificateRevocationList?tree",
        "?certificateRevocationList?base?(a=b)?!bindname=cn=x",
    ):
        with pytest.raises(FetchRefused):
            ldap.of_url(url.Url("ldap", "h", 389, f"/cn=a{rest}"), "crl")


@pytest.fixture(scope="module")
def zones(authority: Authority) -> Iterator[Resolver]:
    der = authority.issue("bob@signed.test", "p256").der
    signed, unsigned = Zone("signed.test"), Zone("unsigned.test", signed=False)
    doubted, damaged = Zone("doubted.test", believed=False), Zone("damaged.test")
    damaged.damaged = True
    for zone in (signed, unsigned, doubted, damaged):
        zone.add(f"bob@{zone.name}", record(der))
    signed.alias("alias@signed.test", signed.add("target@signed.test", record(der)))
    signed.alias("astray@signed.test", unsigned.add("astray@unsigned.test", record(der)))
    signed.line("_smimecert.moved IN DNAME _smimecert.signed.test.")
    signed.add("authority@signed.test", record(authority.der, usage=2), record(der, usage=1))
    signed.add(
        "digest@signed.test", record(b"\1" * 32, matching=1), record(b"\2" * 64, matching=2), record(b"\3" * 90, 3, 1)
    )
    signed.add("private@signed.test", record(der, usage=255))
    signed.add("garbage@signed.test", record(b"no certificate at all"))
    signed.add("many@signed.test", *(record(authority.issue(f"m{n}@signed.test", "p256").der) for n in range(12)))
    with Resolver(signed, unsigned, doubted, damaged) as made:
        yield made


def _look_up(zones: Resolver, address: str) -> list[str]:
    found = asyncio.run(smimea(address, resolver_of(zones.setting)))
    assert 300 <= found.ttl <= 86400
    return [each.subject for each in (*found.certificates, *found.authorities)]


@pytest.mark.req("C14")
def test_smimea_from_a_signed_zone(zones: Resolver) -> None:
    assert _look_up(zones, "bob@signed.test") == ["CN=bob@signed.test"]
    assert _look_up(zones, "authority@signed.test") == ["CN=bob@signed.test", "CN=Test Anchor"]
    assert len(_look_up(zones, "many@signed.test")) == 12  # by TCP: it does not fit a datagram


@pytest.mark.req("C14")
def test_smimea_by_aliases(zones: Resolver) -> None:
    assert _look_up(zones, "alias@signed.test") == ["CN=bob@signed.test"]
    assert _look_up(zones, "bob@moved.signed.test") == ["CN=bob@signed.test"]  # DNAME
    with pytest.raises(Insecure):  # a signed alias that leads to what is not signed
        _look_up(zones, "astray@signed.test")


@pytest.mark.req("C14")
@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        ("bob@unsigned.test", Insecure),
        ("bob@doubted.test", Insecure),  # signed, by a key nobody vouches for
        ("bob@damaged.test", FetchFailed),  # bogus: the resolver says SERVFAIL
        ("nobody@signed.test", FetchAbsent),
        ("nobody@unsigned.test", FetchAbsent),
        ("digest@signed.test", FetchAbsent),
        ("private@signed.test", FetchAbsent),
        ("garbage@signed.test", FetchAbsent),
        (f"{'a' * 60}@{'b' * 63}.{'c' * 63}.{'d' * 63}.test", FetchFailed),  # too long a name
    ],
)
def test_what_counts_for_nothing(zones: Resolver, address: str, outcome: type[Exception]) -> None:
    with pytest.raises(outcome):
        _look_up(zones, address)


@pytest.mark.req("C14")
def test_only_a_resolver_on_this_machine_is_believed() -> None:
    for setting in ("192.0.2.1:53", "[2001:db8::1]:53", "localhost:53", "127.0.0.1"):
        with pytest.raises(NoValidatingResolver):
            resolver_of(setting)
    assert resolver_of("[::1]:53") == ("::1", 53)
    with pytest.raises(HostUnreachable):
        asyncio.run(asyncio.wait_for(smimea("a@b.test", ("127.0.0.1", free_port())), 20))


@pytest.fixture(scope="module")
def responder(authority: Authority) -> Iterator[int]:
    """openssl ocsp, which knows of one revoked certificate: serial 0x1001; its port."""
    with tempfile.TemporaryDirectory(prefix="ll-ocsp-") as folder:
        files = Path(folder)
        (files / "ca.pem").write_bytes(authority.pem)
        (files / "key.pem").write_bytes(
            authority.issue("x@x.test", authority.key).key_pem  # type: ignore[arg-type]
        )
        (files / "index.txt").write_text("R\t301231235959Z\t250101000000Z\t1001\tunknown\t/CN=x\n")
        port = free_port()
        options = ["-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "key.pem", "-ndays", "1"]
        process = subprocess.Popen(
            ["openssl", "ocsp", "-port", str(port), *options],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.3)
        yield port
        process.terminate()
        process.wait(10)


@pytest.mark.req("C4")
def test_an_ocsp_responder(authority: Authority, responder: int) -> None:
    certificate = parse(authority.issue("r@x.test", "p256", serial=0x1001).der)
    asked = cert_id(certificate, parse(authority.der))
    nonce = secrets.token_bytes(fetched.NONCE_OCTETS)
    body = asyncio.run(
        http.post(
            REACH,
            url.parse(f"http://127.0.0.1:{responder}/"),
            fetched.ocsp_request(asked, nonce),
            most=MOST,
            kind="application/ocsp-request",
            accept="application/ocsp-response",
        )
    )
    assert nonce in body
    found = fetched.read_ocsp(body, asked, nonce)
    assert found.next_update is not None
    with pytest.raises(fetched.NotUseful, match="nonce"):
        fetched.read_ocsp(body, asked, secrets.token_bytes(fetched.NONCE_OCTETS))
    other = cert_id(parse(authority.issue("s@x.test", "p256", serial=0x1002).der), parse(authority.der))
    with pytest.raises(fetched.NotUseful, match="another certificate"):
        fetched.read_ocsp(body, other, nonce)
