"""What one process has at hand about revocation: lists and OCSP answers, read when they are asked for and kept.

Order
    ``inform`` takes a trust and certificates, walks from them upwards by name, and answers with the same trust informed of
    the lists of every issuer on the way, and of the answers about every certificate on it.

Guarantees
    Lists are read again only when the revision of the store has grown (each new list makes one), and then only those not
    held: a list is parsed once, a long one in a child, and never in the event loop. An answer is read again after
    ANSWERED_FOR; one not found after OPEN_FOR, unless there is a list that may say it: then nobody waits for it.
    No more than MOST_OCTETS of lists are kept; those read longest ago go first. A list that cannot be read is left out:
    what it would have said is not known.
    Nothing is judged here: who signed what is asked by ``revocation.py``.

Raises
    What the readers raise.

See also
    ``calls.py`` (pki.crls, pki.ocsp_answers) for where they come from; ``wanted.py`` for what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple, Protocol

from cryptography import x509

from letterlock.confine.errors import ChildEnded, NoForkServer, WorkFailed
from letterlock.pki import crl as lists
from letterlock.pki import ocsp, packed
from letterlock.pki.certificate import Certificate, name_key
from letterlock.pki.chains import MAX_NAMESAKES, Index, index
from letterlock.pki.crl import Crl
from letterlock.pki.errors import MalformedAnswer, MalformedCrl
from letterlock.pki.ocsp import Answer
from letterlock.pki.revocation import Knowledge
from letterlock.pki.trust import MAX_BROUGHT, Trust
from letterlock.pki.wanted import OPEN_FOR, cert_id, responder

LONG: Final = 64 << 10
"""Octets from which a list's entries are packed in a child."""
AT_ONCE: Final = 8 << 20
"""Octets of lists asked for in one call; one list always comes."""
MOST_OCTETS: Final = 192 << 20
MOST_ISSUERS: Final = 5_000
MOST_ANSWERS: Final = 20_000
MOST_STEPS: Final = 1_000
"""Certificates looked at on the way up from all that one question is about: a message may bring hundreds."""
MOST_ASKED: Final = 4
"""Namesakes of a certificate's issuer for which OCSP answers are looked for, and others that may issue lists about it."""
ANSWERED_FOR: Final = 60.0
"""Seconds after which an OCSP answer is read again, and for which facts that rest on one are kept."""
AGAIN_AFTER: Final = 300.0
"""Seconds after which a list whose child was ended is tried again: perhaps the machine was busy."""

_log = logging.getLogger("letterlock.pki")


class CrlRow(Protocol):
    """One row of pki.crls. ``der`` None: it is known, or comes with the next call."""

    @property
    def fingerprint(self) -> bytes: ...
    @property
    def issuer(self) -> bytes: ...
    @property
    def der(self) -> bytes | None: ...


class AnswerRow(Protocol):
    """One row of pki.ocsp_answers."""

    @property
    def cert_id(self) -> bytes: ...
    @property
    def der(self) -> bytes: ...


class ReadCrls(Protocol):
    """pki.calls.crls, bound to a gate."""

    def __call__(
        self, *, issuers: Sequence[bytes], known: Sequence[bytes], most: int
    ) -> Awaitable[Sequence[CrlRow]]: ...


class ReadAnswers(Protocol):
    """pki.calls.ocsp_answers, bound to a gate."""

    def __call__(self, *, cert_ids: Sequence[bytes]) -> Awaitable[Sequence[AnswerRow]]: ...


Pack = Callable[[bytes], Awaitable[bytes]]
"""``packed.pack``, done elsewhere."""


async def pack_beside(octets: bytes) -> bytes:
    """``packed.pack`` in a thread: for a command, which has nothing else to do meanwhile."""
    return await asyncio.to_thread(packed.pack, octets)


class Informed(NamedTuple):
    """``until``: seconds since the Unix epoch; after that it should be asked for anew."""

    trust: Trust
    until: float


class _Kept(NamedTuple):
    """The lists of one issuer, as of a revision, by fingerprint. None: one that cannot be read, not before ``again``."""

    revision: int
    lists: dict[bytes, Crl | None]
    again: float = float("inf")


