"""Path building: chains of certificates from one upwards, by name, likeliest first, within fixed bounds.

Guarantees
    At most MAX_CHAINS chains of at most MAX_DEPTH issuers are given, and at most MAX_STEPS issuers looked at, whatever
    certificates a message brought. Nothing here is checked but names: whether a chain holds is asked in ``path.py``.

Standards
    RFC 4158 2.4 (loops), 3.5 (order), RFC 5280 7.1 (names).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from letterlock.pki.certificate import Certificate

MAX_DEPTH: Final = 8
"""Issuers above a certificate, the anchor included."""
MAX_CHAINS: Final = 20
MAX_STEPS: Final = 400
MAX_NAMESAKES: Final = 100
"""Issuers of one name that are looked at: a hostile message may bring thousands."""

Index = Mapping[bytes, Sequence[Certificate]]
"""Certificates by their subject_key."""

Path = tuple[Certificate, ...]
"""From a certificate to the anchor above it."""


def index(certificates: Iterable[Certificate]) -> dict[bytes, list[Certificate]]:
    """An Index of the given certificates, in their order, each once."""
    found: dict[bytes, list[Certificate]] = {}
    for each in dict.fromkeys(certificates):
        found.setdefault(each.subject_key, []).append(each)
    return found


def chains(certificate: Certificate, intermediates: Index, anchors: Index, at: datetime) -> Iterator[Path]:
    """Chains from the certificate to an anchor, likely ones first, within the bounds."""
    trusted = anchors.get(certificate.subject_key, ())
    if certificate in trusted:
        yield (certificate,)
    waiting: list[Path] = [(certificate,)]
    steps = given = 0
    while waiting and given < MAX_CHAINS:
        path = waiting.pop()
        last = path[-1]
        ends = [(each, True) for each in _nearest(anchors, last)]
        above = [(each, False) for each in _nearest(intermediates, last)]
        deeper: list[Path] = []
        for issuer, is_anchor in _ordered([*ends, *above], last, at):
            steps += 1
            if steps > MAX_STEPS:
                return
            if _repeats(issuer, path):
                continue
            if is_anchor:
                given += 1
                yield (*path, issuer)
                if given >= MAX_CHAINS:
                    return
            elif len(path) < MAX_DEPTH:
                deeper.append((*path, issuer))
        waiting.extend(reversed(deeper))  # depth first, the likeliest on top


def ancestors(
    certificate: Certificate, pools: Sequence[Index], at: datetime
) -> Iterator[tuple[Certificate, Certificate]]:
    """Pairs (below, above) of the certificate and all that may stand over it, whether or not an anchor does."""
    waiting, seen, steps = [certificate], {certificate}, 0
    while waiting:
        below = waiting.pop(0)
        found = [(each, False) for pool in pools for each in _nearest(pool, below)]
        for above, _ in _ordered(found, below, at):
            steps += 1
            if steps > MAX_STEPS:
                return
            yield below, above
            if above not in seen:
                seen.add(above)
                waiting.append(above)


def _nearest(pool: Index, below: Certificate) -> Sequence[Certificate]:
    """Certificates of the issuer's name; those with the wanted key stand first where there are too many."""
    found = pool.get(below.issuer_key, ())
    if len(found) > MAX_NAMESAKES:
        wanted = below.authority_key_identifier
        found = sorted(found, key=lambda each: each.key_identifier != wanted)[:MAX_NAMESAKES]
    return found


def _repeats(issuer: Certificate, path: Path) -> bool:
    """The same name and key twice in a path proves nothing more (RFC 4158 2.4.2)."""
    return any(issuer.subject_key == each.subject_key and issuer.spki == each.spki for each in path)


def _ordered(
    candidates: list[tuple[Certificate, bool]], below: Certificate, at: datetime
) -> list[tuple[Certificate, bool]]:
    """Issuers of ``below``, likeliest first (RFC 4158 3.5): anchors, matching key identifier, valid now, newest."""

    def rank(pair: tuple[Certificate, bool]) -> tuple[bool, bool, bool, float]:
        issuer, is_anchor = pair
        wanted = below.authority_key_identifier
        mismatch = wanted is not None and wanted != issuer.key_identifier
        invalid = not issuer.not_before <= at <= issuer.not_after
        return (mismatch, not is_anchor, invalid, -issuer.not_before.timestamp())

    return sorted(candidates, key=rank) if len(candidates) > 1 else candidates
