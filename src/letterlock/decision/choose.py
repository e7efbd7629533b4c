"""Per recipient: the method, or the reasons why none can be used; and what S/MIME the recipient can read.

Order
    The methods of ``method_order`` in turn; the first that can be used wins (behaviour 1.4, step 6). Then protection():
    the certificates of one family of keys, and the best algorithms that all of them are known to read.

Guarantees
    Mode "allow" is opportunistic for S/MIME only; PDF and portal are used when encryption is mandatory. A calendar is
    skipped only when encryption is not mandatory.
    Keys of different families never meet in one protection, and no content encryption is below smime_encryption_floor.
    What the owner of a certificate said last under a signature counts, else what stands in the certificate.

See also
    ``smime/capabilities.py`` for families and classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from letterlock.decision.known import MessageFacts, RecipientFacts
from letterlock.decision.terms import Mode, Terms
from letterlock.pki.certificate import Certificate
from letterlock.pki.select import Candidate, Selection
from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings.smime import SMIME_SIGNING_ALG
from letterlock.smime.capabilities import (
    FAMILIES,
    Capabilities,
    CompatibilityClass,
    EncryptionPolicy,
    Family,
    Known,
    Transport,
    announced_in,
    class_of,
    family,
)
from letterlock.smime.errors import Unsupported


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
    if not usable(selection.chosen):
        return "no certificate with a key that can be encrypted to", ""
    return None


class Protection(NamedTuple):
    """How a recipient's S/MIME is encrypted. ``certificates``: of one family; ``additional``: those of the same family;
    ``apart``: additional ones that cannot be in the same message. Recipients that are to share a message must have the
    same ``transport`` and ``cipher``."""

    certificates: tuple[Candidate, ...]
    additional: tuple[Candidate, ...]
    apart: tuple[Candidate, ...]
    transport: Transport
    cipher: str


def protection(certificates: tuple[Candidate, ...], additional: tuple[Candidate, ...], terms: Terms) -> Protection:
    """The protection with these certificates, of which one at least is usable(). Of several families the one of a
    certificate that its owner prefers, then the one that more programs know; but first one in which every additional
    certificate can be there too."""
    there = {each: _of(each, certificates) for each in FAMILIES}
    families = sorted((each for each, own in there.items() if own), key=lambda each: not _preferred(there[each]))
    complete = [each for each in families if not _apart(additional, each)]
    chosen = (complete or families)[0]
    own, more = there[chosen], _of(chosen, additional)
    found = _class((*own, *more), terms.policy)
    return Protection(own, more, _apart(additional, chosen), found.transport, found.cipher.name)


def signing_algorithm(signer: Candidate, settings: EffectiveSettings) -> str:
    """How the signer signs, of smime_signing_alg; empty: as its key does by itself. A key that is restricted to PSS
    (RFC 4055 1.2) stays with it."""
    asked, kind = settings.value(SMIME_SIGNING_ALG), signer.certificate.key_kind
    fits = kind == "rsa" or (kind == "rsa-pss" and asked.startswith("rsa-pss"))
    return asked if fits and asked != "auto" else ""


def usable(certificates: Iterable[Candidate]) -> bool:
    """Is there one whose key a message can be encrypted to?"""
    return any(_family(each.certificate) for each in certificates)


def _preferred(candidates: Iterable[Candidate]) -> bool:
    """Did the owner of one of them ask to be written to with it (RFC 8551 2.5.3)?"""
    return any(each.preferred for each in candidates)


def _of(chosen: Family, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(each for each in candidates if _family(each.certificate) == chosen)


def _apart(additional: Iterable[Candidate], chosen: Family) -> tuple[Candidate, ...]:
    """Additional certificates of another family whose owner has none of this one."""
    there = _of(chosen, additional)
    served = {address for each in there for address in each.certificate.addresses}
    return tuple(
        each for each in additional if each not in there and not served.intersection(each.certificate.addresses)
    )


@lru_cache(maxsize=4096)
def _family(certificate: Certificate) -> Family | None:
    try:
        return family(certificate)
    except Unsupported:
        return None


@lru_cache(maxsize=4096)
def _class(candidates: tuple[Candidate, ...], policy: EncryptionPolicy) -> CompatibilityClass:
    return class_of([Known(each.certificate, _capabilities(each)) for each in candidates], policy)


def _capabilities(each: Candidate) -> Capabilities | None:
    return announced_in(each.certificate) if each.capabilities is None else each.capabilities
