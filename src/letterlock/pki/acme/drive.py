"""Enrolments step by step: what came is taken, what comes next is signed and left for the fetch station to send.

States
    Those of ``enrolment.py``; the request shows in words what it waits for.

Guarantees
    A step is a row that changes in one transaction, fenced by its number: a crash between two steps loses nothing, and
    of two who take the same step one is heard. What was sent without an answer is sent again under a new nonce.
    The server is told of the reply when that has had time to arrive (acme_head_start): there are servers that look once.
    A server that cannot be reached is asked again after 1, 2, 4 ... minutes, LONGEST_WAIT at most. A proof that was
    refused is tried anew with another order, MOST_ORDERS in all: whoever forges a challenge mail wins time, nothing else.
    At ``ends_at`` the request has failed and says what it waited for.
    A certificate that is not for the request's key and address is never kept.

Standards
    RFC 8555 7 (the exchange), RFC 8823 3.

Raises
    What the database raises; faults of a single enrolment are kept with it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, Final

from letterlock.errors import LetterlockError
from letterlock.pki.acme import calls, challenge
from letterlock.pki.acme.calls import Due
from letterlock.pki.acme.enrolment import AcmeRefused, Enrolment, HttpAnswer, ProofRefused
from letterlock.pki.acme.received import Delivered, WrongCertificate, read
from letterlock.pki.ca.errors import AuthorityError
from letterlock.pki.ca.issue import Office
from letterlock.vault.keys import new_id

BATCH: Final = 50
LONGEST_WAIT: Final = timedelta(hours=1)
BETWEEN_ORDERS: Final = timedelta(minutes=5)
MOST_ORDERS: Final = 4

_log = logging.getLogger("letterlock.acme")

_WORDS: Final = {
    "directory": "Asks the server what it offers.",
    "nonce": "Asks the server what it offers.",
    "account": "Opens an account at the server.",
    "order": "Orders the certificate.",
    "challenge": "Asks the server for its challenge.",
    "proving": "The challenge mail was answered; the server looks at the reply.",
    "finalise": "The address is proved; the server makes the certificate.",
    "download": "Fetches the certificate.",
}


class _Account:
    """The account's key at the keyholder, for one enrolment; enrolment.Account."""

    def __init__(self, office: Office, row: Due) -> None:
        self._office = office
        self._row = row

    def jwk(self) -> dict[str, str]:
        return challenge.jwk(self._row.account_spki)

    async def sign(self, octets: bytes) -> bytes:
        order = new_id()
        answer = await calls.order_jws(self._office.gate, id=order, request=self._row.request, tbs=octets)
        if answer != "done":
            raise AuthorityError("The account's key was not used.", detail=answer)
        return await self._office.keyholder.carry_out(order, b"")


async def work(office: Office, now: datetime) -> int:
    """Every enrolment that can go on goes one step; how many did."""
    rows = await calls.due(office.gate, at=now, max=BATCH)
    for row in rows:
        try:
            await _step(office, row, now)
        except LetterlockError as fault:  # keyholder or database are away: the step is still to be made
            _tell(row, fault)
    return len(rows)


async def _step(office: Office, row: Due, now: datetime) -> None:
    body = dict(row.body)
    known = {name: body.pop(name, default) for name, default in (("orders", 1), ("faults", 0), ("head_start", 60.0))}
    made = Enrolment(row.directory, _Account(office, row), row.address, row.csr or b"", body["contact"])
    made.restored({**body, "state": row.state})
    if now >= row.ends_at:
        await _fail(office, row, made, known, f"The certificate did not come in time. At last: {row.reason}")
        return
    try:
        wait = _take(row, made, known, now)
        if made.state == "done":
            await _finish(office, row, read(made.certificate, row.spki, row.address, now))
            return
        request = await made.request() if wait == timedelta() else None
    except ProofRefused as fault:
        known["orders"] += 1
        if known["orders"] > MOST_ORDERS:
            await _fail(office, row, made, known, str(fault))
            return
        made.again()
        _tell(row, fault)
        await _put(office, row, made, known, now + BETWEEN_ORDERS, f"{fault.public} A new order follows.")
        return
    except AcmeRefused as fault:
        _tell(row, fault)
        await _fail(office, row, made, known, str(fault))
        return
    if request is not None:
        sent = {"method": request.method, "url": request.url, "kind": request.kind, "asked": request.body}
        await _put(office, row, made, known, row.ends_at, _words(made), **sent)
        return
    waits = made.state == "challenge" and wait == timedelta()
    reason = f"{row.fault} Asked again later." if row.fault else _words(made, row.answered_at is not None)
    if row.code is not None and (row.code == 429 or row.code >= 500):
        reason = f"The server answers {row.code}. Asked again later."
    await _put(office, row, made, known, row.ends_at if waits else now + wait, reason)


def _take(row: Due, made: Enrolment, known: dict[str, Any], now: datetime) -> timedelta:
    """Take what came; how long to wait before the next request."""
    if row.fault is not None:
        made.lost()
        known["faults"] += 1
        return min(timedelta(minutes=2.0 ** (known["faults"] - 1)), LONGEST_WAIT)
    if row.code is not None:
        known["faults"] = 0
        return timedelta(seconds=made.receive(HttpAnswer(row.code, row.fields or {}, row.answer or b"")))
    if made.state == "challenge" and made.challenge is not None and row.answered_at is not None:
        left = row.answered_at + timedelta(seconds=known["head_start"] * 2 ** (known["orders"] - 1)) - now
        if left > timedelta():
            return left
        made.replied()
    return timedelta()


def _words(made: Enrolment, answered: bool = False) -> str:
    if answered and made.state == "challenge":
        return "The challenge mail was answered; the reply is given time to arrive."
    if made.state == "challenge" and made.challenge is not None:
        return f"Waits for the challenge mail from {made.challenge.sender}."
    return _WORDS[made.state]


async def _put(
    office: Office, row: Due, made: Enrolment, known: dict[str, Any], due_at: datetime, reason: str, **sent: Any
) -> None:
    plain = made.plain()
    state = plain.pop("state")
    named = made.challenge
    await calls.put(
        office.gate,
        request=row.request,
        step=row.step,
        state=state,
        body={**plain, **known},
        due_at=min(due_at, row.ends_at),
        reason=reason[:500],
        challenger=named.sender if named else "",
        token_part=named.token if named else "",
        **{"method": "", "url": "", "kind": "", "asked": b"", **sent},
    )


async def _fail(office: Office, row: Due, made: Enrolment, known: dict[str, Any], reason: str) -> None:
    made.state = "failed"
    await _put(office, row, made, known, row.ends_at, reason)


async def _finish(office: Office, row: Due, found: Delivered) -> None:
    every = (found.certificate, *found.above)
    answer = await calls.finish(
        office.gate,
        request=row.request,
        step=row.step,
        spki=found.certificate.spki,
        addresses=list(found.certificate.addresses),
        ids=[new_id() for _ in every],
        ders=[each.der for each in every],
        subjects=[each.subject for each in every],
        issuers=[each.issuer for each in every],
        serials=[each.issuer_serial for each in every],
        skis=[each.key_identifier for each in every],
        not_before=[each.not_before for each in every],
        not_after=[each.not_after for each in every],
        reason="",
    )
    if answer == "wrong-key":
        raise WrongCertificate("The authority gave a certificate for another key.")


def _tell(row: Due, fault: LetterlockError) -> None:
    _log.warning(
        "a certificate did not come yet: %s",
        fault,
        extra={"event": "ca.failed", "id": row.request, "state": row.state, "why": str(fault)},
    )
