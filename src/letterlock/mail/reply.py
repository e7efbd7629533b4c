"""Replies of the SMTP server: number, enhanced status code and meaning in one name.

Guarantees
    No other file writes a 2xx, 4xx or 5xx of the server by hand. A reply is one line of printable ASCII; its octets
    are made once. Text from outside never enters a reply.

Standards
    RFC 5321 4.2 (codes), RFC 3463 and the IANA registry of enhanced status codes, RFC 2034 (where they stand).

See also
    ``errors.py``: every LetterlockError knows its reply; ``of_error`` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from letterlock.errors import LetterlockError

MAX_TEXT_OCTETS = 480
"""RFC 5321 4.5.3.1.5: a reply line has at most 512 octets with its code and CRLF."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply line. ``status``: RFC 3463 code, "" where none belongs (220, 354). Raises ValueError: unprintable."""

    code: int
    status: str
    text: str
    octets: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (self.text.isascii() and self.text.isprintable() and len(self.text) <= MAX_TEXT_OCTETS):
            raise ValueError("a reply is one line of printable ASCII")
        words = (str(self.code), self.status, self.text) if self.status else (str(self.code), self.text)
        object.__setattr__(self, "octets", " ".join(words).encode("ascii") + b"\r\n")

    @property
    def positive(self) -> bool:
        """True for 2xx and 3xx."""
        return self.code < 400

    def because(self, text: str) -> Reply:
        """The same code and status with another text."""
        return Reply(self.code, self.status, text)


def of_error(error: LetterlockError) -> Reply:
    """The reply an error asks for: its code and status, and its public text as far as it is printable ASCII."""
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in error.public)[:MAX_TEXT_OCTETS]
    return Reply(error.code, error.status, text)


OK = Reply(250, "2.0.0", "Ok")
ACCEPTED = Reply(250, "2.0.0", "Accepted")
SENDER_OK = Reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient ok")
CHUNK_OK = Reply(250, "2.0.0", "Chunk received")
SEND_CONTENT = Reply(354, "", "Send the message; end with <CRLF>.<CRLF>")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")
BYE = Reply(221, "2.0.0", "Bye")
HELP = Reply(214, "2.0.0", "See RFC 5321")
CANNOT_VERIFY = Reply(252, "2.5.0", "Not verified; send mail and it will be tried")

SHUTTING_DOWN = Reply(421, "4.3.2", "Shutting down; come back soon")
UNAVAILABLE = Reply(421, "4.3.0", "Not possible now; come back later")
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TIMED_OUT = Reply(421, "4.4.2", "Nothing heard for too long")
NOT_SMTP = Reply(421, "4.7.0", "This is an SMTP server")
NOT_NOW = Reply(451, "4.3.0", "Not possible now; try again later")
STORAGE_FULL = Reply(452, "4.3.1", "Not enough storage; try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients; send the rest in another transaction")
TLS_NOT_NOW = Reply(454, "4.7.0", "TLS is not available now")

UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognised")
BAD_LINE = Reply(500, "5.5.2", "A command is one line of text, ended by <CRLF>")
LINE_TOO_LONG = Reply(500, "5.5.2", "Command line too long")
BAD_ARGUMENTS = Reply(501, "5.5.4", "Syntax error in the arguments")
BAD_SENDER = Reply(501, "5.1.7", "The sender is not a valid address")
BAD_RECIPIENT = Reply(501, "5.1.3", "The recipient is not a valid address")
BAD_XTEXT = Reply(501, "5.5.4", "A parameter is not valid xtext (RFC 3461 4)")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
BAD_SEQUENCE = Reply(503, "5.5.1", "Bad sequence of commands")
HELLO_FIRST = Reply(503, "5.5.1", "Send EHLO first")
MAIL_FIRST = Reply(503, "5.5.1", "Send MAIL first")
RECIPIENT_FIRST = Reply(503, "5.5.1", "Send RCPT first")
NESTED_MAIL = Reply(503, "5.5.1", "A transaction is open already")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is on already")
RELAY_DENIED = Reply(550, "5.7.1", "Relaying denied")
BARE_NEWLINE = Reply(550, "5.6.11", "The message has a CR or LF that is not part of CRLF")
NUL_OCTET = Reply(550, "5.6.0", "The message has a NUL octet")
CONTENT_LINE_TOO_LONG = Reply(550, "5.6.0", "The message has a line that is too long")
TOO_BIG = Reply(552, "5.3.4", "The message is too big")
HEADER_TOO_LARGE = Reply(552, "5.3.4", "The header of the message has too many fields or octets")
SOURCE_ROUTE = Reply(553, "5.1.0", "Source routes are not accepted")
UTF8_NEEDED = Reply(553, "5.6.7", "A non-ASCII address needs SMTPUTF8")
TOO_MANY_HOPS = Reply(554, "5.4.6", "Too many hops; the message seems to loop")
NO_VALID_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")
OUT_OF_STEP = Reply(554, "5.5.0", "Protocol error: you may not send yet")
BAD_PARAMETER = Reply(555, "5.5.4", "Parameter not recognised or not implemented")
