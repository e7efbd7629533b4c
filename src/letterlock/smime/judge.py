"""The verdict on one signer: the signature, then the path to an anchor, then the author. The same for all who tell of it.

Order
    A fault of the signature goes before one of the path, that before one of the author.

Guarantees
    "ok" means: the signature fits, the path holds at the time, and the certificate names the one author in From, which
    the protected From, if there is one, does not contradict. The verdict is one of errors.VERDICTS.

Standards
    RFC 8550 3 (author), RFC 9788 4.4 (a protected From that differs from the outer one).

See also
    flow's decrypt and ``letterlock inspect``, which ask; ``pki/trust.py`` (the path).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from letterlock.errors import PermanentError
from letterlock.mail.message import Entity
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.errors import MalformedCertificate
from letterlock.pki.path import Verdict
from letterlock.pki.reasons import Reason
from letterlock.smime import errors
from letterlock.smime.header_protection import Protected
from letterlock.smime.peel import Layer
from letterlock.smime.verify import Outcome, author, check_author

_VERDICTS: Final = {
    Reason.EXPIRED: errors.Expired.verdict,
    Reason.NOT_YET_VALID: errors.Expired.verdict,
    Reason.REVOKED: errors.Revoked.verdict,
    Reason.REVOCATION_UNKNOWN: errors.RevocationUnknown.verdict,
    Reason.WEAK_KEY: errors.Weak.verdict,
    Reason.WEAK_DIGEST: errors.Weak.verdict,
}


_BY_REVOCATION: Final = frozenset({Reason.REVOKED, Reason.REVOCATION_UNKNOWN})


class Judgement(NamedTuple):
    """What came of one signer. ``addresses``: of the certificate; ``reasons``: why not ok, in the words of ``pki``;
    ``revocation``: by what it is revoked, or why that is not known, ok or not."""

    verdict: str
    addresses: tuple[str, ...]
    identifier: str
    reasons: tuple[str, ...] = ()
    revocation: str = ""


def brought(layer: Layer) -> list[Certificate]:
    """The certificates that a signature brought, those that can be read."""
    found = []
    for each in layer.certificates:
        try:
            found.append(parse(each))
        except MalformedCertificate:
            continue
    return found


def asks_path(outcome: Outcome) -> bool:
    """Does the signature fit, so that it remains to be judged whether its certificate is trusted?"""
    return outcome.signer is not None and outcome.verdict == errors.OK


def judge(outcome: Outcome, message: Entity, path: Verdict | None, protected: Protected | None = None) -> Judgement:
    """The verdict. ``path``: what ``pki.trust`` says of the certificate, where asks_path(); else None."""
    identifier = str(outcome.identifier)
    signer = outcome.signer
    if signer is None:
        return Judgement(outcome.verdict, (), identifier)
    verdict, reasons, revocation = outcome.verdict, tuple(signer.weak), ""
    if verdict == errors.OK:
        if path is None:
            raise TypeError("a good signature without a verdict on its path")
        reasons = tuple(path.reasons)
        revocation = path.detail if _BY_REVOCATION.issuperset(reasons) and reasons else path.unsure
        if not path.ok:
            verdict = _VERDICTS.get(path.reasons[0] if len(path.reasons) == 1 else Reason.UNTRUSTED, "untrusted")
        elif not is_author(signer.certificate, message, protected):
            verdict = errors.AddressMismatch.verdict
    return Judgement(verdict, signer.addresses, identifier, reasons, revocation)


def is_author(certificate: Certificate, message: Entity, protected: Protected | None = None) -> bool:
    """Is the certificate for the author of the message, and no other author is protected?"""
    try:
        check_author(certificate, message)
        inner = protected.author if protected else None
        return inner is None or inner == author(message)
    except PermanentError:
        return False


def overall(judgements: Sequence[Judgement]) -> str:
    """One verdict for a signed layer: "ok", or the first that is not. A signer whose algorithm or certificate is not
    known is passed over when another one is good: that is how signers move to new algorithms."""
    verdicts = [each.verdict for each in judgements]
    passed = (errors.Unsupported.verdict, errors.NoCertificate.verdict) if errors.OK in verdicts else ()
    return next((each for each in verdicts if each != errors.OK and each not in passed), errors.OK)
