"""One question about one certificate, everything it needs within: as octets in, as octets out, for a child of confine.

Order
    A case is one JSON object: ``leaf`` (base64 DER), ``intermediates``, ``anchors``, ``crls``, ``ocsp`` (lists of the
    same), ``at`` (RFC 3339; now when absent), ``purpose``, ``address``, ``revocation`` (require, soft, none),
    ``initial_policies`` (dotted OIDs; empty: any), ``explicit_policy``, ``inhibit_policy_mapping``,
    ``inhibit_any_policy``. ``answer`` gives {"id", "ok", "reasons"}, and the "detail" of a malformed case, which names
    the field; ``explain`` the paths and dates too.

Guarantees
    Whatever the octets are, there is one answer, and it carries the case's id when that can be read. Other certificates
    than the leaf that cannot be read are left out: trusting less is the safe side. A list or an OCSP answer that cannot
    be read makes the case malformed: without it a revoked certificate might be called good.
    Issuers must keep the rules of RFC 5280 4 (``path.Rules.strict``) unless the case says "lenient".

See also
    ``cli/pki.py`` for who asks; ``confine/server.py`` for where this runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

import msgspec
from cryptography import x509

from letterlock.pki import crl, ocsp
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.chains import Path, index
from letterlock.pki.errors import CertificateError, MalformedCase, MalformedCertificate
from letterlock.pki.path import Rules, Verdict, validate
from letterlock.pki.policy_tree import PolicyRules
from letterlock.pki.reasons import SENTENCES, Purpose, Reason
from letterlock.pki.revocation import Knowledge, Mode

MAX_POOL: Final = 20_000
"""Certificates, lists and answers of one kind in a case."""

_Found = TypeVar("_Found")
_MODES: Final[dict[str, Mode]] = {"require": "hard", "soft": "soft", "none": "none"}


class Case(msgspec.Struct, frozen=True):
    """The question. ``lenient``: issuers may break rules that harm nobody, as for mail."""

    leaf: bytes
    id: Any = None
    intermediates: tuple[bytes, ...] = ()
    anchors: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsp: tuple[bytes, ...] = ()
    at: datetime | None = None
    purpose: Purpose = "any"
    address: str | None = None
    revocation: Literal["require", "soft", "none"] = "soft"
    initial_policies: tuple[str, ...] = ()
    explicit_policy: bool = False
    inhibit_policy_mapping: bool = False
    inhibit_any_policy: bool = False
    lenient: bool = False


class _OnlyId(msgspec.Struct):
    id: Any = None


LIBRARIES: Final = ("cryptography", "idna", "OpenSSL")
"""What judging needs loaded as a whole before a child is forked (``confine/late.py``)."""

_DECODE = msgspec.json.Decoder(Case)
_DECODE_ID = msgspec.json.Decoder(_OnlyId)


def answer(line: bytes) -> bytes:
    """{"id", "ok", "reasons"} to a case, as JSON on one line without its end."""
    case, verdict = _judged(line)
    return refusal(line, *verdict.reasons, detail=verdict.detail) if case is None else _short(case.id, verdict)


def explain(line: bytes) -> bytes:
    """The same with sentences, path, every rejected path and how long the verdict holds."""
    case, verdict = _judged(line)
    return msgspec.json.encode(
        {
            "id": case.id if case else None,
            "ok": verdict.ok,
            "reasons": list(verdict.reasons),
            "sentences": [SENTENCES[each] for each in verdict.reasons],
            "detail": verdict.detail,
            "path": _names(verdict.path),
            "since": verdict.since,
            "until": verdict.until,
            "rejected": [
                {"path": _names(each.path), "reasons": list(each.reasons), "detail": each.detail}
                for each in verdict.rejected
            ],
        }
    )


def refusal(line: bytes, *reasons: Reason, detail: str = "") -> bytes:
    """The answer no to a case that could not be judged. ``detail``: what is wrong with it."""
    try:
        name = _DECODE_ID.decode(line).id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        name = None
    return _short(name, Verdict(False, reasons, detail=detail))


def _short(name: object, verdict: Verdict) -> bytes:
    told: dict[str, object] = {"id": name, "ok": verdict.ok, "reasons": list(verdict.reasons)}
    if verdict.detail and Reason.MALFORMED_CASE in verdict.reasons:
        told["detail"] = verdict.detail
    return msgspec.json.encode(told)


def _judged(line: bytes) -> tuple[Case | None, Verdict]:
    try:
        case = _DECODE.decode(line)
        at = case.at or datetime.now(UTC)
        if at.tzinfo is None:
            raise MalformedCase("The time has no offset from UTC - at `$.at`")
        for name in ("intermediates", "anchors", "crls", "ocsp"):
            if len(getattr(case, name)) > MAX_POOL:
                raise MalformedCase(f"More than {MAX_POOL} - at `$.{name}`")
        _check_policies(case.initial_policies)
        knowledge = Knowledge(_all("crls", crl.parse, case.crls), _all("ocsp", ocsp.parse, case.ocsp))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, MalformedCase) as error:
        return None, Verdict(False, (Reason.MALFORMED_CASE,), detail=str(error)[:200])
    try:
        leaf = parse(case.leaf)
    except MalformedCertificate as error:
        return case, Verdict(False, (Reason.MALFORMED,), detail=str(error))
    verdict = _judge(case, leaf, at.astimezone(UTC), knowledge)
    if case.address is not None and not leaf.names(case.address):
        verdict = verdict._replace(ok=False, reasons=(Reason.ADDRESS, *verdict.reasons))
    return case, verdict


def _judge(case: Case, leaf: Certificate, at: datetime, knowledge: Knowledge) -> Verdict:
    policies = PolicyRules(
        frozenset(case.initial_policies), case.explicit_policy, case.inhibit_policy_mapping, case.inhibit_any_policy
    )
    return validate(
        leaf,
        index(_readable(case.intermediates)),
        index(_readable(case.anchors)),
        at,
        Rules(case.purpose, _MODES[case.revocation], policies, strict=not case.lenient),
        knowledge,
    )


def _check_policies(dotted: Iterable[str]) -> None:
    for number, each in enumerate(dotted):
        try:
            x509.ObjectIdentifier(each)
        except ValueError:
            raise MalformedCase(f"Not a dotted OID - at `$.initial_policies[{number}]`") from None


def _all(field: str, read: Callable[[bytes], _Found], octets: Iterable[bytes]) -> tuple[_Found, ...]:
    """Every one of them. Raises MalformedCase, which names the first that cannot be read as msgspec would."""
    found: list[_Found] = []
    for number, each in enumerate(octets):
        try:
            found.append(read(each))
        except CertificateError as error:
            raise MalformedCase(f"{error.public.rstrip('.')} - at `$.{field}[{number}]`") from error
    return tuple(found)


def _readable(octets: Iterable[bytes]) -> list[Certificate]:
    found: list[Certificate] = []
    for each in octets:
        try:
            found.append(parse(each))
        except CertificateError:
            continue
    return found


def _names(path: Path) -> list[str]:
    return [each.subject or each.thumbprint.hex() for each in path]
