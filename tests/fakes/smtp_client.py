"""A raw SMTP client for tests: it sends exactly the octets it is told to, and reads whole replies.

Guarantees
    No wait is longer than ``timeout``; the end of the connection reads as an empty list.
"""

from __future__ import annotations

import contextlib
import socket
import ssl


class Client:
    """``with Client(port) as client: client.say("EHLO x")``. ``source``: the address to come from."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", timeout: float = 15.0) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        self._buffer = b""
        self.greeting: list[str] = []

    def __enter__(self) -> Client:
        self.greeting = self.reply()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close without a word."""
        with contextlib.suppress(OSError):
            self.sock.close()

    def send(self, octets: bytes) -> None:
        """These octets, in one call."""
        self.sock.sendall(octets)

    def reply(self) -> list[str]:
        """The lines of the next reply; empty when the connection has ended."""
        lines: list[str] = []
        while True:
            while b"\r\n" not in self._buffer:
                try:
                    octets = self.sock.recv(65536)
                except ConnectionError:
                    octets = b""
                if not octets:
                    return lines
                self._buffer += octets
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            lines.append(line.decode("ascii"))
            if line[3:4] == b" ":
                return lines

    def code(self) -> int:
        """The code of the next reply; 0 when the connection has ended."""
        lines = self.reply()
        return int(lines[-1][:3]) if lines else 0

    def say(self, *lines: str) -> list[int]:
        """Commands in one write; the codes of as many replies."""
        self.send("".join(f"{line}\r\n" for line in lines).encode("utf-8"))
        return [self.code() for _ in lines]

    def envelope(self, recipient: str = "bob@ours.test", sender: str = "alice@a.test") -> list[int]:
        """MAIL, RCPT and DATA in one write."""
        return self.say(f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA")

    def message(self, content: bytes = b"Subject: x\r\n\r\nbody\r\n", recipient: str = "bob@ours.test") -> int:
        """One whole message; the code of the last reply."""
        codes = self.envelope(recipient)
        if codes[-1] != 354:
            return next(code for code in codes if code != 250)
        self.send(content + b".\r\n")
        return self.code()

    def start_tls(self, context: ssl.SSLContext, name: str = "mx.test") -> None:
        """STARTTLS and the handshake."""
        assert self.say("STARTTLS") == [220]
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self._buffer = b""
