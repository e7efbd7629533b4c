"""Messages, recipients and deliveries in the queue, and their states.

States
    ======== ========= ====================================================================================================
    what     state     meaning; what ends it
    ======== ========= ====================================================================================================
    message  receiving its segments are being written; no row yet. Ends with queue.accept or as an orphan file that is swept
    message  received  committed: we are responsible. Flow claims it by a lease; ends with queue.advance
    message  held      some recipients wait for an administrator or the end of hold_life
    message  gone      the row has left; audit rows and the sealed trace remain
    recipient pending  of a received message, or of a delivery not yet settled
    recipient held     not to be sent in the state it is in (mandatory encryption without a method, or by an administrator)
    recipient delivered / failed / refused / deposited / answered   final; the row leaves, the audit row says so. answered: a
              challenge that the gateway itself replied to (flow/challenge.py)
    delivery due       waits for its time; leased while an agent tries; delivered or failed when it is over
    ======== ========= ====================================================================================================

Guarantees
    The instant of responsibility is the commit of queue.accept; the instant of transition is the commit of queue.advance;
    the end is the commit of queue.settle. The words above are those of the SQL CHECKs and the pages.

See also
    ``database/sql/migrations/0001_*.sql``, ``docs/walks/outgoing.md``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from letterlock.mail.envelope import Envelope, Origin, Recipient

MESSAGE_STATES = ("receiving", "received", "held", "gone")
RECIPIENT_STATES = ("pending", "delivered", "failed", "held", "deposited", "refused", "answered")
DELIVERY_STATES = ("due", "leased", "delivered", "failed")

Direction = Literal["outgoing", "incoming"]


class Dispatch(msgspec.Struct, frozen=True, array_like=True):
    """The sealed envelope of a delivery: everything the delivery station may know besides the finished octets.

    ``quoted``: the fields From, To, Date, Message-ID and Subject as they came from outside, raw, for a report that may
    leave the organisation. ``submitted``: the sender is ours, so RET=FULL may be honoured.
    """

    message: bytes  # id of the queued message, 16 octets
    sender: str
    recipients: tuple[Recipient, ...]
    direction: Direction = "outgoing"
    method: str = "plain"
    origin: Origin = "submission"
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""
    body: Literal["7BIT", "8BITMIME"] = "7BIT"
    smtputf8: bool = False
    received_at: float = 0.0
    tls_floor: int = 0
    delay_notice_at: float = 0.0  # seconds since the Unix epoch; 0: never
    quoted: tuple[bytes, ...] = ()
    postmaster: str = ""  # who signs reports about it
    encrypted: bool = False  # nobody can read in it what its submitter wrote

    def encode(self) -> bytes:
        """MessagePack; read back by decode_dispatch()."""
        return _encoder.encode(self)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Dispatch)


def decode_dispatch(octets: bytes) -> Dispatch:
    """The Dispatch of encode(). Raises msgspec.DecodeError when the octets are not one."""
    return _decoder.decode(octets)


def dispatch(envelope: Envelope, message: bytes, recipients: tuple[Recipient, ...], **facts: object) -> Dispatch:
    """A delivery's envelope made from its message's: who, and how its reports shall be made (RFC 3461 4)."""
    return Dispatch(
        message=message,
        sender=envelope.sender,
        recipients=recipients,
        origin=envelope.origin,
        ret=envelope.ret,
        envid=envelope.envid,
        smtputf8=envelope.smtputf8,
        received_at=envelope.received_at,
        **{"body": envelope.body, **facts},  # type: ignore[arg-type]
    )
