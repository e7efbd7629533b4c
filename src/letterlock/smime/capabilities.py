"""What a recipient can read: smimeCapabilities written and learned, and the compatibility classes made of them.

Guarantees
    Who is not known to read more gets what everybody with such a key reads: RSA v1.5 (or ECDH) and AES-256-CBC. A
    message is never written to recipients of different families together: programs that know only RSA refuse the whole
    message when another kind of recipient info stands in it (seen with NSS before 3.100).
    Nothing is written below the policy's floor, whatever a recipient says of itself.
    Damaged capabilities are no capabilities; reading them never raises.

Standards
    RFC 8551 2.5.2 (SMIMECapabilities) and 2.7 (choosing), RFC 4262 (in certificates), RFC 5084, RFC 3560.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, single
from letterlock.config import approved
from letterlock.pki.certificate import Certificate
from letterlock.smime.algorithms import CIPHERS, ContentCipher
from letterlock.smime.errors import Unsupported
from letterlock.smime.key_management import AGREEMENTS
from letterlock.smime.rsa_parameters import RSA_OAEP

if TYPE_CHECKING:
    from letterlock.smime.party import Party

Capabilities = frozenset[str]
"""Names of content ciphers (``algorithms.CIPHERS``), and "rsa-oaep"."""

_NAMES: Final = {cipher.oid: cipher.name for cipher in CIPHERS.values()} | {RSA_OAEP: "rsa-oaep"}
_OURS: Final = ("aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc")
ANNOUNCED: Final = der.sequence(*(der.sequence(CIPHERS[name].oid) for name in _OURS), der.sequence(RSA_OAEP))
"""Our own SMIMECapabilities, preferred first."""

_EXTENSION: Final = oid.dotted(oid.SMIME_CAPABILITIES)

Transport = Literal["rsa-pkcs1", "rsa-oaep-sha256", "ecdh", "x25519", "ml-kem"]
Family = Literal["rsa", "ec", "x25519", "ml-kem"]
FAMILIES: Final[tuple[Family, ...]] = ("rsa", "ec", "x25519", "ml-kem")
"""Kinds of keys whose recipient infos can stand in one message; those that more programs know first."""


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


def announced_in(certificate: Certificate) -> Capabilities | None:
    """The capabilities that stand in a certificate (RFC 4262); None when there are none."""
    value = certificate.extension(_EXTENSION)
    return None if value is None else read(value)


class Reader(Protocol):
    """Somebody who is to read a message: a certificate, and what its owner is known to read (None: nothing)."""

    @property
    def certificate(self) -> Certificate: ...

    @property
    def capabilities(self) -> Capabilities | None: ...


class Known(NamedTuple):
    """The plainest Reader."""

    certificate: Certificate
    capabilities: Capabilities | None


@dataclass(frozen=True, slots=True)
class EncryptionPolicy:
    """``cipher``: a name of EMITTED_CIPHERS, or auto: the best that each recipient is known to read.

    ``transport``: pkcs1 or oaep for all RSA recipients, or auto: OAEP for those known to read it. ``least_key_octets``
    and ``authenticated``: the floor; no content cipher with a shorter key, or none but GCM, is written.
    """

    cipher: str = "auto"
    transport: Literal["auto", "pkcs1", "oaep"] = "auto"
    least_key_octets: int = 16
    authenticated: bool = False


class CompatibilityClass(NamedTuple):
    """What recipients of one message have in common."""

    transport: Transport
    cipher: ContentCipher


@dataclass(frozen=True, slots=True)
class RecipientGroup:
    """Recipients that can share one encrypted message. All RSA with this transport, or all of one other family."""

    parties: tuple[Party, ...]
    cipher: ContentCipher
    transport: Transport


def group_recipients(parties: Iterable[Party], policy: EncryptionPolicy | None = None) -> list[RecipientGroup]:
    """The fewest groups in which nobody gets what they cannot read; every party is in exactly one of them.

    More than one group means that these recipients cannot share a message: the caller makes a delivery for each.
    Raises Unsupported when nothing can be encrypted to the key of a party, or the policy cannot be kept.
    """
    policy = policy or EncryptionPolicy()
    groups: dict[CompatibilityClass, list[Party]] = {}
    for each in dict.fromkeys(parties):
        groups.setdefault(class_of((each,), policy), []).append(each)
    return [RecipientGroup(tuple(members), found.cipher, found.transport) for found, members in groups.items()]


def family(certificate: Certificate) -> Family:
    """The family of its key. Raises Unsupported when nothing can be encrypted to it."""
    for each in FAMILIES:
        if certificate.key_kind == each:
            if not approved.permits("certificate key", each):
                raise Unsupported(detail=approved.refusal("certificate key", each))
            if each == "ec" and certificate.curve not in AGREEMENTS:
                raise Unsupported(detail=f"curve {certificate.curve}")
            return each
    raise Unsupported(detail=f"encryption to a key of kind {certificate.key_kind}")


def class_of(readers: Iterable[Reader], policy: EncryptionPolicy) -> CompatibilityClass:
    """What all of ``readers``, which are of one family, can read together. Raises Unsupported."""
    everybody = tuple(readers)
    kinds = {family(each.certificate) for each in everybody}
    if len(kinds) != 1:
        raise Unsupported(detail=f"one message for keys of {len(kinds)} families")
    return CompatibilityClass(_transport(kinds.pop(), everybody, policy), _cipher(everybody, policy))


def _transport(kind: Family, readers: tuple[Reader, ...], policy: EncryptionPolicy) -> Transport:
    if kind != "rsa":
        return "ecdh" if kind == "ec" else kind
    modern = policy.transport == "oaep" or not approved.permits("key transport", "rsa-pkcs1")
    if policy.transport == "auto" and not modern:
        modern = all("rsa-oaep" in (each.capabilities or ()) for each in readers)
    return "rsa-oaep-sha256" if modern else "rsa-pkcs1"


_PREFERRED: Final = ("aes256-gcm", "aes256-cbc", "aes128-gcm", "aes128-cbc")
_UNKNOWN: Final = "aes256-cbc"  # RFC 8551 2.7.1.2: when nothing is known


def _cipher(readers: tuple[Reader, ...], policy: EncryptionPolicy) -> ContentCipher:
    """Of what all of them announced, the strongest; never below the floor (RFC 8551 2.7.1)."""
    if policy.cipher != "auto":
        chosen = CIPHERS.get(policy.cipher)
        if chosen is None or chosen.weak:
            raise Unsupported(detail=f"content encryption {policy.cipher}")
        if not _holds(chosen, policy):
            raise Unsupported(detail=f"content encryption {policy.cipher} is below what the policy allows")
        return chosen
    known = frozenset.intersection(*((each.capabilities or frozenset()) for each in readers))
    for name in (*(each for each in _PREFERRED if each in known), _UNKNOWN, "aes256-gcm"):
        if _holds(CIPHERS[name], policy):
            return CIPHERS[name]
    raise Unsupported(detail="no content encryption holds the policy")


def _holds(cipher: ContentCipher, policy: EncryptionPolicy) -> bool:
    return cipher.key_octets >= policy.least_key_octets and (cipher.mode == "gcm" or not policy.authenticated)
