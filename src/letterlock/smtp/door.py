"""What the server's side of SMTP asks of its surroundings: a profile, decisions, and a place for content.

Guarantees
    A Door and a ContentSink refuse by raising LetterlockError; its code, status and public text become the reply.

See also
    ``server.py``, which asks; ``smtpd/session.py``, which answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from letterlock.mail import limits
from letterlock.mail.address import Address
from letterlock.mail.envelope import Recipient
from letterlock.mail.reply import Reply
from letterlock.smtp.syntax import MailCommand

State = Enum("State", ["COMMAND", "DATA", "CHUNK", "WAITING", "TLS", "CLOSED"])
"""The states of a connection; ``server.py`` says what each means."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What this server is for this peer; may be exchanged between transactions."""

    hostname: str
    max_message_octets: int = limits.MAX_MESSAGE_OCTETS
    max_recipients: int = limits.MAX_RECIPIENTS
    max_line_octets: int = limits.MAX_LINE_OCTETS
    max_command_octets: int = limits.MAX_COMMAND_OCTETS
    max_errors: int = limits.MAX_ERRORS
    command_seconds: float = limits.COMMAND_SECONDS
    normalise: bool = False  # bare CR and LF become CRLF instead of a refusal
    xforward: bool = False
    starttls: bool = False


@dataclass(slots=True)
class Transaction:
    """One message's envelope as it grows: MAIL, then RCPT by RCPT."""

    mail: MailCommand
    recipients: dict[str, Recipient] = field(default_factory=dict)  # by address: the same one twice is one


class ContentSink(Protocol):
    """Takes one message's content."""

    def write(self, octets: bytes) -> None:
        """More content. Raises LetterlockError."""

    def finish(self) -> None:
        """All content has come. Leads to one call of ServerSession.answer, now or later."""

    def abandon(self) -> None:
        """The message will not come, or was refused."""


class Door(Protocol):
    """Decides what the session asks; each method raises LetterlockError to refuse."""

    def mail(self, command: MailCommand) -> None:
        """May this peer begin a transaction with this sender?"""

    def recipient(self, address: Address | None) -> Address:
        """May this peer send to ``address``? Returns the address to use; None asks for the postmaster."""
        ...

    def content(self, transaction: Transaction) -> ContentSink:
        """The envelope is complete and content is about to come."""
        ...

    def refused(self, answer: Reply) -> None:
        """A command or a message was answered with this 4xx or 5xx."""

    def fault(self, error: Exception) -> None:
        """An exception that is not ours was answered with 451; to be logged without content."""
