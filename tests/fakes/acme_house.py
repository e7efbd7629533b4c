"""An ACME server as one meets it: on TLS on loopback, sending challenge mails and taking replies by SMTP.

Guarantees
    Each order is followed by a challenge mail at once, often before the client knows the challenge. ``mails`` holds those
    that were sent. Nothing is checked less than ``acme_server.py`` does.

Standards
    RFC 8823 3.1 (challenge mail), 3.2 (reply).
"""

from __future__ import annotations

import http
import secrets
import ssl
import threading
from collections.abc import Callable
from email import message_from_bytes
from email.utils import formatdate

from letterlock.pki.acme.challenge import Reply
from letterlock.pki.acme.enrolment import HttpAnswer, HttpRequest
from tests.fakes.acme_server import SENDER, AcmeServer
from tests.fakes.authority import Authority
from tests.fakes.web import Asked, Web

Post = Callable[[str, bytes], None]
"""Sends a mail to an address."""


class AcmeHouse:
    """``post``: how mails leave; None: they are only kept."""

    def __init__(self, tls: ssl.SSLContext, host: str = "localhost", post: Post | None = None) -> None:
        self.web = Web(tls=tls)
        self.post = post
        self.authority = Authority.create("ACME House")
        self.server = AcmeServer(host=self.web.url("", host), authority=self.authority)
        self.server.retry_after = 1
        self.mails: list[bytes] = []
        self._lock = threading.Lock()
        self.web.handle("/*", self._answer)

    @property
    def directory(self) -> str:
        """Its address."""
        return f"{self.server.host}/directory"

    def close(self) -> None:
        """End it."""
        self.web.close()

    def _answer(self, asked: Asked) -> list[bytes]:
        kind = "application/jose+json" if b"application/jose+json" in asked.head else ""
        with self._lock:
            try:
                answer = self.server.answer(
                    HttpRequest(asked.method, self.server.host + asked.target, kind, asked.body)
                )
            except Exception as fault:  # what a strict server would refuse; the test looks at it
                self.server.faults.append(f"{asked.method} {asked.target}: {fault!r}")
                answer = HttpAnswer(500, {}, b"")
            if asked.target == "/orders" and answer.code == 201:
                self.mails.append(self.challenge())
                if self.post is not None:
                    self.post(self.server.address, self.mails[-1])
        return [_octets(answer, bare=asked.method == "HEAD")]

    def challenge(self, *, first: str = "", author: str = SENDER, reply_to: str = "", **more: str) -> bytes:
        """The challenge mail. ``first``: another token than the right one."""
        fields = {
            "From": f"The authority <{author}>",
            "To": self.server.address,
            "Subject": f"ACME:\r\n {first or self.server.first}",
            "Date": formatdate(),
            "Message-ID": f"<{secrets.token_hex(8)}@acme.test>",
            "Auto-Submitted": "auto-generated; type=acme",
            "MIME-Version": "1.0",
            "Content-Type": "text/plain",
            **({"Reply-To": reply_to} if reply_to else {}),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{head}\r\nAnswer this mail to get a certificate.\r\n".encode()

    def take(self, octets: bytes) -> None:
        """Look at a reply that came by mail, as RFC 8823 3.2 says."""
        mail = message_from_bytes(octets)
        known = {str(message_from_bytes(each)["Message-ID"]) for each in self.mails}
        assert mail["From"] == self.server.address
        assert mail["In-Reply-To"] in known
        assert not [name for name in mail if name.lower().startswith("list-")]
        assert mail.get_content_type() == "text/plain"
        text = octets.partition(b"\r\n\r\n")[2].decode("ascii")
        self.server.take_reply(Reply(mail["To"], mail["Subject"], "<1@acme.test>", text))


def _octets(answer: HttpAnswer, *, bare: bool) -> bytes:
    body = b"" if bare else answer.body
    fields = "".join(f"{name}: {value}\r\n" for name, value in answer.fields.items())
    phrase = http.HTTPStatus(answer.code).phrase
    return f"HTTP/1.1 {answer.code} {phrase}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body
