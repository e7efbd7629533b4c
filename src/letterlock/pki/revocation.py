"""Revocation of a path's certificates, by the lists and OCSP answers at hand.

Guarantees
    Pure: nothing is fetched. A certificate is *good* only by an OCSP answer that may be believed, or by lists that are
    fresh, meant for it, signed by who may sign them, and together cover all reasons. Any source that says *revoked*
    wins. ``soft`` takes what is unknown, ``hard`` refuses it, ``none`` does not ask; where strictness is asked, soft
    refuses too when a list is there and breaks a rule. Every answer says in words by what it is so.

Standards
    RFC 5280 6.3 (lists, delta and indirect ones), RFC 6960 (OCSP).

See also
    ``crl.py``, ``ocsp.py``; ``path.py``, which gives ``signer_path``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from cryptography.x509 import ReasonFlags

from letterlock.pki import crl as lists
from letterlock.pki import ocsp
from letterlock.pki.certificate import Certificate
from letterlock.pki.chains import Index, Path
from letterlock.pki.crl import ALL_REASONS, Crl, Point
from letterlock.pki.errors import MalformedCrl
from letterlock.pki.ocsp import Answer
from letterlock.pki.packed import Entry
from letterlock.pki.reasons import Reason

Mode = Literal["none", "soft", "hard"]
MAX_LISTS: Final = 50
"""Lists of one issuer that are looked at for one certificate."""
MAX_SIGNERS: Final = 10
"""Certificates of a list's issuer that are tried for its signature."""
MAX_NESTED: Final = 3
"""A list's signer may need a list whose signer needs one, so deep."""

_NEVER = datetime.max.replace(tzinfo=UTC)
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Lists and answers at hand. ``revision``: changes whenever any of them does."""

    crls: tuple[Crl, ...] = ()
    answers: tuple[Answer, ...] = ()
    revision: int = 0
    by_issuer: Mapping[bytes, list[Crl]] = field(init=False, compare=False, repr=False, default_factory=dict)
    by_serial: Mapping[int, list[Answer]] = field(init=False, compare=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        found: dict[bytes, list[Crl]] = {}
        for crl in self.crls:
            found.setdefault(crl.issuer_key, []).append(crl)
        answers: dict[int, list[Answer]] = {}
        for answer in self.answers:
            for count, single in enumerate(answer.parsed.responses):
                if count < ocsp.MAX_SINGLES:
                    answers.setdefault(single.serial_number, []).append(answer)
        object.__setattr__(self, "by_issuer", found)
        object.__setattr__(self, "by_serial", answers)

    def hearing(self, answers: tuple[Answer, ...]) -> Knowledge:
        """The same lists, and other answers."""
        if not answers and not self.answers:
            return self
        made = Knowledge((), answers, self.revision)
        object.__setattr__(made, "crls", self.crls)
        object.__setattr__(made, "by_issuer", self.by_issuer)
        return made


NOTHING: Final = Knowledge()


class Answered(NamedTuple):
    """What is wrong, and between which times the answer stays so while the knowledge does."""

    reasons: tuple[Reason, ...] = ()
    detail: str = ""
    since: datetime = _EVER
    until: datetime = _NEVER


class _State(NamedTuple):
    state: Literal["good", "revoked", "unknown"]
    why: str = ""
    since: datetime = _EVER
    until: datetime = _NEVER
    broken: bool = False
    """Unknown not for want of a list, but since one that is there breaks a rule."""


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "no day"


def _words(entry: Entry | None, by: str) -> str:
    """Since when and why it is revoked, for the trace."""
    if entry is None:
        return f"revoked, by {by}"
    return f"revoked on {_day(entry.at)} ({entry.reason.value}), by {by}"


SignerPath = Callable[[Certificate, Certificate], Path | None]
"""A path from a list's signer to an anchor that holds but for revocation, None when there is none."""


