"""Whoever writes a URL into a certificate must not make us connect to what only we can reach.

A server inside counts its connections in each of these: none may come.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Sequence

import pytest

from letterlock.fetch import http, reach
from letterlock.fetch.errors import FetchRefused, HostUnreachable
from letterlock.fetch.reach import Reach
from letterlock.pki import url
from letterlock.pki.url import UrlRefused
from tests.fakes.web import Web

LOOPBACK = [ipaddress.ip_network("127.0.0.1/32")]
MOST = 1000


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        made.give("/", b"inside")
        yield made


def _get(text: str, allowed: Sequence[reach.Network] = (), look_up: reach.Resolve = reach.resolve) -> bytes:
    return asyncio.run(http.get(Reach(allowed, look_up), url.parse(text), most=MOST))


def _answers(*answers: Sequence[str]) -> tuple[reach.Resolve, list[str]]:
    """A resolver that gives one answer after the other, and the names it was asked for."""
    asked: list[str] = []

    async def look_up(host: str) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return look_up, asked


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",  # what the resolver makes of numbers in other notations
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
        "192.0.0.192",
        "198.18.0.1",
    ],
)
def test_no_address_of_ours_in_any_notation(web: Web, host: str) -> None:
    with pytest.raises((FetchRefused, HostUnreachable)) as caught:
        _get(f"http://{host}:{web.port}/")
    assert isinstance(caught.value, FetchRefused) or "Name or service" in caught.value.detail, caught.value
    assert not web.requests


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/_MAIL",
        "ftp://host/crl",
        "dict://host:11211/",
        "jar:http://host!/",
        "unix:///run/postgresql",
        "data:,x",
        "//host/crl",
        "/etc/passwd",
        "http:/host/",
        "http://",
        "http:///crl",
        "http://user@host/",
        "http://user:password@host/",
        "http://good.example@127.0.0.1/",
        "http://good.example#@127.0.0.1/",
        "http://127.0.0.1\\@good.example/",
        "http://good.example\\.127.0.0.1/",
        "http://host:0/",
        "http://host:99999/",
        "http://host:25x/",
        "http://ho st/",
        "http://host/a b",
        "http://host/\r\nX-Injected: 1",
        "http://host/%0d\n",
        "http://host\r\n.other/",
        "http://host\t.other/",
        "http://host/\x00",
        "http://hόst/",
        "http://host/é",
        "http://[::1",
        "http://[::1%25eth0]/",
        "http://[v1.x]/",
        "http://a..b/",
        "http://host/" + "a" * 3000,
        " http://host/",
        "http://host/ ",
        "http://host/\n",
    ],
)
def test_no_other_scheme_and_nothing_that_reads_two_ways(text: str) -> None:
    with pytest.raises(UrlRefused):
        url.parse(text)


@pytest.mark.req("C2")
def test_no_redirect_inside(web: Web) -> None:
    with Web("127.0.0.2") as inside:
        inside.give("/", b"secret")
        for number, target in enumerate(
            (
                inside.url("/"),
                f"//127.0.0.2:{inside.port}/",
                "http://169.254.169.254/latest/meta-data/",
                f"http://[::ffff:127.0.0.2]:{inside.port}/",
            )
        ):
            at = web.redirect(f"/to{number}", target)
            with pytest.raises(FetchRefused):
                _get(at, LOOPBACK)
        assert not inside.requests


@pytest.mark.req("C2")
@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "gopher://127.0.0.1/", "ldap://127.0.0.1/", "ftp://127.0.0.1/", "", "http://a b/"]
)
def test_no_redirect_to_other_schemes(web: Web, target: str) -> None:
    at = web.redirect("/from", target)
    if target:
        with pytest.raises(FetchRefused):
            _get(at, LOOPBACK)
    else:  # an empty Location is the same place again
        with pytest.raises(http.FetchFailed, match="redirects"):
            _get(at, LOOPBACK)


@pytest.mark.req("C2")
def test_a_name_is_resolved_once_and_what_was_checked_is_dialled(web: Web) -> None:
    """DNS rebinding: the second answer would be an address inside, but nobody asks a second time."""
    with Web("127.0.0.2", web.port) as listed:
        listed.give("/", b"outside")
        look_up, asked = _answers(["127.0.0.2"], ["127.0.0.1"])
        found = _get(f"http://rebind.example:{web.port}/", [ipaddress.ip_network("127.0.0.2/32")], look_up)
        assert found == b"outside"
        assert asked == ["rebind.example"]
        assert not web.requests


@pytest.mark.req("C2")
def test_a_name_that_leads_inside_the_second_time_is_refused(web: Web) -> None:
    with Web("127.0.0.2", web.port) as listed:
        listed.redirect("/", f"http://rebind.example:{web.port}/again")
        look_up, asked = _answers(["127.0.0.2"], ["127.0.0.1"])
        with pytest.raises(FetchRefused):
            _get(f"http://rebind.example:{web.port}/", [ipaddress.ip_network("127.0.0.2/32")], look_up)
        assert len(asked) == 2
        assert not web.requests


@pytest.mark.req("C2")
@pytest.mark.parametrize("second", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "not an address"])
def test_one_address_inside_refuses_the_name(web: Web, second: str) -> None:
    look_up, _ = _answers(["192.0.43.7", second])
    with pytest.raises(FetchRefused):
        _get(f"http://both.example:{web.port}/", (), look_up)
    assert not web.requests


@pytest.mark.req("C2")
def test_the_environment_names_no_proxy_and_no_credentials(
    web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Web("127.0.0.2") as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        home = tmp_path_factory.mktemp("home")
        (home / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("NETRC", str(home / ".netrc"))
        assert _get(web.url(), LOOPBACK) == b"inside"
        assert not proxy.requests
        assert b"authorization" not in web.requests[0].head.lower()


@pytest.mark.req("C2")
def test_no_cookie_goes_back(web: Web) -> None:
    at = web.give("/first", b"", "302 Found", Location="/", Set_Cookie="id=1; Path=/")
    assert _get(at, LOOPBACK) == b"inside"
    assert b"cookie" not in web.requests[-1].head.lower()


def test_listed_networks_are_reached_and_only_they(web: Web) -> None:
    assert _get(web.url(), LOOPBACK) == b"inside"
    with pytest.raises(FetchRefused):
        _get(f"http://[::ffff:127.0.0.1]:{web.port}/", LOOPBACK)
