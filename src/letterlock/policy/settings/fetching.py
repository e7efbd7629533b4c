"""Settings of what is fetched from outside: revocation data, issuers' certificates, certificates of addresses.

Standards
    RFC 5280 4.2.1.13, 4.2.2.1 (where certificates say it is), RFC 4516 (LDAP URLs), RFC 8162 (SMIMEA).

See also
    ``fetch/`` (who fetches), ``pki/wanted.py`` (what is asked for).
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta

from letterlock.policy.settings.declare import GATEWAY, Setting
from letterlock.policy.settings.kinds import Flag, Lined, Span, Text
from letterlock.policy.settings.texts import Network, Networks

_NOWHERE: tuple[Network, ...] = ()


def _directory(text: str) -> str:
    """``ldap[s]://host[:port]/base``. Raises ValueError."""
    match = re.fullmatch(r"(ldaps?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/([!-~]*)", text, re.IGNORECASE)
    if match is None or set(match[4]) & set('?#<>{}|\\^`"'):
        raise ValueError("a scheme, a host and a base, blanks in it written %20")
    return f"{match[1].lower()}://{match[2].lower()}{match[3] or ''}/{match[4]}"


def _loopback(text: str) -> str:
    """A loopback address with port. Raises ValueError."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[0-9.]+)(?::([0-9]{1,5}))?", text.strip())
    port = int(match[2] or 53) if match else 0
    if match is None or not 0 < port < 65536 or not ipaddress.ip_address(match[1].strip("[]")).is_loopback:
        raise ValueError("only a resolver on this machine can be believed")
    return f"{match[1]}:{port}"


FETCH_REVOCATION = Setting(
    "fetch_revocation",
    Flag(),
    True,
    "CRLs (or, where there are none, OCSP answers) of the certificates in use are fetched.",
    GATEWAY,
)
FETCH_ISSUERS = Setting(
    "fetch_issuers",
    Flag(),
    True,
    "The issuer of a stored certificate that leads to no anchor is fetched from where the certificate says it is.",
    GATEWAY,
)
CRL_INTERVAL = Setting(
    "crl_interval",
    Span(timedelta(minutes=10), timedelta(days=7)),
    timedelta(hours=12),
    "How often a CRL is fetched again; sooner when it says that the next one comes sooner.",
    GATEWAY,
)
FETCH_NETWORKS = Setting(
    "fetch_networks",
    Networks(),
    _NOWHERE,
    "Networks that are not public and may be fetched from all the same: those of internal authorities and directories.",
    GATEWAY,
)
CERTIFICATE_DIRECTORIES = Setting(
    "certificate_directories",
    Lined(
        Text("a directory as ldap[s]://host[:port]/base", most=500, empty=False, more=_directory),
        "LDAP directories",
        most=10,
    ),
    (),
    "LDAP directories that are asked for certificates of external recipients who have no usable one.",
    GATEWAY,
)
SMIMEA_LOOKUP = Setting(
    "smimea_lookup",
    Flag(),
    False,
    "Certificates of external recipients who have no usable one are looked up in their domain's signed zone (SMIMEA).",
    GATEWAY,
)
DNSSEC_RESOLVER = Setting(
    "dnssec_resolver",
    Text("a loopback address with its port, such as 127.0.0.1:53, or nothing", most=60, more=_loopback),
    "",
    "The validating resolver on this machine that SMIMEA is asked of; empty: the system's, when it is on this machine.",
    GATEWAY,
)
