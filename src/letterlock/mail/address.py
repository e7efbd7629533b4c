"""Addresses and domains: parse, check, bring to one form.

Guarantees
    An Address that exists is valid; its domain is lower-case ASCII (A-labels) or a literal in one spelling, its local
    part is as given but for needless quoting: no quoting gives an address a second name that policy does not know.
    Parsing takes time proportional to the length, and the length is limited.

Standards
    RFC 5321 4.1.2 (Mailbox), 4.1.3 (address literals), 4.5.3.1.3 (length); RFC 6531 3.3 (UTF-8 local parts);
    RFC 5891 (A-labels). Deviations: a local part may be longer than the 64 octets of RFC 5321 4.5.3.1.1, and an
    underscore in a domain is let through: both are in use.

Raises
    AddressInvalid.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import unicodedata
from typing import NamedTuple

import idna

from letterlock.errors import PermanentError
from letterlock.mail import limits

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010FFFF-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
# RFC 5321 4.1.2: qtextSMTP and quoted-pairSMTP; RFC 6531 adds UTF-8
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010FFFF]|\\[\x20-\x7e])*)"')
_PAIR = re.compile(r"\\(.)")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_LITERAL = re.compile(r"\[(?:(?P<v6>[Ii][Pp][Vv]6:)(?P<six>[0-9A-Fa-f:.]+)|(?P<four>[0-9.]+))\]\Z")


class AddressInvalid(PermanentError):
    """The text is not a valid mail address."""

    code = 501
    status = "5.1.3"


class Address(NamedTuple):
    """A mailbox. ``local``: quoted where it must be; ``domain``: A-labels in lower case, or ``[literal]``."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """False when the local part needs SMTPUTF8."""
        return self.local.isascii()

    @property
    def key(self) -> str:
        """For comparing: local part in lower case and normal form C, domain as it is."""
        return f"{unicodedata.normalize('NFC', self.local).lower()}@{self.domain}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """``text`` as an address without angle brackets or source route. Raises AddressInvalid."""
        return _parse(text)


def a_label(domain: str) -> str:
    """``domain`` in lower-case A-label form (RFC 5891), with UTS 46 mapping. Raises AddressInvalid."""
    if not domain.isascii():
        if len(domain) > limits.MAX_DOMAIN_OCTETS:
            raise AddressInvalid
        try:
            domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        except UnicodeError as error:
            raise AddressInvalid from error
    domain = domain.lower()
    if len(domain) > limits.MAX_DOMAIN_OCTETS or not _DOMAIN.match(domain):
        raise AddressInvalid
    return domain


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    if len(text) > limits.MAX_ADDRESS_OCTETS or (
        not text.isascii() and len(text.encode("utf-8", "replace")) > limits.MAX_ADDRESS_OCTETS
    ):
        raise AddressInvalid
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None or text[quoted.end() : quoted.end() + 1] != "@":
            raise AddressInvalid
        local, domain = _least_quoting(quoted[1]), text[quoted.end() + 1 :]
    else:
        local, _, domain = text.partition("@")
        if not _DOT_ATOM.match(local):
            raise AddressInvalid
    if not local.isascii() and not local.isprintable():  # C1 controls, line separators, lone surrogates
        raise AddressInvalid
    return Address(local, _literal(domain) if domain.startswith("[") else a_label(domain))


def _least_quoting(inside: str) -> str:
    """RFC 5321 4.1.2: all quoted forms are equivalent, and the one with the least quoting shall be used."""
    content = _PAIR.sub(r"\1", inside)
    if _DOT_ATOM.match(content):
        return content
    return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(domain: str) -> str:
    """An address literal in its one spelling (RFC 5321 4.1.3); only IPv4 and IPv6 exist."""
    match = _LITERAL.match(domain)
    if match is None:
        raise AddressInvalid
    try:
        if match["v6"]:
            return f"[IPv6:{ipaddress.IPv6Address(match['six']).compressed}]"
        return f"[{ipaddress.IPv4Address(match['four'])}]"
    except ValueError as error:
        raise AddressInvalid from error
