"""SMIMEA: certificates that a domain publishes for its addresses, taken only when a resolver of ours has validated them.

Guarantees
    An answer counts only with the AD flag of a resolver on a loopback address, which nobody on the network can speak
    for; every other one is as good as none. Aliases (CNAME, DNAME) are followed by the resolver, and AD covers them.
    Only records that hold a whole certificate give one; digests and bare keys are read and left alone.

Standards
    RFC 8162 3 (names; local parts are looked up in lower case, as nearly all are published), RFC 6698 2 (usage,
    selector, matching type) and 7 (registries), RFC 4035 3.2.3 and RFC 6840 5.7, 5.8 (AD), RFC 2308 (negative answers).

Raises
    FetchAbsent, FetchFailed, HostUnreachable.

See also
    docs/decisions/0014-fetching.md (why the resolver validates and not we).
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from typing import Final, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver

from letterlock.fetch.errors import FetchAbsent, FetchFailed, HostUnreachable
from letterlock.pki.certificate import Certificate
from letterlock.pki.fetched import parse_all

LOOK_UP_FOR: Final = 8.0
LEAST_TTL: Final = 300
MOST_TTL: Final = 86_400
MAX_RECORDS: Final = 20

_FULL_CERTIFICATE: Final = (0, 0)  # selector Cert(0), matching type Full(0): RFC 6698 7.3 and 7.4
_AUTHORITIES: Final = (0, 2)  # usages PKIX-TA and DANE-TA (RFC 7218): the record is about an authority
_END_ENTITIES: Final = (1, 3)  # PKIX-EE and DANE-EE


class NoValidatingResolver(FetchFailed):
    """There is no resolver on this machine that could validate an answer; set dnssec_resolver."""


class Insecure(FetchAbsent):
    """The domain's answer is not signed: it counts for nothing."""


class Published(NamedTuple):
    """What a domain publishes for an address. ``ttl``: seconds, bounded."""

    certificates: tuple[Certificate, ...]
    authorities: tuple[Certificate, ...]
    ttl: int


def owner_name(address: str) -> str:
    """Where the record of an address (in match form) stands (RFC 8162 3)."""
    local, _, domain = address.rpartition("@")
    digest = hashlib.sha256(local.encode()).digest()[:28]
    return f"{digest.hex()}._smimecert.{domain}"


def resolver_of(setting: str) -> tuple[str, int]:
    """Address and port of the validating resolver: as set, else the system's. Raises NoValidatingResolver."""
    if setting:
        return loopback(setting)
    try:
        system = dns.resolver.Resolver().nameservers
    except dns.exception.DNSException as error:
        raise NoValidatingResolver(detail=type(error).__name__) from error
    for each in system:
        if isinstance(each, str) and ipaddress.ip_address(each).is_loopback:
            return each, 53
    raise NoValidatingResolver


def loopback(setting: str) -> tuple[str, int]:
    """Address and port in 127.0.0.1:53 or [::1]:53. Raises NoValidatingResolver unless it is a loopback address."""
    host, _, port = setting.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise NoValidatingResolver(detail=setting[:60]) from None
    if not address.is_loopback or not port.isdecimal():
        raise NoValidatingResolver(detail=setting[:60])
    return str(address), int(port)


async def smimea(address: str, resolver: tuple[str, int]) -> Published:
    """The certificates published for an address (in match form)."""
    asking = dns.asyncresolver.Resolver(configure=False)
    asking.nameservers, asking.port = [resolver[0]], resolver[1]
    asking.flags = dns.flags.RD | dns.flags.AD  # RFC 6840 5.7: we understand AD
    asking.use_edns(0, 0, 1232)
    try:
        async with asyncio.timeout(LOOK_UP_FOR + 1):
            answer = await asking.resolve(owner_name(address), "SMIMEA", search=False, lifetime=LOOK_UP_FOR)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
        raise FetchAbsent(detail="no SMIMEA record") from error
    except (dns.resolver.NoNameservers, dns.exception.SyntaxError, ValueError) as error:
        raise FetchFailed(detail=f"SMIMEA: {type(error).__name__}") from error  # SERVFAIL: bogus, or out of reach
    except (dns.exception.DNSException, OSError, TimeoutError) as error:
        raise HostUnreachable(detail=f"the resolver does not answer: {type(error).__name__}") from error
    if not answer.response.flags & dns.flags.AD:
        raise Insecure(detail="the SMIMEA answer is not validated")
    return _published(answer)


def _published(answer: dns.resolver.Answer) -> Published:
    """The whole certificates among the records. Raises FetchAbsent when there are none."""
    whole: dict[int, list[bytes]] = {}
    for record in list(answer)[:MAX_RECORDS]:
        if (record.selector, record.mtype) == _FULL_CERTIFICATE:
            whole.setdefault(record.usage, []).append(bytes(record.cert))
    certificates = parse_all(each for usage in _END_ENTITIES for each in whole.get(usage, ()))
    authorities = parse_all(each for usage in _AUTHORITIES for each in whole.get(usage, ()))
    if not certificates and not authorities:
        raise FetchAbsent(detail="the SMIMEA records hold no whole certificate")
    ttl = int(answer.rrset.ttl) if answer.rrset is not None else LEAST_TTL
    return Published(tuple(certificates), tuple(authorities), min(max(ttl, LEAST_TTL), MOST_TTL))
