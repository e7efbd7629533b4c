"""Over https the server proves its name, by an authority the system trusts, or nothing is fetched."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Sequence

import pytest

from letterlock.fetch import http
from letterlock.fetch.errors import FetchRefused, HostUnreachable
from letterlock.fetch.reach import Reach
from letterlock.pki import url
from tests.fakes.tls import Certificates
from tests.fakes.web import Web

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"), name="crl.test")


@pytest.fixture
def web(certificates: Certificates) -> Iterator[Web]:
    with Web(tls=certificates.server_context()) as made:
        made.give("/", b"inside")
        yield made


async def _here(_: str) -> Sequence[str]:
    return ["127.0.0.1"]


def _get(where: str, certificates: Certificates | None) -> bytes:
    context = certificates.client_context() if certificates else None
    reach = Reach([ipaddress.ip_network("127.0.0.1/32")], _here, context)
    return asyncio.run(http.get(reach, url.parse(where), most=100))


@pytest.mark.req("C2")
def test_the_right_name(web: Web, certificates: Certificates) -> None:
    assert _get(web.url(host="crl.test"), certificates) == b"inside"


@pytest.mark.req("C2")
def test_another_name_and_another_authority(web: Web, certificates: Certificates) -> None:
    with pytest.raises(HostUnreachable, match="certificate|verify"):
        _get(web.url(host="other.test"), certificates)
    with pytest.raises(HostUnreachable, match="certificate|verify"):
        _get(web.url(host="crl.test"), None)
    assert not web.requests


@pytest.mark.req("C2")
def test_never_back_from_https(web: Web, certificates: Certificates) -> None:
    with Web() as plain:
        at = web.redirect("/down", plain.url(host="crl.test"))
        with pytest.raises(FetchRefused, match="https to http"):
            _get(at.replace("127.0.0.1", "crl.test"), certificates)
        assert not plain.requests
    up = web.redirect("/aside", "/")
    assert _get(up.replace("127.0.0.1", "crl.test"), certificates) == b"inside"


def test_plain_http_at_a_tls_port_and_the_other_way_round(web: Web, certificates: Certificates) -> None:
    with pytest.raises(http.FetchFailed):
        _get(web.url(host="crl.test").replace("https", "http"), certificates)
    with Web() as plain, pytest.raises(HostUnreachable):
        _get(plain.url(host="crl.test").replace("http", "https"), certificates)
