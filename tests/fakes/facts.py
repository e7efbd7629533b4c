"""Facts for tests of the decision, made in one line each.

Guarantees
    Certificates here are records without a key or octets of X.509: what a decision looks at and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from letterlock.decision.known import Facts, MessageFacts, Queued, RecipientFacts, SenderFacts
from letterlock.decision.terms import between
from letterlock.mail.envelope import Envelope, Origin, Recipient
from letterlock.pki.certificate import Certificate, match_form
from letterlock.pki.reasons import Reason
from letterlock.pki.select import Candidate, Rejected, Selection
from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings import find
from letterlock.policy.settings.declare import Effective, Level

NOW = 1_800_000_000.0
DAY = 86_400.0
SENDER = "ann@inside.example"
INTERNAL: Effective[str] = Effective("internal", "domain", "inside.example")


class Header:
    """A header as triggers see it: (name, decoded value) pairs."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self.fields = fields

    def values(self, name: str) -> list[str]:
        """See policy.triggers.Fields."""
        return [value for known, value in self.fields if known.lower() == name.lower()]


def certificate(address: str, *, number: int = 0, kind: str = "rsa") -> Certificate:
    """A certificate of that address; another number, another certificate."""
    der = f"{address} {number} {kind}".encode()
    at = datetime(2020, 1, 1, tzinfo=UTC)
    values: dict[str, Any] = dict.fromkeys(Certificate.__dataclass_fields__, b"")
    values |= {
        "der": der,
        "issuer_serial": der,
        "thumbprint": hashlib.sha256(der).digest(),
        "addresses": (match_form(address),),
        "key_kind": kind,
        "curve": "secp256r1" if kind == "ec" else "",
        "not_before": at,
        "not_after": at.replace(year=2040),
        "parsed": cast("Any", _NoExtensions()),
    }
    return Certificate(**values)


class _NoExtensions:
    """Stands where the parsed certificate is: has no extension."""

    @property
    def extensions(self) -> _NoExtensions:
        return self

    def get_extension_for_oid(self, oid: object) -> object:
        raise ValueError(oid)


def candidate(address: str, *, number: int = 0, kind: str = "rsa", key: bool = False) -> Candidate:
    """A stored certificate of that address. ``key``: we hold its private key."""
    known = UUID(bytes=hashlib.sha256(f"{address} {number}".encode()).digest()[:16])
    return Candidate(known, certificate(address, number=number, kind=kind), known if key else None)


def usable(address: str, *, count: int = 1, kind: str = "rsa", key: bool = False) -> Selection:
    """A selection of good certificates."""
    return Selection(tuple(candidate(address, number=each, kind=kind, key=key) for each in range(count)), ())


def rejected(address: str, *reasons: Reason) -> Selection:
    """A selection with one certificate that is not used."""
    return Selection((), (Rejected(candidate(address, number=9), reasons or (Reason.EXPIRED,)),))


def settings(address: str, level: Level = "user", **values: object) -> EffectiveSettings:
    """The settings at an address; values as JSON."""
    return EffectiveSettings(
        address, {name: Effective(_checked(name, value), level, address) for name, value in values.items()}
    )


def _checked(name: str, value: object) -> object:
    return find(name).check(value)


def sender(
    address: str = SENDER, *, signs: bool = True, locality: Effective[str] = INTERNAL, **values: object
) -> SenderFacts:
    """The sender, internal and able to sign unless said otherwise."""
    signers = usable(address, key=True) if signs and address else Selection((), ())
    return SenderFacts(address, settings(address, **values), locality, signers)


def recipient(
    address: str,
    by: SenderFacts,
    *,
    personal: Selection | None = None,
    domain_wide: Selection | None = None,
    additional: Selection | None = None,
    internal: bool = False,
    **values: object,
) -> RecipientFacts:
    """A recipient, external unless said otherwise, without certificates."""
    own, none = settings(address, **values), Selection((), ())
    where: Effective[str] = Effective("internal" if internal else "external", "domain", address.rpartition("@")[2])
    return RecipientFacts(
        address=address,
        settings=own,
        terms=between(address, by.settings, own),
        locality=where,
        personal=personal or none,
        domain_wide=domain_wide or none,
        additional=additional or none,
    )


def message(
    to: Iterable[str] = (),
    *,
    subject: str = "Report",
    author: str = SENDER,
    fields: Iterable[tuple[str, str]] = (),
    octets: int = 10_000,
    **more: Any,
) -> MessageFacts:
    """A message from ``author`` that names ``to``."""
    header = Header(("Subject", subject), *fields)
    named = frozenset(match_form(each) for each in to)
    return MessageFacts(fields=header, octets=octets, authors=(author,), named=named, **more)


def facts(
    by: SenderFacts,
    recipients: Iterable[RecipientFacts],
    about: MessageFacts | None = None,
    **queued: Any,
) -> Facts:
    """All facts of a message accepted just now."""
    waiting: Mapping[str, RecipientFacts] = {each.address: each for each in recipients}
    where = Queued(**{"accepted_at": NOW, "now": NOW + 1, **queued})
    return Facts(7, by, waiting, about or message(waiting), where)


def envelope(by: SenderFacts | str, recipients: Iterable[str | Recipient], origin: Origin = "submission") -> Envelope:
    """The envelope of a message."""
    return Envelope(
        sender=by if isinstance(by, str) else by.address,
        recipients=tuple(each if isinstance(each, Recipient) else Recipient(each) for each in recipients),
        origin=origin,
        received_at=NOW,
    )
