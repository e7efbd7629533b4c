"""What the sender is told, and when nobody is: no notice to the null sender, none of ours outside.

Guarantees
    A notice goes only to an internal sender that submitted the message to us, so a forged sender gets nothing. Only a
    mail loop is reported to anybody: RFC 5321 6.1 wants the failure of accepted mail reported, and a loop is no policy.
    A hold is told once, at the decision that made it.

Standards
    RFC 3461 4.1 (NOTIFY), RFC 3834 2 (automatic messages), RFC 5321 6.1 and 6.3 (failures, loops).
"""

from __future__ import annotations

from collections.abc import Sequence

from letterlock.decision.known import Facts, RecipientFacts
from letterlock.decision.plan import Hold, Notice, Refusal
from letterlock.mail.envelope import Envelope
from letterlock.policy.settings import encryption, limits


class Notices:
    """Makes the notices of one message's plan."""

    def __init__(self, envelope: Envelope, facts: Facts) -> None:
        self._envelope = envelope
        self._facts = facts
        self._ours = bool(envelope.sender) and facts.sender.internal and envelope.origin == "submission"

    def made(
        self, holds: Sequence[Hold], refusals: Sequence[Refusal], encrypted: tuple[str, ...] = ()
    ) -> tuple[Notice, ...]:
        """The notices for these outcomes. ``encrypted``: recipients whose mail was encrypted by us."""
        sender = self._facts.sender
        found: list[Notice] = []
        queued = self._facts.queued
        if self._ours and queued.state == "received" and not queued.released:
            wanted = sender.settings.value(encryption.ENCRYPTION_FAILED_NOTIFICATION)
            found += [
                Notice("encryption-failed", sender.address, hold.recipients, hold.reason)
                for hold in holds
                if hold.reason == "no-method" or wanted  # mandatory: the sender is told whatever the setting says
            ]
        for refusal in refusals:
            about = tuple(address for address in refusal.recipients if self._wants_failure(address))
            if about and self._envelope.sender and (self._ours or refusal.reason == "loop"):
                found.append(Notice("failure", self._envelope.sender, about, refusal.reason))
        wants = sender.settings.value(encryption.ENCRYPTION_NOTIFICATION) and not self._facts.message.automatic
        if encrypted and self._ours and wants:
            found.append(Notice("encrypted", sender.address, encrypted))
        return tuple(found)

    def _wants_failure(self, address: str) -> bool:
        """RFC 3461 4.1: without NOTIFY a failure is reported; with it only when it says FAILURE."""
        for recipient in self._envelope.recipients:
            if recipient.address == address:
                return not recipient.notify or "FAILURE" in recipient.notify
        return True


def refuse_loop(facts: Facts, recipient: RecipientFacts) -> Refusal | None:
    """The refusal of a message that goes round in circles to this recipient; None: it does not."""
    if recipient.address in facts.message.looped:
        text = "The message has been here before: a mail loop."
    elif facts.message.hops > recipient.settings.value(limits.MAX_HOPS):
        text = "The message has passed too many servers: a mail loop."
    else:
        return None
    return Refusal((recipient.address,), "loop", "5.4.6", text, "failed")
