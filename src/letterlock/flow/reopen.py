"""Open mail that its sender's own program encrypted, with the sender's key, so that it can be looked at and encrypted anew.

Order
    Who may ask: the conditions under which we would sign for the sender. Then the setting, then the key.

Guarantees
    The only key used is the sender's own, by the keyholder, for a message that was submitted to us in his name; none for
    mail that came in from outside before, or whose author is another. What is inside is used only when all of it is the
    sender's: a signature or a protected From of somebody else ends it, as captured mail has them. What was opened leaves
    only encrypted anew, to those whom the original names (``decision/anew.py``): docs/decisions/0019.
    What is inside stays octet by octet, with a signature in it.

Raises
    TemporaryError when the key is away for the moment.

See also
    ``decrypt.py`` for mail that comes in; ``keyholder/private_keys.py``, which refuses every other key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from letterlock.decision.known import Inside, MessageFacts
from letterlock.decision.message import DecodedFields, is_enveloped
from letterlock.errors import PermanentError
from letterlock.flow.own_keys import OwnKeys
from letterlock.flow.work import Reopened, Work
from letterlock.mail import received
from letterlock.mail.message import Message
from letterlock.mail.parse import parse
from letterlock.pki.certificate import match_form
from letterlock.policy.settings import encryption
from letterlock.smime import errors
from letterlock.smime.header_protection import Protected, protected
from letterlock.smime.header_writing import obstacle
from letterlock.smime.judge import is_author
from letterlock.smime.mime import belongs_inside
from letterlock.smime.peel import Layer, Peeled, peel
from letterlock.smime.verify import author

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts

_NOT_HIS: Final = Reopened("it was not written by its sender")


async def reopen(crafts: Crafts, work: Work) -> Reopened | None:
    """What is inside the outgoing message; None when nobody asks for it to be opened."""
    envelope, message = work.envelope, work.message
    if envelope.origin != "submission" or not envelope.sender:
        return None
    domains = await crafts.domains(work.row.revision)
    if all(domains.is_internal(each.address) for each in work.recipients):
        return None
    settings = await crafts.settings(envelope.sender, work.row.revision)
    if not settings.value(encryption.CLIENT_ENCRYPTED).startswith("open-") or not is_enveloped(message):
        return None
    sender = match_form(envelope.sender)
    if not domains.is_internal(envelope.sender):
        return Reopened("its sender is none of ours")
    if received.has_mark(crafts.mark_key, message, datetime.now(UTC).date()):
        return Reopened("it came in from outside before")
    try:
        if author(message) != sender:
            return _NOT_HIS
    except PermanentError:
        return _NOT_HIS
    peeled = await peel(message, OwnKeys(crafts, work, only=sender))
    return _inside(peeled, sender)


def _inside(peeled: Peeled, sender: str) -> Reopened:
    """What was found, when all of it could be read and is the sender's."""
    outermost, *layers = peeled.layers
    if not outermost.opened:
        known = outermost.verdict == errors.NotForUs.verdict
        return Reopened("not encrypted to a key of its sender that is here" if known else "it could not be decrypted")
    if any(each.kind == "encrypted" or not each.opened for each in layers):
        return Reopened("what is inside could not be read")
    inner = protected(peeled.message, peeled.layers, peeled.payload)
    if not _is_of(sender, peeled, layers, inner):
        return _NOT_HIS
    payload = peeled.payload
    tree = parse(payload.octets, payload.start, payload.end)
    return Reopened(
        entity=(outermost.inside or b"\r\n") + bytes(peeled.opened.body),  # text without any header is the body of one
        recipients=frozenset(map(str, outermost.recipients)),
        subject=inner.subject if inner else None,
        signed=any(each.kind == "signed" for each in layers),
        calendar=any(each.content_type.value == "text/calendar" for each in tree.walk()),
    )


def _is_of(sender: str, peeled: Peeled, layers: Sequence[Layer], inner: Protected | None) -> bool:
    """Is each signature inside a good one of the sender, and no other author protected?"""
    for outcome in (each for layer in layers if layer.kind == "signed" for each in layer.outcomes):
        signer = outcome.signer
        if signer is None or outcome.verdict != errors.OK:
            return False
        if not is_author(signer.certificate, peeled.message, inner):
            return False
    try:
        return inner is None or inner.author in (None, sender)
    except PermanentError:
        return False


def inside_facts(message: Message, opened: Reopened, outside: MessageFacts) -> Inside:
    """What the decision may know of it. ``outside``: the facts of the message as it came."""
    if opened.reason:
        return Inside(opened.reason)
    within = entity(opened)
    foreign = any(each.name and not belongs_inside(each) for each in within.fields)
    facts = msgspec.structs.replace(
        outside,
        fields=DecodedFields(message, opened.subject),
        protected="signed" if opened.signed else "none",
        calendar=opened.calendar,
        unprotectable=obstacle(message, within) or ("its entity has fields of its own" if foreign else ""),
    )
    return Inside(message=facts, recipients=opened.recipients)


def entity(opened: Reopened) -> Message:
    """What is inside, as an entity that is encrypted anew."""
    return Message(opened.entity)
