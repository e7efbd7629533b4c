"""``letterlock certificate why ADDRESS``: every certificate that might serve, which are used, and the rule each other fails.

Guarantees
    The lookups and rules are those of the flow (``pki/scopes.py``, ``pki/select.py``); nothing is changed by asking, and
    nothing fetched. Revocation is asked for as smime_revocation of the address says; the other side may be stricter.
    A harvested certificate that waits for approval is among the rejected, so that it is not looked for in vain.

Order
    To encrypt: personal, tied to the address, the domain's (authority, tied, wildcard), additional (escrow). To sign:
    the address's own; a domain's signing authority is listed, and is not used under a person's name.

See also
    ``cli/explain.py`` for what becomes of a whole message.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, cast
from uuid import UUID

from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.pki import calls, scopes
from letterlock.pki.at_hand import AtHand
from letterlock.pki.ca import calls as authority_calls
from letterlock.pki.certificate import Certificate, match_form
from letterlock.pki.path import RejectedPath
from letterlock.pki.reasons import SENTENCES, Reason
from letterlock.pki.revocation import Mode
from letterlock.pki.select import Candidate, Selection, candidate, encryption_certificates, signing_certificate
from letterlock.pki.trust import Trust
from letterlock.policy import calls as policy
from letterlock.policy.effective import EffectiveSettings, of_rows
from letterlock.policy.settings import smime

WAITING = "waiting-for-approval"
UNCONFIRMED = "waiting-for-its-owner"
NOT_THE_PERSON = "signs-for-the-domain-only"


class Told(NamedTuple):
    """One candidate: by which scope it was found, used or why not."""

    origin: str
    found_by: str
    candidate: Candidate
    reasons: tuple[str, ...] = ()
    detail: str = ""
    paths: tuple[RejectedPath, ...] = ()


async def why(address: str, *, sign: bool | None, door: Door, trust: Trust) -> dict[str, list[Told]]:
    """What is used for an address (match form). ``sign``: only to sign, only to encrypt, or both (None)."""
    now = datetime.now(UTC)
    settings = of_rows([address], await policy.explain(door.gate, token=door.token, addresses=[address]))[address]
    extra = _additional(settings) if not sign else ()
    encrypting = [*scopes.personal(address), *scopes.domain_wide(address)]
    encrypting += [scopes.Scope(match_form(each) or each, "additional") for each in extra]
    authority = scopes.domain_wide(address, scopes.SIGNING)[0]
    keys = dict.fromkeys(each.key for each in (*encrypting, authority))
    rows = await calls.explain_candidates(door.gate, token=door.token, addresses=[*keys])
    found: dict[str, list[Candidate]] = {key: [] for key in keys}
    for row in rows:
        tied = scopes.is_tie(row.address)
        made = candidate(row.id, row.der, row.key_id, tied, row.capabilities, row.preferred)
        if made is not None:
            found[row.address].append(made)
    judged = Judged(trust, now, cast("Mode", settings.value(smime.SMIME_REVOCATION)))
    if judged.mode != "none":
        judged = judged._replace(trust=await informed(door, trust, (e.certificate for e in chain(*found.values()))))
    told: dict[str, list[Told]] = {}
    if not sign:
        told["encrypt"] = list(_encrypting(encrypting, found, judged))
        told["encrypt"] += await _waiting(address, door)
        told["encrypt"] += await _withheld(address, door, {each.candidate.id for each in told["encrypt"]})
    if sign is not False:
        told["sign"] = list(_signing(address, found, authority, judged))
    return told


async def informed(door: Door, trust: Trust, certificates: Iterable[Certificate]) -> Trust:
    """``trust`` with what is at hand of the revocation of these certificates."""
    gate, token = door.gate, door.token
    at_hand = AtHand(
        partial(calls.explain_crls, gate, token=token), partial(calls.explain_ocsp_answers, gate, token=token)
    )
    return (await at_hand.inform(trust, certificates, time.time())).trust


def _additional(settings: EffectiveSettings) -> tuple[str, ...]:
    """The addresses whose certificates are added when this one is written to."""
    return (
        settings.value(smime.SMIME_ADDITIONAL_CERTIFICATES) if settings.value(smime.SMIME_ADD_ADDITIONAL_CERTS) else ()
    )


class Judged(NamedTuple):
    """What certificates are judged by."""

    trust: Trust
    at: datetime
    mode: Mode


def _encrypting(wanted: Sequence[scopes.Scope], found: dict[str, list[Candidate]], by: Judged) -> Iterable[Told]:
    seen: set[object] = set()
    for scope in wanted:
        fresh = [each for each in found[scope.key] if (each.id, each.attached) not in seen]
        seen |= {(each.id, each.attached) for each in fresh}
        yield from _of(scope.origin, scope.key, encryption_certificates(scope.key, fresh, *by))


def _signing(address: str, found: dict[str, list[Candidate]], authority: scopes.Scope, by: Judged) -> Iterable[Told]:
    own, tied = (found[each.key] for each in scopes.personal(address))
    for each in _of("personal", address, signing_certificate(address, scopes.signers(own, tied, address), *by)):
        yield each._replace(origin="pinned" if each.candidate.attached else each.origin)
    for other in found[authority.key]:
        yield Told("authority", authority.key, other, (NOT_THE_PERSON,))  # RFC 3183 2.2; RFC 8550 3: From must be named


async def _withheld(address: str, door: Door, seen: set[UUID]) -> list[Told]:
    """Those of our own authority that are no candidates: revoked ones, and those whose owner does not have the key yet."""
    rows = await authority_calls.issued(door.gate, token=door.token, address=address, id=None, max=100)
    told = []
    for row in rows:
        made = candidate(row.id, row.der, row.key_id)
        if made is not None and row.id not in seen and row.not_after > datetime.now(UTC):
            detail = "" if row.revoked_at is None else f"revoked on {row.revoked_at:%Y-%m-%d} ({row.reason})"
            reason = UNCONFIRMED if row.revoked_at is None else str(Reason.REVOKED)
            told.append(Told("authority", address, made, (reason,), detail))
    return told


async def _waiting(address: str, door: Door) -> list[Told]:
    rows = await calls.waiting(door.gate, token=door.token, address=address, max=100)
    made = [candidate(row.id, row.der) for row in rows]
    return [Told("harvest", address, each, (WAITING,)) for each in made if each is not None]


def _of(origin: str, key: str, selection: Selection) -> Iterable[Told]:
    unsure = {each.candidate: f"not known whether revoked: {each.detail}" for each in selection.unsure}
    for each in selection.chosen:
        yield Told(origin, key, each, detail=unsure.get(each, ""))
    for other in selection.rejected:
        yield Told(origin, key, other.candidate, tuple(map(str, other.reasons)), other.detail, other.paths)


async def run(address: str, arguments: argparse.Namespace, door: Door, trust: Trust) -> int:
    """Print it, as JSON or as tables."""
    told = await why(address, sign=arguments.sign, door=door, trust=trust)
    if arguments.json:
        show.print_json({"address": address, **{name: _plain(rows) for name, rows in told.items()}})
        return 0
    for name, rows in told.items():
        show.print_table(
            (f"TO {name.upper()}", "USED", "FOUND AS", "WHY NOT", "SUBJECT", "DETAIL"),
            [
                (each.candidate.id, not each.reasons, each.origin, list(each.reasons), _subject(each), each.detail)
                for each in rows
            ],
            empty=f"No certificate to {name} for {address}; import one.",
        )
        for reason in dict.fromkeys(reason for each in rows for reason in each.reasons):
            print(f"  {reason}: {_sentence(reason)}")
        print()
    return 0


def _subject(each: Told) -> str:
    return each.candidate.certificate.subject


_SENTENCES = {
    UNCONFIRMED: "Its owner does not have the key yet; say 'letterlock ca confirm' when it has arrived.",
    WAITING: "It came with a message and waits for 'letterlock certificate approve'.",
    NOT_THE_PERSON: "It signs for the domain; a person's mail is signed with a certificate that names the person.",
}


def _sentence(reason: str) -> str:
    return _SENTENCES.get(reason) or SENTENCES[Reason(reason)]


def _plain(rows: Iterable[Told]) -> dict[str, list[dict[str, Any]]]:
    out: dict[str, list[dict[str, Any]]] = {"chosen": [], "rejected": []}
    for each in rows:
        certificate = each.candidate.certificate
        row = {
            "id": each.candidate.id,
            "thumbprint": certificate.thumbprint.hex(),
            "subject": certificate.subject,
            "not_after": certificate.not_after,
            "origin": each.origin,
            "found_by": each.found_by,
            "reads": None if (reads := each.candidate.capabilities) is None else sorted(reads),
            "preferred": each.candidate.preferred,
        }
        if each.reasons:
            why_not = {
                "reasons": list(each.reasons),
                "sentences": [_sentence(reason) for reason in each.reasons],
                "detail": each.detail,
                "paths": [
                    {
                        "path": [one.subject for one in tried.path],
                        "reasons": list(map(str, tried.reasons)),
                        "detail": tried.detail,
                    }
                    for tried in each.paths
                ],
            }
            out["rejected"].append({**row, **why_not})
        else:
            out["chosen"].append({**row, "detail": each.detail})
    return out
