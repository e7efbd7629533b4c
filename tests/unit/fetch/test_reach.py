"""Which addresses are the public Internet's: our list against the standard library's, and by examples."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.fetch.errors import FetchRefused
from letterlock.fetch.reach import NEVER, Reach, is_public

ADDRESSES = st.one_of(
    st.ip_addresses(),
    *(st.ip_addresses(network=each) for each in NEVER),
)


@pytest.mark.req("C2")
@given(ADDRESSES)
def test_nothing_is_public_that_the_standard_library_calls_otherwise(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        assert not (address.is_private or address.is_loopback or address.is_link_local or address.is_multicast)
        assert not (address.is_reserved or address.is_unspecified)
    else:
        assert any(address in each for each in NEVER if each.version == address.version)


@pytest.mark.req("C2")
@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_is_never_reached(address: ipaddress.IPv4Address) -> None:
    low = int(address)
    for high in (0, 0xFFFF << 32, 0xFFFF << 48, 0x0064FF9B << 96, (0x0064FF9B << 96) | (1 << 80)):
        assert not is_public(ipaddress.IPv6Address(high | low))
    assert not is_public(ipaddress.IPv6Address((0x2002 << 112) | (low << 80) | 1))


@pytest.mark.parametrize("text", ["8.8.8.8", "192.0.43.7", "2606:4700::1111", "2a00:1450:4001:82a::200e"])
def test_the_internet_is_reached(text: str) -> None:
    assert str(Reach().check(text)) == text


def test_only_what_is_listed_is_reached_besides() -> None:
    reach = Reach([ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00:1::/32")])
    for good in ("10.1.2.3", "fd00:1::5", "8.8.8.8"):
        reach.check(good)
    for bad in ("10.2.0.1", "127.0.0.1", "fd00:2::1", "::ffff:10.1.2.3", "10.1.2.3/32", "", "fd00:1::5%eth0"):
        with pytest.raises(FetchRefused):
            reach.check(bad)
