"""Reading all that a decision needs, once: settings, domains, certificates. The only part of ``decision`` that reads.

Guarantees
    What was read is kept while the policy's revision stands (any change of settings, domains, certificates, trust or
    CRLs makes a new one) and while the verdicts do that it rests on, at most FRESH_FOR, at_hand.ANSWERED_FOR where an
    OCSP answer is among it or may be one day: a sender and recipient seen before cost no call. Facts are made from one
    revision; nothing read under an older one is used. What is missing and could be fetched is noted for the fetch station
    by one call, and by none when nothing is missing.

Order
    Settings and domains first; then, for the addresses that need them, candidates of all at once; what is at hand of their
    revocation; the selection; then what is lacking.

Raises
    What the readers raise; StoredSettingInvalid.

See also
    ``policy/calls.py`` and ``pki/calls.py`` (the readers), ``known.py`` (what comes out), ``message.py`` (facts of the
    message).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol, TypeVar, cast
from uuid import UUID

import msgspec

from letterlock.decision import lacking, sought
from letterlock.decision.known import (
    NO_CERTIFICATES,
    Facts,
    Lack,
    MessageFacts,
    Queued,
    RecipientFacts,
    SenderFacts,
)
from letterlock.decision.lacking import Allowed, Judged, is_by_revocation
from letterlock.decision.sought import Sought
from letterlock.decision.terms import Terms, between
from letterlock.mail.envelope import Envelope
from letterlock.pki import scopes
from letterlock.pki.at_hand import AtHand, Informed
from letterlock.pki.certificate import Certificate
from letterlock.pki.ctl import Ctl, CtlRow
from letterlock.pki.revocation import Mode
from letterlock.pki.select import (
    Candidate,
    Selection,
    candidate,
    encryption_certificates,
    signing_certificate,
)
from letterlock.pki.trust import Trust
from letterlock.pki.wanted import OPEN_FOR, Ask, Noted
from letterlock.policy.domains import Domains, locality
from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.resolve import ReadSettings, Resolver
from letterlock.policy.settings import smime

K = TypeVar("K")
V = TypeVar("V")

FRESH_FOR: Final = 300.0
"""Seconds that a selection of certificates is used again under the same revision."""


class CandidateRow(Protocol):
    """One row of pki.candidates: a certificate that names the address. ``key_id``: of its private key, if we hold it;
    ``capabilities``, ``preferred``: what its owner said under a signature."""

    @property
    def address(self) -> str: ...
    @property
    def id(self) -> UUID: ...
    @property
    def der(self) -> bytes: ...
    @property
    def key_id(self) -> UUID | None: ...
    @property
    def capabilities(self) -> Sequence[str] | None: ...
    @property
    def preferred(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Reads:
    """The readers, bound to whoever asks: flow's role, or an administrator's token (``explain``).

    ``domains``: rows of name, internal, organisation. ``authorities``: rows of der, is_anchor. ``ctl_entries``: the
    trust list. ``want``: pki.want; None: what is missing is noted for nobody. ``at_hand``: of revocation; None: nothing.
    """

    settings: ReadSettings
    domains: Callable[[], Awaitable[Sequence[tuple[str, bool, UUID]]]]
    candidates: Callable[[list[str]], Awaitable[Sequence[CandidateRow]]]
    authorities: Callable[[], Awaitable[Sequence[tuple[bytes, bool]]]]
    ctl_entries: Callable[[], Awaitable[Sequence[CtlRow]]]
    want: Ask | None = None
    at_hand: AtHand | None = None


class _Kept(NamedTuple):
    """A selection and until when it may be used."""

    selection: Selection
    until: float


@dataclass(slots=True)
class _Revision:
    """All that was read under one revision."""

    number: int
    domains: Domains
    trust: Trust
    encrypting: dict[Sought, _Kept] = field(default_factory=dict)
    senders: dict[str, tuple[SenderFacts, float]] = field(default_factory=dict)
    recipients: dict[tuple[str, str], tuple[RecipientFacts, float]] = field(default_factory=dict)


class Gatherer:
    """Gathers facts; one per process. ``capacity``: how many pairs, addresses and selections are kept."""

    def __init__(self, reads: Reads, *, capacity: int = 20_000) -> None:
        self._reads = reads
        self._capacity = capacity
        self._resolver = Resolver(reads.settings, capacity=capacity)
        self._noted = Noted(reads.want, capacity=capacity) if reads.want else None
        self._at: _Revision | None = None
        self._reading = asyncio.Lock()

    async def gather(
        self,
        envelope: Envelope,
        recipients: Iterable[str],
        message: MessageFacts,
        queued: Queued,
        revision: int,
        paths: Sequence[Sequence[Certificate]] = (),
        doubtful: bool = False,
    ) -> Facts:
        """The facts for the waiting ``recipients`` (envelope addresses). ``revision``: of the claim's rows; ``paths``: of
        the message's signers, each from its certificate to an anchor; ``doubtful``: one of them may be revoked."""
        waiting = list(dict.fromkeys(recipients))
        kept = self._at
        found = self._known(kept, envelope.sender, waiting, queued.now) if kept and kept.number >= revision else None
        if kept is None or found is None:
            async with self._reading:  # messages of one batch often ask for the same: one of them reads it
                kept = await self._current(revision)
                found = self._known(kept, envelope.sender, waiting, queued.now)
                if found is None:
                    found = await self._learn(kept, envelope.sender, waiting, queued.now)
        lack = await self._signers_lack(found[0].settings, paths, queued.now, doubtful) if paths else ()
        return Facts(kept.number, found[0], found[1], message, queued, lack)

    async def settings(self, address: str, revision: int) -> EffectiveSettings:
        """The settings of one address, under the revision or a newer one."""
        kept = self._at.number if self._at else 0
        return (await self._resolver.settings(max(kept, revision), [address]))[address]

    async def _signers_lack(
        self, settings: EffectiveSettings, paths: Sequence[Sequence[Certificate]], now: float, doubtful: bool
    ) -> tuple[Lack, ...]:
        if self._noted is None:
            return ()
        allowed = Allowed.by(settings)
        wants = [each for path in paths for each in lacking.of_path(path, allowed, self._noted)]
        return lacking.lacks(wants, await self._noted.note(wants, now, wants if doubtful else ()))

    async def _current(self, revision: int) -> _Revision:
        """What is kept under the revision or a newer one; what belongs to no address is read for a new one."""
        if self._at is None or self._at.number < revision:
            domains = Domains(await self._reads.domains())
            listed = Ctl.of_rows(await self._reads.ctl_entries(), revision)
            shapes = self._at.trust.shapes if self._at else None
            trust = Trust.of_rows(await self._reads.authorities(), revision, listed, shapes=shapes)
            self._at = _Revision(revision, domains, trust)
        return self._at

    def _known(
        self, kept: _Revision, sender: str, waiting: list[str], now: float
    ) -> tuple[SenderFacts, dict[str, RecipientFacts]] | None:
        """What is kept of sender and recipients; None as soon as something is missing or too old."""
        known = kept.senders.get(sender)
        if known is None or known[1] <= now:
            return None
        found: dict[str, RecipientFacts] = {}
        for address in waiting:
            pair = kept.recipients.get((sender, address))
            if pair is None or pair[1] <= now:
                return None
            found[address] = pair[0]
        return known[0], found

    async def _learn(
        self, kept: _Revision, sender: str, waiting: list[str], now: float
    ) -> tuple[SenderFacts, dict[str, RecipientFacts]]:
        """Read what is missing of these addresses, and keep it."""
        settings = await self._resolver.settings(kept.number, [sender, *waiting])  # "": those of the gateway
        terms = {each: between(each, settings[sender], settings[each]) for each in waiting}
        outside = [each for each in waiting if locality(each, settings[each], kept.domains).value == "external"]
        wanted = dict.fromkeys(asked for each in outside for asked in sought.everything(each, terms[each]))
        selections = {each: known for each in wanted if (known := kept.encrypting.get(each)) and known.until > now}
        missing = [each for each in wanted if each not in selections]
        senders = [each.key for each in scopes.personal(sender)] if sender else []
        rows = await self._candidates([*dict.fromkeys((*(each.key for each in missing), *senders))])
        modes = [_mode(settings[sender]), *(each.mode for each in missing)]
        informed = await self._inform(kept, modes, rows, now)
        for asked in missing:
            judged = Judged(informed.trust, _time(now), "encrypt", asked.mode)
            made = encryption_certificates(asked.key, rows.get(asked.key, ()), judged.trust, judged.at, judged.mode)
            selections[asked] = _Kept(made, _until(made, judged, min(informed.until, now + FRESH_FOR), now))
        who = self._sender(kept, sender, settings[sender], rows, informed, now)
        found = {each: self._recipient(kept, settings[each], terms[each], each, selections, now) for each in waiting}
        if self._noted is not None:
            who, found = await self._with_lacks(self._noted, informed.trust, who, found, now)
            open_ones = [each for each, (one, _) in found.items() if any(lack.open for lack in one.lacking)]
            for name in {asked for each in open_ones for asked in sought.everything(each, terms[each])}:
                selections[name] = _Kept(selections[name].selection, now + OPEN_FOR)
        _keep(kept.encrypting, selections, self._capacity)
        _keep(kept.senders, {sender: who}, self._capacity)
        _keep(kept.recipients, {(sender, each): one for each, one in found.items()}, self._capacity)
        return who[0], {each: one[0] for each, one in found.items()}

    async def _inform(
        self, kept: _Revision, modes: Iterable[Mode], rows: Mapping[str, Sequence[Candidate]], now: float
    ) -> Informed:
        """The trust with what is at hand of revocation about the candidates, where anything asks for it."""
        about = [each.certificate for those in rows.values() for each in those]
        if self._reads.at_hand is None or not about or set(modes) == {"none"}:
            return Informed(kept.trust, float("inf"))
        return await self._reads.at_hand.inform(kept.trust, about, now)

    async def revocation(self, sender: str, recipients: Sequence[str], revision: int) -> Mode:
        """What signatures of ``sender`` are asked for on behalf of these recipients: the strictest."""
        settings = await self._resolver.settings(revision, [sender, *recipients])
        modes = [between(each, settings[sender], settings[each]).revocation for each in recipients]
        return max(modes, key=smime.REVOCATION.index, default="none")

    async def _with_lacks(
        self,
        noted: Noted,
        trust: Trust,
        who: tuple[SenderFacts, float],
        found: Mapping[str, tuple[RecipientFacts, float]],
        now: float,
    ) -> tuple[tuple[SenderFacts, float], dict[str, tuple[RecipientFacts, float]]]:
        """Them with what they lack, noted for the fetch station; where something may still come, kept for a moment."""
        at, allowed = _time(now), Allowed.by(who[0].settings)
        signing = lacking.of_selection(
            who[0].signers, Judged(trust, at, "sign", _mode(who[0].settings)), allowed, noted
        )
        wants = {
            address: lacking.of_recipient(facts, trust, at, allowed, noted)
            for address, (facts, _) in found.items()
            if not facts.internal
        }
        doubtful = set(signing) if lacking.is_doubtful(who[0].signers) else set()
        for address in wants:
            if lacking.is_doubtful(*lacking.looked_at(found[address][0])):
                doubtful.update(wants[address])
        missing = await noted.note([*signing, *(each for those in wants.values() for each in those)], now, doubtful)
        if not missing:
            return who, dict(found)
        told = lacking.lacks(signing, missing)
        sender = msgspec.structs.replace(who[0], lacking=told), _while_open(who[1], told, now)
        recipients: dict[str, tuple[RecipientFacts, float]] = {}
        for address, (facts, until) in found.items():
            told = lacking.lacks(wants.get(address, ()), missing)
            recipients[address] = msgspec.structs.replace(facts, lacking=told), _while_open(until, told, now)
        return sender, recipients

    async def _candidates(self, addresses: list[str]) -> dict[str, list[Candidate]]:
        """The stored certificates of each address that can be read."""
        found: dict[str, list[Candidate]] = {}
        for row in await self._reads.candidates(addresses) if addresses else ():
            tied = scopes.is_tie(row.address)
            made = candidate(row.id, row.der, row.key_id, tied, row.capabilities, row.preferred)
            if made is not None:
                found.setdefault(row.address, []).append(made)
        return found

    def _sender(
        self,
        kept: _Revision,
        sender: str,
        settings: EffectiveSettings,
        rows: Mapping[str, Sequence[Candidate]],
        informed: Informed,
        now: float,
    ) -> tuple[SenderFacts, float]:
        signers = reading = NO_CERTIFICATES
        judged = Judged(informed.trust, _time(now), "sign", _mode(settings))
        if sender:
            own, tied = (rows.get(each.key, ()) for each in scopes.personal(sender))
            those = scopes.signers(own, tied, sender)
            signers = signing_certificate(sender, those, judged.trust, judged.at, judged.mode)
            reading = _reading(sender, signers, own, judged)
        until = _until(signers, judged, min(informed.until, now + FRESH_FOR), now)
        until = _until(reading, judged._replace(purpose="encrypt"), until, now)
        where = locality(sender, settings, kept.domains)
        return SenderFacts(sender, settings, where, signers, next(iter(reading.chosen), None)), until

    def _recipient(
        self,
        kept: _Revision,
        settings: EffectiveSettings,
        terms: Terms,
        address: str,
        selections: Mapping[Sought, _Kept],
        now: float,
    ) -> tuple[RecipientFacts, float]:
        organisation, where = kept.domains.organisation_of(address), locality(address, settings, kept.domains)
        if where.value == "internal":
            return RecipientFacts(address, settings, terms, where, organisation), now + FRESH_FOR
        personal = _joined(selections[each] for each in sought.personal(address, terms))
        domain_wide = _joined(selections[each] for each in sought.domain_wide(address, terms))
        extra = {more: selections[each] for more, each in sought.additional(terms).items()}
        additional = scopes.merged([one.selection for one in extra.values()])
        return (
            RecipientFacts(
                address=address,
                settings=settings,
                terms=terms,
                locality=where,
                organisation=organisation,
                personal=personal.selection,
                domain_wide=domain_wide.selection,
                additional=additional,
                missing=tuple(more for more, one in extra.items() if not one.selection.chosen),
            ),
            min(personal.until, domain_wide.until, *(one.until for one in extra.values()), now + FRESH_FOR),
        )


