"""The catch-all next hop: takes every mail for anybody, keeps it in memory, and tells who waits for it.

Guarantees
    It listens on loopback only. A mail is numbered from 1 in the order of arrival.

Standards
    RFC 5321 (commands, dot transparency), RFC 2920 (PIPELINING).

See also
    ``page.py``, which shows what is here.
"""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

LONGEST_LINE = 4096
EXTENSIONS = ("next-hop.example", "PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")


@dataclass(frozen=True)
class Mail:
    """One mail that arrived."""

    number: int
    at: datetime
    sender: str
    recipients: tuple[str, ...]
    octets: bytes

    @property
    def parsed(self) -> EmailMessage:
        """For looking at its fields."""
        return message_from_bytes(self.octets, policy=default)

    @property
    def subject(self) -> str:
        """Decoded; '' without one."""
        return str(self.parsed["Subject"] or "")

    @property
    def is_encrypted(self) -> bool:
        """True when its outermost layer is encrypted."""
        top = self.parsed
        return top.get_content_type() in ("application/pkcs7-mime", "application/x-pkcs7-mime") and top.get_param(
            "smime-type"
        ) in ("enveloped-data", "authEnveloped-data", None)

    @property
    def is_signed(self) -> bool:
        """True when its outermost layer is a signature."""
        return self.parsed.get_content_type() == "multipart/signed"

    @property
    def findings(self) -> list[tuple[str, str]]:
        """The X-Letterlock-Info fields: what the gateway tells the reader."""
        return [(name, str(value)) for name, value in self.parsed.items() if name.lower().startswith("x-letterlock-")]


class Inbox:
    """All mail that came, and a condition for those who wait."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self._arrived = threading.Condition()

    def take(self, sender: str, recipients: list[str], octets: bytes) -> None:
        """Keep one mail."""
        with self._arrived:
            mail = Mail(len(self.mails) + 1, datetime.now(UTC), sender, tuple(recipients), octets)
            self.mails.append(mail)
            self._arrived.notify_all()

    def wait_for(self, fits: Callable[[Mail], bool], within: float) -> Mail | None:
        """The first mail that fits, now or within so many seconds; None when none came."""
        end = time.monotonic() + within
        with self._arrived:
            while True:
                for mail in self.mails:
                    if fits(mail):
                        return mail
                if (left := end - time.monotonic()) <= 0:
                    return None
                self._arrived.wait(left)


class _Conversation(socketserver.StreamRequestHandler):
    """One SMTP connection."""

    disable_nagle_algorithm = True
    server: NextHop

    def handle(self) -> None:
        sender, recipients = "", []
        self._say("220 next-hop.example ESMTP")
        while line := self.rfile.readline(LONGEST_LINE):
            text = line.decode("utf-8", "replace").strip()
            match text[:4].upper():
                case "EHLO" | "HELO":
                    self._say(*[f"250-{name}" for name in EXTENSIONS[:-1]], f"250 {EXTENSIONS[-1]}")
                case "MAIL":
                    sender, recipients = _path(text), []
                    self._say("250 2.1.0 sender noted")
                case "RCPT":
                    recipients.append(_path(text))
                    self._say("250 2.1.5 everybody is welcome")
                case "DATA":
                    self._say("354 go")
                    self.server.inbox.take(sender, recipients, self._content())
                    self._say("250 2.0.0 kept")
                case "QUIT":
                    self._say("221 2.0.0 bye")
                    return
                case "RSET" | "NOOP":
                    self._say("250 2.0.0 ok")
                case _:
                    self._say("502 5.5.1 not here")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def _content(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


class NextHop(socketserver.ThreadingTCPServer):
    """Listens on a free loopback port; ``serve_forever`` in a thread of its own."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, inbox: Inbox, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Conversation)
        self.inbox = inbox
        self.port: int = self.server_address[1]


def _path(line: str) -> str:
    """The address of MAIL FROM:<a@b> SIZE=1 or RCPT TO:<a@b>."""
    return line.partition("<")[2].partition(">")[0]
