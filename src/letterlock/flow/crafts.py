"""What one flow process works with: its database gate, its keyholder connection, its sealing session, its caches.

Guarantees
    Nothing here outlives the process; no private key and no epoch key ever comes here.

See also
    ``worker.py``, whose seven lines call the methods below.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import msgspec

from letterlock.config.start import Meter, Start
from letterlock.database.connect import Gate, connect
from letterlock.decision.decide import decide
from letterlock.decision.facts import Gatherer, Reads
from letterlock.decision.known import Facts, Findings, Queued
from letterlock.decision.message import message_facts
from letterlock.decision.plan import Plan
from letterlock.flow import carry_out, children, decrypt, examine, reopen
from letterlock.flow.hand import Handed, HandOver
from letterlock.flow.harvest import Harvester
from letterlock.flow.leases import Leases
from letterlock.flow.reopen import inside_facts
from letterlock.flow.trust import SignerTrust
from letterlock.flow.wanted import Wanted
from letterlock.flow.work import Opened, Work
from letterlock.mail import received
from letterlock.mail.message import Message
from letterlock.pki import calls as pki
from letterlock.pki import packed
from letterlock.pki.at_hand import AtHand
from letterlock.pki.ca import calls as ca
from letterlock.pki.revocation import Mode
from letterlock.policy import calls as policy
from letterlock.policy.domains import Domains
from letterlock.policy.effective import EffectiveSettings
from letterlock.queue.advance import Advanced
from letterlock.vault.keys import Secret
from letterlock.vault.opening import KeyholderClient
from letterlock.vault.sealing import Sealer
from letterlock.vault.segments import FileSegmentStore

SOCKET = "key.sock"


class Crafts:
    """One per process; made by open()."""

    def __init__(
        self,
        gate: Gate,
        keyholder: KeyholderClient,
        sealer: Sealer,
        store: FileSegmentStore,
        mark_key: Secret,
        start: Start,
    ) -> None:
        self.gate = gate
        self.keyholder = keyholder
        self.sealer = sealer
        self.store = store
        self.host = start.hostname
        self.meter: Meter = start.meter
        self.leases = Leases(gate, start.worker)
        self.hand = HandOver(start, self)
        self.mark_key = mark_key.octets
        # Two gateways behind one another must not take each other's loop fields for their own.
        self.instance = hmac.digest(self.mark_key, b"letterlock instance 1", "sha256").hex()[:16]
        self.forks = children.forks()
        pack = partial(self.forks.run_async, packed.NAME)
        at_hand = AtHand(partial(pki.crls, gate), partial(pki.ocsp_answers, gate), pack)
        self.trust = SignerTrust(gate, at_hand)
        self.harvester = Harvester(gate)
        self._wanted = Wanted(lambda address: ca.want(gate, address=address))
        self._domains: tuple[int, Domains] | None = None
        self._gatherer = Gatherer(
            Reads(
                settings=lambda addresses: policy.settings_for(gate, addresses=addresses),
                domains=lambda: policy.domains(gate),
                candidates=lambda addresses: pki.candidates(gate, addresses=addresses),
                authorities=lambda: pki.authorities(gate),
                ctl_entries=lambda: pki.ctl_entries(gate),
                want=partial(pki.want, gate),
                at_hand=at_hand,
            )
        )

    @staticmethod
    @asynccontextmanager
    async def open(start: Start) -> AsyncIterator[Crafts]:
        """Connect to database and keyholder, and hold a sealing session; all let go at the end."""
        gate = await connect(start.database)
        keyholder = KeyholderClient(start.run / SOCKET, start.key_token)
        sealer = Sealer()
        keeper = asyncio.create_task(sealer.keep(keyholder), name="sealer")
        try:
            mark_key = await keyholder.mark_key()
            store = FileSegmentStore(start.state / "segments")
            yield Crafts(gate, keyholder, sealer, store, mark_key, start)
        finally:
            keeper.cancel()
            keyholder.close()
            await gate.close()

    async def domains(self, revision: int) -> Domains:
        """Our domains as of ``revision`` or later."""
        if self._domains is None or self._domains[0] < revision:
            self._domains = (revision, Domains(await policy.domains(self.gate)))
        return self._domains[1]

    async def decrypt(self, work: Work) -> Opened:
        """Take off what can be taken off, when an internal recipient waits for it, or to be encrypted anew."""
        opened = await decrypt.decrypt(self, work)
        if opened.protected == "encrypted":
            opened.inside = await reopen.reopen(self, work)
        return opened

    async def settings(self, address: str, revision: int) -> EffectiveSettings:
        """The settings of one address."""
        return await self._gatherer.settings(address, revision)

    async def revocation(self, work: Work, recipients: Sequence[str]) -> Mode:
        """How signatures of the message's sender are judged on behalf of these recipients."""
        return await self._gatherer.revocation(work.envelope.sender, recipients, work.row.revision)

    async def examine(self, work: Work, opened: Opened) -> Findings:
        """What scanner and rules say."""
        return examine.examine(work, opened)

    async def facts(self, work: Work, opened: Opened) -> Facts:
        """Everything the decision may know."""
        now = time.time()
        message = work.message
        today = datetime.fromtimestamp(now, UTC).date()
        waiting = [recipient.address for recipient in work.recipients]
        facts = await self._gatherer.gather(
            work.envelope,
            waiting,
            message_facts(
                message,
                work.row.size,
                protected=opened.protected,
                calendar=opened.calendar,
                inbound_mark=received.has_mark(self.mark_key, message, today),
                hops=received.hop_count(message),
                looped=self._looped(message, waiting),
            ),
            Queued(
                accepted_at=work.row.accepted_at.timestamp(),
                now=now,
                state="held" if work.row.state == "held" else "received",
                released=bool(work.row.released_by),
                mandatory=frozenset(work.row.mandatory),
            ),
            work.row.revision,
            opened.paths,
            any(signer.revocation for layer in opened.known.layers for signer in layer.signers),
        )
        if opened.inside is None:
            return facts
        return msgspec.structs.replace(facts, inside=inside_facts(message, opened.inside, facts.message))

    def _looped(self, message: Message, waiting: Sequence[str]) -> list[str]:
        """Those to whom we sent it before, in either direction: a recipient has one direction only."""
        if not received.may_have_looped(message):
            return []
        return [
            address
            for address in waiting
            if any(
                received.has_looped(self.mark_key, self.instance, message, address, direction)
                for direction in ("outgoing", "incoming")
            )
        ]

    def decide(self, work: Work, opened: Opened, findings: Findings, facts: Facts) -> Plan:
        """The pure decision, counted."""
        plan = decide(work.envelope, opened.known, findings, facts)
        self._wanted.consider(work.envelope, facts)
        for delivery in plan.deliveries:
            word = "encrypted" if delivery.encrypts else delivery.method
            self.meter("letterlock_decisions_total", len(delivery.addressees), {"decision": word})
        for hold in plan.holds:
            self.meter("letterlock_decisions_total", len(hold.recipients), {"decision": "held"})
        for refusal in plan.refusals:
            self.meter("letterlock_decisions_total", len(refusal.recipients), {"decision": refusal.state})
        return plan

    async def carry_out(self, work: Work, opened: Opened, facts: Facts, plan: Plan) -> Advanced | Handed:
        """Keep what the message teaches of its author, then do what the plan says."""
        new_keys = await self.harvester.keep(work.row.id, opened.harvest, facts)
        return await carry_out.carry_out(self, work, opened, facts, plan, new_keys)
