"""Path validation: is this certificate good for this purpose, at this time; and if not, why, path by path.

Order
    Chains are built in ``chains.py``, likeliest first; each is put to OpenSSL by itself, since OpenSSL alone takes the
    first issuer of the right name and never turns back (RFC 4158 2.3). Then are asked, each in its own file: the rules
    of S/MIME, the certificate trust list, certificate policies, revocation. The first chain that holds ends the search.

Guarantees
    A verdict is ok only when OpenSSL accepted one whole chain (or a trust list entry allows the certificate) and no rule
    of ours fails. A verdict that is not ok carries every reason found, out of the closed list ``Reason``, and every
    chain that was tried with its own. No network, no database, no clock.

Standards
    RFC 5280 6 (validation), RFC 9618 (policies), RFC 8550 4.4, RFC 8551 4.

See also
    ``trust.py``, which keeps the anchors and remembers verdicts; ``select.py``, which asks about addresses too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import NamedTuple

from cryptography import x509
from OpenSSL import crypto

from letterlock.pki import policy_tree
from letterlock.pki.certificate import Certificate
from letterlock.pki.chains import Index, Path, ancestors, chains
from letterlock.pki.conformity import chain_faults
from letterlock.pki.ctl import NO_CTL, Ctl
from letterlock.pki.fitness import own_faults, path_faults
from letterlock.pki.policy_tree import ANY_RULES, PolicyRules
from letterlock.pki.reasons import Purpose, Reason
from letterlock.pki.revocation import NOTHING, Answered, Inquiry, Knowledge, Mode

_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class RejectedPath(NamedTuple):
    """A chain that does not hold. ``detail``: for the administrator, OpenSSL's own words where it has some."""

    path: Path
    reasons: tuple[Reason, ...]
    detail: str = ""