class Inquiry:
    """Questions about one point in time. ``pool``: certificates among which signers of lists are found."""

    def __init__(
        self, knowledge: Knowledge, at: datetime, pools: tuple[Index, ...], signer_path: SignerPath, strict: bool
    ) -> None:
        self._known = knowledge
        self._at = at
        self._pools = pools
        self._signer_path = signer_path
        self._strict = strict

    def ask(self, path: Path, mode: Mode) -> Answered:
        """Is any certificate of the path, the anchor excepted, revoked."""
        since, until = _EVER, _NEVER
        unknown: Answered | None = None
        broken = False
        for below, above in ((path[i], path[i + 1]) for i in range(len(path) - 1)) if mode != "none" else ():
            found = self._state(below, above, path[-1], frozenset())
            since, until = max(since, found.since), min(until, found.until)
            if found.state == "revoked":
                return Answered((Reason.REVOKED,), f"{below.subject}: {found.why}", found.since, found.until)
            broken = broken or (self._strict and found.state == "unknown" and found.broken)
            if found.state == "unknown" and unknown is None:
                unknown = Answered((Reason.REVOCATION_UNKNOWN,), f"{below.subject}: {found.why}")
        if unknown is not None and (mode == "hard" or broken):
            return unknown._replace(since=since, until=until)
        return Answered((), unknown.detail if unknown else "", since, until)

    def _state(
        self, below: Certificate, above: Certificate, anchor: Certificate, busy: frozenset[Certificate]
    ) -> _State:
        """What is known of one certificate. ``busy``: those whose state waits for this answer."""
        by_ocsp = self._by_ocsp(below, above, anchor, busy)
        if by_ocsp.state == "revoked":
            return by_ocsp
        by_lists = self._by_lists(below, above, anchor, busy)
        if by_lists.state == "revoked" or by_ocsp.state == "unknown":
            why = "; ".join(filter(None, (by_ocsp.why, by_lists.why)))
            return by_lists._replace(why=why)
        return by_ocsp

    def _by_ocsp(
        self, below: Certificate, above: Certificate, anchor: Certificate, busy: frozenset[Certificate]
    ) -> _State:
        best = _State("unknown")
        for answer in self._known.by_serial.get(below.serial, ())[:MAX_LISTS]:
            found = ocsp.status(answer, below, above, self._at)
            if found.state is None:
                best = best if best.state == "good" else _State("unknown", found.why)
                continue
            until = found.until or self._at
            if found.responder is not None and self._is_dismissed(found.responder, above, anchor, busy | {below}):
                best = best if best.state == "good" else _State("unknown", "the responder has been revoked")
                continue
            if found.state == "revoked":
                return _State("revoked", _words(found.revoked, "an OCSP answer"), until=until)
            best = _State("good", until=until)
        return best

    def _is_dismissed(
        self, responder: Certificate, above: Certificate, anchor: Certificate, busy: frozenset[Certificate]
    ) -> bool:
        """The responder itself was revoked: lists say so, its own answers cannot (RFC 6960 4.2.2.2.1)."""
        if responder in busy or len(busy) > MAX_NESTED:
            return False
        return self._by_lists(responder, above, anchor, busy).state == "revoked"

    def _by_lists(
        self, below: Certificate, above: Certificate, anchor: Certificate, busy: frozenset[Certificate]
    ) -> _State:
        """RFC 5280 6.3.3 for one certificate: distribution point by distribution point until all reasons are covered."""
        covered: frozenset[ReasonFlags] = frozenset()
        since, until, whys, broken = _EVER, _NEVER, ["no CRL at hand covers it"], False
        for point in lists.points(below):
            for crl in self._candidates(point, below):
                why = self._unusable(crl, point, below)
                mask = crl.scope.reasons & point.reasons  # (d)
                if why or mask <= covered:  # (e)
                    whys += [why] if why else []
                    broken = broken or (bool(why) and self._is_broken(crl))
                    continue
                signer = self._signer(crl, below, above, anchor, busy | {below})
                if signer is None:
                    whys.append(f"the CRL of {crl.issuer} is not signed by who may sign it")
                    broken = True
                    continue
                try:
                    entry, used = self._entry(crl, signer, below)
                except MalformedCrl as error:
                    whys.append(str(error))
                    continue
                ends = [each.next_update or self._at for each in used]
                since, until = max(since, *(each.this_update for each in used)), min(until, *ends)
                if entry is not None:
                    return _State("revoked", _words(entry, f"the CRL of {crl.issuer}"), since, until)
                covered |= mask
            if covered >= ALL_REASONS:
                return _State("good", "", since, until)
        return _State("unknown", whys[-1], since, until, broken)

    def _is_broken(self, crl: Crl) -> bool:
        return crl.unknown_critical or crl.number is None

    def _candidates(self, point: Point, below: Certificate) -> Iterator[Crl]:
        """Complete lists of the issuers a point names, the newest first."""
        for issuer in point.issuers if point.issuers is not None else (below.issuer_key,):
            found = [each for each in self._known.by_issuer.get(issuer, ()) if each.base is None]
            newest = sorted(found, key=lambda each: (each.this_update, each.number or 0), reverse=True)  # 5.2.3
            yield from newest[:MAX_LISTS]

    def _unusable(self, crl: Crl, point: Point, below: Certificate) -> str:
        """Why a list does not speak about this certificate; "" when it does (6.3.3 (a), (b))."""
        scope = crl.scope
        if not lists.is_fresh(crl, self._at):
            ended = crl.next_update is not None and crl.next_update < self._at
            return f"the CRL of {crl.issuer} " + (
                f"ended on {_day(crl.next_update)}" if ended else "is not of this time"
            )
        if crl.unknown_critical:  # 5.2
            return f"the CRL of {crl.issuer} holds a critical extension that is not known here"
        if self._strict and crl.number is None:  # 5.2.3
            return f"the CRL of {crl.issuer} has no number"
        if point.issuers is not None and not scope.indirect:  # (b)(1)
            return f"the CRL of {crl.issuer} is not an indirect one"
        if scope.names is not None and point.names is not None and not scope.names & point.names:  # (b)(2)(i)
            return f"the CRL of {crl.issuer} is for another distribution point"
        if scope.attributes_only or (scope.users_only and below.is_authority):  # (b)(2)(ii), (iv)
            return f"the CRL of {crl.issuer} is for other certificates"
        if scope.authorities_only and not below.is_authority:  # (b)(2)(iii)
            return f"the CRL of {crl.issuer} is for authorities only"
        return ""

    def _signer(
        self, crl: Crl, below: Certificate, above: Certificate, anchor: Certificate, busy: frozenset[Certificate]
    ) -> Certificate | None:
        """The certificate whose key signed the list, if it may: cRLSign, a path to the same anchor, itself not revoked."""
        pool = [each for index in self._pools for each in index.get(crl.issuer_key, ())]
        wanted = crl.authority_key_identifier
        pool.sort(key=lambda each: wanted is not None and each.key_identifier != wanted)
        first = [above] if above.subject_key == crl.issuer_key else []
        for each in list(dict.fromkeys([*first, *pool]))[:MAX_SIGNERS]:
            if each.key_usage is not None and "crl_sign" not in each.key_usage:  # (f)
                continue
            if not lists.is_signed_by(crl, each):  # (g)
                continue
            if each in (above, anchor) or self._holds(each, anchor, busy):
                return each
            # An indirect list may speak of its own signer, where that one's issuer says so (cRLIssuer): 4.2.1.13.
            if each == below and each.key_usage is not None:
                return each
        return None

    def _holds(self, signer: Certificate, anchor: Certificate, busy: frozenset[Certificate]) -> bool:
        """A signer that is not on the path itself needs one of its own, and must not be revoked."""
        if signer in busy or len(busy) >= MAX_NESTED:
            return False
        path = self._signer_path(signer, anchor)
        if path is None:
            return False
        pairs = ((path[i], path[i + 1]) for i in range(len(path) - 1))
        return all(self._by_lists(below, above, anchor, busy | {signer}).state == "good" for below, above in pairs)

    def _entry(self, crl: Crl, signer: Certificate, below: Certificate) -> tuple[Entry | None, tuple[Crl, ...]]:
        """Why the list, brought up to date by the newest delta that fits, names the certificate; (c), (h) to (k)."""
        delta = self._delta(crl, signer)
        if delta is None:
            return crl.entry(below), (crl,)
        entry = delta.entry(below)
        if entry is not None and entry.reason is ReasonFlags.remove_from_crl:
            return None, (crl, delta)
        return (entry if entry is not None else crl.entry(below)), (crl, delta)

    def _delta(self, crl: Crl, signer: Certificate) -> Crl | None:
        number = crl.number
        fitting = [
            each
            for each in self._known.by_issuer.get(crl.issuer_key, ())
            if each.base is not None
            and number is not None
            and each.number is not None
            and each.base <= number <= each.number
            and each.scope == crl.scope
            and each.authority_key_identifier == crl.authority_key_identifier
            and not each.unknown_critical
            and lists.is_fresh(each, self._at)
        ]
        fitting.sort(key=lambda each: each.number or 0, reverse=True)
        return next((each for each in fitting[:MAX_LISTS] if lists.is_signed_by(each, signer)), None)
