"""The notices of a plan as messages of our own making, sealed, ready to enter the queue with the advance.

Guarantees
    A notice has the null reverse-path and goes through the flow like any message; it is never answered by another notice.

See also
    ``decision/notices.py`` for who is told what; ``notify/`` for the texts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from letterlock.decision import plan as plans
from letterlock.decision.known import Facts
from letterlock.flow.harvest import NewKey
from letterlock.flow.sealing import quoted, seal
from letterlock.flow.work import Work
from letterlock.mail import compose, decoded, dsn
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.notify import email, report
from letterlock.policy.settings import mail as mail_settings
from letterlock.queue.advance import Notice

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts

_WHY = {
    "no-method": "no way to encrypt for this recipient was found",
    "client-encrypted": "mail encrypted by the sender's own program is held by policy",
    "loop": "the message went round in circles",
}


async def make(crafts: Crafts, work: Work, facts: Facts, plan: plans.Plan, notice: plans.Notice) -> Notice:
    """One notice of the plan, sealed."""
    now = facts.queued.now
    failed = notice.kind == "failure"
    octets = _failure(crafts, work, facts, plan, notice) if failed else _email(work, facts, plan, notice)
    envelope = Envelope(sender="", recipients=(Recipient(notice.to),), origin="notice", received_at=now)
    return Notice(await seal(crafts, envelope.encode(), [octets]), notice.to)


async def key_changed(crafts: Crafts, facts: Facts, new: NewKey) -> Notice | None:
    """To postmaster: a correspondent has another key. None unless the setting names a postmaster."""
    to = facts.sender.settings.effective(mail_settings.POSTMASTER)
    if to.level == "factory":
        return None
    author = ("Letterlock", to.value)
    octets = email.compose("key_changed", new.variables(facts.queued.now), author, to.value, now=facts.queued.now)  # type: ignore[arg-type]
    envelope = Envelope(sender="", recipients=(Recipient(to.value),), origin="notice", received_at=facts.queued.now)
    return Notice(await seal(crafts, envelope.encode(), [octets]), to.value)


def postmaster(facts: Facts, host: str = "localhost") -> str:
    """Who signs notices to this sender: as set, else postmaster at the sender's own domain (RFC 5321 4.5.1), or here."""
    set_ = facts.sender.settings.effective(mail_settings.POSTMASTER)
    domain = facts.sender.address.rpartition("@")[2] if facts.sender.internal else host
    return f"postmaster@{domain or host}" if set_.level == "factory" else set_.value


def _email(work: Work, facts: Facts, plan: plans.Plan, notice: plans.Notice) -> bytes:
    author = postmaster(facts)
    message_id = (work.message.first(b"message-id") or b"").decode("ascii", "replace")
    subject = work.message.first(b"subject") or b""
    variables: dict[str, object] = {
        "subject": compose.clean(decoded.text(subject)),
        "sent_at": compose.date(work.envelope.received_at or facts.queued.accepted_at),
        "contact": author,
    }
    if notice.kind == "encryption-failed":
        why = _WHY.get(notice.reason, notice.reason)
        variables["recipients"] = [{"address": address, "why": why} for address in notice.about]
        until = datetime.fromtimestamp(plan.due_at, UTC).timestamp() if plan.due_at else 0.0
        variables["held_until"] = compose.date(until) if until else ""
        variables["queue_id"] = str(work.row.id)
        name = "encryption_failed"
    else:
        variables["recipients"] = [{"address": address, "method": "S/MIME"} for address in notice.about]
        name = "encryption_notification"
    return email.compose(
        name,
        variables,  # type: ignore[arg-type]
        ("Letterlock", author),
        notice.to,
        now=facts.queued.now,
        answers=message_id,
    )


def _failure(crafts: Crafts, work: Work, facts: Facts, plan: plans.Plan, notice: plans.Notice) -> bytes:
    refused = {address: refusal for refusal in plan.refusals for address in refusal.recipients}
    named = {recipient.address: recipient for recipient in work.recipients}
    fates = tuple(
        dsn.Fate(
            address=address,
            action="failed",
            status=refused[address].status,
            diagnostic=f"554 {refused[address].status} {refused[address].text}",
            orcpt=named[address].orcpt,
            last_attempt_at=facts.queued.now,
        )
        for address in notice.about
    )
    inside = facts.sender.internal and work.envelope.origin == "submission"
    return report.compose(
        dsn.Report(crafts.host, fates, work.envelope.received_at, work.envelope.envid),
        to=notice.to,
        postmaster=postmaster(facts, crafts.host),
        inside=inside,
        back=dsn.Back(work.envelope.ret, quoted(work.message), bytes(work.message.octets) if inside else None),
        now=facts.queued.now,
    )
