"""The flow station: claim, decrypt, examine, gather facts, decide, carry out, advance; for ever.

Order
    One batch after the other is claimed; the messages of a batch are worked on side by side, so that what they ask of the
    keyholder's signers travels in one frame, and they leave in one transaction. While one batch waits for its signatures
    or its commit the next is worked on.

Guarantees
    A message for which something is being fetched waits ten seconds at most (``lacking.py``).
    A message that no decision can be made on is put off (``undecided.py``), never passed on as it is.
    A crash anywhere before the commit of queue.advance changes nothing: the lease ends and the work is done again.

See also
    ``docs/walks/outgoing.md``; ``decision/`` for what is decided, ``carry_out.py`` for how it is done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from letterlock.config.start import Start
from letterlock.database.errors import SealingSessionUnknown
from letterlock.errors import LetterlockError, SystemFailure
from letterlock.flow import lacking
from letterlock.flow.crafts import Crafts
from letterlock.flow.undecided import put_off
from letterlock.flow.work import ClaimedMessage, Work, read
from letterlock.queue import calls
from letterlock.queue.advance import Advanced, advance
from letterlock.telemetry.events import emit
from letterlock.vault.keys import MessageKey

BATCH = 40
BATCH_OCTETS = 8 << 20
BATCHES = 2  # at a time
LEASE_FOR = timedelta(minutes=10)
SMALL_BATCH = 24  # after a smaller one a nap lets the next grow: small batches are the dearest
NAP = 0.01  # seconds
LONGEST_IDLE = 0.1  # seconds

_log = logging.getLogger("letterlock.flow")


async def run(start: Start) -> None:
    """Work until ``start.stopping`` is set, then finish the batches in hand."""
    async with Crafts.open(start) as crafts, asyncio.TaskGroup() as batches:
        await calls.free_leases(crafts.gate, worker=start.worker)
        start.ready()
        room = asyncio.Semaphore(BATCHES)
        idle = 0.002
        while not start.stopping.is_set():
            await room.acquire()
            rows = await _claim(start, crafts)
            if not rows:
                room.release()
                await _pause(start, idle)
                idle = min(idle * 2, LONGEST_IDLE)
                continue
            idle = 0.002
            batches.create_task(_finish(start, crafts, rows)).add_done_callback(lambda _: room.release())
            if len(rows) < SMALL_BATCH:
                await asyncio.sleep(NAP)


async def _pause(start: Start, seconds: float) -> None:
    """Sleep, or return early when the station stops."""
    try:
        await asyncio.wait_for(start.stopping.wait(), seconds)
    except TimeoutError:
        return


async def _claim(start: Start, crafts: Crafts) -> Sequence[ClaimedMessage]:
    """The next batch; none when nothing is due, or nothing can be claimed, which is waited out."""
    try:
        return await calls.claim_messages(
            crafts.gate, max=BATCH, octets=BATCH_OCTETS, lease_for=LEASE_FOR, worker=start.worker
        )
    except LetterlockError as error:
        _log.warning("nothing can be claimed: %s", error)
        await _pause(start, 0.5)
        await _give_back(start, crafts)  # the claim may have been made, and only its answer been lost
        return ()


async def _finish(start: Start, crafts: Crafts, rows: Sequence[ClaimedMessage]) -> None:
    """One batch to its end. A failure of database or keyholder is waited out, not passed on."""
    try:
        await _work_on(crafts, rows)
    except SealingSessionUnknown:
        crafts.sealer.reject(crafts.sealer.session().id)
        await _give_back(start, crafts)
    except LetterlockError as error:
        _log.warning("the batch was put off: %s", error)
        await _pause(start, 0.5)
        await _give_back(start, crafts)


async def _give_back(start: Start, crafts: Crafts) -> None:
    """The leases of all batches in hand, when one could not be worked on; if that fails too they end by themselves.

    The other batch then leaves nothing behind, since its lease is gone, and is worked on again.
    """
    try:
        await calls.free_leases(crafts.gate, worker=start.worker)
    except LetterlockError as error:
        _log.warning("the leases were not given back: %s", error)


async def _work_on(crafts: Crafts, rows: Sequence[ClaimedMessage]) -> None:
    lease = rows[0].lease
    keys = await crafts.keyholder.message_keys(lease, [row.id for row in rows])
    batch = await asyncio.gather(*(_guarded(crafts, row, keys.get(row.id)) for row in rows))
    done = await advance(crafts.gate, lease, batch)
    for row, advanced in zip(rows, batch, strict=True):
        if row.id in done and advanced.state == "gone" and row.segments:  # queue.advance has flushed such a commit
            crafts.store.remove(row.id)


async def handle(work: Work, crafts: Crafts) -> Advanced:
    """One message, from claimed to advanced. Every line is one file."""
    opened = await crafts.decrypt(work)
    findings = await crafts.examine(work, opened)
    facts = await crafts.facts(work, opened)
    if (later := lacking.wait(work.row, facts)) is not None:
        return later
    plan = crafts.decide(work, opened, findings, facts)
    return await crafts.carry_out(work, opened, facts, plan)


async def _guarded(crafts: Crafts, row: ClaimedMessage, key: MessageKey | None) -> Advanced:
    """handle(), with every failure turned into a deferral or a hold: fail closed."""
    started = time.perf_counter()
    try:
        if key is None:
            raise LetterlockError("The key of the message is not available now.", detail=str(row.id))
        advanced = await handle(read(row, key, crafts.store), crafts)
    except LetterlockError as error:
        _log.warning("message %s: %s", row.id, error)
        return await put_off(crafts, row, key, error)
    except Exception:
        _log.exception("message %s: internal fault", row.id)
        return await put_off(crafts, row, key, SystemFailure("The message could not be processed."))
    seconds = time.perf_counter() - started
    emit.message_advanced(id=row.id, state=advanced.state, seconds=seconds)
    crafts.meter("letterlock_messages_advanced_total", 1, {"state": advanced.state})
    crafts.meter("letterlock_flow_seconds", seconds, {})
    return advanced
