"""Per recipient: the method, or the reasons why none can be used.

Order
    The methods of ``method_order`` in turn; the first that can be used wins (behaviour 1.4, step 6).

Guarantees
    Mode "allow" is opportunistic for S/MIME only; PDF and portal are used when encryption is mandatory. A calendar is
    skipped only when encryption is not mandatory.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from letterlock.decision.known import MessageFacts, RecipientFacts
from letterlock.decision.terms import Mode
from letterlock.pki.certificate import Certificate
from letterlock.pki.select import Candidate, Selection

_CAPABILITIES: Final = "1.2.840.113549.1.9.15"  # smimeCapabilities in a certificate, RFC 4262
_AES256_GCM: Final = bytes.fromhex("060960864801650304012e")  # its OID in DER, RFC 5084 3.2
_FAMILIES: Final = {"rsa": "transport", "ec": "agreement", "x25519": "agreement", "x448": "agreement", "ml-kem": "kem"}


class Tried(NamedTuple):
    """One method that cannot be used, and why; ``setting``: the setting that says so, if one does."""

    method: str
    reason: str
    setting: str = ""


class Choice(NamedTuple):
    """``method``: of METHODS, empty when none can be used; ``certificates``: those that open it for the recipient."""

    method: str
    certificates: tuple[Candidate, ...]
    tried: tuple[Tried, ...]


def choose(recipient: RecipientFacts, required: Mode, message: MessageFacts) -> Choice:
    """The method for a recipient whose required mode is allow or mandatory."""
    tried: list[Tried] = []
    for method in recipient.terms.methods.value:
        if method == "smime":
            selection = recipient.personal
        elif method == "smime-domain":
            selection = recipient.domain_wide
        else:
            tried.append(Tried(method, "not part of this version"))
            continue
        obstacle = _obstacle(recipient, required, message, selection)
        if obstacle is None:
            return Choice(method, selection.chosen, tuple(tried))
        tried.append(Tried(method, *obstacle))
    return Choice("", (), tuple(tried))


def _obstacle(
    recipient: RecipientFacts, required: Mode, message: MessageFacts, selection: Selection
) -> tuple[str, str] | None:
    """Why S/MIME with these certificates cannot be used: reason and setting; None when it can."""
    terms = recipient.terms
    if not terms.smime.value:
        return "switched off", "smime_enabled"
    if message.octets > terms.max_size.value:
        return "message too large", "smime_max_size"
    if message.calendar and terms.skip_calendar.value and required != "mandatory":
        return "calendar", "smime_skip_calendar"
    if not selection.chosen:
        return ("no valid certificate" if selection.rejected else "no certificate"), ""
    return None


def family(certificates: Iterable[Candidate]) -> tuple[str, ...]:
    """How the content key reaches these certificates. Recipients of different families do not share a CMS: a program
    that knows only RSA may refuse a message in which it meets another kind of recipient info."""
    return tuple(sorted({_FAMILIES.get(each.certificate.key_kind, "transport") for each in certificates}))


def cipher(asked: str, certificates: Iterable[Candidate]) -> str:
    """The content encryption: as asked; for ``auto`` AES-256-GCM when every certificate announces it (RFC 8551
    2.5.2)."""
    if asked != "auto":
        return asked
    return "aes256-gcm" if all(_announces_gcm(each.certificate) for each in certificates) else "aes256-cbc"


@lru_cache(maxsize=4096)
def _announces_gcm(certificate: Certificate) -> bool:
    return _AES256_GCM in (certificate.extension(_CAPABILITIES) or b"")
