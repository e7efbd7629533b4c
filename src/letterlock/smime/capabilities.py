"""What a recipient can read: smimeCapabilities written and learned, and the compatibility classes made of them.

Guarantees
    Who is not known to read more gets what everybody reads: RSA v1.5 (or ECDH) and AES-256-CBC. A message is never
    written to recipients of different families together: programs that know only RSA refuse the whole message when
    another kind of recipient info stands in it (seen with NSS before 3.100).
    Damaged capabilities are no capabilities; reading them never raises.

Standards
    RFC 8551 2.5.2 (SMIMECapabilities) and 2.7 (choosing), RFC 4262 (in certificates), RFC 4056, RFC 5084, RFC 3560.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from letterlock.asn1 import der
from letterlock.asn1.ber import BerError, single
from letterlock.smime.algorithms import CIPHERS, RSA_OAEP, ContentCipher
from letterlock.smime.errors import Unsupported

if TYPE_CHECKING:
    from letterlock.smime.party import Party

Capabilities = frozenset[str]
"""Names of content ciphers (``algorithms.CIPHERS``), and "rsa-oaep"."""

_NAMES: Final = {cipher.oid: cipher.name for cipher in CIPHERS.values()} | {RSA_OAEP: "rsa-oaep"}
_OURS: Final = ("aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc")
ANNOUNCED: Final = der.sequence(*(der.sequence(CIPHERS[name].oid) for name in _OURS), der.sequence(RSA_OAEP))
"""Our own SMIMECapabilities, preferred first."""

Transport = Literal["rsa-pkcs1", "rsa-oaep-sha256", "ecdh"]


@lru_cache(maxsize=1024)
def read(value: bytes) -> Capabilities:
    """The capabilities in a DER SMIMECapabilities; what we do not know is left out."""
    names: set[str] = set()
    try:
        for capability in single(value).expect(der.SEQUENCE).children():
            parts = capability.children()
            if parts and (name := _NAMES.get(parts[0].raw)):
                names.add(name)
    except BerError:
        return frozenset()
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class EncryptionPolicy:
    """``cipher``: a name of EMITTED_CIPHERS, or auto: the best that each recipient is known to read.

    ``transport``: pkcs1 or oaep for all RSA recipients, or auto: OAEP for those known to read it.
    """

    cipher: str = "auto"
    transport: Literal["auto", "pkcs1", "oaep"] = "auto"


@dataclass(frozen=True, slots=True)
class RecipientGroup:
    """Recipients that can share one encrypted message. All RSA with this transport, or all elliptic curve."""

    parties: tuple[Party, ...]
    cipher: ContentCipher
    transport: Transport


def group_recipients(parties: Iterable[Party], policy: EncryptionPolicy | None = None) -> list[RecipientGroup]:
    """The fewest groups in which nobody gets what they cannot read; every party is in exactly one of them.

    Raises Unsupported when nothing can be encrypted to the key of a party, or the policy names no cipher we write.
    """
    policy = policy or EncryptionPolicy()
    groups: dict[tuple[Transport, str], list[Party]] = {}
    for each in dict.fromkeys(parties):
        groups.setdefault((_transport(each, policy), _cipher(each, policy)), []).append(each)
    return [
        RecipientGroup(tuple(members), CIPHERS[cipher], transport) for (transport, cipher), members in groups.items()
    ]


def _transport(party: Party, policy: EncryptionPolicy) -> Transport:
    if party.kind == "ec":
        return "ecdh"
    if party.certificate.key_kind != "rsa":
        raise Unsupported(detail=f"encryption to a key of kind {party.certificate.key_kind}")
    if policy.transport == "auto":
        return "rsa-oaep-sha256" if "rsa-oaep" in (party.capabilities or ()) else "rsa-pkcs1"
    return "rsa-oaep-sha256" if policy.transport == "oaep" else "rsa-pkcs1"


def _cipher(party: Party, policy: EncryptionPolicy) -> str:
    if policy.cipher != "auto":
        if policy.cipher not in CIPHERS or CIPHERS[policy.cipher].weak:
            raise Unsupported(detail=f"content encryption {policy.cipher}")
        return policy.cipher
    known = party.capabilities or frozenset()
    if "aes256-gcm" in known:
        return "aes256-gcm"
    # RFC 8551 2.7.1: of those the recipient announced, the strongest; AES-256-CBC when nothing is known
    if "aes256-cbc" not in known and "aes128-cbc" in known:
        return "aes128-cbc"
    return "aes256-cbc"
