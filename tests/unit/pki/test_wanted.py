"""What certificates say about where to fetch is read, and only what may be fetched is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from letterlock.pki import fetched
from letterlock.pki.certificate import parse
from letterlock.pki.wanted import MAX_URLS, Noted, Want, cert_id, issuers, revocation
from tests.fakes.authority import Authority
from tests.fakes.published import access, crl_at

HTTP, LDAP = "http://crl.x.test/a.crl", "ldap://dir.x.test/cn=a?certificateRevocationList;binary"


class Row(NamedTuple):
    open: bool
    answer: str


class Database:
    """pki.want: says what ``answers`` holds, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Row] = {}
        self.asked: list[list[str]] = []

    async def want(
        self, *, kinds: Sequence[str], names: Sequence[str], abouts: Sequence[bytes], hosts: Sequence[str]
    ) -> list[Row]:
        self.asked.append([f"{kind} {name}" for kind, name in zip(kinds, names, strict=True)])
        return [self.answers.get(name, Row(True, "")) for name in names]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


def _wants(authority: Authority, *extensions: tuple[x509.ExtensionType, bool]) -> list[Want]:
    reader = authority.issue("r@x.test", "p256", extensions=extensions)
    return list(revocation((parse(reader.der), parse(authority.der)), Noted(Database().want)))


@pytest.mark.req("C2")
def test_one_url_of_a_distribution_point_and_http_first(authority: Authority) -> None:
    assert _wants(authority, crl_at(LDAP, HTTP)) == [Want("crl", HTTP, host="crl.x.test")]
    assert _wants(authority, crl_at(LDAP)) == [Want("crl", LDAP, host="dir.x.test")]
    assert _wants(authority, crl_at("HTTP://CRL.x.test:80/a.crl")) == [Want("crl", HTTP, host="crl.x.test")]


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    "url", ["ldap:///CN=CA?certificateRevocationList", "file:///etc/passwd", "ftp://h/x", "http://u:p@h/", "x", ""]
)
def test_what_may_not_be_fetched_is_not_wanted(authority: Authority, url: str) -> None:
    assert _wants(authority, crl_at(url)) == []
    assert _wants(authority, crl_at(url, HTTP)) == [Want("crl", HTTP, host="crl.x.test")]


def test_a_certificate_that_names_thousands(authority: Authority) -> None:
    names = [[x509.UniformResourceIdentifier(f"http://h{n}.test/{m}") for m in range(50)] for n in range(50)]
    points = x509.CRLDistributionPoints([x509.DistributionPoint(each, None, None, None) for each in names])
    assert len(_wants(authority, (points, False))) == MAX_URLS


@pytest.mark.req("C4")
def test_the_delta_is_wanted_beside_its_base_and_does_not_stand_for_it(authority: Authority) -> None:
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.x.test/delta.crl")], None, None, None)]
    made = authority.issue("a@x.test", extensions=[crl_at(HTTP), (x509.FreshestCRL(points), False)])
    path = [parse(made.der), parse(authority.der)]
    noted = Noted(Database().want)
    delta = Want("crl", "http://crl.x.test/delta.crl", host="crl.x.test")
    assert list(revocation(path, noted)) == [Want("crl", HTTP, host="crl.x.test"), delta]
    alone = authority.issue(
        "a@x.test", extensions=[(x509.FreshestCRL(points), False), access(ocsp_at="http://ocsp.x.test/")]
    )
    assert [each.kind for each in revocation([parse(alone.der), parse(authority.der)], noted)] == ["ocsp", "crl"]


