"""What we trust: the anchors and the authorities' certificates we hold, at one revision of the store.

Guarantees
    A Trust never changes; a new revision of the store is a new Trust, and no verdict outlives it.
    A remembered verdict is given only while no validity of the certificates it rests on began or ended.

See also
    ``path.py`` for what a verdict is; ``calls.py`` (pki.authorities) for where the certificates come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Final

from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.errors import MalformedCertificate
from letterlock.pki.path import Index, Purpose, Revocation, Verdict, index, validate

MAX_BROUGHT: Final = 100
"""Certificates taken from one message for building a path."""
MAX_REMEMBERED: Final = 20_000


class Trust:
    """Anchors and intermediates with a memory of verdicts. ``revision``: of the store they were read from."""

    def __init__(
        self, anchors: Iterable[Certificate], intermediates: Iterable[Certificate] = (), revision: int = 0
    ) -> None:
        self.revision = revision
        self.anchors: Index = index(anchors)
        self.intermediates: Index = index(intermediates)
        self._remembered: dict[tuple[object, ...], Verdict] = {}

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[bytes, bool]], revision: int = 0) -> Trust:
        """From (der, is_anchor) rows as pki.authorities gives them. A certificate that cannot be read is left out."""
        anchors: list[Certificate] = []
        intermediates: list[Certificate] = []
        for der, is_anchor in rows:
            try:
                (anchors if is_anchor else intermediates).append(parse(bytes(der)))
            except MalformedCertificate:  # it was readable at import: trusting less is the safe side
                continue
        return cls(anchors, intermediates, revision)

    def verdict(
        self,
        certificate: Certificate,
        at: datetime,
        purpose: Purpose,
        brought: Iterable[Certificate] = (),
        revocation: Revocation | None = None,
    ) -> Verdict:
        """Is the certificate good for the purpose at this (aware) time. ``brought``: certificates of its message."""
        extra = tuple(islice(dict.fromkeys(brought), MAX_BROUGHT))
        hour = int(at.timestamp()) // 3600
        known = revocation.revision if revocation else None
        key = (certificate.thumbprint, purpose, hour, known, frozenset(each.thumbprint for each in extra))
        found = self._remembered.get(key)
        if found is not None and found.since < at < found.until:
            return found
        intermediates: Index = self.intermediates
        if extra:
            brought_index = index(extra)
            # Our own come first: what a stranger sends must not crowd them out of the bounds of path building.
            intermediates = {
                name: [*self.intermediates.get(name, ()), *brought_index.get(name, ())]
                for name in self.intermediates.keys() | brought_index.keys()
            }
        found = validate(certificate, intermediates, self.anchors, at, purpose, revocation)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = found
        return found
