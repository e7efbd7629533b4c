"""A store of lists and OCSP answers in memory, and a process that has them at hand, for tests without a database.

See also
    ``pki/at_hand.py``; ``revocation.py`` for lists and answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from letterlock.pki import at_hand, packed
from letterlock.pki.at_hand import AtHand, Informed
from letterlock.pki.certificate import parse
from letterlock.pki.reasons import Reason
from letterlock.pki.revocation import Mode
from letterlock.pki.trust import Trust
from letterlock.pki.wanted import cert_id
from tests.fakes.authority import Authority, Identity


class CrlRow(NamedTuple):
    fingerprint: bytes
    issuer: bytes
    der: bytes | None


class AnswerRow(NamedTuple):
    cert_id: bytes
    der: bytes


class Store:
    """What the readers answer, and what they were asked."""

    def __init__(self) -> None:
        self.lists: list[tuple[bytes, bytes]] = []
        self.answers: list[AnswerRow] = []
        self.asked: list[str] = []
        self.packs = 0

    def answer(self, about: Identity, issuer: Authority, der: bytes) -> None:
        """Keep an answer in the place of the one before."""
        name = cert_id(parse(about.der), parse(issuer.der))
        self.answers = [*(each for each in self.answers if each.cert_id != name), AnswerRow(name, der)]

    def add(self, issuer: Authority, der: bytes) -> None:
        """Keep a list that bears the authority's name."""
        self.lists.append((parse(issuer.der).subject_key, der))

    async def crls(self, *, issuers: Sequence[bytes], known: Sequence[bytes], most: int) -> Sequence[CrlRow]:
        """One list at a time, as pki.read_crls does when they are long."""
        assert most == at_hand.AT_ONCE
        self.asked.append("crls")
        await asyncio.sleep(0)
        rows, room = [], 1
        for issuer, der in self.lists:
            if issuer in issuers:
                name = der[-32:]
                gives = name not in known and room > 0
                room -= gives
                rows.append(CrlRow(name, issuer, der if gives else None))
        return rows

    async def ocsp_answers(self, *, cert_ids: Sequence[bytes]) -> Sequence[AnswerRow]:
        """pki.ocsp_answers"""
        self.asked.append("answers")
        return [each for each in self.answers if each.cert_id in cert_ids]

    async def pack(self, octets: bytes) -> bytes:
        """packed.pack, counted."""
        self.packs += 1
        return packed.pack(octets)


class World:
    """A store, an anchor, a person below it, and what the process has at hand."""

    def __init__(self) -> None:
        self.now = time.time()  # a list made now must not be of the future
        self.store = Store()
        self.anchor = Authority.create("Anchor")
        self.person = self.anchor.issue("a@example.org", "p256")
        self.hand = AtHand(self.store.crls, self.store.ocsp_answers, self.store.pack)
        self.trust = Trust([parse(self.anchor.der)], revision=1)

    def inform(self, *people: Identity, revision: int = 1, later: float = 0.0) -> Informed:
        """The trust as of a revision, with what is at hand of these people; of ``person`` when none are named."""
        if revision != self.trust.revision:
            self.trust = Trust([parse(self.anchor.der)], revision=revision)
        about = [parse(each.der) for each in people or [self.person]]
        return asyncio.run(self.hand.inform(self.trust, about, self.now + later))

    def reasons(self, informed: Informed, who: Identity | None = None, mode: Mode = "hard") -> tuple[Reason, ...]:
        """What is wrong with a signer."""
        at = datetime.fromtimestamp(self.now, UTC)
        return informed.trust.verdict(parse((who or self.person).der), at, "sign", (), mode).reasons
