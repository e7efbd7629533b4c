"""The challenge mail of an ACME server, taken out of its recipient's mail and replied to in the recipient's name.

Order
    Does it look like one (its own header says so)? Is one waited for, from this author, for this recipient? If the server
    has not named its challenge yet, the mail waits a little. It is noted that it is answered; then the reply enters the
    queue and the mail leaves it in one transaction. A crash in between: the same is done again, with the same reply.

Guarantees
    Any other mail goes its ordinary way, and costs a look at two header fields. Answered is only what comes from the one
    address that the server named over TLS, to somebody for whom a certificate was ordered just now. The reply holds a
    digest over both parts of the token: a forged mail gets one that proves nothing, goes to the server's own domain, and
    there are five at most. We do not check DKIM, which RFC 8823 3.1 (6) asks of one of server and signature; a mail that
    is signed by S/MIME is taken only when the signature holds.

Standards
    RFC 8823 3.1 (challenge mail), 3.2 (response); RFC 3834 5 (Auto-Submitted); RFC 3461 4.1 (NOTIFY).

Raises
    What sealing and the database raise; nothing then has happened that is not done again.

See also
    ``pki/acme/challenge.py`` (the words), ``worker.py``, which asks.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from letterlock.decision.trace import Trace, answered_challenge
from letterlock.decision.trace import encode as encode_trace
from letterlock.flow.sealing import seal
from letterlock.flow.work import Opened, Work
from letterlock.mail import compose, decoded
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.mail.message import Message
from letterlock.notify.email import MESSAGE_ID
from letterlock.pki.acme import calls, challenge
from letterlock.pki.acme.challenge import ChallengeMail
from letterlock.pki.certificate import match_form
from letterlock.queue.advance import Advanced, Notice
from letterlock.smime import errors
from letterlock.vault.keys import Part

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts

WAITS: Final = (2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
"""Seconds for which a mail waits for the server to name its challenge, attempt by attempt; then it is ordinary mail."""


class Found(NamedTuple):
    """A mail that looks like a challenge. ``to``: the waiting recipient that it is for."""

    mail: ChallengeMail
    to: str


async def take(crafts: Crafts, work: Work, opened: Opened) -> Advanced | None:
    """What becomes of a challenge mail; None: it is none, or nobody waits for it."""
    found = look(work, opened)
    if found is None:
        return None
    rows = await calls.challenge(crafts.gate, address=match_form(found.to), challenger=found.mail.author)
    if not rows:
        return None
    row = rows[0]
    if not row.token:
        if work.row.attempts > len(WAITS):
            return None
        due = datetime.now(UTC) + timedelta(seconds=WAITS[max(work.row.attempts, 1) - 1])
        return Advanced(work.row.id, "received", due, "a challenge that the ACME server has not named yet")
    answered = await calls.answer(crafts.gate, request=row.request, digest=_digest(found.mail))
    if answered != "done":
        return None
    reply = challenge.reply(found.mail, row.token, challenge.jwk(row.account_spki))
    now = time.time()
    back = Envelope(found.to, (Recipient(reply.to, notify=("NEVER",)),), origin="proof", received_at=now)
    notice = Notice(await seal(crafts, back.encode(), [compose_reply(found.to, reply, now)]), reply.to)
    others = len(work.recipients) > 1
    trace = Trace((answered_challenge(found.to),), work.row.revision, now)
    return Advanced(
        id=work.row.id,
        state="received" if others else "gone",
        due_at=datetime.now(UTC),
        trace=work.key.seal_part(Part.TRACE, encode_trace(trace)),
        outcomes=[(found.to, "answered")],
        notices=[notice],
    )


def look(work: Work, opened: Opened) -> Found | None:
    """The challenge in a mail, by RFC 8823 3.1 alone; None when it is none."""
    message = work.message
    raw = message.first(b"subject") or b""
    if b"ACME:" not in raw and b"=?" not in raw:
        return None  # nearly all mail, at the price of one look
    automatic = (message.first(b"auto-submitted") or b"").strip().lower()
    if (automatic and not automatic.startswith(b"auto-generated")) or work.envelope.origin in ("notice", "proof"):
        return None
    subject = decoded.text(raw)
    if len(message.named(b"subject")) != 1 or not challenge.first_part(subject):
        return None
    author, to = _single(message, b"from"), _single(message, b"to")
    recipient = next((each for each in work.recipients if match_form(each.address) == match_form(to)), None)
    if not author or not to or recipient is None or not _signature_holds(opened):
        return None
    reply_to = _single(message, b"reply-to") if message.named(b"reply-to") else author
    if _domain(reply_to) != _domain(author):
        return None  # nobody shall make us write to a third one (RFC 8823 3.2 (3) lets the server name any address)
    message_id = (message.first(b"message-id") or b"").strip().decode("ascii", "replace")
    return Found(ChallengeMail(author, subject, message_id, reply_to), recipient.address)


def compose_reply(sender: str, reply: challenge.Reply, now: float) -> bytes:
    """The reply as it leaves. Its subject is not folded: there are servers that do not unfold it."""
    fields = [
        compose.date_field(now),
        compose.address_field("From", [("", sender)]),
        compose.address_field("To", [("", reply.to)]),
        f"Subject: {reply.subject}\r\n".encode("ascii"),
        compose.field("Message-ID", compose.new_message_id(sender.rpartition("@")[2])),
        b"Auto-Submitted: auto-replied\r\n",
    ]
    if MESSAGE_ID.match(reply.in_reply_to):
        fields += [compose.field(name, reply.in_reply_to) for name in ("In-Reply-To", "References")]
    return compose.message(fields, compose.text(reply.text.replace("\r\n", "\n")))


def _single(message: Message, name: bytes) -> str:
    """The one address of the one field of that name; nothing when there are more or none."""
    values = message.values(name)
    try:
        found = [str(each.address) for value in values for each in decoded.mailboxes(value)]
    except decoded.UnclearMailboxes:
        return ""
    return found[0] if len(values) == len(found) == 1 else ""


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _signature_holds(opened: Opened) -> bool:
    """Not signed by S/MIME, or signed by its author under a path that we trust (RFC 8823 3.1 (6))."""
    signers = [each for layer in opened.known.layers for each in layer.signers]
    return opened.protected == "none" or (bool(signers) and all(each.verdict == errors.OK for each in signers))


def _digest(mail: ChallengeMail) -> bytes:
    return hashlib.sha256(
        "\n".join([mail.author, challenge.first_part(mail.subject), mail.message_id]).encode()
    ).digest()