def _reading(sender: str, signers: Selection, own: Sequence[Candidate], judged: Judged) -> Selection:
    """The sender's certificates whose key we hold, to encrypt to; none when the signing one serves for that too."""
    if not signers.chosen:
        return NO_CERTIFICATES
    held = [each for each in own if each.key is not None]
    found = encryption_certificates(sender, held, judged.trust, judged.at, judged.mode)
    return NO_CERTIFICATES if signers.chosen[0] in found.chosen else found


def _mode(settings: EffectiveSettings) -> Mode:
    """What is asked of the certificates that sign for a sender."""
    return cast("Mode", settings.value(smime.SMIME_REVOCATION))


def _joined(kept: Iterable[_Kept]) -> _Kept:
    """Selections as one, to be used as long as each of them may."""
    those = tuple(kept)
    if not those:
        return _Kept(NO_CERTIFICATES, float("inf"))
    return _Kept(scopes.merged([each.selection for each in those]), min(each.until for each in those))


def _while_open(until: float, told: Sequence[Lack], now: float) -> float:
    """How long facts may be kept: only a moment when something that they lack may still come."""
    return now + OPEN_FOR if any(each.open for each in told) else until


def _time(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def _until(selection: Selection, judged: Judged, latest: float, now: float) -> float:
    """Until when a selection may be used: ``latest``, or the first end of the trust list's next entry, of a chosen
    certificate, of what is known of its revocation or of that for which another one is refused."""
    ends = [judged.trust.ctl.ends(judged.at).timestamp()]
    those = [each.certificate for each in selection.chosen]
    those += [each.candidate.certificate for each in selection.rejected if is_by_revocation(each.reasons)]
    ends += [each.not_after.timestamp() for each in those]
    ends += [judged.verdict(each).until.timestamp() for each in those if judged.mode != "none"]
    return max(min([latest, *ends]), now + 1.0)


def _keep(cache: dict[K, V], new: Mapping[K, V], capacity: int) -> None:
    """Enter ``new``; a cache that would grow over its capacity begins again."""
    if len(cache) + len(new) > capacity:
        cache.clear()
    cache.update(new)
