"""Where a delivery goes: a named host, a smarthost, or the domain's mail exchangers.

Order
    The transport of the recipient's domain, then the direction's smarthost, then MX: the first two are settings that flow
    has resolved into the delivery's ``next_hop`` text; an empty text means the exchangers of ``domain``.

Standards
    RFC 5321 5.1 (locating the target host), RFC 7505 (null MX), RFC 5321 5 (implicit MX).

Raises
    NoSuchDomain (permanent), NullExchanger (permanent), NameServiceFailed (temporary).
"""

from __future__ import annotations

import functools
import random
import re
from typing import NamedTuple, Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver

from letterlock.errors import PermanentError, TemporaryError


class NoSuchDomain(PermanentError):
    """The recipient's domain does not exist."""

    code = 550
    status = "5.1.2"


class NullExchanger(PermanentError):
    """The recipient's domain accepts no mail."""

    code = 556
    status = "5.1.10"


class NameServiceFailed(TemporaryError):
    """The recipient's domain could not be looked up now."""

    code = 451
    status = "4.4.3"


class BadNextHop(TemporaryError):
    """The configured next hop is not a host name with an optional port."""

    status = "4.3.5"


class Host(NamedTuple):
    """One server to try: name or address literal, and TCP port."""

    name: str
    port: int


_HOP = re.compile(r"(?:smtp:)?(?:\[(?P<literal>[^\]]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?\Z")


class Exchangers(Protocol):
    """The seam to DNS: the mail exchangers of a domain as (preference, host name)."""

    async def lookup(self, domain: str) -> list[tuple[int, str]]:
        """Raises NoSuchDomain, NullExchanger or NameServiceFailed."""
        ...


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Host, bool]:
    """A next hop as it stands in a setting: ``[host]:port`` is taken as it is, ``name:port`` has its MX looked up.

    Returns the host and whether MX shall be looked up (Postfix's bracket convention). Raises BadNextHop.
    """
    match = _HOP.fullmatch(text.strip())
    if match is None:
        raise BadNextHop(detail=f"next hop {text!r}")
    port = int(match["port"] or 25)
    if not 0 < port < 65536:
        raise BadNextHop(detail=f"next hop {text!r}")
    if match["literal"] is not None:
        literal = match["literal"]
        return Host(literal[5:] if literal.lower().startswith("ipv6:") else literal, port), False
    return Host(match["name"], port), not re.fullmatch(r"[\d.]+", match["name"])


def fixed(next_hop: str) -> list[Host] | None:
    """What ``hosts`` returns where nothing has to be looked up; else None. Raises BadNextHop."""
    if not next_hop:
        return None
    host, look_up = parse(next_hop)
    return None if look_up else [host]


async def hosts(next_hop: str, domain: str, exchangers: Exchangers) -> list[Host]:
    """The servers to try for a delivery, best first. ``next_hop`` empty: the exchangers of ``domain`` on port 25."""
    known = fixed(next_hop)
    if known is not None:
        return known
    host = parse(next_hop)[0] if next_hop else Host(domain, 25)
    if host.name.startswith("["):  # RFC 5321 4.1.3: an address literal is its own exchanger
        return [Host(host.name.strip("[]").removeprefix("IPv6:"), host.port)]
    found = await exchangers.lookup(host.name)
    random.shuffle(found)  # RFC 5321 5.1: equal preferences in random order
    return [Host(name, host.port) for _, name in sorted(found, key=lambda pair: pair[0])]


class DnsExchangers:
    """MX by dnspython's asynchronous resolver; its answers are cached by their TTL."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._resolver = resolver
        self._cache = dns.resolver.LRUCache(10_000)

    async def lookup(self, domain: str) -> list[tuple[int, str]]:
        """See Exchangers. No MX record but an address: the domain itself, preference 0 (RFC 5321 5.1)."""
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver()
            self._resolver.cache = self._cache
            self._resolver.lifetime = 20.0
        try:
            answer = await self._resolver.resolve(domain, "MX")
        except dns.resolver.NXDOMAIN as error:
            raise NoSuchDomain(detail=domain) from error
        except dns.resolver.NoAnswer:
            return [(0, domain)]
        except dns.exception.DNSException as error:
            raise NameServiceFailed(detail=f"{domain}: {type(error).__name__}") from error
        found = [(int(record.preference), str(record.exchange).rstrip(".")) for record in answer]
        if found and all(not name for _, name in found):
            raise NullExchanger(detail=domain)  # RFC 7505 3
        return [(preference, name) for preference, name in found if name]
