"""Hands one mail to this gateway's own listener, as a mail program would.

Guarantees
    What is handed in goes the way of all mail: it is decided about, signed, encrypted or held like any other. So
    ``check_readable`` comes first: who has no key yet reads no encrypted mail.

Standards
    RFC 5321 4.1.

Raises
    NotTaken: nobody listens, or the gateway said no, or would encrypt what must be read without a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from letterlock.cli.connect import Door
from letterlock.config.settings import Listen
from letterlock.errors import PermanentError
from letterlock.mail.reply import RELAY_DENIED
from letterlock.policy import calls as policy
from letterlock.policy.domains import Domains, locality
from letterlock.policy.effective import EffectiveSettings, combine, of_rows
from letterlock.policy.settings.encryption import ENCRYPT_MODE
from letterlock.smtp.data import stuffed

WITHIN = 30.0


class NotTaken(PermanentError):
    """The gateway did not take the mail."""


class _RelayDenied(NotTaken):
    """The gateway does not relay mail from here."""


async def check_readable(door: Door, sender: str, owner: str) -> None:
    """Whether mail to the owner of a new key can arrive unencrypted; both in match form. Raises NotTaken."""
    addresses = [*dict.fromkeys((sender, owner))]
    known = of_rows(addresses, await policy.explain(door.gate, token=door.token, addresses=addresses))
    rows = await policy.domains_list(door.gate, token=door.token)
    if must_be_encrypted(sender, owner, known, Domains((each.name, each.internal, each.organisation) for each in rows)):
        raise NotTaken(
            f"Mail from {sender} to {owner} must be encrypted (encrypt_mode), and {owner} cannot read an encrypted mail "
            "before it has the key; use --out FILE."
        )


def must_be_encrypted(sender: str, owner: str, known: Mapping[str, EffectiveSettings], domains: Domains) -> bool:
    """Whether the settings of the two leave mail no way but encrypted. To internal addresses nothing is encrypted."""
    if locality(owner, known[owner], domains).value == "internal":
        return False
    return combine(ENCRYPT_MODE, known[sender], known[owner]).value == "mandatory"


async def submit(where: Listen, sender: str, recipient: str, message: bytes) -> None:
    """Send ``message``. Raises NotTaken."""
    host = "127.0.0.1" if where.host == "*" else where.host
    try:
        async with asyncio.timeout(WITHIN):
            reader, writer = await asyncio.open_connection(host, where.port)
            try:
                await _talk(reader, writer, sender, recipient, message)
            except _RelayDenied as error:
                own = ip_network(writer.get_extra_info("sockname")[0])
                raise NotTaken(
                    f"The gateway does not relay mail from this machine: add {own} to relay_networks, or use --out FILE."
                ) from error
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
    if RELAY_DENIED.text.encode() in line:
        raise _RelayDenied
    if line[:3] != wanted:
        raise NotTaken(f"The gateway did not take the mail: {line.decode('utf-8', 'replace').strip()}")
