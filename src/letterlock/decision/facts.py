"""Reading all that a decision needs, once: settings, domains, certificates. The only part of ``decision`` that reads.

Guarantees
    What was read is kept while the policy's revision stands (any change of settings, domains, certificates or trust
    makes a new one) and while the certificates' validity does, at most FRESH_FOR: a sender and recipient seen before
    cost no call. Facts are made from one revision; nothing read under an older one is used. What is missing and could be
    fetched is noted for the fetch station by one call, and by none when nothing is missing.

Order
    Settings and domains first; then, for the addresses that need them, candidates of all at once, and the selection;
    then what is lacking.

Raises
    What the readers raise; StoredSettingInvalid.

See also
    ``policy/calls.py`` and ``pki/calls.py`` (the readers), ``known.py`` (what comes out), ``message.py`` (facts of the
    message).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from letterlock.decision import lacking
from letterlock.decision.known import (
    AUTHORITY,
    NO_CERTIFICATES,
    Facts,
    Lack,
    MessageFacts,
    Queued,
    RecipientFacts,
    SenderFacts,
)
from letterlock.decision.lacking import Allowed
from letterlock.decision.terms import Terms, between
from letterlock.mail.envelope import Envelope
from letterlock.pki import scopes
from letterlock.pki.certificate import Certificate, match_form
from letterlock.pki.ctl import Ctl, CtlRow
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

K = TypeVar("K")
V = TypeVar("V")

FRESH_FOR: Final = 300.0
"""Seconds that a selection of certificates is used again under the same revision."""


class CandidateRow(Protocol):
    """One row of pki.candidates: a certificate that names the address. ``key_id``: of its private key, if we hold
    it."""

    @property
    def address(self) -> str: ...
    @property
    def id(self) -> UUID: ...
    @property
    def der(self) -> bytes: ...
    @property
    def key_id(self) -> UUID | None: ...


@dataclass(frozen=True, slots=True)
class Reads:
    """The readers, bound to whoever asks: flow's role, or an administrator's token (``explain``).

    ``domains``: rows of name, internal, organisation. ``authorities``: rows of der, is_anchor. ``ctl_entries``: the
    trust list. ``want``: pki.want; None: what is missing is noted for nobody.
    """

    settings: ReadSettings
    domains: Callable[[], Awaitable[Sequence[tuple[str, bool, UUID]]]]
    candidates: Callable[[list[str]], Awaitable[Sequence[CandidateRow]]]
    authorities: Callable[[], Awaitable[Sequence[tuple[bytes, bool]]]]
    ctl_entries: Callable[[], Awaitable[Sequence[CtlRow]]]
    want: Ask | None = None


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
    encrypting: dict[str, _Kept] = field(default_factory=dict)
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
    ) -> Facts:
        """The facts for the waiting ``recipients`` (envelope addresses). ``revision``: of the claim's rows;
        ``paths``: of the message's signers, each from its certificate to an anchor."""
        waiting = list(dict.fromkeys(recipients))
        kept = self._at
        found = self._known(kept, envelope.sender, waiting, queued.now) if kept and kept.number >= revision else None
        if kept is None or found is None:
            async with self._reading:  # messages of one batch often ask for the same: one of them reads it
                kept = await self._current(revision)
                found = self._known(kept, envelope.sender, waiting, queued.now)
                if found is None:
                    found = await self._learn(kept, envelope.sender, waiting, queued.now)
        lack = await self._signers_lack(found[0].settings, paths, queued.now) if paths else ()
        return Facts(kept.number, found[0], found[1], message, queued, lack)

    async def settings(self, address: str, revision: int) -> EffectiveSettings:
        """The settings of one address, under the revision or a newer one."""
        kept = self._at.number if self._at else 0
        return (await self._resolver.settings(max(kept, revision), [address]))[address]

    async def _signers_lack(
        self, settings: EffectiveSettings, paths: Sequence[Sequence[Certificate]], now: float
    ) -> tuple[Lack, ...]:
        if self._noted is None:
            return ()
        allowed = Allowed.by(settings)
        wants = [each for path in paths for each in lacking.of_path(path, allowed, self._noted)]
        return lacking.lacks(wants, await self._noted.note(wants, now))

    async def _current(self, revision: int) -> _Revision:
        """What is kept under the revision or a newer one; what belongs to no address is read for a new one."""
        if self._at is None or self._at.number < revision:
            domains = Domains(await self._reads.domains())
            listed = Ctl.of_rows(await self._reads.ctl_entries(), revision)
            trust = Trust.of_rows(await self._reads.authorities(), revision, listed)
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
        wanted = dict.fromkeys(address for each in outside for address in _asked(each, terms[each]))
        selections = {each: known for each in wanted if (known := kept.encrypting.get(each)) and known.until > now}
        missing = [each for each in wanted if each not in selections]
        senders = [each.key for each in scopes.personal(sender)] if sender else []
        rows = await self._candidates([*dict.fromkeys((*missing, *senders))])
        for address in missing:
            made = encryption_certificates(address, rows.get(address, ()), kept.trust, _time(now))
            selections[address] = _Kept(made, _until(made, kept.trust, now))
        who = self._sender(kept, sender, settings[sender], rows, now)
        found = {each: self._recipient(kept, settings[each], terms[each], each, selections, now) for each in waiting}
        if self._noted is not None:
            who, found = await self._with_lacks(self._noted, kept, who, found, now)
            open_ones = [each for each, (one, _) in found.items() if any(lack.open for lack in one.lacking)]
            for name in {key for each in open_ones for key in _asked(each, terms[each])}:
                selections[name] = _Kept(selections[name].selection, now + OPEN_FOR)
        _keep(kept.encrypting, selections, self._capacity)
        _keep(kept.senders, {sender: who}, self._capacity)
        _keep(kept.recipients, {(sender, each): one for each, one in found.items()}, self._capacity)
        return who[0], {each: one[0] for each, one in found.items()}

    async def _with_lacks(
        self,
        noted: Noted,
        kept: _Revision,
        who: tuple[SenderFacts, float],
        found: Mapping[str, tuple[RecipientFacts, float]],
        now: float,
    ) -> tuple[tuple[SenderFacts, float], dict[str, tuple[RecipientFacts, float]]]:
        """Them with what they lack, noted for the fetch station; where something may still come, kept for a moment."""
        at, allowed = _time(now), Allowed.by(who[0].settings)
        signing = lacking.of_selection(who[0].signers, kept.trust, at, "sign", allowed, noted)
        wants = {
            address: [
                *lacking.of_address(address, facts.terms, facts.personal, allowed),
                *lacking.of_selection(facts.personal, kept.trust, at, "encrypt", allowed, noted),
                *lacking.of_selection(facts.domain_wide, kept.trust, at, "encrypt", allowed, noted),
                *lacking.of_selection(facts.additional, kept.trust, at, "encrypt", allowed, noted),
            ]
            for address, (facts, _) in found.items()
            if not facts.internal
        }
        missing = await noted.note([*signing, *(each for those in wants.values() for each in those)], now)
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
            made = candidate(row.id, row.der, row.key_id, attached=scopes.is_tie(row.address))
            if made is not None:
                found.setdefault(row.address, []).append(made)
        return found

    def _sender(
        self, kept: _Revision, sender: str, settings: EffectiveSettings, rows: dict[str, list[Candidate]], now: float
    ) -> tuple[SenderFacts, float]:
        signers = NO_CERTIFICATES
        if sender:
            own, tied = (rows.get(each.key, ()) for each in scopes.personal(sender))
            signers = signing_certificate(sender, scopes.signers(own, tied, sender), kept.trust, _time(now))
        return SenderFacts(sender, settings, locality(sender, settings, kept.domains), signers), _until(
            signers, kept.trust, now
        )

    def _recipient(
        self,
        kept: _Revision,
        settings: EffectiveSettings,
        terms: Terms,
        address: str,
        selections: Mapping[str, _Kept],
        now: float,
    ) -> tuple[RecipientFacts, float]:
        organisation, where = kept.domains.organisation_of(address), locality(address, settings, kept.domains)
        if where.value == "internal":
            return RecipientFacts(address, settings, terms, where, organisation), now + FRESH_FOR
        personal = _joined(selections[each.key] for each in scopes.personal(address))
        domain_wide = _joined([selections[each.key] for each in _domain_wide(address, terms)])
        extra = {more: selections[_certificate_key(more)] for more in terms.additional.value}
        additional = Selection(
            tuple(each for one in extra.values() for each in one.selection.chosen),
            tuple(each for one in extra.values() for each in one.selection.rejected),
        )
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


