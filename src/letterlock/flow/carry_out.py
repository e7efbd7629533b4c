"""Do what the plan says: finished octets for each delivery, sealed; holds, refusals and notices beside them.

Order
    Per delivery: header changes, signature (once for all deliveries that share it), encryption, trace fields, seal.

Guarantees
    Nothing here decides. The octets of a plain delivery are those received, with fields spliced in and out; the body of a
    message is never written again from a parsed form. What is made here is final: every retry sends the same octets.

See also
    ``decision/plan.py``; ``queue/advance.py``, which commits the result; ``mark.py`` for header changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from letterlock.decision.known import Facts
from letterlock.decision.plan import Delivery, Plan
from letterlock.decision.trace import encode as encode_trace
from letterlock.errors import PermanentError
from letterlock.flow import notices, protect, reopen
from letterlock.flow.hand import Handed
from letterlock.flow.harvest import NewKey
from letterlock.flow.mark import HeaderChange, incoming_change, outgoing_change
from letterlock.flow.reduce import reduce
from letterlock.flow.sealing import quoted, seal
from letterlock.flow.work import Opened, Work
from letterlock.mail import received
from letterlock.mail.headers import edit
from letterlock.mail.message import Buffer, Entity, Message
from letterlock.policy.settings import limits
from letterlock.queue.advance import Advanced, Finished
from letterlock.queue.handover import Hand
from letterlock.queue.message import dispatch
from letterlock.vault.keys import Part

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts

_FAR = timedelta(days=3650)


class FinishedTooLarge(PermanentError):
    """The protected message is larger than max_finished_octets allows."""

    code = 552
    status = "5.3.4"


async def carry_out(
    crafts: Crafts, work: Work, opened: Opened, facts: Facts, plan: Plan, new_keys: Sequence[NewKey] = ()
) -> Advanced | Handed:
    """What becomes of ``work``. ``new_keys``: postmaster is told of them.

    Raises what sealing, signing and encrypting raise; nothing then has happened.
    """
    making = _Making(crafts, work, opened, facts)
    told = [made for each in new_keys if (made := await notices.key_changed(crafts, facts, each)) is not None]
    if not told and _goes_by_hand(work, plan) and await crafts.hand.room(work.row.size * 3 // 2):
        return await making.hand(plan.deliveries[0], work.key.seal_part(Part.TRACE, encode_trace(plan.trace)))
    deliveries = [await making.finish(delivery) for delivery in plan.deliveries]
    outcomes = [(address, "held") for hold in plan.holds for address in hold.recipients]
    outcomes += [(address, refusal.state) for refusal in plan.refusals for address in refusal.recipients]
    due_at = datetime.fromtimestamp(plan.due_at, UTC) if plan.due_at else datetime.now(UTC) + _FAR
    return Advanced(
        id=work.row.id,
        state=plan.state,
        due_at=due_at,
        reason=", ".join(dict.fromkeys(hold.reason for hold in plan.holds)),
        trace=work.key.seal_part(Part.TRACE, encode_trace(plan.trace)),
        outcomes=outcomes,  # type: ignore[arg-type]
        deliveries=deliveries,
        notices=[*[await notices.make(crafts, work, facts, plan, notice) for notice in plan.notices], *told],
    )


def _goes_by_hand(work: Work, plan: Plan) -> bool:
    """One delivery to one recipient and nothing besides, so that taken or not taken is all there is to say of it."""
    return (
        work.row.state == "received"
        and len(plan.deliveries) == len(work.row.recipients) == 1
        and not (plan.holds or plan.refusals or plan.notices)
        and not work.recipients[0].notify  # reports that were asked for are the ordinary way's (RFC 3461 5.2)
    )


def _bounded(parts: Iterable[Buffer], most: int) -> Iterator[Buffer]:
    """The parts as they come. Raises FinishedTooLarge when they pass ``most`` octets."""
    size = 0
    for part in parts:
        size += len(part)
        if size > most:
            raise FinishedTooLarge(detail=f"more than {most} octets")
        yield part


class _Making:
    """The deliveries of one message in the making; keeps what several of them share."""

    def __init__(self, crafts: Crafts, work: Work, opened: Opened, facts: Facts) -> None:
        self._crafts = crafts
        self._work = work
        self._opened = opened
        self._facts = facts
        self._signed: dict[tuple[object, ...], protect.Signed] = {}
        self._named = {recipient.address: recipient for recipient in work.recipients}
        inside = not work.envelope.sender and work.envelope.origin == "submission"
        self._quoted = () if inside else quoted(work.message)
        self._message_id = work.message.first(b"message-id") or b""

    async def finish(self, delivery: Delivery) -> Finished:
        """One delivery, sealed."""
        content = await seal(self._crafts, self._dispatch(delivery), await self._parts(delivery))
        facts = self._facts.recipients
        return Finished(
            content=content,
            method=delivery.method,
            direction=delivery.direction,
            domain=delivery.domain,
            next_hop=delivery.next_hop,
            tls_min=delivery.tls_min,
            expires_at=datetime.fromtimestamp(delivery.expires_at, UTC),
            recipients=[(address, facts[address].organisation) for address in delivery.recipients],
        )

    async def hand(self, delivery: Delivery, trace: bytes) -> Handed:
        """One delivery with its octets, not sealed: they go to delivery without being stored."""
        row = self._work.row
        octets = list(await self._parts(delivery))
        (address,) = delivery.recipients
        word = Hand(
            id=row.id.bytes,
            lease=row.lease.bytes,
            attempts=row.attempts,
            dispatch=self._dispatch(delivery),
            method=delivery.method,
            direction=delivery.direction,
            domain=delivery.domain,
            next_hop=delivery.next_hop,
            tls_min=delivery.tls_min,
            accepted_at=row.accepted_at.timestamp(),
            expires_at=delivery.expires_at,
            trace=trace,
        )
        return Handed(row, word, octets, sum(map(len, octets)), (address, self._facts.recipients[address].organisation))

    async def _parts(self, delivery: Delivery) -> Iterator[Buffer]:
        """The finished octets, made while they are taken."""
        entity = self._entity(delivery)
        change = self._change(entity, delivery)
        trace = self._trace_fields(delivery)
        if delivery.method == "smime" and not delivery.by_client:
            parts: Iterable[Buffer] = await self._protected(entity, delivery, change, trace)
        else:
            added = [*trace, *change.add]
            if added and bytes(entity.octets[entity.start : entity.start + 1]) in (b" ", b"\t"):
                added.append(b"\r\n")  # no header: its first line must not continue our last field (RFC 5322 2.2.3)
            parts = edit(entity, remove=change.remove, replace=change.replace, add=added)
        return _bounded(parts, self._facts.sender.settings.value(limits.MAX_FINISHED_OCTETS))

    def _entity(self, delivery: Delivery) -> Message:
        """The octets the delivery starts from."""
        if delivery.content == "reduced":
            return reduce(
                self._work.message,
                delivery.recipients[0],
                host=self._crafts.host,
                postmaster=notices.postmaster(self._facts, self._crafts.host),
                now=self._facts.queued.now,
            )
        return self._opened.message if delivery.content == "opened" else self._work.message

    def _change(self, entity: Entity, delivery: Delivery) -> HeaderChange:
        if delivery.direction == "outgoing":
            return outgoing_change(entity, delivery.edits)
        assert delivery.marks is not None
        return incoming_change(entity, delivery.marks)

    def _trace_fields(self, delivery: Delivery) -> list[bytes]:
        """Received, and the fields by which we know the message again (RFC 5321 4.4; design 6 and 7)."""
        envelope, crafts = self._work.envelope, self._crafts
        if envelope.origin == "notice":
            return []  # it began here: nobody handed it to us
        single = delivery.recipients[0] if len(delivery.recipients) == 1 else ""
        fields = [
            received.received_field(
                envelope.trace, queue_id=str(self._work.row.id), received_at=envelope.received_at, recipient=single
            )
        ]
        if delivery.direction == "incoming" or delivery.next_hop:  # the last hop outside learns nothing of our loops
            fields.append(
                received.loop_field(
                    crafts.mark_key, crafts.instance, self._message_id, delivery.recipients, delivery.direction
                )
            )
        if delivery.marks is not None and delivery.marks.inbound:
            day = datetime.fromtimestamp(envelope.received_at, UTC).date()
            fields.append(received.mark_field(crafts.mark_key, self._message_id, day))
        return fields

    async def _protected(
        self, entity: Entity, delivery: Delivery, change: HeaderChange, trace: Sequence[bytes]
    ) -> Iterator[Buffer]:
        """Signed once per signer and header; encrypted per delivery, while it is sealed: no copy of it is ever whole."""
        key = (
            *(delivery.content, delivery.edits, delivery.signer and delivery.signer.id, delivery.encrypts),
            *(delivery.header, delivery.display),
        )
        signed = self._signed.get(key)
        if signed is None:
            reopened = self._opened.inside if delivery.content == "inside" else None
            inside = protect.inside(entity, change, delivery, reopen.entity(reopened) if reopened else None)
            signed = await protect.sign(self._crafts, self._work, inside, delivery.signer, encrypted=delivery.encrypts)
            self._signed[key] = signed
        outer = protect.outer_fields(entity, change, trace, hide=delivery.header == "hide")
        return protect.finished(outer, signed, delivery)

    def _dispatch(self, delivery: Delivery) -> bytes:
        """The delivery's own envelope."""
        return dispatch(
            self._work.envelope,
            self._work.row.id.bytes,
            tuple(self._named[address] for address in delivery.recipients),
            direction=delivery.direction,
            method=delivery.method,
            body="7BIT" if delivery.encrypts else self._work.envelope.body,
            tls_floor=delivery.tls_min,
            delay_notice_at=delivery.delay_notice_at,
            postmaster=notices.postmaster(self._facts, self._crafts.host),
            quoted=self._quoted,
            encrypted=delivery.encrypts or delivery.by_client,
        ).encode()
