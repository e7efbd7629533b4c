"""Wants certificates for our own senders who have none, where the setting smime_auto_request_cert says so.

Guarantees
    Nothing waits for it and nothing fails by it: a word to the database beside the message, about an address once in
    ASK_EVERY. Housekeeping looks at the setting again and makes the request.
    Only a message that could have been signed counts: submitted by one of our own, under one author who is the sender.

See also
    ``pki/ca/pending.py``; ``database/sql/functions/ca/want.sql``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from letterlock.decision.known import Facts
from letterlock.errors import LetterlockError
from letterlock.mail.envelope import Envelope
from letterlock.pki.certificate import match_form
from letterlock.policy.settings.authority import SMIME_AUTO_REQUEST_CERT

ASK_EVERY: Final = 60.0
MOST_REMEMBERED: Final = 10_000

_log = logging.getLogger("letterlock.flow.wanted")


class Wanted:
    """One per process. ``want``: tells the database about an address."""

    def __init__(self, want: Callable[[str], Awaitable[None]]) -> None:
        self._want = want
        self._asked: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(self, envelope: Envelope, facts: Facts) -> None:
        """Want a certificate for the sender if it is to have one and has none."""
        address = lacking(envelope, facts)
        now = facts.queued.now
        if not address or now - self._asked.get(address, 0.0) < ASK_EVERY:
            return
        if len(self._asked) >= MOST_REMEMBERED:
            self._asked.clear()
        self._asked[address] = now
        task = asyncio.get_running_loop().create_task(self._tell(address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, address: str) -> None:
        try:
            await self._want(address)
        except LetterlockError as error:
            self._asked.pop(address, None)
            _log.info("no certificate was asked for: %s", error)


def lacking(envelope: Envelope, facts: Facts) -> str:
    """The sender's address, in match form, when it is to get a certificate; else nothing."""
    sender, message = facts.sender, facts.message
    if sender.signers.chosen or not sender.internal or not sender.settings.value(SMIME_AUTO_REQUEST_CERT):
        return ""
    if envelope.origin != "submission" or message.inbound_mark or len(message.authors) != 1:
        return ""
    form = match_form(envelope.sender)
    return form if form and match_form(message.authors[0]) == form else ""
