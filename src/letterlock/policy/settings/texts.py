"""Setting types made of text: patterns, header patterns, addresses, domains, next hops, networks.

Guarantees
    A pattern that could take exponential time on a subject line is refused when it is saved, with the reason.

Standards
    RFC 5321 4.1.2 and 4.1.3 (addresses, address literals), RFC 5890 (A-labels), RFC 5322 3.6.8 (field names).

Raises
    SettingInvalid.
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from re import _constants as ops  # type: ignore[attr-defined]  # the parsed form of a pattern has no public door
from re import _parser as sre  # type: ignore[attr-defined]
from typing import Any

from letterlock.mail.address import Address, AddressInvalid, a_label
from letterlock.policy.settings.kinds import Kind, Text, refuse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_CHOICES = 10
"""Repeats, options and alternatives one pattern may hold: bounds the work of the backtracking matcher."""


def _choices(tree: Any) -> int:
    """How often the matcher may have to choose in the parsed pattern. Raises ValueError for what is refused."""
    count = 0
    for op, arguments in tree:
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            low, high, inside = arguments
            simple = len(inside) == 1 and inside[0][0] in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN)
            if not simple and high > 1:
                raise ValueError("only a single character or character class may be repeated")
            count += (low != high) + _choices(inside)
        elif op is ops.BRANCH:
            count += len(arguments[1]) - 1 + sum(_choices(one) for one in arguments[1])
        elif op is ops.SUBPATTERN:
            count += _choices(arguments[-1])
        elif op not in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN, ops.AT):
            raise ValueError("back-references, conditions and look-around are not possible")
    return count


def check_pattern(text: str) -> str:
    """``text`` when it is a regular expression that cannot take exponential time. Raises ValueError with the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what the parser warns of will mean something else some day
            tree = sre.parse(text, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"it is not a regular expression: {error}") from None
    if _choices(tree) > MOST_CHOICES:
        raise ValueError(f"at most {MOST_CHOICES} repeats and alternatives together")
    return text


@lru_cache(maxsize=1024)
def is_pattern(text: str) -> bool:
    """Whether check_pattern() lets it pass."""
    try:
        check_pattern(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern compiled for matching without regard to case. Raises re.error; check_pattern() came before."""
    return re.compile(pattern, re.IGNORECASE)


_FIELD = re.compile(r"[!-9;-~]{1,76}\Z")  # RFC 5322 3.6.8: printable ASCII without the colon


def check_header_pattern(text: str) -> str:
    """``Name: pattern`` with a field name and a safe pattern. Raises ValueError."""
    name, colon, pattern = text.partition(":")
    if not colon or not _FIELD.match(name.strip()):
        raise ValueError("a field name, a colon, a pattern")
    return f"{name.strip()}: {check_pattern(pattern.strip())}"


def domain_name(text: str) -> str:
    """A domain in lower-case A-label form. Raises ValueError."""
    try:
        return a_label(text.strip().rstrip("."))
    except AddressInvalid:
        raise ValueError("not a domain name") from None


def domain_pattern(text: str) -> str:
    """A domain, or ``*.`` and a domain for everything below it. Raises ValueError."""
    text = text.strip()
    return f"*.{domain_name(text[2:])}" if text.startswith("*.") else domain_name(text)


def mail_address(text: str) -> str:
    """An address, its domain in A-label form. Raises ValueError."""
    try:
        return str(Address.parse(text.strip()))
    except AddressInvalid:
        raise ValueError("not an address") from None


def next_hop(text: str) -> str:
    """``[host]:port`` (taken as it is) or ``name:port`` (its MX is looked up), the port optional. Raises ValueError."""
    text = text.strip().lower()
    match = re.fullmatch(r"(?:\[(?P<host>[^\]]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>\d{1,5}))?", text)
    if match is None or not 0 < int(match["port"] or 25) < 65536:
        raise ValueError("not a host")
    host = match["host"] or match["name"]
    try:
        ipaddress.ip_address(host.removeprefix("ipv6:"))
    except ValueError:
        domain_name(host)
    return text


PATTERN = Text("a regular expression", most=200, more=check_pattern)
HEADER_PATTERN = Text(
    "a field name, a colon and a regular expression", most=300, empty=False, more=check_header_pattern
)
ADDRESS = Text("an e-mail address", most=320, empty=False, more=mail_address)
DOMAIN = Text("a domain or *.domain", most=255, empty=False, more=domain_pattern)
NEXT_HOP = Text("a host as [host]:port or name:port, or nothing for the mail exchangers", most=270, more=next_hop)


class Networks(Kind[tuple[Network, ...]]):
    """A list of IP addresses and networks in CIDR form; a single address is a network of one."""

    noun = "a list (commas between) of IP addresses or networks such as 192.0.2.0/24"

    def check(self, value: object, name: str = "the value") -> tuple[Network, ...]:
        if not isinstance(value, list | tuple) or len(value) > 1000:
            raise refuse(name, self.noun, value)
        found: dict[Network, None] = {}
        for one in value:
            try:
                found[ipaddress.ip_network(str(one).strip())] = None
            except ValueError:
                raise refuse(f"each entry of {name}", "an IP address or network with no host bits set", one) from None
        return tuple(found)

    def parse(self, text: str, name: str = "the value") -> object:
        return [one.strip() for one in text.split(",") if one.strip()]

    def store(self, value: tuple[Network, ...]) -> object:
        return [str(one) for one in value]

    def show(self, value: tuple[Network, ...]) -> str:
        return ", ".join(str(one) for one in value)


class Routes(Kind[tuple[tuple[str, str], ...]]):
    """A transport map: from a domain or ``*.domain`` to a next hop; stored as an object, typed as ``domain=hop,
    ...``."""

    noun = "a list (commas between) of domain=[host]:port"

    def check(self, value: object, name: str = "the value") -> tuple[tuple[str, str], ...]:
        if not isinstance(value, Mapping) or len(value) > 10_000:
            raise refuse(name, self.noun, value)
        found = {}
        for domain, hop in value.items():
            found[DOMAIN.check(domain, f"each domain of {name}")] = NEXT_HOP.check(hop, f"each next hop of {name}")
        return tuple(found.items())

    def parse(self, text: str, name: str = "the value") -> object:
        entries = [one.partition("=") for one in text.split(",") if one.strip()]
        if not all(equals for _, equals, _ in entries):
            return text
        return {domain.strip(): hop.strip() for domain, _, hop in entries}

    def store(self, value: tuple[tuple[str, str], ...]) -> object:
        return dict(value)

    def show(self, value: tuple[tuple[str, str], ...]) -> str:
        return ", ".join(f"{domain}={hop}" for domain, hop in value)
