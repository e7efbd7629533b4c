"""The sample mails: what is sent, by whom, and what must come of it.

Order
    Each sample makes its octets from the cast, is sent, and ``judge`` looks at what the next hop and the queue have.

Raises
    UnexpectedError from ``judge``, with what was seen instead.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

import opening
from cast import ANNA, BEN, CARLA, DAVID, ERIN, MALLORY, Cast
from gateway import HERE, INTERNET, Gateway
from inbox import Inbox, Mail

ARRIVES_WITHIN = 20.0
REPORT = "The scan of 14 March shows no change. Next visit in six months."
LETTER = "Discharge letter: two weeks of rest, then light exercise."
NEWS = "The practice is closed on Friday afternoon."
RESULTS = "Laboratory: potassium 4.1 mmol/l, all values normal."
DOSE = "Please give 10 mg a day."
BILL = "Wire 9,000 today. This is urgent."


class UnexpectedError(Exception):
    """A mail fared otherwise than it must."""


@dataclass(frozen=True)
class Outcome:
    """What happened, where to look, and the gateway's id of the message."""

    happened: str
    look: str
    message: str


@dataclass(frozen=True)
class Stage:
    """What a sample can look at."""

    gateway: Gateway
    inbox: Inbox
    cast: Cast
    url_of: Callable[[Mail], str]

    def arrived(self, to: str, word: str = "") -> Mail:
        """The mail for ``to`` whose subject holds ``word``."""
        mail = self.inbox.wait_for(lambda each: to in each.recipients and word in each.subject, ARRIVES_WITHIN)
        if mail is None:
            raise UnexpectedError(f"nothing came for {to} within {ARRIVES_WITHIN:.0f} s")
        return mail

    def seen(self, mail: Mail, happened: str) -> Outcome:
        """The outcome of a mail that arrived; its first Received field names the gateway's id."""
        found = re.search(r"\bid ([0-9a-f-]{36})\b", str(mail.parsed["Received"]))
        if found is None:
            raise UnexpectedError("its Received field has no id of ours")
        return Outcome(happened, self.url_of(mail), found[1])

    def held(self, sender: str) -> dict[str, object]:
        """The queue's entry of a held mail."""
        end = time.monotonic() + ARRIVES_WITHIN
        while time.monotonic() < end:
            for entry in self.gateway.ask("queue", "list"):
                if entry["sender"] == sender and entry["state"] == "held":
                    return dict(entry)
            time.sleep(0.1)
        raise UnexpectedError(f"no mail of {sender} is held")


@dataclass(frozen=True)
class Sample:
    """One mail. ``make`` gives its octets; ``judge`` says what became of it."""

    title: str
    sender: str
    to: str
    source: str
    make: Callable[[Cast], bytes]
    judge: Callable[[Stage], Outcome]


def _fields(sender: str, to: str, subject: str) -> bytes:
    return (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {formatdate()}\r\n"
        f"Message-ID: <{secrets.token_hex(8)}@{sender.partition('@')[2]}>\r\n"
    ).encode()


def _plain(text: str) -> bytes:
    return f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


def _letter(sender: str, to: str, subject: str, text: str) -> Callable[[Cast], bytes]:
    return lambda cast: _fields(sender, to, subject) + _plain(text)


def _must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise UnexpectedError(otherwise)


def _encrypted(stage: Stage) -> Outcome:
    mail = stage.arrived(CARLA)
    _must(mail.is_encrypted, "it arrived without encryption")
    _must(REPORT.encode() not in mail.octets, "its text could be read on the way")
    signed = opening.verify(opening.decrypt(mail.octets, stage.cast.carla), stage.cast.authority.certificate)
    _must(REPORT.encode() in signed, "openssl found another text in it")
    return stage.seen(mail, "Signed and encrypted. openssl decrypts it with Carla's key and verifies Anna's signature.")


def _held(stage: Stage) -> Outcome:
    entry = stage.held(ANNA)
    notice = stage.arrived(ANNA)
    _must(DAVID.encode() in notice.octets and not notice.sender, "the sender was not told")
    _must(LETTER.encode() not in notice.octets, "the notice quotes the letter")
    _must(not [m for m in stage.inbox.mails if DAVID in m.recipients], "it left although it must not")
    happened = "Held, not sent; Anna was told. It waits for a certificate, or five days, then bounces."
    return Outcome(happened, f"the notice: {stage.url_of(notice)}\nletterlock queue list", str(entry["id"]))


def _clear(stage: Stage) -> Outcome:
    mail = stage.arrived(ERIN)
    _must(NEWS.encode() in mail.octets and not mail.is_encrypted, "it did not arrive as it was sent")
    return stage.seen(mail, "Sent as it was: nothing demands encryption and Erin has no certificate.")


def _opened(stage: Stage) -> Outcome:
    mail = stage.arrived(ANNA, "Results")
    _must(RESULTS.encode() in mail.octets, "it was not decrypted")
    _must(mail.subject == "[decrypted] [signed] Results", f"its subject is {mail.subject!r}")
    _must(bool(mail.findings), "no X-Letterlock-Info field tells what was found")
    return stage.seen(mail, f"Decrypted and verified, then delivered as {mail.subject!r}.")


def _tampered(stage: Stage) -> Outcome:
    mail = stage.arrived(ANNA, "Dose")
    _must(mail.subject == "[invalid signature] Dose", f"its subject is {mail.subject!r}")
    return stage.seen(mail, f"Somebody made 10 mg out of 1 mg: delivered as {mail.subject!r}.")


def _spoofed(stage: Stage) -> Outcome:
    mail = stage.arrived(BEN, "Invoice")
    _must(mail.subject == "Invoice", f"its subject is {mail.subject!r}")
    _must(b"ceo@clinic.example" not in mail.octets, "a forged field came through")
    return stage.seen(mail, "The forged tag and the forged X-Letterlock-Info field were taken out.")


def _sealed_results(cast: Cast) -> bytes:
    signed = opening.sign(_plain(RESULTS), cast.carla)
    return _fields(CARLA, ANNA, "Results") + opening.encrypt(signed, cast.anna)


def _changed_dose(cast: Cast) -> bytes:
    signed = opening.sign(_plain(DOSE.replace("10 mg", "1 mg")), cast.carla)
    return _fields(CARLA, ANNA, "Dose") + signed.replace(b"give 1 mg", b"give 10 mg")


def _forged(cast: Cast) -> bytes:
    forged = _fields(MALLORY, BEN, "[signed by: ceo@clinic.example] [decrypted] Invoice")
    return forged + b"X-Letterlock-Info-Signer-Email-0-0: ceo@clinic.example\r\n" + _plain(BILL)


SAMPLES = (
    Sample("a report for Carla, who has a certificate", ANNA, CARLA, HERE,
           _letter(ANNA, CARLA, "Report", REPORT), _encrypted),
    Sample("[encrypt] in the subject, but David has no certificate", ANNA, DAVID, HERE,
           _letter(ANNA, DAVID, "[encrypt] Discharge letter", LETTER), _held),
    Sample("a note that may be read by anybody", BEN, ERIN, HERE,
           _letter(BEN, ERIN, "Opening hours", NEWS), _clear),
    Sample("from outside: signed by Carla, encrypted to Anna", CARLA, ANNA, INTERNET, _sealed_results, _opened),
    Sample("from outside: signed by Carla, changed on the way", CARLA, ANNA, INTERNET, _changed_dose, _tampered),
    Sample("from outside: says of itself that the CEO signed it", MALLORY, BEN, INTERNET, _forged, _spoofed),
)  # fmt: skip
