"""Makes what everybody may fetch: lists of revocations, and an OCSP answer for each certificate, ahead of any question.

Guarantees
    The public listener needs no key and has none: answers are signed here, by housekeeping or after a revocation, and
    only read there (RFC 5019). They carry no nonce, so a client that insists on one finds none.
    A list is at hand for our own decisions as soon as it is published, whoever fetches it.
    A list is full, numbered without gaps, and there is a new one long before the old one ends; so with answers. What was
    revoked meanwhile is never published as good: put_answer compares.

Standards
    RFC 5280 5 (5.2.3 CRL number), RFC 6960 2.5 and 4.2.2 (answers made ahead, times), RFC 5019 2.2 and 4, RFC 9654.

Raises
    AuthorityError; what database and keyholder raise.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from cryptography import x509

from letterlock.errors import LetterlockError
from letterlock.pki.ca import calls, tbs
from letterlock.pki.ca.calls import Authority
from letterlock.pki.ca.issue import Office, signed
from letterlock.pki.certificate import name_key

LIST_HOLDS: Final = timedelta(days=7)
LIST_EVERY: Final = timedelta(days=1)
ANSWER_HOLDS: Final = timedelta(days=4)
ANSWER_EVERY: Final = timedelta(days=1)
BATCH: Final = 200


class Published(NamedTuple):
    """How many lists and answers were made."""

    lists: int
    answers: int


async def refresh(office: Office, now: datetime) -> Published:
    """Make every list and answer that is due. One that fails stops no other; the first fault is raised at the end."""
    known = {each.id: each for each in await calls.authorities(office.gate, token=office.token)}
    lists, fault = 0, None
    for each in known.values():
        if each.crl_next > now:
            continue
        try:
            lists += await make_list(office, each, now)
        except LetterlockError as error:
            fault = fault or error
    made = Published(lists, await _make_answers(office, known, now))
    if fault is not None:
        raise fault
    return made


async def make_list(office: Office, authority: Authority, now: datetime) -> bool:
    """The next list of revocations of an authority; False when another was quicker."""
    issuer = x509.load_der_x509_certificate(authority.der)
    rows = await calls.revoked(office.gate, token=office.token, authority=authority.id)
    revoked = [(int.from_bytes(each.serial, "big"), each.revoked_at, each.reason) for each in rows]
    number, until = authority.crl_number + 1, now + LIST_HOLDS
    octets = tbs.revocation_list(issuer, number, revoked, now, until)
    crl = await signed(office, "crl", authority.key_id, octets)
    answer = await calls.put_list(
        office.gate,
        token=office.token,
        authority=authority.id,
        number=number,
        crl=crl,
        issuer=name_key(issuer.subject),
        since=now,
        next=now + LIST_EVERY,
        until=until,
    )
    return answer == "done"


async def _make_answers(office: Office, authorities: dict[UUID, Authority], now: datetime) -> int:
    made = 0
    while True:
        due = await calls.answers_due(office.gate, token=office.token, max=BATCH)
        for each in due:
            made += await _make_answer(office, authorities[each.authority], each, now)
        if len(due) < BATCH:
            return made


async def _make_answer(office: Office, authority: Authority, due: calls.AnswerDue, now: datetime) -> bool:
    issuer = x509.load_der_x509_certificate(authority.der)
    certificate = x509.load_der_x509_certificate(due.der)
    revoked = (due.revoked_at, due.reason or "unspecified") if due.revoked_at else None
    answers = []
    for digest in ("sha1", "sha256"):  # how clients name the issuer (RFC 5019 2.1.1, RFC 6960 4.3)
        octets = tbs.answer(certificate.serial_number, issuer, digest, revoked, now, now + ANSWER_HOLDS)
        answers.append(await signed(office, "ocsp", authority.key_id, octets))
    answer = await calls.put_answer(
        office.gate,
        token=office.token,
        id=due.id,
        revoked=revoked is not None,
        answer_sha1=answers[0],
        answer_sha256=answers[1],
        next=now + ANSWER_EVERY,
    )
    return answer == "done"
