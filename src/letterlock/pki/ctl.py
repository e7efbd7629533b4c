"""The certificate trust list: single certificates and keys that administrators allow or forbid, as values.

Guarantees
    A Ctl never changes. An entry counts before its end; the end of any entry that counted bounds how long an answer
    holds (``ends``). Forbidding wins over allowing wherever both name a certificate.

Order
    *deny* forbids the certificate and everything it issued. *allow* takes an end entity without a path to an anchor, by
    its thumbprint or, so that a renewal with the same key keeps its trust, by its key. It waives neither revocation,
    usage nor strength; expiry only where the entry says so. *allow* on an authority does nothing: an anchor does that.

See also
    ``trust.py`` (who asks), behaviour of the setting pages: an entry holds its reason, author and end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from letterlock.pki.certificate import Certificate


@dataclass(frozen=True, slots=True)
class CtlEntry:
    """One entry. ``digest``: SHA-256 of the certificate (``by`` thumbprint) or its SubjectPublicKeyInfo (spki).

    ``until``: the aware time at which it ends, None for never. ``name``, ``reason`` and ``author``: for people.
    """

    action: Literal["allow", "deny"]
    by: Literal["thumbprint", "spki"]
    digest: bytes
    allow_expired: bool = False
    reason: str = ""
    author: str = ""
    until: datetime | None = None
    name: str = ""

    def __str__(self) -> str:
        done = "forbidden" if self.action == "deny" else "allowed"
        said = f": {self.reason}" if self.reason else ""
        return f"{done} by entry {self.name or self.digest.hex()} of the certificate trust list{said}"


class CtlRow(Protocol):
    """One row of pki.ctl_entries."""

    @property
    def id(self) -> UUID: ...
    @property
    def action(self) -> Literal["allow", "deny"]: ...
    @property
    def by(self) -> Literal["thumbprint", "spki"]: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def allow_expired(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def author(self) -> str: ...
    @property
    def until(self) -> datetime | None: ...


class Ctl:
    """Entries of all levels that hold for one question. ``revision``: changes whenever an entry does."""

    def __init__(self, entries: Iterable[CtlEntry] = (), revision: int = 0) -> None:
        self.revision = revision
        self._entries: dict[tuple[str, bytes], list[CtlEntry]] = {}
        for each in entries:
            self._entries.setdefault((each.by, each.digest), []).append(each)
        ends = (each.until for found in self._entries.values() for each in found)
        self._ends = sorted(each for each in ends if each is not None)

    @classmethod
    def of_rows(cls, rows: Iterable[CtlRow], revision: int = 0) -> Ctl:
        """From the rows of pki.ctl_entries."""
        entries = (
            CtlEntry(x.action, x.by, bytes(x.digest), x.allow_expired, x.reason, x.author, x.until, str(x.id))
            for x in rows
        )
        return cls(entries, revision)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def denies(self, certificate: Certificate, at: datetime) -> CtlEntry | None:
        """The entry that forbids this very certificate at this time."""
        return next((each for each in self._of(certificate, at) if each.action == "deny"), None)

    def allows(self, certificate: Certificate, at: datetime) -> CtlEntry | None:
        """The entry that allows this very certificate at this time, one that allows expiry first."""
        found = [each for each in self._of(certificate, at) if each.action == "allow"]
        return max(found, key=lambda each: each.allow_expired, default=None)

    def ends(self, at: datetime) -> datetime:
        """The next time at which an entry ends."""
        return next((each for each in self._ends if each > at), datetime.max.replace(tzinfo=UTC))

    def _of(self, certificate: Certificate, at: datetime) -> list[CtlEntry]:
        if not self._entries:
            return []
        key = hashlib.sha256(certificate.spki).digest()
        found = self._entries.get(("thumbprint", certificate.thumbprint), [])
        found = found + self._entries.get(("spki", key), [])
        return [each for each in found if each.until is None or at < each.until]


NO_CTL: Final = Ctl()
