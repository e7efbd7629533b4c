"""Path building and validation: is this certificate good for this purpose, at this time; and if not, why.

Order
    Chains are built here, by name, nearest to an anchor first, within fixed bounds; each is then put to OpenSSL by
    itself, since OpenSSL alone takes the first issuer of the right name and never turns back (RFC 4158 2.3). What
    OpenSSL does not know, the rules of S/MIME, is asked here: usage, purpose, strength.

Guarantees
    A verdict is ok only when OpenSSL accepted one whole chain and no rule of ours fails. A verdict that is not ok
    carries every reason found, out of the closed list ``Reason``. No network, no database, no clock.
    At most MAX_CHAINS chains of at most MAX_DEPTH issuers are tried, and at most MAX_STEPS issuers looked at.

Standards
    RFC 5280 6 (validation, by OpenSSL), RFC 4158 (building), RFC 8550 4.4 (usage and purpose), RFC 8551 4.1 (strength).

See also
    ``trust.py``, which keeps the anchors and remembers verdicts; ``select.py``, which asks about addresses too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from OpenSSL import crypto

from letterlock.pki.certificate import ANY_PURPOSE, EMAIL_PROTECTION, Certificate

Purpose = Literal["sign", "encrypt", "any"]

MAX_DEPTH = 8
"""Issuers above a certificate, the anchor included."""
MAX_CHAINS = 20
MAX_STEPS = 400
MAX_NAMESAKES = 100
"""Issuers of one name that are looked at: a hostile message may bring thousands."""
MIN_RSA_BITS = 2048


class Reason(StrEnum):
    """Why a certificate is not used. The words are stable: interfaces and tests rely on them."""

    MALFORMED = "malformed"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted"  # no chain to an anchor
    ISSUER_NOT_VALID = "issuer-not-valid"  # a certificate above is outside its validity
    BAD_SIGNATURE = "bad-signature"
    NOT_AN_AUTHORITY = "not-an-authority"  # cA, keyCertSign or path length of a certificate above
    NAME_CONSTRAINT = "name-constraint"
    POLICY = "policy"
    CRITICAL_EXTENSION = "unknown-critical-extension"
    INVALID_PATH = "invalid-path"  # OpenSSL's other errors
    KEY_USAGE = "key-usage"
    PURPOSE = "extended-key-usage"
    WEAK_KEY = "weak-key"
    WEAK_DIGEST = "weak-digest"
    UNSUPPORTED_KEY = "unsupported-key"
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation-unknown"
    FORBIDDEN = "forbidden"
    ADDRESS = "address-mismatch"
    NO_KEY = "no-private-key"
    NOT_NEWEST = "not-newest"  # good for signing, but a newer one is used


_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class Verdict(NamedTuple):
    """``path``: from the certificate to the anchor, of the accepted chain or of the first that was tried.

    The same answer holds for every time between ``since`` and ``until``, both exclusive, while anchors and
    intermediates stay as they are. ``detail``: OpenSSL's own words, for the administrator.
    """

    ok: bool
    reasons: tuple[Reason, ...]
    path: tuple[Certificate, ...] = ()
    since: datetime = _ALWAYS[0]
    until: datetime = _ALWAYS[1]
    detail: str = ""


class Revocation(Protocol):
    """What is known about revocation; asked with each chain that is otherwise good."""

    revision: int
    """Changes whenever an answer may."""

    def reasons(self, path: Sequence[Certificate], at: datetime) -> Sequence[Reason]:
        """Why this path is not to be used at this time: REVOKED, REVOCATION_UNKNOWN, or nothing."""
        ...


Index = Mapping[bytes, Sequence[Certificate]]
"""Certificates by their subject_key."""


def index(certificates: Iterable[Certificate]) -> dict[bytes, list[Certificate]]:
    """An Index of the given certificates, in their order, each once."""
    found: dict[bytes, list[Certificate]] = {}
    for each in dict.fromkeys(certificates):
        found.setdefault(each.subject_key, []).append(each)
    return found


def validate(
    certificate: Certificate,
    intermediates: Index,
    anchors: Index,
    at: datetime,
    purpose: Purpose,
    revocation: Revocation | None = None,
) -> Verdict:
    """The verdict on one certificate. ``at``: aware. Makes indexes with ``index``."""
    own = [*_validity(certificate, at), *_fitness(certificate, purpose)]
    best: tuple[list[Reason], tuple[Certificate, ...], str] | None = None
    seen: dict[Certificate, None] = {certificate: None}
    for path in _chains(certificate, intermediates, anchors, at):
        seen.update(dict.fromkeys(path))
        reasons, detail = _judge(path, at, purpose)
        if not reasons and revocation is not None and not own:
            reasons = list(revocation.reasons(path, at))
        if not reasons:
            best = ([], path, "")
            break
        if best is None:
            best = (reasons, path, detail)
    found, path, detail = best or ([Reason.UNTRUSTED], (certificate,), "no chain to an anchor")
    since, until = _window(seen, at)
    reasons_all = tuple(dict.fromkeys([*own, *found]))
    return Verdict(not reasons_all, reasons_all, path, since, until, detail)


def _validity(certificate: Certificate, at: datetime) -> list[Reason]:
    if at < certificate.not_before:
        return [Reason.NOT_YET_VALID]
    return [Reason.EXPIRED] if at > certificate.not_after else []


def _fitness(certificate: Certificate, purpose: Purpose) -> list[Reason]:
    """What the certificate itself lacks for the purpose; RFC 8550 4.4.2 (usage) and 4.4.4 (purpose)."""
    found: list[Reason] = []
    kind, usage = certificate.key_kind, certificate.key_usage
    if purpose == "sign":
        wanted = {"digital_signature", "content_commitment"}
        supported = kind in ("rsa", "rsa-pss", "ec", "ed25519", "ml-dsa")
    else:
        agrees = kind in ("ec", "x25519")
        wanted = {"key_agreement"} if agrees else {"key_encipherment"}
        supported = agrees or kind in ("rsa", "ml-kem")
    if purpose != "any":
        if not supported:
            found.append(Reason.UNSUPPORTED_KEY)
        if usage is not None and not usage & wanted:
            found.append(Reason.KEY_USAGE)
        if not _for_email(certificate):
            found.append(Reason.PURPOSE)
    if certificate.digest in ("sha1", "md5", "unknown"):
        found.append(Reason.WEAK_DIGEST)
    return found


def _for_email(certificate: Certificate) -> bool:
    return certificate.purposes is None or bool(certificate.purposes & {EMAIL_PROTECTION, ANY_PURPOSE})


def _weak(certificate: Certificate) -> bool:
    return certificate.key_kind in ("rsa", "rsa-pss", "dsa") and certificate.key_bits < MIN_RSA_BITS


def _judge(path: tuple[Certificate, ...], at: datetime, purpose: Purpose) -> tuple[list[Reason], str]:
    """What is wrong with one chain; the first entry is the certificate, the last the anchor."""
    found: list[Reason] = []
    detail = ""
    try:
        _ask_openssl(path, at)
    except crypto.X509StoreContextError as error:
        code, depth, detail = error.errors[0], error.errors[1], f"{error.errors[2]} (certificate {error.errors[1]})"
        found.append(_reason(code, depth))
    except crypto.Error as error:
        found.append(Reason.INVALID_PATH)
        detail = str(error)[:200]
    if any(_weak(each) for each in path):
        found.append(Reason.WEAK_KEY)
    above = path[1:-1]
    if any(each.digest == "md5" for each in above):
        found.append(Reason.WEAK_DIGEST)
    # A purpose in an intermediate limits what it may issue for: not RFC 5280, but the practice of every root program.
    if purpose != "any" and not all(_for_email(each) for each in above):
        found.append(Reason.PURPOSE)
    return found, detail


_PARTIAL_CHAIN = crypto.X509StoreFlags.PARTIAL_CHAIN


def _ask_openssl(path: tuple[Certificate, ...], at: datetime) -> None:
    """Raises X509StoreContextError unless OpenSSL accepts exactly this chain, the last certificate being trusted."""
    store = crypto.X509Store()
    store.add_cert(_foreign(path[-1].der))
    store.set_flags(_PARTIAL_CHAIN)  # an anchor need not be self-signed
    store.set_time(at.astimezone(UTC))
    context = crypto.X509StoreContext(store, _foreign(path[0].der), [_foreign(each.der) for each in path[1:-1]])
    context.verify_certificate()


@lru_cache(maxsize=512)
def _foreign(der: bytes) -> crypto.X509:
    """The certificate as OpenSSL holds it."""
    return crypto.load_certificate(crypto.FILETYPE_ASN1, der)


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
    23: Reason.REVOKED,
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


def _chains(
    certificate: Certificate, intermediates: Index, anchors: Index, at: datetime
) -> Iterator[tuple[Certificate, ...]]:
    """Chains from the certificate to an anchor, likely ones first, within the bounds."""
    trusted = anchors.get(certificate.subject_key, ())
    if certificate in trusted:
        yield (certificate,)
    waiting: list[tuple[Certificate, ...]] = [(certificate,)]
    steps = given = 0
    while waiting and given < MAX_CHAINS:
        path = waiting.pop()
        last = path[-1]
        ends = [(each, True) for each in anchors.get(last.issuer_key, ())[:MAX_NAMESAKES]]
        above = [(each, False) for each in intermediates.get(last.issuer_key, ())[:MAX_NAMESAKES]]
        deeper: list[tuple[Certificate, ...]] = []
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


def _repeats(issuer: Certificate, path: tuple[Certificate, ...]) -> bool:
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
        return (mismatch, not is_anchor, bool(_validity(issuer, at)), -issuer.not_before.timestamp())

    return sorted(candidates, key=rank)


def _window(certificates: Iterable[Certificate], at: datetime) -> tuple[datetime, datetime]:
    """The longest time around ``at``, ends excluded, in which no certificate begins or ceases to be valid."""
    edges = [edge for each in certificates for edge in (each.not_before, each.not_after)]
    since = max((edge for edge in edges if edge <= at), default=_ALWAYS[0])
    until = min((edge for edge in edges if edge >= at), default=_ALWAYS[1])
    return since, until
