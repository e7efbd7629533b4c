"""How well a connection to a next hop must be protected, and the TLS context for it.

States (levels, in order; the words are those of the setting tls_out)
    none     TLS is not used
    may      TLS when the server offers it, with any certificate; in clear when the handshake fails
    encrypt  TLS or no delivery, with any certificate
    verify   TLS with a certificate that is trusted (system, or the anchors of the policy) and names the server

Guarantees
    ``never_below`` is the only way from a policy and the floor a decision relied on to what is used.

Standards
    RFC 3207, RFC 7435 (opportunistic), RFC 9525 (names), RFC 9325 3.1 (TLS 1.2 at least).
"""

from __future__ import annotations

import functools
import ssl
from enum import IntEnum
from typing import NamedTuple

from letterlock.config import approved_tls
from letterlock.errors import TemporaryError


class Level(IntEnum):
    """What TLS is asked for; the numbers are those that deliveries carry."""

    NONE = 0
    MAY = 1
    ENCRYPT = 2
    VERIFY = 3


class TlsPolicy(NamedTuple):
    """``anchors``: PEM text, "" for the system's. ``name``: to be found in the certificate, "" for the host's."""

    level: Level = Level.NONE
    anchors: str = ""
    name: str = ""


class TlsNotOffered(TemporaryError):
    """The next hop's server does not offer the TLS this message needs."""

    status = "4.7.4"  # RFC 3463 3.8: security features not supported


class TlsFailed(TemporaryError):
    """The next hop's server could not be reached with the TLS this message needs."""

    status = "4.7.5"  # cryptographic failure


@functools.lru_cache(maxsize=64)
def never_below(policy: TlsPolicy, floor: int) -> TlsPolicy:
    """The policy, raised to ``floor`` where it asks for less. Raises ValueError for a level that does not exist."""
    least = Level(floor)
    return policy if policy.level >= least else policy._replace(level=least)


@functools.lru_cache(maxsize=64)
def context(verify: bool, anchors: str) -> ssl.SSLContext:
    """The client's context; made once for each set of anchors."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    approved_tls.restrict(made)
    if verify:
        if anchors:
            made.load_verify_locations(cadata=anchors)
            made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a single server's certificate may be the anchor
        else:
            made.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
