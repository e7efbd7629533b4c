"""Certificate selection: which certificates encrypt to a recipient, which one signs for a sender; why not the others.

Guarantees
    Pure: candidates, trust and time come in, a Selection goes out. Every candidate is in it, chosen or with all the
    rules it fails. All good certificates of a recipient are chosen, so that any of its keys opens the message.

Order
    For encryption: address (unless attached), then the verdict of ``trust``. For signing: the key is at hand, address,
    verdict; of several good ones a pinned one, then the newest notBefore, then the greatest thumbprint, so that every
    process picks alike.

See also
    ``reasons.Reason`` for the rules' names; ``calls.py`` (pki.candidates) for where candidates come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.errors import MalformedCertificate
from letterlock.pki.path import RejectedPath
from letterlock.pki.reasons import Purpose, Reason
from letterlock.pki.revocation import Mode
from letterlock.pki.trust import Trust


class Candidate(NamedTuple):
    """A stored certificate that might serve. ``key``: id of its private key, None when we do not hold it.

    ``attached``: an administrator tied it to the user, the domain or the gateway, so its addresses do not matter.
    ``capabilities``: names of what its owner can read, as learned from a signature, None when nothing was; ``preferred``:
    its owner asked to be written to with it (RFC 8551 2.5.3).
    """

    id: UUID
    certificate: Certificate
    key: UUID | None = None
    attached: bool = False
    capabilities: frozenset[str] | None = None
    preferred: bool = False


class Rejected(NamedTuple):
    """A candidate that is not used. ``detail``: for the administrator; ``paths``: each path that was tried, with its
    own reasons."""

    candidate: Candidate
    reasons: tuple[Reason, ...]
    detail: str = ""
    paths: tuple[RejectedPath, ...] = ()


class Unsure(NamedTuple):
    """A chosen one of which it is not known whether it has been revoked; ``detail``: why not."""

    candidate: Candidate
    detail: str


class Selection(NamedTuple):
    """Chosen certificates, best first, and all others."""

    chosen: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]
    unsure: tuple[Unsure, ...] = ()


def candidate(
    certificate_id: UUID,
    der: bytes,
    key: UUID | None = None,
    attached: bool = False,
    capabilities: Iterable[str] | None = None,
    preferred: bool = False,
) -> Candidate | None:
    """A Candidate of a row; None when the certificate cannot be read."""
    try:
        certificate = parse(bytes(der))
    except MalformedCertificate:
        return None
    known = None if capabilities is None else frozenset(capabilities)
    return Candidate(certificate_id, certificate, key, attached, known, preferred)


def encryption_certificates(
    address: str,
    candidates: Iterable[Candidate],
    trust: Trust,
    at: datetime,
    revocation: Mode = "none",
) -> Selection:
    """Every certificate that may encrypt to ``address``, newest first. ``at``: aware.

    Additional certificates (escrow, scanner) come among the candidates as attached ones.
    """
    good, rejected = _sift(address, candidates, trust, at, "encrypt", revocation, key_needed=False)
    chosen = sorted(good, key=_newest, reverse=True)
    return Selection(tuple(chosen), tuple(rejected), _unsure(chosen, good))


def signing_certificate(
    address: str,
    candidates: Iterable[Candidate],
    trust: Trust,
    at: datetime,
    revocation: Mode = "none",
) -> Selection:
    """The one certificate that signs for ``address``; other good ones are rejected as NOT_NEWEST. ``at``: aware."""
    good, rejected = _sift(address, candidates, trust, at, "sign", revocation, key_needed=True)
    chosen = sorted(good, key=lambda each: (each.attached, *_newest(each)), reverse=True)  # a pinned one before others
    rejected += [Rejected(each, (Reason.NOT_NEWEST,)) for each in chosen[1:]]
    return Selection(tuple(chosen[:1]), tuple(rejected), _unsure(chosen[:1], good))


def _unsure(chosen: Iterable[Candidate], good: Mapping[Candidate, str]) -> tuple[Unsure, ...]:
    return tuple(Unsure(each, good[each]) for each in chosen if good[each])


def _newest(each: Candidate) -> tuple[datetime, bytes]:
    return each.certificate.not_before, each.certificate.thumbprint


def _sift(
    address: str,
    candidates: Iterable[Candidate],
    trust: Trust,
    at: datetime,
    purpose: Purpose,
    revocation: Mode,
    *,
    key_needed: bool,
) -> tuple[dict[Candidate, str], list[Rejected]]:
    """The candidates apart: those that hold every rule, with what is not known of them; the others with the rules they
    fail."""
    good: dict[Candidate, str] = {}
    rejected: list[Rejected] = []
    for each in dict.fromkeys(candidates):
        reasons: list[Reason] = []
        if key_needed and each.key is None:
            reasons.append(Reason.NO_KEY)
        if not each.attached and not each.certificate.names(address):
            reasons.append(Reason.ADDRESS)
        verdict = trust.verdict(each.certificate, at, purpose, (), revocation)
        reasons += verdict.reasons
        if reasons:
            rejected.append(Rejected(each, tuple(reasons), verdict.detail, verdict.rejected))
        else:
            good[each] = verdict.unsure
    return good, rejected