class AtHand:
    """One per process. ``pack``: what packs the entries of a long list."""

    def __init__(self, read_crls: ReadCrls, read_answers: ReadAnswers, pack: Pack = pack_beside) -> None:
        self._read_crls = read_crls
        self._read_answers = read_answers
        self._pack = pack
        self._lists: dict[bytes, _Kept] = {}
        self._answers: dict[bytes, tuple[float, tuple[Answer, ...]]] = {}
        self._knowledge = Knowledge()
        self._reading = asyncio.Lock()

    async def inform(
        self, trust: Trust, certificates: Iterable[Certificate], now: float, brought: Iterable[Certificate] = ()
    ) -> Informed:
        """``trust`` with what is at hand about these certificates. ``brought``: certificates that came with them;
        ``now``: seconds since the Unix epoch."""
        pools = (trust.anchors, trust.intermediates, index(islice(brought, MAX_BROUGHT)))
        issuers, pairs = _above(dict.fromkeys(certificates), pools)
        if issuers:
            await self._read_lists(issuers, trust.revision, now)
        knowledge = self._knowledge
        answers, others = await self._heard(pairs, now) if pairs else ((), False)
        until = now + ANSWERED_FOR if answers or others else float("inf")
        informed = trust.informed(knowledge)
        return Informed(informed.informed(knowledge.hearing(answers)) if answers else informed, until)

    async def _read_lists(self, issuers: Sequence[bytes], revision: int, now: float) -> None:
        if not self._missing(issuers, revision, now):
            return
        async with self._reading:  # messages of one batch ask for the same: one of them reads it
            missing = self._missing(issuers, revision, now)
            if not missing:
                return
            found: dict[bytes, dict[bytes, Crl | None]] = {each: {} for each in missing}
            again = dict.fromkeys(missing, float("inf"))
            known = {name: one for each in missing for name, one in self._kept(each, now).items()}
            left = True
            while left:
                rows = await self._read_crls(issuers=missing, known=[*known], most=AT_ONCE)
                for row in rows:
                    if row.fingerprint not in known and row.der is not None:
                        known[row.fingerprint] = made = await self._made(bytes(row.der))
                        if made is None:
                            again[row.issuer] = now + AGAIN_AFTER
                left = any(row.fingerprint not in known for row in rows) and any(row.der is not None for row in rows)
            for row in rows:
                if row.fingerprint in known:
                    found[row.issuer][row.fingerprint] = known[row.fingerprint]
            self._enter({each: _Kept(revision, found[each], again[each]) for each in missing})

    def _missing(self, issuers: Sequence[bytes], revision: int, now: float) -> list[bytes]:
        """The issuers whose lists are not as of this revision."""
        at_hand = self._lists
        return [
            each
            for each in issuers
            if (kept := at_hand.get(each)) is None or kept.revision < revision or kept.again <= now
        ]

    def _kept(self, issuer: bytes, now: float) -> dict[bytes, Crl | None]:
        """The lists of an issuer that need not be read again."""
        kept = self._lists.get(issuer)
        if kept is None:
            return {}
        return {name: each for name, each in kept.lists.items() if each is not None or kept.again > now}

    def _enter(self, new: dict[bytes, _Kept]) -> None:
        """Keep what was read; what was read longest ago makes room."""
        changed = False
        for issuer, kept in new.items():
            before = self._lists.pop(issuer, None)
            changed = changed or kept.lists != (before.lists if before else {})
            self._lists[issuer] = kept
        held = {issuer: _octets(kept) for issuer, kept in self._lists.items()}
        total = sum(held.values())
        for issuer in list(self._lists):
            if issuer in new or (total <= MOST_OCTETS and len(self._lists) <= MOST_ISSUERS):
                break
            changed = changed or bool(self._lists[issuer].lists)
            del self._lists[issuer]
            total -= held[issuer]
        if changed:
            every = dict.fromkeys(
                one for kept in self._lists.values() for one in kept.lists.values() if one is not None
            )
            self._knowledge = Knowledge(tuple(every), (), self._knowledge.revision + 1)

    async def _made(self, der: bytes) -> Crl | None:
        """The list in ``der``; None when it cannot be read."""
        try:
            if len(der) < LONG:
                return lists.parse(der)
            made = packed.Packed.of(await self._pack(der))
            return await asyncio.to_thread(lists.outline, der, made)
        except (MalformedCrl, ChildEnded, WorkFailed, NoForkServer) as error:
            _log.warning("a CRL of %d octets cannot be read: %s", len(der), error)
            return None

    async def _heard(
        self, pairs: Sequence[tuple[Certificate, Certificate]], now: float
    ) -> tuple[tuple[Answer, ...], bool]:
        """The answers about certificates, each beside its issuer; and whether others may come that would count."""
        names = {cert_id(below, above): below for below, above in pairs}
        missing = [each for each in names if (kept := self._answers.get(each)) is None or kept[0] <= now]
        if missing:
            found: dict[bytes, list[Answer]] = {each: [] for each in missing}
            for row in await self._read_answers(cert_ids=missing):
                try:
                    found[bytes(row.cert_id)].append(ocsp.parse(bytes(row.der)))
                except MalformedAnswer:
                    continue
            if len(self._answers) + len(found) > MOST_ANSWERS:
                self._answers.clear()
            for name, those in found.items():
                awaited = not those and not self._has_list(names[name], now)
                self._answers[name] = (now + (OPEN_FOR if awaited else ANSWERED_FOR), tuple(those))
        heard = {each: self._answers.get(each, (0.0, ()))[1] for each in names}
        others = any(not those and not self._has_list(names[each], now) for each, those in heard.items())
        return tuple(dict.fromkeys(one for those in heard.values() for one in those)), others

    def _has_list(self, certificate: Certificate, now: float) -> bool:
        """A list of the certificate's issuer is at hand, and of this time; whether it may be believed is not asked."""
        kept, at = self._lists.get(certificate.issuer_key), datetime.fromtimestamp(now, UTC)
        return kept is not None and any(each is not None and lists.is_fresh(each, at) for each in kept.lists.values())