def test_ocsp_where_there_is_no_crl(authority: Authority) -> None:
    reader = authority.issue("r@x.test", "p256", extensions=[access(ocsp_at="http://ocsp.x.test/")])
    certificate, issuer = parse(reader.der), parse(authority.der)
    (want,) = revocation((certificate, issuer), Noted(Database().want))
    assert want == Want("ocsp", "http://ocsp.x.test/", cert_id(certificate, issuer), "ocsp.x.test")
    assert _wants(authority, access(ocsp_at="http://ocsp.x.test/"), crl_at(HTTP)) == [
        Want("crl", HTTP, host="crl.x.test")
    ]
    assert _wants(authority, access(ocsp_at="ldap://ocsp.x.test/")) == []


@pytest.mark.req("C4")
def test_the_request_is_what_the_library_would_write(authority: Authority) -> None:
    reader = authority.issue("r@x.test", "p256")
    about = cert_id(parse(reader.der), parse(authority.der))
    builder = ocsp.OCSPRequestBuilder().add_certificate(reader.certificate, authority.certificate, hashes.SHA1())
    plain = ocsp.load_der_ocsp_request(fetched.ocsp_request(about))
    assert plain.public_bytes == builder.build().public_bytes or plain.serial_number == reader.certificate.serial_number
    nonce = b"n" * fetched.NONCE_OCTETS
    asked = ocsp.load_der_ocsp_request(fetched.ocsp_request(about, nonce))
    assert asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    whole = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
    assert (asked.issuer_name_hash, asked.issuer_key_hash) == (whole.issuer_name_hash, whole.issuer_key_hash)


def test_issuers(authority: Authority) -> None:
    reader = authority.issue("r@x.test", "p256", extensions=[access(issuer_at="http://ca.x.test/ca.cer")])
    assert list(issuers(parse(reader.der))) == [Want("issuer", "http://ca.x.test/ca.cer", host="ca.x.test")]
    assert list(issuers(parse(authority.der))) == []


def test_an_extension_that_cannot_be_read_makes_no_want_and_no_fault(authority: Authority) -> None:
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.31"), b"\x30\x03\x02\x01")
    reader = authority.issue("r@x.test", "p256", extensions=[(broken, False)])
    with pytest.raises(Exception, match="cannot be read"):
        parse(reader.der)  # such a certificate never comes so far


@pytest.mark.req("C2")
def test_what_is_noted_is_remembered() -> None:
    async def scenario() -> None:
        database = Database()
        noted = Noted(database.want, capacity=5)
        a, b = Want("crl", "a"), Want("smimea", "b")
        assert await noted.note([], 0.0) == {}
        assert await noted.note([a, b, a], 0.0) == {a: True, b: True}
        assert await noted.note([a], 0.1) == {a: True}
        assert database.asked == [["crl a", "smimea b"]]
        database.answers = {"a": Row(False, "found"), "b": Row(False, "absent")}
        assert await noted.note([a, b], 1.0) == {a: True}  # it has come: read again before deciding
        assert await noted.note([a, b], 1.1) == {}
        assert await noted.note([a, b], 59.0) == {}
        assert len(database.asked) == 2
        assert await noted.note([a, b], 62.0) == {}
        assert database.asked[-1] == ["smimea b"]
        database.answers = {"c": Row(False, "failed"), "d": Row(False, "refused")}
        c, d = Want("crl", "c"), Want("issuer", "d")
        assert await noted.note([c, d], 63.0) == {c: False, d: False}
        database.answers = {"e": Row(False, "found")}
        e = Want("directory", "e")
        for second in (64.0, 65.0):  # asked for since there is no certificate: so what was found then is over
            await noted.note([e], second)
        assert database.asked[-2:] == [["directory e"], ["directory e"]]
        assert noted.failed(c) and noted.failed(d) and not noted.failed(b)
        database.answers = {"f": Row(False, "found"), "g": Row(False, "found")}
        f, g = Want("crl", "f"), Want("crl", "g")
        assert await noted.note([f, g], 66.0, doubtful=[g]) == {g: True}  # another process may have asked a moment ago
        assert await noted.note([f, g], 66.3, doubtful=[f, g]) == {}

    asyncio.run(scenario())
