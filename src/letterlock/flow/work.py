"""One leased message as the flow works on it: its row, its key, its envelope and its octets.

Guarantees
    Sender and recipients are those of the sealed envelope. The row is only its index: a recipient that stands in the row
    and not in the envelope is refused (EnvelopeForged) and alarmed, whoever wrote it there.

Raises
    ContentRefused, EnvelopeForged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from letterlock.decision.known import Opened as KnownOpened
from letterlock.errors import PermanentError
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.mail.envelope import decode as decode_envelope
from letterlock.mail.message import Message
from letterlock.pki.certificate import Certificate
from letterlock.pki.harvest import Found
from letterlock.vault.content import SealedRow, open_envelope, open_whole
from letterlock.vault.keys import MessageKey
from letterlock.vault.segments import SegmentStore


class EnvelopeForged(PermanentError):
    """The queue row does not agree with the sealed envelope."""


class ClaimedMessage(SealedRow, Protocol):
    """The columns queue.claim_messages answers."""

    @property
    def lease(self) -> UUID: ...
    @property
    def state(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def accepted_at(self) -> datetime: ...
    @property
    def released_by(self) -> str | None: ...
    @property
    def recipients(self) -> Sequence[str]: ...
    @property
    def mandatory(self) -> Sequence[str]: ...
    @property
    def revision(self) -> int: ...


@dataclass(slots=True)
class Reopened:
    """What the sender's own program encrypted: ``reason``: why it was not opened with the sender's key; empty: it was.

    ``entity``: what was inside, octet by octet; ``subject``: a protected one; ``signed``: somebody has signed it inside.
    """

    reason: str = ""
    entity: bytes = b""
    recipients: frozenset[str] = frozenset()
    subject: str | None = None
    signed: bool = False
    calendar: bool = False


@dataclass(slots=True)
class Opened:
    """The message without the layers we could take off. ``message`` is the received one when there was none.

    ``known``: what the decision may know of it. ``protected``: what the sender's own program did to the outermost layer.
    ``paths``: of the signers that are trusted, each from its certificate to its anchor.
    ``harvest``: certificates of its author worth keeping. ``inside``: what is to be encrypted anew; None: nobody looked.
    """

    message: Message
    known: KnownOpened
    protected: Literal["none", "signed", "encrypted"] = "none"
    calendar: bool = False
    paths: tuple[tuple[Certificate, ...], ...] = ()
    harvest: tuple[Found, ...] = ()
    inside: Reopened | None = None


@dataclass(slots=True)
class Work:
    """``recipients``: those still waiting, as the envelope names them."""

    row: ClaimedMessage
    key: MessageKey
    envelope: Envelope
    recipients: tuple[Recipient, ...]
    message: Message


def read(row: ClaimedMessage, key: MessageKey, store: SegmentStore) -> Work:
    """Open the envelope and all octets of a leased message."""
    try:
        envelope = decode_envelope(open_envelope(key, row))
    except msgspec.DecodeError as error:
        raise EnvelopeForged(detail=f"{row.id}: {error}") from error
    named = {recipient.address: recipient for recipient in envelope.recipients}
    strangers = [address for address in row.recipients if address not in named]
    if strangers:
        raise EnvelopeForged(detail=f"{row.id}: {len(strangers)} recipients not in the envelope")
    waiting = set(row.recipients)
    recipients = tuple(recipient for recipient in envelope.recipients if recipient.address in waiting)
    return Work(row, key, envelope, recipients, Message(open_whole(key, row, store)))
