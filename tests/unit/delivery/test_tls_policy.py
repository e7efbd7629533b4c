"""TLS to next hops: each level, the floor, names and anchors; levels are never mixed."""

from __future__ import annotations

import ssl

import pytest

from letterlock.delivery.next_hop import Host
from letterlock.delivery.pool import Pool
from letterlock.delivery.tls_policy import Level, TlsPolicy, never_below
from tests.fakes.next_hop import NextHop
from tests.fakes.sending import job, send, sent, verdicts, with_pool
from tests.fakes.tls import Certificates

pytestmark = pytest.mark.usefixtures("each_loop", "no_long_good_byes")


def test_never_below_the_floor() -> None:
    verify = TlsPolicy(Level.VERIFY, "PEM", "name")
    assert never_below(TlsPolicy(), 2).level is Level.ENCRYPT
    assert never_below(verify, 1) == verify
    with pytest.raises(ValueError, match="4"):
        never_below(TlsPolicy(), 4)


@pytest.mark.req("A2")
@pytest.mark.parametrize(
    ("offered", "policy", "floor", "verdict", "secured"),
    [
        (True, TlsPolicy(Level.NONE), 0, "delivered", False),
        (True, TlsPolicy(Level.NONE), 1, "delivered", True),
        (True, TlsPolicy(Level.NONE), 2, "delivered", True),
        (False, TlsPolicy(Level.MAY), 1, "delivered", False),
        (False, TlsPolicy(Level.NONE), 2, "deferred", False),
        (False, TlsPolicy(Level.ENCRYPT), 0, "deferred", False),
        (True, TlsPolicy(Level.VERIFY), 0, "deferred", False),  # the system does not know our authority
        (True, TlsPolicy(Level.MAY, "OURS", "hop.test"), 3, "delivered", True),
        (True, TlsPolicy(Level.VERIFY, "OURS"), 0, "deferred", False),  # 127.0.0.1 is not in the certificate
        (True, TlsPolicy(Level.VERIFY, "OURS", "other.test"), 0, "deferred", False),
    ],
)
def test_tls_levels(
    certificates: Certificates, offered: bool, policy: TlsPolicy, floor: int, verdict: str, secured: bool
) -> None:
    if policy.anchors:
        policy = policy._replace(anchors=certificates.authority.read_text())
    with NextHop(tls=certificates.server_context() if offered else None) as hop:
        (found,) = send(hop.port, job(), floor=floor, policy=policy)
        assert found[0].verdict == verdict
        assert [bool(arrival.tls) for arrival in hop.arrivals] == ([secured] if verdict == "delivered" else [])
        if verdict == "deferred":
            assert found[0].status in ("4.7.4", "4.7.5")
            assert not any("MAIL" in command for _, command in hop.commands)


@pytest.mark.req("A2")
def test_may_goes_on_in_clear_when_the_handshake_fails_and_encrypt_does_not(certificates: Certificates) -> None:
    ancient = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ancient.load_cert_chain(str(certificates.server))
    ancient.set_ciphers("AES128-SHA:@SECLEVEL=0")
    ancient.maximum_version = ssl.TLSVersion.TLSv1_2  # RSA key exchange with an EC key: no cipher in common
    for level, expected in ((Level.MAY, "delivered"), (Level.ENCRYPT, "deferred")):
        with NextHop(tls=ancient) as hop:
            (found,) = send(hop.port, job(), floor=level)
            assert found[0].verdict == expected
            assert [arrival.tls for arrival in hop.arrivals] == ([""] if expected == "delivered" else [])


def test_lanes_of_different_levels_are_not_mixed(certificates: Certificates) -> None:
    async def use(pool: Pool) -> None:
        hosts = [Host("127.0.0.1", hop.port)]
        await sent(pool, hosts, job("clear"), floor=0)
        await sent(pool, hosts, job("secret"), floor=2)
        await sent(pool, hosts, job("clear2"), floor=0)

    with NextHop(tls=certificates.server_context()) as hop:
        with_pool(use)
        assert [(a.recipients[0][:6], bool(a.tls)) for a in hop.arrivals] == [
            ("clear@", False), ("secret", True), ("clear2", False),
        ]  # fmt: skip
        assert hop.connections == 2


def test_large_content_over_tls(certificates: Certificates) -> None:
    content = (b"0123456789" * 7 + b"\r\n") * 100_000
    with NextHop(tls=certificates.server_context()) as hop:
        assert verdicts(send(hop.port, job(content=content), job(content=content), floor=2)) == [["delivered"]] * 2
        assert [arrival.octets == content for arrival in hop.arrivals] == [True, True]
