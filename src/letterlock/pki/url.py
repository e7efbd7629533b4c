"""URLs that stand in certificates and settings: which may be fetched at all, taken apart strictly.

Guarantees
    A Url came from printable ASCII without blanks, quotes, brackets or a user name: nothing in it can break out of a
    request line or mean another host to another reader. ``host`` is in lower case, an IPv6 address without brackets.
    Which addresses may be connected to is not asked here: the fetch station asks it when it connects.

Standards
    RFC 3986 3 (generic syntax), RFC 9110 4.2 (http, https), RFC 4516 2 (ldap), RFC 5280 4.2.1.13 and 4.2.2.1.

Raises
    UrlRefused.

See also
    ``fetch/reach.py`` for addresses.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from letterlock.pki.errors import CertificateError

MAX_OCTETS: Final = 1900  # the database takes 2000

PORTS: Final = {"http": 80, "https": 443, "ldap": 389, "ldaps": 636}
"""The schemes that are fetched, and their ports."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z]{1,10})://"
    r"(?P<host>[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(:(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>([/?][!#-;=?-\[\]_a-z~]*)?)\Z",
    re.ASCII,
)


class UrlRefused(CertificateError):
    """The address of what is to be fetched is of a kind that is not fetched."""


class Url(NamedTuple):
    """``rest``: path and query as they came, "/" at least; without a fragment."""

    scheme: str
    host: str
    port: int
    rest: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.rest}"


def parse(text: str) -> Url:
    """The Url in ``text``. Raises UrlRefused."""
    if len(text) > MAX_OCTETS:
        raise UrlRefused(detail=f"a URL of {len(text)} characters")
    match = _URL.match(text)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in PORTS:
        raise UrlRefused(detail=f"not a URL we fetch: {text[:200]!r}")
    port = int(match["port"] or PORTS[scheme])
    host = match["host"].lower()
    if not 0 < port < 65536 or ".." in host:
        raise UrlRefused(detail=f"no host: {text[:200]!r}")
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise UrlRefused(detail=f"no host: {text[:200]!r}") from None
    rest = match["rest"].partition("#")[0]  # RFC 3986 3.5: a fragment is never sent
    return Url(scheme, host, port, rest if rest.startswith("/") else f"/{rest}")
