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
import random
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from letterlock.config.start import Start
from letterlock.database.errors import SealingSessionUnknown
from letterlock.errors import LetterlockError, SystemFailure
from letterlock.flow import challenge, children, lacking, warnings
from letterlock.flow.crafts import Crafts
from letterlock.flow.hand import Handed
from letterlock.flow.undecided import put_off
from letterlock.flow.work import ClaimedMessage, Work, read
from letterlock.queue.advance import Advanced, advance
from letterlock.telemetry.events import emit
from letterlock.vault.keys import MessageKey

BATCH = 40
BATCH_OCTETS = 3 << 20
BATCHES = 2  # at a time
DRAIN_FOR = 20.0  # seconds that what is handed over may take when the station stops
SMALL_BATCH = 24  # after a smaller one a nap lets the next grow: small batches are the dearest
NAP = 0.01  # seconds
LONGEST_IDLE = 0.1  # seconds
SUSPECT_AFTER = 8  # attempts, the waits for what is fetched among them; see _work_on
DEADLY_AFTER = 30  # attempts, more than put_off allows: processes have died of it, and it is held

_log = logging.getLogger("letterlock.flow")


def prepare() -> None:
    """What must be done before the process gets its orders."""
    children.prepare()


async def run(start: Start) -> None:
    """Work until ``start.stopping`` is set, then finish the batches in hand."""
    async with Crafts.open(start) as crafts:
        await crafts.hand.open()
        start.ready()
        async with asyncio.TaskGroup() as batches:
            batches.create_task(warnings.keep_on(crafts, start.stopping))
            await _take_batches(start, crafts, batches)
        await crafts.hand.close(DRAIN_FOR)


async def _take_batches(start: Start, crafts: Crafts, batches: asyncio.TaskGroup) -> None:
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
        return await crafts.leases.claim(BATCH, BATCH_OCTETS)
    except LetterlockError as error:
        _log.warning("nothing can be claimed: %s", error)
        await _pause(start, 0.5)
        return ()


async def _finish(start: Start, crafts: Crafts, rows: Sequence[ClaimedMessage]) -> None:
    """One batch to its end. A failure of database or keyholder is waited out, not passed on."""
    failed = True
    try:
        await _work_on(crafts, rows)
        failed = False
    except SealingSessionUnknown:
        crafts.sealer.reject(crafts.sealer.session().id)
    except LetterlockError as error:
        _log.warning("the batch was put off: %s", error)
        await _pause(start, 0.5)
    finally:
        crafts.leases.let_go(rows[0].lease)
    if failed:
        await _give_back(crafts)


async def _give_back(crafts: Crafts) -> None:
    """What we have leased and are not at work on; if that fails too it ends by itself."""
    try:
        await crafts.leases.free()
    except LetterlockError as error:
        _log.warning("the leases were not given back: %s", error)


async def _work_on(crafts: Crafts, rows: Sequence[ClaimedMessage]) -> None:
    """Those that were tried often one by one, at last and in any order: one of them may be what a process died of."""
    keys = await crafts.keyholder.message_keys(rows[0].lease, [row.id for row in rows])
    suspects = [row for row in rows if row.attempts > SUSPECT_AFTER]
    if len(suspects) < len(rows):
        await _advance_all(crafts, [row for row in rows if row.attempts <= SUSPECT_AFTER], keys)
    random.shuffle(suspects)
    for row in suspects:
        await _advance_all(crafts, [row], keys)


async def _advance_all(crafts: Crafts, rows: Sequence[ClaimedMessage], keys: Mapping[UUID, MessageKey]) -> None:
    lease = rows[0].lease
    ends = await asyncio.gather(*(_guarded(crafts, row, keys.get(row.id)) for row in rows))
    batch = [(row, end) for row, end in zip(rows, ends, strict=True) if isinstance(end, Advanced)]
    if batch:
        done = await advance(crafts.gate, lease, [advanced for _, advanced in batch])
        for row, advanced in batch:
            if row.id in done and advanced.state == "gone" and row.segments:  # queue.advance has flushed such a commit
                crafts.store.remove(row.id)
    crafts.hand.give(end for end in ends if isinstance(end, Handed))  # last: a batch that fails before is given back


async def handle(work: Work, crafts: Crafts) -> Advanced | Handed:
    """One message, from claimed to advanced. Every line is one file."""
    opened = await crafts.decrypt(work)
    if (answered := await challenge.take(crafts, work, opened)) is not None:
        return answered
    findings = await crafts.examine(work, opened)
    facts = await crafts.facts(work, opened)
    if (later := lacking.wait(work.row, facts)) is not None:
        return later
    plan = crafts.decide(work, opened, findings, facts)
    return await crafts.carry_out(work, opened, facts, plan)


async def _guarded(crafts: Crafts, row: ClaimedMessage, key: MessageKey | None) -> Advanced | Handed:
    """handle(), with every failure turned into a deferral or a hold: fail closed."""
    started = time.perf_counter()
    try:
        if key is None:
            raise LetterlockError("The key of the message is not available now.", detail=str(row.id))
        if row.attempts > DEADLY_AFTER and row.state == "received" and not row.released_by:
            raise SystemFailure("The message could not be processed.", detail=f"{row.attempts} attempts")
        end = await handle(read(row, key, crafts.store), crafts)
    except LetterlockError as error:
        _log.warning("message %s: %s", row.id, error)
        return await put_off(crafts, row, key, error)
    except Exception:
        _log.exception("message %s: internal fault", row.id)
        return await put_off(crafts, row, key, SystemFailure("The message could not be processed."))
    seconds = time.perf_counter() - started
    state = end.state if isinstance(end, Advanced) else "handed"
    emit.message_advanced(id=row.id, state=state, seconds=seconds)
    crafts.meter("letterlock_messages_advanced_total", 1, {"state": state})
    crafts.meter("letterlock_flow_seconds", seconds, {})
    return end
