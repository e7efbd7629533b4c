"""A mailbox for a program that sends by SMTP with a password and looks for answers by IMAP: as much of both as that needs.

Guarantees
    Everybody may log in. What is sent goes to ``post``; what is put in with ``put`` is found once, as new mail.

Standards
    RFC 5321, RFC 8314 3.3 (SMTP on TLS from the start), RFC 3501 6 (the commands of IMAP4rev1 that are answered).
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from typing import BinaryIO

Post = Callable[[str, str, bytes], None]
"""Sends from, to, octets."""


class Mailbox:
    """Both servers, on ports of their own on loopback."""

    def __init__(self, tls: ssl.SSLContext, post: Post) -> None:
        self.post = post
        self.seen: list[bool] = []
        self.mails: list[bytes] = []
        self._tls = tls
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.smtp_port, self.imap_port = (each.getsockname()[1] for each in self._listeners)
        for listener, serve in zip(self._listeners, (self._smtp, self._imap), strict=True):
            threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    def put(self, octets: bytes) -> None:
        """New mail."""
        self.mails.append(octets)
        self.seen.append(False)

    def close(self) -> None:
        """End both."""
        for each in self._listeners:
            each.close()

    def _accept(self, listener: socket.socket, serve: Callable[[BinaryIO], None]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
                if serve == self._smtp:
                    connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:
                return
            with connection, connection.makefile("rwb") as file:
                serve(file)

    def _smtp(self, file: BinaryIO) -> None:
        sender, to = "", ""
        _say(file, b"220 mailbox.test")
        for line in file:
            verb = line[:4].upper()
            if verb == b"EHLO":
                _say(file, b"250-mailbox.test\r\n250 AUTH PLAIN")
            elif verb == b"AUTH":
                _say(file, b"235 2.7.0 come in")
            elif verb == b"DATA":
                _say(file, b"354 go on")
                lines = iter(file.readline, b".\r\n")
                octets = b"".join(each[1:] if each.startswith(b".") else each for each in lines)
                self.post(sender, to, octets)
                _say(file, b"250 2.0.0 taken")
            elif verb == b"QUIT":
                _say(file, b"221 bye")
                return
            else:
                found = re.search(rb"<([^>]*)>", line)
                sender, to = (found[1].decode(), to) if found and verb == b"MAIL" else (sender, to)
                to = found[1].decode() if found and verb == b"RCPT" else to
                _say(file, b"250 2.0.0 ok")

    def _imap(self, file: BinaryIO) -> None:
        _say(file, b"* OK mailbox")
        for line in file:
            tag, verb, *words = line.split()
            verb = verb.upper()
            if verb == b"CAPABILITY":
                _say(file, b"* CAPABILITY IMAP4rev1")
            elif verb == b"SELECT":
                _say(file, b"* %d EXISTS" % len(self.mails))
            elif verb == b"SEARCH":
                new = b" ".join(b"%d" % n for n, seen in enumerate(self.seen, 1) if not seen)
                _say(file, b"* SEARCH " + new)
            elif verb == b"FETCH":
                octets = self.mails[int(words[0]) - 1]
                _say(file, b"* %s FETCH (RFC822 {%d}\r\n%s)" % (words[0], len(octets), octets))
            elif verb == b"STORE":
                self.seen[int(words[0]) - 1] = words[1] == b"+FLAGS"
            elif verb == b"LOGOUT":
                _say(file, b"* BYE")
            _say(file, tag + b" OK done")


def _say(file: BinaryIO, octets: bytes) -> None:
    file.write(octets + b"\r\n")
    file.flush()
