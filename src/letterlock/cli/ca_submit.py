"""Hands one mail to this gateway's own listener, as a mail program would.

Guarantees
    What is handed in goes the way of all mail: it is decided about, signed, encrypted or held like any other.

Standards
    RFC 5321 4.1.

Raises
    NotTaken: nobody listens, or the gateway said no.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from letterlock.config.settings import Listen
from letterlock.errors import PermanentError
from letterlock.smtp.data import stuffed

WITHIN = 30.0


class NotTaken(PermanentError):
    """The gateway did not take the mail."""


async def submit(where: Listen, sender: str, recipient: str, message: bytes) -> None:
    """Send ``message``. Raises NotTaken."""
    host = "127.0.0.1" if where.host == "*" else where.host
    try:
        async with asyncio.timeout(WITHIN):
            reader, writer = await asyncio.open_connection(host, where.port)
            try:
                await _talk(reader, writer, sender, recipient, message)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise NotTaken(f"The gateway does not answer at {where}: start it with 'letterlock run'.") from error


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sender: str, recipient: str, message: bytes
) -> None:
    await _expect(reader, b"220")
    said: Sequence[tuple[bytes, bytes]] = (
        (b"EHLO localhost\r\n", b"250"),
        (f"MAIL FROM:<{sender}>\r\n".encode(), b"250"),
        (f"RCPT TO:<{recipient}>\r\n".encode(), b"250"),
        (b"DATA\r\n", b"354"),
        (b"".join(map(bytes, stuffed([message]))), b"250"),
    )
    for octets, wanted in said:
        writer.write(octets)
        await _expect(reader, wanted)
    writer.write(b"QUIT\r\n")


async def _expect(reader: asyncio.StreamReader, wanted: bytes) -> None:
    line = b"-" * 4
    while line[3:4] == b"-":
        line = await reader.readuntil(b"\n")
    if line[:3] != wanted:
        raise NotTaken(f"The gateway did not take the mail: {line.decode('utf-8', 'replace').strip()}")
