"""The closed catalogue of events, each with typed fields; ``emit`` writes one.

Guarantees
    A field is a number, an id, a time, or a Word, Domain or Sentence that has been cut to its form: no field can hold
    content, a subject, an address or a key. What does not fit a Word is written as "?".

See also
    ``log.py`` for the lines; ``metrics.py`` for what is counted. Log records of the logging module may name one of
    EVENTS in ``extra={"event": ...}`` together with fields of FIELDS; all other extras are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final
from uuid import UUID

from letterlock.telemetry import log

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:,/+-]{0,63}\Z")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_.:\[\]*-]{1,255}\Z")
_SENTENCE_MOST: Final = 400


@lru_cache(maxsize=256, typed=True)  # most are out of closed lists
def word(value: object) -> str:
    """``value`` when it is a short word of our own; else "?". Empty stays empty."""
    text = str(value)
    return text if not text or _WORD.match(text) else "?"


@lru_cache(maxsize=1024, typed=True)
def domain(value: object) -> str:
    """``value`` when it looks like a domain or host; else "?"."""
    text = str(value)
    return text if not text or _DOMAIN.match(text) else "?"


def sentence(value: object) -> str:
    """The words of an error of ours, on one line and not longer than a sentence is."""
    return "".join(each if each.isprintable() else " " for each in str(value))[:_SENTENCE_MOST]


def _id(value: object) -> object:
    """The encoder writes a UUID as str does, and faster."""
    return value if isinstance(value, UUID) else str(value)


Word = Annotated[str, word]
"""A word of ours: a state, a verdict, a reason out of a closed list."""
Domain = Annotated[str, domain]
"""A domain or host name."""
Sentence = Annotated[str, sentence]
"""The text of a LetterlockError, which holds no content (errors.py)."""

FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "code": int,
    "domain": domain,
    "epoch": str,
    "event": word,
    "files": int,
    "id": _id,
    "job": word,
    "kind": word,
    "octets": int,
    "reason": word,
    "recipients": int,
    "role": word,
    "rows": int,
    "seconds": float,
    "state": word,
    "station": word,
    "status": word,
    "tls": word,
    "verdict": word,
    "why": sentence,
}
"""Every field a log line may have, and what brings a value into its form."""

EVENTS: Final[Mapping[str, str]] = {
    "smtpd.accepted": "a message was accepted: 250 was said",
    "smtpd.refused": "a message or recipient was refused",
    "flow.advanced": "a message left flow for its next state",
    "flow.harvested": "a correspondent's certificate came with signed mail",
    "delivery.tried": "a delivery was tried",
    "keyholder.epoch-made": "an epoch key was made",
    "keyholder.epoch-destroyed": "an epoch key was destroyed",
    "keyholder.epoch-missing": "a key file that the database knows of is not there",
    "keyholder.epoch-overdue": "an epoch is over, and queued mail still hangs on it",
    "keyholder.failed": "the keyholder could not do what it was asked",
    "keyholder.refused": "the keyholder refused a request",
    "keyholder.restored": "a restored database was found: sessions, grants and leases are void",
    "keyholder.seal-lost": "a seal of the audit chain was not stored",
    "keyholder.seals-differ": "database and keyholder's own file disagree about the audit chain",
    "keyholder.signer-ended": "a signer ended and was replaced",
    "keyholder.signer-missing": "no signer can be started",
    "keyholder.pin-refused": "the PKCS #11 token refused the PIN and is not asked again",
    "keyholder.signer-stuck": "a signer did not answer and was killed",
    "keyholder.stopped": "the keyholder destroys nothing until the clocks are confirmed",
    "keyholder.time-confirmed": "an administrator confirmed the time",
    "doorkeeper.admitted": "an administrator was admitted",
    "doorkeeper.refused": "somebody was not admitted",
    "ca.ends-soon": "a certificate of our own authority ends soon and is not renewed yet",
    "ca.failed": "a request for a certificate was not carried out",
    "fetch.answered": "something that was wanted was fetched, or could not be",
    "fetch.crl-stale": "a CRL in use is past its nextUpdate, and no newer one has come",
    "housekeeping.failed": "a housekeeping job failed",
    "housekeeping.swept": "segment files without a row were removed",
    "gateway.restricted": "crypto_profile is fips: algorithms that are not approved are not used",
    "gateway.ready": "every process serves",
    "gateway.stopped": "every process has ended",
    "process.ended": "a process ended by itself",
    "process.killed": "a process did not drain and was killed",
    "process.stuck": "a process did not answer and was killed",
    "station.failed": "a station could not do its work",
}
"""Every event and what it tells. The word before the point is the package that says it."""


def fields_of(given: Mapping[str, Any]) -> dict[str, object]:
    """Those of the given values that a log line may have, each in its form. Never raises."""
    found: dict[str, object] = {}
    for name, value in given.items():
        form = FIELDS.get(name)
        if form is None:
            continue
        try:
            found[name] = form(value)
        except (TypeError, ValueError):
            found[name] = "?"
    return found


class Emit:
    """One method for each event that is written often; keyword arguments only."""

    def message_accepted(self, *, id: UUID, recipients: int, octets: int, seconds: float, tls: Word = "") -> None:  # noqa: A002
        """The instant of responsibility: the commit of queue.accept. ``seconds``: of the whole transaction."""
        self._write("smtpd.accepted", id=id, recipients=recipients, octets=octets, seconds=seconds, tls=tls)

    def message_refused(self, *, code: int, status: Word, reason: Sentence) -> None:
        """A reply 4xx or 5xx to MAIL, RCPT or the message. ``reason``: the text of a reply of ours (mail/reply.py)."""
        self._write("smtpd.refused", code=code, status=status, why=reason)

    def message_advanced(self, *, id: UUID, state: Word, seconds: float) -> None:  # noqa: A002
        """A message was worked on. ``state``: gone, held, or received again."""
        self._write("flow.advanced", id=id, state=state, seconds=seconds)

    def certificate_harvested(self, *, id: UUID, state: Word) -> None:  # noqa: A002
        """A certificate was kept (new, waiting) or not (full, wrong); with -other-key when its address had others."""
        self._write("flow.harvested", id=id, state=state)

    def delivery_tried(
        self,
        *,
        id: UUID,  # noqa: A002
        domain: Domain,
        verdict: Word,
        code: int,
        status: Word,
        recipients: int,
        seconds: float,
        tls: Word = "",
    ) -> None:
        """One attempt. ``verdict``: delivered, deferred, failed or mixed; ``code``, ``status``: of the worst reply."""
        self._write(
            "delivery.tried",
            id=id,
            domain=domain,
            verdict=verdict,
            code=code,
            status=status,
            recipients=recipients,
            seconds=seconds,
            tls=tls,
        )

    def fetched(self, *, kind: Word, domain: Domain, state: Word, seconds: float) -> None:
        """An attempt to fetch. ``kind``: of what is wanted; ``domain``: the server; ``state``: found, absent ..."""
        self._write("fetch.answered", kind=kind, domain=domain, state=state, seconds=seconds)

    def crl_stale(self, *, domain: Domain, seconds: float) -> None:
        """An alarm. ``domain``: the server of the CRL; ``seconds``: since its nextUpdate."""
        self._write("fetch.crl-stale", log.WARNING, domain=domain, seconds=seconds)

    def _write(self, event: str, level: int = log.INFO, **fields: object) -> None:
        if log.wants(level):
            log.line(level, fields_of({"event": event, **fields}))


emit = Emit()