class Verdict(NamedTuple):
    """``path``: from the certificate to the anchor, of the accepted chain or of the first that was tried.

    The same answer holds for every time between ``since`` and ``until``, both exclusive, while anchors, intermediates,
    trust list and knowledge stay as they are. ``rejected``: every chain that was tried and does not hold. ``unsure``:
    it is ok, although it is not known whether the certificate has been revoked; in words.
    """

    ok: bool
    reasons: tuple[Reason, ...]
    path: Path = ()
    since: datetime = _ALWAYS[0]
    until: datetime = _ALWAYS[1]
    detail: str = ""
    rejected: tuple[RejectedPath, ...] = ()
    unsure: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked. ``strict``: certificates must keep the rules of RFC 5280 4 for issuers too, as the suites of test
    cases want it; for mail it is off, since authorities that do without a key identifier do harm to nobody."""

    purpose: Purpose = "any"
    revocation: Mode = "none"
    policies: PolicyRules = ANY_RULES
    strict: bool = False


Shape = tuple[tuple[Reason, ...], str]
"""What is wrong with a chain by itself, before trust list and revocation are asked; and in words."""

Shapes = Callable[[Path], Shape]
"""The shape of a chain, remembered or found out elsewhere."""


def validate(
    certificate: Certificate,
    intermediates: Index,
    anchors: Index,
    at: datetime,
    rules: Rules,
    knowledge: Knowledge = NOTHING,
    ctl: Ctl = NO_CTL,
    shapes: Shapes | None = None,
) -> Verdict:
    """The verdict on one certificate. ``at``: aware. Indexes are made with ``chains.index``.

    ``shapes``: ``shape`` of a chain at that time and by those rules, for who remembers them.
    """
    found = shapes or partial(shape, at=at, rules=rules)
    return _Judgement(intermediates, anchors, at, rules, knowledge, ctl, found).verdict(certificate)


def shape(path: Path, at: datetime, rules: Rules) -> Shape:
    """What is wrong with one chain by itself; the first entry is the certificate, the last the anchor."""
    found, detail = _structure(path, at, rules)
    found += path_faults(path, rules.purpose)
    if not found:
        problem = policy_tree.fault(path, rules.policies)
        if problem:
            return (Reason.POLICY,), problem
    return tuple(dict.fromkeys(found)), detail


class _Judgement:
    """One question, with what it may be answered from."""

    def __init__(
        self,
        intermediates: Index,
        anchors: Index,
        at: datetime,
        rules: Rules,
        knowledge: Knowledge,
        ctl: Ctl,
        shapes: Shapes,
    ) -> None:
        self._intermediates = intermediates
        self._anchors = anchors
        self._at = at
        self._rules = rules
        self._ctl = ctl
        self._shapes = shapes
        pools = (anchors, intermediates)
        self._inquiry = Inquiry(knowledge, at, pools, self._signer_path, rules.strict)
        self._seen: dict[Certificate, None] = {}
        self._since, self._until = _ALWAYS
        self._denied = self._unsure = ""

    def verdict(self, certificate: Certificate) -> Verdict:
        self._seen[certificate] = None
        allowed = self._ctl.allows(certificate, self._at) if self._ctl else None
        validity = _validity(certificate, self._at)
        own = [*validity, *own_faults(certificate, self._rules.purpose)]
        if allowed is not None and allowed.allow_expired and Reason.EXPIRED in validity:
            own.remove(Reason.EXPIRED)
        if self._ctl and (denied := self._ctl.denies(certificate, self._at)):
            own.append(Reason.FORBIDDEN)
            self._denied = str(denied)
        rejected: list[RejectedPath] = []
        for path in chains(certificate, self._intermediates, self._anchors, self._at):
            self._seen.update(dict.fromkeys(path))
            reasons, detail = self._judge(path, ask_revocation=not own)
            if not reasons:
                return self._finish(own, path, detail, rejected)
            rejected.append(RejectedPath(path, reasons, detail))
        if allowed is not None:
            found, detail = self._without_chain(certificate, rejected)
            return self._finish([*own, *found], (certificate,), detail, rejected)
        path, found, detail = (
            rejected[0] if rejected else ((certificate,), (Reason.UNTRUSTED,), "no chain to an anchor")
        )
        return self._finish([*own, *found], path, detail, rejected)

    def _judge(self, path: Path, *, ask_revocation: bool) -> tuple[tuple[Reason, ...], str]:
        """What is wrong with one chain."""
        reasons, detail = self._shapes(path)
        if self._ctl and (denied := next(filter(None, (self._ctl.denies(x, self._at) for x in path[1:])), None)):
            reasons, detail = (*reasons, Reason.FORBIDDEN), str(denied)
        if not reasons and ask_revocation and self._rules.revocation != "none":
            answered = self._inquire(path)
            return answered.reasons, answered.detail
        return reasons, detail

    def _inquire(self, path: Path) -> Answered:
        answered = self._inquiry.ask(path, self._rules.revocation)
        self._since, self._until = max(self._since, answered.since), min(self._until, answered.until)
        self._unsure = "" if answered.reasons else answered.detail
        return answered

    def _signer_path(self, signer: Certificate, anchor: Certificate) -> Path | None:
        """A path of a list's signer to the anchor of the certificate in question (RFC 5280 6.3.3 (f))."""
        rules = Rules(strict=self._rules.strict)
        for path in chains(signer, self._intermediates, {anchor.subject_key: [anchor]}, self._at):
            self._seen.update(dict.fromkeys(path))
            if not _structure(path, self._at, rules)[0] and not policy_tree.fault(path):
                return path
        return None

    def _without_chain(self, certificate: Certificate, rejected: list[RejectedPath]) -> tuple[tuple[Reason, ...], str]:
        """A certificate that the trust list allows: what forbids it or is known against it all the same."""
        for each in rejected:
            if found := tuple(reason for reason in each.reasons if reason in _NEVER_WAIVED):
                return found, each.detail
        if _has_unknown(certificate):
            return (Reason.CRITICAL_EXTENSION,), "the certificate itself holds it"
        must_ask = self._rules.revocation == "hard" and not certificate.is_self_issued
        proven = {certificate}
        for below, above in ancestors(certificate, (self._anchors, self._intermediates), self._at):
            if below not in proven or not is_issued_by(below, above):
                continue
            proven.add(above)
            self._seen[above] = None
            if denied := self._ctl.denies(above, self._at):
                return (Reason.FORBIDDEN,), str(denied)
            if below == certificate and self._rules.revocation != "none":
                must_ask = False
                answered = self._inquire((certificate, above))
                if answered.reasons:
                    return answered.reasons, answered.detail
        if must_ask:
            return (Reason.REVOCATION_UNKNOWN,), "its issuer is not known here"
        return (), "allowed by the certificate trust list"

    def _finish(self, reasons: Iterable[Reason], path: Path, detail: str, rejected: list[RejectedPath]) -> Verdict:
        since, until = window(self._seen, self._at)
        if self._ctl:
            until = min(until, self._ctl.ends(self._at))
        since, until = max(since, min(self._since, self._at)), min(until, max(self._until, self._at))
        found = tuple(dict.fromkeys(reasons))
        unsure = "" if found else self._unsure
        return Verdict(not found, found, path, since, until, self._denied or detail, tuple(rejected), unsure)


_NEVER_WAIVED = frozenset((Reason.FORBIDDEN, Reason.REVOKED, Reason.CRITICAL_EXTENSION, Reason.TOO_COMPLEX))


def _has_unknown(certificate: Certificate) -> bool:
    """An extension that is critical and means nothing to us (RFC 5280 4.2)."""
    return any(
        each.critical and isinstance(each.value, x509.UnrecognizedExtension) for each in certificate.parsed.extensions
    )