def _octets(kept: _Kept) -> int:
    return sum(each.held for each in kept.lists.values() if each is not None)


def _above(
    certificates: Iterable[Certificate], pools: Sequence[Index]
) -> tuple[list[bytes], list[tuple[Certificate, Certificate]]]:
    """The issuers whose lists may speak of the certificates or of any above them; and those that an OCSP responder may
    speak of, each beside its issuer."""
    issuers: dict[bytes, None] = {}
    pairs: dict[tuple[Certificate, Certificate], None] = {}
    seen: set[Certificate] = set()
    waiting = deque(certificates)  # those asked about first: what strangers bring along must not crowd them out
    while waiting and len(seen) < MOST_STEPS:
        below = waiting.popleft()
        if below in seen:
            continue
        seen.add(below)
        above = _named(below.issuer_key, pools)
        if not above:
            continue
        for issuer in (below.issuer_key, *_others(below)):
            issuers[issuer] = None
            waiting += _named(issuer, pools)
        if responder(below) is not None:
            pairs.update(((below, each), None) for each in _likeliest(above, below) if each != below)
    return list(issuers), list(pairs)


def _likeliest(above: Sequence[Certificate], below: Certificate) -> list[Certificate]:
    """Issuers with the wanted key first (RFC 4158 3.5.12), and not all."""
    wanted = below.authority_key_identifier
    return sorted(above, key=lambda each: each.key_identifier != wanted)[:MOST_ASKED]


def _named(key: bytes, pools: Sequence[Index]) -> list[Certificate]:
    """The certificates of that name."""
    return [each for pool in pools for each in pool.get(key, ())[:MAX_NAMESAKES]]


def _others(certificate: Certificate) -> Iterator[bytes]:
    """Those who issue lists about a certificate without having issued it (RFC 5280 4.2.1.13, cRLIssuer)."""
    for point in islice(certificate.find(x509.CRLDistributionPoints) or (), MOST_ASKED):
        for name in (point.crl_issuer or ())[:MOST_ASKED]:
            if isinstance(name, x509.DirectoryName):
                yield name_key(name.value)
