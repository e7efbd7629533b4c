"""Mails the warnings that housekeeping made: certificates that end soon.

Guarantees
    A warning is a notice like any other: sealed, null reverse-path, through the queue. Its id in the queue was made with the
    warning, so a crash between entering it and noting that mails nothing twice. What fails is tried again when its lease
    ends; it stops no message.

See also
    ``pki/ca/ending.py`` (who is warned, and when), ``worker.py``, beside which this runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from letterlock.database.errors import SealingSessionUnknown
from letterlock.errors import LetterlockError
from letterlock.mail import compose
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.notify import email
from letterlock.pki.ca import calls
from letterlock.pki.ca.calls import Warned
from letterlock.pki.ca.ending import BY_THEMSELVES
from letterlock.queue import calls as queue
from letterlock.queue.columns import columns
from letterlock.vault import content
from letterlock.vault.content import SealedContent

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts

EVERY: Final = 15.0  # seconds
AT_ONCE: Final = 20
LEASE_FOR: Final = timedelta(minutes=5)

_log = logging.getLogger("letterlock.flow")


async def keep_on(crafts: Crafts, stopping: asyncio.Event) -> None:
    """Until ``stopping`` is set."""
    while not stopping.is_set():
        try:
            while await mail(crafts):
                continue
        except SealingSessionUnknown:
            crafts.sealer.reject(crafts.sealer.session().id)
        except LetterlockError as error:
            _log.warning("warnings were not mailed: %s", error)
        except Exception:
            _log.exception("warnings were not mailed: internal fault")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), EVERY)


async def mail(crafts: Crafts) -> int:
    """Those that are due; how many there were. Raises what sealing and the database raise."""
    rows = await calls.take_warnings(crafts.gate, max=AT_ONCE, lease_for=LEASE_FOR)
    if rows:
        sealed = [await _sealed(crafts, row) for row in rows]
        await queue.notify(crafts.gate, **columns(sealed), recipients=[row.recipient for row in rows])
        await calls.mailed(crafts.gate, mails=[row.mail for row in rows])
    return len(rows)


async def _sealed(crafts: Crafts, row: Warned) -> SealedContent:
    now = time.time()
    envelope = Envelope(sender="", recipients=(Recipient(row.recipient),), origin="notice", received_at=now)
    return await content.seal(crafts.sealer.session(), crafts.store, row.mail, envelope.encode(), [notice(row, now)])


def notice(row: Warned, now: float) -> bytes:
    """The mail of one warning."""
    variables = {
        "address": row.address,
        "subject": row.subject,
        "issuer": row.issuer,
        "thumbprint": row.fingerprint.hex(),
        "ends_at": compose.date(row.not_after.astimezone(UTC).timestamp()),
        "renewal": "automatic" if row.handler in BY_THEMSELVES else "by request" if row.handler else "by hand",
        "request": str(row.open or ""),
        "waits": row.open_state or "",
        "contact": row.contact,
    }
    return email.compose("certificate_ends", variables, ("Letterlock", row.contact), row.recipient, now=now)
