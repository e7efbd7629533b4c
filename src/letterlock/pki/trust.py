"""What we trust: anchors, authorities' certificates, the trust list and what is known of revocation, at one revision.

Guarantees
    A Trust never changes; a new revision of the store is a new Trust, and no verdict outlives it. New lists and answers
    make a new one too: ``informed``.
    A remembered verdict is given only while no validity of anything it rests on began or ended: certificates, lists,
    answers, entries of the trust list.
    What OpenSSL and we say of a chain by itself rests on its certificates alone: that is remembered across revisions.

See also
    ``path.py`` for what a verdict is; ``ctl.py`` for the trust list; ``calls.py`` (pki.authorities) for where the
    certificates come from.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.chains import Index, Path, chains, index
from letterlock.pki.ctl import NO_CTL, Ctl
from letterlock.pki.errors import MalformedCertificate
from letterlock.pki.path import Rules, Shape, Verdict, shape, validate, window
from letterlock.pki.reasons import Purpose, Reason
from letterlock.pki.revocation import NOTHING, Knowledge, Mode

MAX_BROUGHT: Final = 100
"""Certificates taken from one message for building a path."""
MAX_REMEMBERED: Final = 20_000
_DOUBTFUL_FOR: Final = timedelta(minutes=5)


Apart = Callable[[Sequence[Path], datetime, Purpose], Awaitable[Mapping[Path, Shape]]]
"""The shape of each chain, found out elsewhere: ``apart.shapes`` with a fork server, so that this file needs none."""


class Shapes:
    """The shapes of chains that this process has found itself, each for the time in which no certificate of it begins or
    ends. One memory may serve many a Trust. What a child said of strangers' chains is not kept here: a child that was
    taken over lies about the message it was given, and about nothing that comes later."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, Purpose], tuple[datetime, datetime, Shape]] = {}

    def find(self, path: Path, at: datetime, purpose: Purpose) -> Shape | None:
        """The remembered shape; None: it is not known at this time."""
        found = self._known.get((path, purpose))
        return found[2] if found is not None and found[0] < at < found[1] else None

    def keep(self, path: Path, at: datetime, purpose: Purpose, found: Shape) -> Shape:
        """Remember a shape; it is given back."""
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[path, purpose] = (*window(path, at), found)
        return found


class _Question(NamedTuple):
    """One question, ready to be judged. ``key``: under which its verdict is remembered."""

    certificate: Certificate
    at: datetime
    rules: Rules
    intermediates: Index
    key: tuple[object, ...]


class Trust:
    """Anchors and intermediates with a memory of verdicts. ``revision``: of the store they were read from."""

    def __init__(
        self,
        anchors: Iterable[Certificate],
        intermediates: Iterable[Certificate] = (),
        revision: int = 0,
        ctl: Ctl = NO_CTL,
        knowledge: Knowledge = NOTHING,
        shapes: Shapes | None = None,
    ) -> None:
        self.revision = revision
        self.anchors: Index = index(anchors)
        self.intermediates: Index = index(intermediates)
        self.ctl = ctl
        self.knowledge = knowledge
        self.shapes = shapes or Shapes()
        self._remembered: dict[tuple[object, ...], Verdict] = {}
        self._informed: Trust | None = None

    @classmethod
    def of_rows(
        cls,
        rows: Iterable[tuple[bytes, bool]],
        revision: int = 0,
        ctl: Ctl = NO_CTL,
        knowledge: Knowledge = NOTHING,
        shapes: Shapes | None = None,
    ) -> Trust:
        """From (der, is_anchor) rows as pki.authorities gives them. A certificate that cannot be read is left out."""
        anchors: list[Certificate] = []
        intermediates: list[Certificate] = []
        for der, is_anchor in rows:
            try:
                (anchors if is_anchor else intermediates).append(parse(bytes(der)))
            except MalformedCertificate:  # it was readable at import: trusting less is the safe side
                continue
        return cls(anchors, intermediates, revision, ctl, knowledge, shapes)

    def informed(self, knowledge: Knowledge) -> Trust:
        """The same trust with other knowledge of revocation; itself, or the one last made, when that has it already."""
        for each in (self, self._informed):
            if each is not None and (knowledge is each.knowledge or knowledge == each.knowledge):
                return each
        made = Trust((), (), self.revision, self.ctl, knowledge, self.shapes)
        made.anchors, made.intermediates = self.anchors, self.intermediates
        self._informed = made
        return made

    def verdict(
        self,
        certificate: Certificate,
        at: datetime,
        purpose: Purpose,
        brought: Iterable[Certificate] = (),
        revocation: Mode = "none",
    ) -> Verdict:
        """Is the certificate good for the purpose at this (aware) time. ``brought``: certificates of its message.
        ``revocation``: what becomes of a certificate of which it is not known whether it is revoked."""
        question = self._question(certificate, at, purpose, brought, revocation)
        found = self._remembered_at(question.key, at)
        return found or self._judge(question, None)

    async def verdict_apart(
        self,
        apart: Apart,
        certificate: Certificate,
        at: datetime,
        purpose: Purpose,
        brought: Iterable[Certificate] = (),
        revocation: Mode = "none",
    ) -> Verdict:
        """The same for a certificate that a stranger sent: its chains are checked ``apart``, in a child."""
        question = self._question(certificate, at, purpose, brought, revocation)
        found = self._remembered_at(question.key, at)
        if found is not None:
            return found
        paths = list(chains(certificate, question.intermediates, self.anchors, at))
        new = [each for each in paths if self.shapes.find(each, at, purpose) is None]
        return self._judge(question, await apart(new, at, purpose) if new else {})

    def _question(
        self, certificate: Certificate, at: datetime, purpose: Purpose, brought: Iterable[Certificate], mode: Mode
    ) -> _Question:
        extra = tuple(islice(dict.fromkeys(brought), MAX_BROUGHT))
        hour = int(at.timestamp()) // 3600
        key = (certificate.thumbprint, purpose, hour, mode, frozenset(each.thumbprint for each in extra))
        intermediates: Index = self.intermediates
        if extra:
            # Our own come first: what a stranger sends must not crowd them out of the bounds of path building.
            merged = {name: [*self.intermediates.get(name, ()), *each] for name, each in index(extra).items()}
            intermediates = ChainMap(merged, self.intermediates)  # type: ignore[arg-type]  # only read
        return _Question(certificate, at, Rules(purpose, mode), intermediates, key)

    def _remembered_at(self, key: tuple[object, ...], at: datetime) -> Verdict | None:
        found = self._remembered.get(key)
        return found if found is not None and found.since < at < found.until else None

    def _judge(self, asked: _Question, shapes: Mapping[Path, Shape] | None) -> Verdict:
        at, purpose = asked.at, asked.rules.purpose

        def shape_of(path: Path) -> Shape:
            known = self.shapes.find(path, at, purpose)
            if known is not None:
                return known
            if shapes is None:
                return self.shapes.keep(path, at, purpose, shape(path, at, asked.rules))
            return shapes.get(path, ((Reason.TOO_COMPLEX,), ""))  # of none: the child did not live to say

        found = validate(
            asked.certificate, asked.intermediates, self.anchors, at, asked.rules, self.knowledge, self.ctl, shape_of
        )
        if Reason.TOO_COMPLEX in found.reasons:  # perhaps the machine was busy
            found = found._replace(until=min(found.until, asked.at + _DOUBTFUL_FOR))
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[asked.key] = found
        return found
