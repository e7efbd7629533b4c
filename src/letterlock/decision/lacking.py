"""What a decision lacks: revocation data of the certificates it would use, issuers, certificates of addresses.

Guarantees
    Pure: it reads nothing and says only what would help. An address is looked up only when S/MIME may be used and
    encryption is not declined; nothing is asked for that the settings do not allow to be fetched.

See also
    ``facts.py``, which notes it; ``pki/wanted.py`` for what a Want is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from letterlock.decision.known import Lack, RecipientFacts
from letterlock.decision.terms import Terms
from letterlock.pki import wanted
from letterlock.pki.certificate import Certificate, match_form
from letterlock.pki.chains import MAX_DEPTH
from letterlock.pki.path import Verdict
from letterlock.pki.reasons import Purpose, Reason
from letterlock.pki.revocation import Mode
from letterlock.pki.select import Selection
from letterlock.pki.trust import Trust
from letterlock.pki.wanted import Noted, Want
from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings import fetching

MOST: Final = 20
"""Things one selection may ask for."""


_HOPELESS: Final = frozenset({Reason.NO_KEY, Reason.ADDRESS, Reason.EXPIRED, Reason.MALFORMED})
"""An issuer would not help a certificate that fails one of these."""


class Allowed(NamedTuple):
    """What the gateway's settings let us fetch."""

    revocation: bool
    issuers: bool
    directories: bool
    smimea: bool

    @classmethod
    def by(cls, settings: EffectiveSettings) -> Allowed:
        """As set at the gateway; the settings of any address say it."""
        return cls(
            settings.value(fetching.FETCH_REVOCATION),
            settings.value(fetching.FETCH_ISSUERS),
            bool(settings.value(fetching.CERTIFICATE_DIRECTORIES)),
            settings.value(fetching.SMIMEA_LOOKUP),
        )


class Judged(NamedTuple):
    """What a selection was made by."""

    trust: Trust
    at: datetime
    purpose: Purpose
    mode: Mode

    def verdict(self, certificate: Certificate) -> Verdict:
        """The verdict on one certificate of the selection, as it was made; it is remembered."""
        return self.trust.verdict(certificate, self.at, self.purpose, (), self.mode)


_BY_REVOCATION: Final = frozenset({Reason.REVOKED, Reason.REVOCATION_UNKNOWN})


def is_by_revocation(reasons: Sequence[Reason]) -> bool:
    """A certificate is refused for nothing but what is known, or not known, of its revocation."""
    return bool(reasons) and _BY_REVOCATION.issuperset(reasons)


def is_doubtful(*selections: Selection) -> bool:
    """Of some certificate it is not known whether it has been revoked."""
    return any(
        each.unsure or any(Reason.REVOCATION_UNKNOWN in one.reasons for one in each.rejected) for each in selections
    )


def looked_at(facts: RecipientFacts) -> tuple[Selection, ...]:
    """The selections of a recipient."""
    return facts.personal, facts.domain_wide, facts.additional


def of_recipient(facts: RecipientFacts, trust: Trust, at: datetime, allowed: Allowed, noted: Noted) -> list[Want]:
    """What would help to encrypt to a recipient outside."""
    found = list(of_address(facts.address, facts.terms, facts.personal, allowed))
    judged = Judged(trust, at, "encrypt", facts.terms.revocation)
    for each in looked_at(facts):
        found += of_selection(each, judged, allowed, noted)
    return found


def of_selection(selection: Selection, judged: Judged, allowed: Allowed, noted: Noted) -> list[Want]:
    """Revocation data of the chosen ones, and of those refused for it; issuers of those that lead to no anchor."""
    found: list[Want] = []
    if allowed.revocation and judged.mode != "none":
        refused = [each.candidate for each in selection.rejected if is_by_revocation(each.reasons)]
        for each in (*selection.chosen, *refused):
            found += wanted.revocation(judged.verdict(each.certificate).path, noted)
    if allowed.issuers:
        for rejected in selection.rejected:
            if Reason.UNTRUSTED in rejected.reasons and not _HOPELESS.intersection(rejected.reasons):
                found += wanted.issuers(_top(rejected.candidate.certificate, judged.trust))
    return list(dict.fromkeys(found))[:MOST]


def of_path(path: Sequence[Certificate], allowed: Allowed, noted: Noted) -> list[Want]:
    """Revocation data of a path that leads to an anchor."""
    return list(dict.fromkeys(wanted.revocation(path, noted)))[:MOST] if allowed.revocation else []


def of_address(address: str, terms: Terms, personal: Selection, allowed: Allowed) -> Iterator[Want]:
    """Where certificates of an address could be found, when it has none that can be used."""
    name = match_form(address)
    usable = terms.smime.value and "smime" in terms.methods.value and terms.asked != "none"
    if not name or personal.chosen or not usable:
        return
    if allowed.directories:
        yield Want("directory", name)
    if allowed.smimea:
        yield Want("smimea", name)


def lacks(wants: Sequence[Want], missing: dict[Want, bool]) -> tuple[Lack, ...]:
    """Those of ``wants`` that are ``missing``, for the facts."""
    return tuple(Lack(str(each), missing[each]) for each in wants if each in missing)


def _top(certificate: Certificate, trust: Trust) -> Certificate:
    """The certificate above which nothing is known: the one whose issuer is missing."""
    top = certificate
    for _ in range(MAX_DEPTH):
        above = next((each for each in trust.intermediates.get(top.issuer_key, ()) if each != top), None)
        if above is None or above.is_self_issued:
            break
        top = above
    return top
