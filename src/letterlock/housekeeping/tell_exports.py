"""Tells the owner of a private key, and postmaster, that it was given out.

Guarantees
    What is to be told was written in the transaction that let the key leave (keyholder.export_key): nobody who may have
    a key can leave that out. The mail enters the queue like any other, under an id that depends on export and recipient,
    so that a crash between entering and noting it makes no second one. Only addresses of ours are written to.

Standards
    RFC 5321 4.5.1 (postmaster), 4.5.5 (null reverse-path).

See also
    ``notify/templates/en/key_exported``; database/sql/functions/pki/exports_untold.sql.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from letterlock.database.connect import Gate
from letterlock.mail import compose
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.notify import email
from letterlock.pki import calls
from letterlock.pki.calls import KeyExport
from letterlock.queue import calls as queue
from letterlock.queue.columns import columns
from letterlock.vault.content import SealedContent, seal_small
from letterlock.vault.opening import KeyholderClient
from letterlock.vault.sealing import SealingSession

MOST = 50
"""Exports told of at once."""


async def tell(gate: Gate, keyholder: KeyholderClient, now: float) -> int:
    """Tell of what is not told yet; how many exports. ``now``: seconds since the Unix epoch."""
    exports = await calls.exports_untold(gate, max=MOST)
    if not exports:
        return 0
    session = await keyholder.session()
    for each in exports:
        recipients = list(dict.fromkeys((*each.people, *each.postmasters)))
        sealed = [_sealed(session, each, to, now) for to in recipients]
        if sealed:
            await queue.accept(
                gate,
                **columns(sealed),
                senders=[email.REVERSE_PATH] * len(sealed),
                recipient_of=[*range(1, len(sealed) + 1)],
                recipients=recipients,
                organisations=[each.organisation] * len(sealed),
            )
        await calls.export_told(gate, id=each.id)
    return len(exports)


def _sealed(session: SealingSession, export: KeyExport, to: str, now: float) -> SealedContent:
    octets = email.compose(
        "key_exported",
        {
            "addresses": list(export.addresses) or ["an unknown address"],
            "who": export.principal,
            "reason": export.reason,
            "at": compose.date(export.exported_at.timestamp()),
        },
        ("Letterlock", export.postmasters[0] if export.postmasters else to),
        to,
        now=now,
    )
    envelope = Envelope(email.REVERSE_PATH, (Recipient(to),), origin="notice", received_at=now)
    return seal_small(session, _mail_id(export.id, to), envelope.encode(), [octets])


def _mail_id(export: UUID, to: str) -> UUID:
    return uuid5(export, to)