def _validity(certificate: Certificate, at: datetime) -> list[Reason]:
    if at < certificate.not_before:
        return [Reason.NOT_YET_VALID]
    return [Reason.EXPIRED] if at.replace(microsecond=0) > certificate.not_after else []


def _structure(path: Path, at: datetime, rules: Rules) -> tuple[list[Reason], str]:
    """What OpenSSL finds wrong with a chain, and where strictness is asked, what its issuers did wrong."""
    found: list[Reason] = []
    detail = ""
    try:
        if not _ask_openssl(path, at):
            found.append(Reason.BAD_SIGNATURE)
            detail = "a certificate on the path did not issue the one below"
    except crypto.X509StoreContextError as error:
        code, depth, words = error.errors[0], error.errors[1], error.errors[2]
        found.append(_reason(code, depth))
        detail = f"{words} (certificate {depth})"
    except crypto.Error as error:
        found.append(Reason.INVALID_PATH)
        detail = str(error)[:200]
    if rules.strict:
        faults = chain_faults(path)
        found += [fault.reason for fault in faults]
        detail = detail or (faults[0].detail if faults else "")
    return found, detail


_PARTIAL_CHAIN = crypto.X509StoreFlags.PARTIAL_CHAIN


def _ask_openssl(path: Path, at: datetime) -> bool:
    """Raises X509StoreContextError unless OpenSSL accepts a chain of these certificates, the last one being trusted.

    False when that is another chain than this: OpenSSL leaves out whatever it can, and a certificate that it left out
    has not been shown to be the issuer of the one below.
    """
    store = crypto.X509Store()
    store.add_cert(_foreign(path[-1].der))
    store.set_flags(_PARTIAL_CHAIN)  # an anchor need not be self-signed
    store.set_time(at.astimezone(UTC))
    context = crypto.X509StoreContext(store, _foreign(path[0].der), [_foreign(each.der) for each in path[1:-1]])
    if len(path) == 2 and path[0] != path[1]:  # there is nothing that could be left out
        context.verify_certificate()
        return True
    chain = context.get_verified_chain()
    return [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in chain] == [each.der for each in path]


@lru_cache(maxsize=512)
def _foreign(der: bytes) -> crypto.X509:
    """The certificate as OpenSSL holds it."""
    return crypto.load_certificate(crypto.FILETYPE_ASN1, der)


@lru_cache(maxsize=4096)
def is_issued_by(below: Certificate, above: Certificate) -> bool:
    """The signature on ``below`` fits the key in ``above``, which bears its issuer's name."""
    try:
        below.parsed.verify_directly_issued_by(above.parsed)
    except Exception:  # hostile keys and algorithms: whatever is raised, it is not proven
        return False
    return True


def _reason(code: int, depth: int) -> Reason:
    """OpenSSL's X509_V_ERR code (x509_vfy.h) as one of ours. ``depth`` 0 is the certificate itself."""
    if code == 9:
        return Reason.NOT_YET_VALID if depth == 0 else Reason.ISSUER_NOT_VALID
    if code == 10:
        return Reason.EXPIRED if depth == 0 else Reason.ISSUER_NOT_VALID
    return _REASONS.get(code, Reason.INVALID_PATH)


_REASONS = {
    2: Reason.UNTRUSTED,  # unable to get issuer certificate
    4: Reason.BAD_SIGNATURE,
    6: Reason.BAD_SIGNATURE,  # issuer's key unreadable
    7: Reason.BAD_SIGNATURE,
    18: Reason.UNTRUSTED,  # self-signed, not an anchor
    19: Reason.UNTRUSTED,
    20: Reason.UNTRUSTED,
    21: Reason.UNTRUSTED,
    24: Reason.NOT_AN_AUTHORITY,
    25: Reason.NOT_AN_AUTHORITY,  # path length
    32: Reason.NOT_AN_AUTHORITY,  # keyCertSign absent
    34: Reason.CRITICAL_EXTENSION,
    42: Reason.POLICY,
    43: Reason.POLICY,
    47: Reason.NAME_CONSTRAINT,
    48: Reason.NAME_CONSTRAINT,
    49: Reason.NAME_CONSTRAINT,
    51: Reason.NAME_CONSTRAINT,
    52: Reason.NAME_CONSTRAINT,
    53: Reason.NAME_CONSTRAINT,
    79: Reason.NOT_AN_AUTHORITY,
}


def window(certificates: Iterable[Certificate], at: datetime) -> tuple[datetime, datetime]:
    """The longest time around ``at``, ends excluded, in which no certificate begins or ceases to be valid."""
    edges = [edge for each in certificates for edge in (each.not_before, each.not_after)]
    since = max((edge for edge in edges if edge <= at), default=_ALWAYS[0])
    until = min((edge for edge in edges if edge >= at), default=_ALWAYS[1])
    return since, until