def _asked(address: str, terms: Terms) -> Iterator[str]:
    """The addresses whose certificates a message to ``address`` may be encrypted to."""
    for each in (*scopes.personal(address), *_domain_wide(address, terms)):
        yield each.key
    yield from map(_certificate_key, terms.additional.value)


def _certificate_key(address: str) -> str:
    """What certificates are looked up by."""
    return match_form(address) or address


def _domain_wide(address: str, terms: Terms) -> tuple[scopes.Scope, ...]:
    """Where the domain's certificates are; nowhere when the method is not used."""
    return scopes.domain_wide(address, AUTHORITY) if "smime-domain" in terms.methods.value else ()


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


def _until(selection: Selection, trust: Trust, now: float) -> float:
    """Until when a selection may be used: FRESH_FOR, or the first end of a chosen certificate or of the trust list's
    next entry."""
    ends = [trust.ctl.ends(_time(now)).timestamp()]
    ends += [each.certificate.not_after.timestamp() for each in selection.chosen]
    return max(min([now + FRESH_FOR, *ends]), now + 1.0)


def _keep(cache: dict[K, V], new: Mapping[K, V], capacity: int) -> None:
    """Enter ``new``; a cache that would grow over its capacity begins again."""
    if len(cache) + len(new) > capacity:
        cache.clear()
    cache.update(new)
