"""Carries what housekeeping says to the ACME server, and what the server answers; understands neither.

Guarantees
    Only the host of the setting acme_directory is spoken to, by HTTPS, its certificate verified; its addresses are
    checked as all others are. A redirect is an answer like any other and never followed.
    What was sent is answered or its lease ends; then it is sent again. The nonce in it lets the server take it once.

Standards
    RFC 8555 6.1 (HTTPS), 6.5 (nonces).

See also
    ``pki/acme/drive.py`` (who says it); ``reach.py`` (which addresses).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from letterlock.database.connect import Gate
from letterlock.errors import LetterlockError
from letterlock.fetch import http
from letterlock.fetch.errors import FetchRefused
from letterlock.fetch.reach import Reach
from letterlock.pki import url
from letterlock.pki.acme import calls
from letterlock.pki.acme.calls import Exchange

IN_HAND: Final = 4
LOOK_EVERY: Final = 0.4  # seconds
LOOK_SELDOM: Final = 5.0  # seconds; when no server is set
LEASE_FOR: Final = timedelta(minutes=1)  # longer than reach.TOTAL_FOR
MOST: Final = 256 << 10
KEPT: Final = ("replay-nonce", "location", "retry-after", "content-type")
"""Fields of an answer that mean something to ACME (RFC 8555 6.5, 7.3, 7.5.1)."""

_log = logging.getLogger("letterlock.fetch")


class Exchanges:
    """Takes exchanges and answers them. ``directory``: the setting; empty: nobody is spoken to."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._look_at = 0.0
        self._revision = -1
        self.reach = Reach()
        self.directory = ""
        self.in_hand: set[asyncio.Task[None]] = set()

    async def take(self, now: float, refresh: Callable[[], Awaitable[None]]) -> bool:
        """Begin what waits to be said, as room allows; whether there was anything."""
        room = IN_HAND - len(self.in_hand)
        if now < self._look_at or room <= 0:
            return False
        self._look_at = now + (LOOK_EVERY if self.directory else LOOK_SELDOM)
        taken = await calls.take_exchanges(self._gate, max=room, lease_for=LEASE_FOR)
        if taken and taken[0].revision != self._revision:
            await refresh()  # the directory may be another since we looked
            self._revision = taken[0].revision
        for each in taken:
            task = asyncio.create_task(self._one(each))
            self.in_hand.add(task)
            task.add_done_callback(self.in_hand.discard)
        return bool(taken)

    async def _one(self, said: Exchange) -> None:
        try:
            await self.answer(said)
        except LetterlockError as error:
            _log.warning("an answer was not stored: %s", error)  # the lease ends, and it is said again
        except Exception:
            _log.exception("talking to the ACME server failed: internal fault")

    async def answer(self, said: Exchange) -> None:
        """Say one thing and store the answer. Raises what the database raises."""
        try:
            came = await http.ask(
                self.reach, self._checked(said.url), said.method, said.asked, most=MOST, kind=said.kind
            )
        except LetterlockError as error:
            fault = str(error)[:400]
            await calls.put_answer(
                self._gate, request=said.request, lease=said.lease, code=None, fields=None, answer=None, fault=fault
            )
            return
        fields = {name: came.fields[name][:2000] for name in KEPT if name in came.fields}
        await calls.put_answer(
            self._gate,
            request=said.request,
            lease=said.lease,
            code=came.status,
            fields=fields,
            answer=came.body,
            fault="",
        )

    def _checked(self, text: str) -> url.Url:
        """Where to, when it is the directory's own server. Raises FetchRefused."""
        try:
            where, own = url.parse(text), url.parse(self.directory)
        except url.UrlRefused as error:
            raise FetchRefused("No ACME server is set, or it is asked for strangely.", detail=str(error)) from None
        if where.scheme != "https" or where[:3] != own[:3]:
            raise FetchRefused(detail=f"{where.host} is not the ACME server that is set")
        return where
