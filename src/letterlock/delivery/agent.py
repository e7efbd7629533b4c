"""The delivery station: claim, find the next hop, send, journal, settle; for ever.

Order
    What has finished is settled and what is next is claimed in one call. Deliveries are tried side by side; a slow next hop
    holds up only its own.

Guarantees
    A delivery leaves the queue after the next hop's 250, or after a final refusal with its report in the same transaction.
    Each 250 is journalled before anything else; a restarted agent settles what its predecessor noted before its first
    claim, then frees its leases. No connection is below the TLS level that the decision relied on.

See also
    ``docs/walks/outgoing.md``; ``pool.py`` (connections), ``outcome.py`` (what a reply means), ``bounce.py`` (reports).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from letterlock.config.start import Start
from letterlock.database.connect import connect
from letterlock.database.errors import SealingSessionUnknown
from letterlock.delivery.attempt import Attempt, Station
from letterlock.delivery.handed import Hands
from letterlock.delivery.journal import Journal
from letterlock.delivery.next_hop import DnsExchangers
from letterlock.delivery.pool import Pool
from letterlock.errors import LetterlockError
from letterlock.queue import calls
from letterlock.queue.handover import SOCKET
from letterlock.queue.settle import Settled, settle, turn
from letterlock.vault.opening import KeyholderClient
from letterlock.vault.sealing import Sealer
from letterlock.vault.segments import FileSegmentStore

BATCH = 40
BATCH_OCTETS = 8 << 20
LEASE_FOR = timedelta(minutes=30)  # longer than any session (RFC 5321 4.5.3.2 adds up to less)
IN_HAND = 400  # deliveries tried side by side
PER_HOP = 120  # of them to one destination: more would keep the others waiting
SMALL_BATCH = 24
TOGETHER = 0.05  # seconds that finished attempts wait for the others of their batch, to be settled in one call
NAP = 0.02  # seconds: lets a small batch grow
LONGEST_IDLE = 0.1  # seconds
PATIENCE = 60.0  # seconds that a lost claim keeps us from claiming
FROM_JOURNAL = "250 (from the journal)"  # the reply is not noted
DRAIN_FOR = 20.0  # seconds that sessions in hand may take when the station stops


class _Note(NamedTuple):
    """A finished attempt with its place in the journal (0: none)."""

    settled: Settled
    journal: int
    segments: bool


class Agent:
    """One delivery process."""

    def __init__(self, start: Start, station: Station, journal: Journal) -> None:
        self._start = start
        self._station = station
        self._journal = journal
        self._finished: list[_Note] = []
        self._in_hand: set[Attempt] = set()
        self._all_ended = asyncio.Event()  # nothing is in hand
        self._to: Counter[str] = Counter()
        self._lost_at: float | None = None  # when the answer to a claim was lost; its leases are to be given back

    async def replay(self) -> None:
        """Settle what the predecessor of this slot was told 250 for, then free its leases."""
        inherited = [each for each in self._journal.inherited() if not each.handed]
        handed = [each for each in self._journal.inherited() if each.handed]
        if handed:
            await calls.settle_handed(
                self._station.gate,
                ids=[UUID(bytes=each.delivery) for each in handed],
                addresses=[each.recipients[0] for each in handed],
                replies=[FROM_JOURNAL] * len(handed),
                traces=[b""] * len(handed),
            )
        if inherited:
            await settle(
                self._station.gate,
                [
                    Settled(
                        id=UUID(bytes=each.delivery),
                        lease=UUID(bytes=each.lease),
                        done=each.complete,
                        domain="",
                        reply=FROM_JOURNAL,
                        outcomes=[(address, "delivered") for address in each.recipients],
                    )
                    for each in inherited
                ],
            )
        self._journal.forget_inherited()
        await calls.free_leases(self._station.gate, worker=self._start.worker)

    async def work(self) -> None:
        """Until the station stops; then what is in hand is finished and settled."""
        idle = 0.002
        while not self._start.stopping.is_set():
            claimed = await self._turn(0 if await self._must_wait() else BATCH)
            if claimed or self._in_hand or self._finished:
                idle = 0.002
                await self._wait_all_ended(TOGETHER)
                if claimed < SMALL_BATCH:
                    await asyncio.sleep(NAP)
                continue
            await asyncio.sleep(idle)
            idle = min(idle * 2, LONGEST_IDLE)
        await self._wait_all_ended(DRAIN_FOR)
        for attempt in self._in_hand:
            attempt.cancel()
        await self._turn(0)

    async def _wait_all_ended(self, seconds: float) -> None:
        if not self._in_hand:
            return
        self._all_ended.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_ended.wait()

    async def _must_wait(self) -> bool:
        """After a lost claim: nothing new until what is in hand is settled and our other leases are given back.

        A slow next hop may keep something in hand for long, so that after PATIENCE claiming goes on all the same; the
        lost leases then end by themselves.
        """
        if self._lost_at is None:
            return False
        if not self._in_hand and not self._finished:
            try:
                await calls.free_leases(self._station.gate, worker=self._start.worker)
            except LetterlockError as error:
                _log.warning("the leases were not given back: %s", error)
                return True
            self._lost_at = None
            return False
        return time.monotonic() - self._lost_at < PATIENCE

    async def _turn(self, most: int) -> int:
        """Settle what has finished, claim at most ``most``; the number claimed."""
        notes, self._finished = self._finished, []
        room = min(most, IN_HAND - len(self._in_hand))
        try:
            settled, rows = await turn(
                self._station.gate,
                [note.settled for note in notes],
                most=max(room, 0),
                octets=BATCH_OCTETS,
                lease_for=LEASE_FOR,
                worker=self._start.worker,
            )
            self._settled(notes, settled)
            if rows:
                await self._begin(rows)
        except LetterlockError as error:
            if isinstance(error, SealingSessionUnknown):  # a report's; the attempts are made again, with fresh reports
                self._station.sealer.reject(self._station.sealer.session().id)
                for note in notes:
                    _unreport(note.settled)
            _log.warning("the turn was put off: %s", error)
            self._lost_at = time.monotonic()
            self._finished = notes + self._finished  # settling twice is settling once: the lease fences it
            await asyncio.sleep(0.5)
            return 0
        return len(rows)

    def _settled(self, notes: list[_Note], settled: set[UUID]) -> None:
        for note in notes:
            if note.journal:
                self._journal.settled(note.journal)
            if note.segments and note.settled.done and note.settled.id in settled:
                self._station.store.remove(note.settled.id)

    async def _begin(self, rows: list[calls.ClaimedDelivery]) -> None:
        """Start an attempt for each row; the keys of all are asked for at once."""
        try:
            keys = await self._station.keyholder.message_keys(rows[0].lease, [row.id for row in rows])
        except LetterlockError as error:
            _log.warning("no keys for a batch: %s", error)
            keys = {}  # every attempt is put back
        for row in rows:
            attempt = Attempt(self._station, row, keys.get(row.id), self._note, self._ended)
            self._in_hand.add(attempt)
            self._to[row.domain] += 1
            if self._to[row.domain] > PER_HOP:
                attempt.put_back("The next hop is busy.")
            else:
                attempt.begin()

    def _note(self, row: calls.ClaimedDelivery, recipients: list[str], complete: bool) -> int:
        return self._journal.note(row.lease, row.id, recipients, complete)

    def _ended(self, attempt: Attempt, settled: Settled, journal: int) -> None:
        row = attempt.row
        self._finished.append(_Note(settled, journal, row.segments > 0))
        self._to[row.domain] -= 1
        if not self._to[row.domain]:
            del self._to[row.domain]
        self._in_hand.discard(attempt)
        if not self._in_hand:
            self._all_ended.set()


def _unreport(settled: Settled) -> None:
    """A report that cannot enter: those it is about are tried again, and reported anew."""
    if settled.notices:
        settled.notices = []
        settled.outcomes = [pair for pair in settled.outcomes if pair[1] == "delivered"]
        settled.done, settled.delayed, settled.due_at = False, False, None


_log = logging.getLogger("letterlock.delivery")


async def run(start: Start) -> None:
    """Deliver until ``start.stopping`` is set."""
    gate = await connect(start.database)
    keyholder = KeyholderClient(start.run / "key.sock", start.key_token)
    sealer = Sealer()
    keeper = asyncio.create_task(sealer.keep(keyholder), name="sealer")
    journal = Journal(start.state / "journal", f"{start.name}-{start.number}")
    pool = Pool(start.hostname)
    try:
        store = FileSegmentStore(start.state / "segments")
        station = Station(gate, keyholder, sealer, store, pool, DnsExchangers(), start.hostname, start.meter)
        agent = Agent(start, station, journal)
        hands = Hands(start, station, journal)
        await agent.replay()
        await hands.listen(start.run / SOCKET)
        start.ready()
        await asyncio.gather(agent.work(), hands.serve())
    finally:
        keeper.cancel()
        await pool.close()
        journal.close()
        keyholder.close()
        await gate.close()
