"""Settings of the way mail takes: who may relay through us, and where it goes next.

Standards
    RFC 5321 5.1 (next hop), RFC 3207 and RFC 8689 (TLS on the way).
"""

from __future__ import annotations

import re

from letterlock.policy.settings.declare import DOMAINS, GATEWAY, Setting
from letterlock.policy.settings.kinds import Choice, Listed, Text
from letterlock.policy.settings.texts import NEXT_HOP, Network, Networks, Routes

TLS_LEVELS = ("none", "may", "encrypt", "verify")
"""In order: each asks for more than the one before; a delivery carries the place in this list as its least level."""

_NOWHERE: tuple[Network, ...] = ()
_NO_ROUTES: tuple[tuple[str, str], ...] = ()


def _owner(text: str) -> str:
    text = text.strip().lower()
    if text.startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError("a fingerprint has 64 hexadecimal digits")
    return text


_OWNER = Text("a name in a certificate, or sha256: and its fingerprint", most=255, empty=False, more=_owner)

RELAY_NETWORKS = Setting(
    "relay_networks",
    Networks(),
    _NOWHERE,
    "Clients in these networks may send to anybody through us; all others only to our own domains.",
    GATEWAY,
)
RELAY_CERTIFICATES = Setting(
    "relay_certificates",
    Listed(_OWNER, "certificate names or sha256:<hex> fingerprints", most=100),
    (),
    "Clients that prove to own a certificate of these names (or fingerprints) may send to anybody through us.",
    GATEWAY,
)
XFORWARD_PEERS = Setting(
    "xforward_peers",
    Networks(),
    _NOWHERE,
    "Clients that may say by XFORWARD for whom they speak; it counts for logs and limits, not for the right to relay.",
    GATEWAY,
)
NEXT_HOP_OUTGOING = Setting(
    "next_hop_outgoing",
    NEXT_HOP,
    "",
    "Where mail to external recipients goes; empty: the mail exchangers of the recipient's domain.",
    DOMAINS,
    "sender",
)
NEXT_HOP_INCOMING = Setting(
    "next_hop_incoming",
    NEXT_HOP,
    "",
    "The internal mail server; empty: the mail exchangers of the recipient's domain.",
    DOMAINS,
    "recipient",
)
TRANSPORT = Setting(
    "transport",
    Routes(),
    _NO_ROUTES,
    "The transport map: next hops for single domains (or *.domain); before next_hop_outgoing and next_hop_incoming.",
    GATEWAY,
)
TLS_OUT = Setting(
    "tls_out",
    Choice(*TLS_LEVELS),
    "may",
    "The least TLS towards the recipient's next hop: none (never used), may, encrypt, verify (certificate and name).",
    DOMAINS,
    "recipient",
)
