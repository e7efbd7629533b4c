"""Mail that the sender's own program encrypted, encrypted anew: for whom that may be, and with which certificates.

Guarantees
    Pure. What was opened with the sender's key is encrypted only for a recipient, and only to certificates, that the
    original names: nobody reads it who was not to, whoever sent it in (docs/decisions/0019). It is never sent in clear.

See also
    ``outgoing.py``, which asks; flow's reopen, which says what is inside.
"""

from __future__ import annotations

import msgspec

from letterlock.decision.known import Facts, Inside, RecipientFacts
from letterlock.pki.certificate import Certificate
from letterlock.pki.select import Selection

NOT_NAMED = "the original names no certificate of this recipient that is used"


def facts_inside(facts: Facts) -> Facts | None:
    """The facts with the message as it is inside; None: it was not opened."""
    inside = facts.inside
    return msgspec.structs.replace(facts, message=inside.message) if inside and inside.message else None


def why_not(facts: Facts) -> str:
    """Why it was not opened."""
    return facts.inside.reason if facts.inside else "nobody looked inside"


def as_named(recipient: RecipientFacts, inside: Inside) -> RecipientFacts | None:
    """The recipient with those of its certificates that the original was encrypted to; None: there is none."""
    personal, domain_wide = (_named(each, inside) for each in (recipient.personal, recipient.domain_wide))
    if not (personal.chosen or domain_wide.chosen):
        return None
    return msgspec.structs.replace(recipient, personal=personal, domain_wide=domain_wide)


def _named(selection: Selection, inside: Inside) -> Selection:
    return Selection(
        tuple(each for each in selection.chosen if _is_named(each.certificate, inside.recipients)), selection.rejected
    )


def _is_named(certificate: Certificate, recipients: frozenset[str]) -> bool:
    """As smime names recipients: issuer and serial number, or key identifier, in hexadecimal."""
    names = (certificate.issuer_serial.hex(), f"key:{certificate.key_identifier.hex()}")
    return any(each in recipients for each in names if each not in ("", "key:"))
