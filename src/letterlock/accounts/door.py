"""Asks the doorkeeper of a running installation for an administrator's token: how commands of this machine get in.

Guarantees
    Nothing is said about who asks: the doorkeeper takes that from the socket. Tokens and passwords are in no repr.

Raises
    DoorClosed when no installation runs here (temporary), NotLetIn when it says no.

See also
    ``doorkeeper/serve.py`` (the other end), ``vault/frames.py`` (what is said).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from letterlock.config import approved
from letterlock.config.start import Credentials
from letterlock.errors import PermanentError, TemporaryError
from letterlock.vault import frames
from letterlock.vault.errors import FrameInvalid

SOCKET_NAME = "door.sock"
ANSWER_WITHIN = 15.0
"""Seconds."""


class DoorClosed(TemporaryError):
    """No running installation answers here; start it with “letterlock run”."""


class NotLetIn(PermanentError):
    """You may not administer this installation."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What an administrator's command may use. ``token``: first argument of the database's functions for people."""

    principal: str
    token: bytes = field(repr=False)
    database: Credentials
    key_token: bytes = field(repr=False)
    """For vault.opening.KeyholderClient."""
    profile: approved.Profile = "default"
    """The installation's crypto_profile, which not everybody who is let in can read in its file."""


async def open_door(run: Path) -> Admission:
    """Ask at the socket in the folder ``run`` of an installation. Raises DoorClosed, NotLetIn."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            answer = await _ask(str(run / SOCKET_NAME))
    except (OSError, TimeoutError, FrameInvalid) as error:
        raise DoorClosed(detail=type(error).__name__) from error
    if isinstance(answer, frames.Refused):
        if answer.why == "refused":
            raise NotLetIn(answer.sentence)
        raise DoorClosed(answer.sentence)
    return Admission(
        principal=answer.principal,
        token=answer.token,
        database=Credentials(answer.host, answer.port, answer.user, answer.password, answer.dbname),
        key_token=answer.key_token,
        profile=answer.profile,
    )


async def _ask(path: str) -> frames.DoorAnswer:
    words: frames.FrameReader[frames.DoorAnswer] = frames.FrameReader(frames.DoorAnswer)
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(frames.encode(frames.Local()))
        while octets := await reader.read(65_536):
            for answer in words.feed(octets):
                return answer
        raise FrameInvalid(detail="the doorkeeper hung up")
    finally:
        writer.close()
