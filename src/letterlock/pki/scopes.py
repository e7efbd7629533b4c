"""Where certificates for an address are looked up: its own, those tied to it, its domain's, its domain's authorities'.

Guarantees
    Pure. What matches is used, all of it: no scope hides another. A key that begins with @ is a tie, which an
    administrator made (pki.tie); no address begins so.

Order
    The address, ties to it, the domain's authority, ties to the domain, ties to the domains above it, the nearest first.
    '*.example.org' fits names below example.org, not itself, as in the policy.

Standards
    RFC 3183 2.2 (names of a domain's confidentiality and signing authority).

See also
    ``select.py`` (the rules), ``decision/facts.py`` and ``cli/certificate_why.py`` (who asks).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from letterlock.pki.certificate import match_form
from letterlock.pki.select import Candidate, Selection

Origin = Literal["personal", "tied", "authority", "domain", "wildcard", "additional"]

CONFIDENTIALITY: Final = "domain-confidentiality-authority"  # decision.known.AUTHORITY; crafts do not import it
SIGNING: Final = "domain-signing-authority"
MOST_LABELS: Final = 20  # of a domain, for which ties above it are looked up


class Scope(NamedTuple):
    """``key``: what pki.candidates is asked for."""

    key: str
    origin: Origin


def personal(address: str) -> tuple[Scope, ...]:
    """An address's own certificates and those tied to it."""
    form = match_form(address) or address
    return Scope(form, "personal"), Scope(f"@{form}", "tied")


def domain_wide(address: str, authority: str = CONFIDENTIALITY) -> tuple[Scope, ...]:
    """The certificates of an address's domain, which encrypt for everybody in it."""
    domain = (match_form(address) or address).rpartition("@")[2].lower()
    labels = domain.split(".")[:MOST_LABELS]
    above = [".".join(labels[n:]) for n in range(1, len(labels))]
    return (
        Scope(f"{authority}@{domain}", "authority"),
        Scope(f"@{domain}", "domain"),
        *(Scope(f"@*.{each}", "wildcard") for each in above),
    )


def is_tie(key: str) -> bool:
    """The key stands for certificates that an administrator tied to a scope."""
    return key.startswith("@")


def signers(own: Iterable[Candidate], tied: Iterable[Candidate], address: str) -> Sequence[Candidate]:
    """Candidates to sign for an address. A tie pins one of its own certificates; it lends no other's name to it."""
    pinned = {each.id for each in tied}
    found = {each.id: each._replace(attached=False) for each in (*own, *tied)}
    return [each._replace(attached=each.id in pinned and each.certificate.names(address)) for each in found.values()]


def merged(selections: Sequence[Selection]) -> Selection:
    """Several selections as one: chosen by any is chosen; each certificate stands there once."""
    if len(selections) == 1:
        return selections[0]
    chosen = {each.certificate.thumbprint: each for one in selections for each in one.chosen}
    rejected = {
        each.candidate.certificate.thumbprint: each
        for one in selections
        for each in one.rejected
        if each.candidate.certificate.thumbprint not in chosen
    }
    unsure = {each.candidate.certificate.thumbprint: each for one in selections for each in one.unsure}
    return Selection(tuple(chosen.values()), tuple(rejected.values()), tuple(unsure.values()))
