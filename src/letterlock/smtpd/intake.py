"""One message's way from the wire to the queue: its header measured, its hops counted, sealed, committed.

States
    small    up to 64 KiB: lies in memory, is sealed at its end into the row
    large    beyond: each MiB is sealed and written as it comes; at most one is in memory
    finished handed to the acceptor; its future leads to the outcome
    over     the outcome was told, or the content abandoned

Guarantees
    ``outcome`` hears of success only after queue.accept has committed. A message that was handed to the acceptor keeps
    its file even when that fails: it may have been committed. Orphans are swept by housekeeping.
    A header beyond MAX_FIELDS or MAX_HEADER_OCTETS is refused: nobody further in could tell what the message is.

See also
    ``vault/content.py`` (sealing), ``queue/accept.py`` (commits), ``flow/`` (checks the keyed loop field, which needs
    the parsed message).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from letterlock.config.start import Meter
from letterlock.mail import limits, reply
from letterlock.mail.envelope import Envelope
from letterlock.queue.accept import Acceptor, Entering
from letterlock.smtp.syntax import CommandRefused
from letterlock.smtpd.access import ListenerPolicy, PolicyKeeper
from letterlock.smtpd.tls import ServerTls
from letterlock.vault.content import SMALL_OCTETS, ContentWriter, SealedContent, seal_small
from letterlock.vault.keys import new_id
from letterlock.vault.sealing import Sealer
from letterlock.vault.segments import SegmentStore

Outcome = Callable[["Intake", BaseException | None], None]
"""What became of the message: committed, or why not."""


@dataclass(slots=True)
class Desk:
    """What all connections of this process share."""

    hostname: str
    policy: PolicyKeeper
    sealer: Sealer
    store: SegmentStore
    acceptor: Acceptor
    tls: ServerTls
    meter: Meter
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: asyncio.Task[None]) -> None:
        """Keep ``work`` until it is done."""
        self.tasks.add(work)
        work.add_done_callback(self.tasks.discard)


def hops(octets: bytes) -> int:
    """How many Received fields the header at the beginning of ``octets`` has (RFC 5321 6.3)."""
    end = octets.find(b"\r\n\r\n")
    header = octets[: end if end >= 0 else len(octets)].lower()
    return header.count(b"\r\nreceived:") + header.startswith(b"received:")


class Header:
    """Measures a message's header while it comes; once it has ended, ``add`` does nothing more.

    Counts as ``mail.message.scan`` does: a line that continues no other one is a field, damaged or not.
    """

    def __init__(self) -> None:
        self.ended = False
        self._octets = 0
        self._fields = 0
        self._tail = b""

    def add(self, octets: bytes) -> None:
        """More content, each CR with its LF. Raises CommandRefused when the header is beyond the limits."""
        if self.ended or not octets:
            return
        if not self._octets and octets.startswith(b"\r\n"):
            self.ended = True
            return
        tail, seen = self._tail, self._tail + octets
        end = seen.find(b"\r\n\r\n")
        self.ended = end >= 0
        if self.ended and not tail and end < SMALL_OCTETS and seen.count(b"\n", 0, end + 2) <= limits.MAX_FIELDS:
            return  # nearly every message
        header = seen[: end + 2] if self.ended else seen
        self._octets += len(header) - len(tail)
        self._fields += _fields(header) - _fields(tail)
        self._tail = seen[-2:]
        open_field = not self.ended and seen.endswith(b"\n")  # the next line may continue the last one
        if self._octets > limits.MAX_HEADER_OCTETS or self._fields - open_field > limits.MAX_FIELDS:
            raise CommandRefused(reply.HEADER_TOO_LARGE)

    def finish(self) -> None:
        """The content has ended, perhaps in the middle of a line of its header. Raises CommandRefused."""
        self.add(b"\r\n\r\n")


def _fields(header: bytes) -> int:
    """Lines that end here, without those that the next line continues."""
    return header.count(b"\n") - header.count(b"\n ") - header.count(b"\n\t")


class Intake:
    """The sink of one message. ``outcome`` is called once after ``finish``, unless ``finish`` raises."""

    def __init__(self, desk: Desk, policy: ListenerPolicy, envelope: Envelope, outcome: Outcome) -> None:
        """Raises SealingUnavailable while nothing can be sealed, so that no content is sent for nothing."""
        desk.sealer.session()
        self.id = new_id()
        self.size = 0
        self.envelope = envelope
        self.finished_at = 0.0
        self._desk = desk
        self._policy = policy
        self._outcome = outcome
        self._header = Header()
        self._pieces: list[bytes] = []
        self._writer: ContentWriter | None = None

    def write(self, octets: bytes) -> None:
        """More content. Raises CommandRefused (header, hops), SealingUnavailable, StorageUnavailable."""
        self.size += len(octets)
        if self._writer is not None:
            if not self._header.ended:
                self._header.add(octets)
            self._writer.write(octets)
        elif self.size <= SMALL_OCTETS:
            self._pieces.append(octets)
        else:
            small = b"".join(self._pieces)
            self._header.add(small + octets)
            self._count_hops(small + octets[:SMALL_OCTETS])
            self._pieces = []
            self._writer = ContentWriter(self._desk.sealer.session(), self._desk.store, self.id)
            self._writer.write(small)
            self._writer.write(octets)

    def finish(self) -> None:
        """Seal and hand over. Raises CommandRefused, SealingUnavailable."""
        self.finished_at = time.monotonic()
        if self._writer is not None:
            try:
                self._header.finish()
            except CommandRefused:
                self.abandon()
                raise
            task = asyncio.get_running_loop().create_task(self._finish_large(self._writer))
            self._desk.spawn(task)
            return
        octets = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        self._header.add(octets)
        self._header.finish()
        self._count_hops(octets)
        content = seal_small(self._desk.sealer.session(), self.id, self.envelope.encode(), [octets])
        self._hand_over(content)

    def abandon(self) -> None:
        """Forget the message; nothing of it stays on disk."""
        self._pieces = []
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _count_hops(self, octets: bytes) -> None:
        if hops(octets) > self._policy.max_hops:
            raise CommandRefused(reply.TOO_MANY_HOPS)

    async def _finish_large(self, writer: ContentWriter) -> None:
        try:
            content = await writer.finish(self.envelope.encode())
        except Exception as error:
            writer.abandon()
            self._outcome(self, error)
        else:
            self._hand_over(content)

    def _hand_over(self, content: SealedContent) -> None:
        sender = self.envelope.sender
        recipients = [
            (recipient.address, self._policy.organisation_of(sender, recipient.address))
            for recipient in self.envelope.recipients
        ]
        self._desk.acceptor.submit(Entering(content, sender, recipients)).add_done_callback(self._committed)

    def _committed(self, future: asyncio.Future[None]) -> None:
        self._outcome(self, asyncio.CancelledError() if future.cancelled() else future.exception())
