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
from typing import Annotated, Any, Final
from uuid import UUID

from letterlock.telemetry import log

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:,/+-]{0,63}\Z")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_.:\[\]*-]{1,255}\Z")
_SENTENCE_MOST: Final = 400


def word(value: object) -> str:
    """``value`` when it is a short word of our own; else "?". Empty stays empty."""
    text = str(value)
    return text if not text or _WORD.match(text) else "?"


def domain(value: object) -> str:
    """``value`` when it looks like a domain or host; else "?"."""
    text = str(value)
    return text if not text or _DOMAIN.match(text) else "?"


def sentence(value: object) -> str:
    """The words of an error of ours, on one line and not longer than a sentence is."""
    return "".join(each if each.isprintable() else " " for each in str(value))[:_SENTENCE_MOST]


Word = Annotated[str, word]
"""A word of ours: a state, a verdict, a reason out of a closed list."""
Domain = Annotated[str, domain]
"""A domain or host name."""
Sentence = Annotated[str, sentence]
"""The text of a LetterlockError, which holds no content (errors.py)."""

FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "attempts": int,
    "code": int,
    "deliveries": int,
    "domain": domain,
    "epoch": str,
    "event": word,
    "files": int,
    "held": int,
    "id": str,
    "job": word,
    "octets": int,
    "reason": word,
    "recipients": int,
    "refused": int,
    "role": word,
    "rows": int,
    "seconds": float,
    "setting": word,
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
    "flow.decided": "a plan was made",
    "flow.deferred": "a message could not be worked on now",
    "delivery.tried": "a delivery was tried",
    "keyholder.epoch-made": "an epoch key was made",
    "keyholder.epoch-destroyed": "an epoch key was destroyed",
    "keyholder.refused": "the keyholder refused a request",
    "keyholder.stopped": "the keyholder destroys nothing until the clocks are confirmed",
    "audit.sealed": "audit rows were sealed",
    "housekeeping.failed": "a housekeeping job failed",
    "housekeeping.swept": "segment files without a row were removed",
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

    def message_refused(self, *, code: int, status: Word, reason: Word) -> None:
        """A reply 4xx or 5xx to MAIL, RCPT or the message. ``reason``: of our own list."""
        self._write("smtpd.refused", code=code, status=status, reason=reason)

    def message_advanced(self, *, id: UUID, state: Word, seconds: float) -> None:  # noqa: A002
        """A message was worked on. ``state``: gone, held, or received again."""
        self._write("flow.advanced", id=id, state=state, seconds=seconds)

    def message_decided(self, *, id: UUID, deliveries: int, held: int, refused: int) -> None:  # noqa: A002
        """What the plan comes to: deliveries, recipients held and refused."""
        self._write("flow.decided", id=id, deliveries=deliveries, held=held, refused=refused)

    def message_deferred(self, *, id: UUID, attempts: int, reason: Word) -> None:  # noqa: A002
        """A message stays for a later attempt. ``reason``: the class of the fault."""
        self._write("flow.deferred", log.WARNING, id=id, attempts=attempts, reason=reason)

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

    def epoch_made(self, *, epoch: UUID) -> None:
        """A new epoch key."""
        self._write("keyholder.epoch-made", epoch=epoch)

    def epoch_destroyed(self, *, epoch: UUID) -> None:
        """An epoch key is gone, and with it all that was sealed under it."""
        self._write("keyholder.epoch-destroyed", epoch=epoch)

    def keys_refused(self, *, role: Word, reason: Word) -> None:
        """A request for keys that was not answered with keys."""
        self._write("keyholder.refused", log.WARNING, role=role, reason=reason)

    def destruction_stopped(self, *, reason: Word) -> None:
        """The clocks do not agree."""
        self._write("keyholder.stopped", log.ERROR, reason=reason)

    def audit_sealed(self, *, rows: int) -> None:
        """Committed audit rows were hashed, chained and signed."""
        self._write("audit.sealed", log.DEBUG, rows=rows)

    def _write(self, event: str, level: int = log.INFO, **fields: object) -> None:
        if log.wants(level):
            log.line(level, {"event": event, **fields_of(fields)})


emit = Emit()
