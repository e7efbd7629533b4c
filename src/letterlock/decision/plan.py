"""The plan: what shall be done with every waiting recipient of one message; made before anything is done.

Guarantees
    A Plan cannot be made in which a recipient is forgotten or stands twice, mandatory encryption is answered with a
    delivery that is not encrypted, an encrypted delivery has a recipient without a certificate of its own or keys of
    different kinds, or a hidden recipient shares an encrypted delivery with anybody. Whoever tries gets PlanUnlawful,
    and the message stays queued.

Raises
    PlanUnlawful (temporary; a defect of ours).

See also
    ``outgoing.py`` and ``incoming.py``, which make plans; flow's carry_out, which does what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from letterlock.decision.terms import Mode
from letterlock.decision.trace import Trace
from letterlock.errors import SystemFailure
from letterlock.pki.select import Candidate
from letterlock.smime.capabilities import Transport

MAX_ADDRESSEES: Final = 100
"""Recipients of one delivery: what every server takes in one transaction (RFC 5321 4.5.3.1.8)."""

Method = Literal["smime", "plain"]
Direction = Literal["outgoing", "incoming"]
HoldReason = Literal["no-method", "client-encrypted"]
RefusalReason = Literal["no-method", "client-encrypted", "loop"]
NoticeKind = Literal["encryption-failed", "encrypted", "failure"]


class PlanUnlawful(SystemFailure):
    """The decision was not carried out because it broke a rule; its administrator has been told which."""


class Addressee(msgspec.Struct, frozen=True):
    """One recipient of a delivery, with what was required for it and the certificates that open it for it."""

    address: str
    required: Mode = "none"
    certificates: tuple[Candidate, ...] = ()


class Edits(msgspec.Struct, frozen=True):
    """What changes in the header before the message leaves. ``remove``: lower-case names, every field of that name.

    ``subjects``: empty, or the new decoded value for each Subject field in order.
    """

    remove: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


class Marks(msgspec.Struct, frozen=True):
    """What flow's mark tells the reader of incoming mail; our own marks are removed first in any case.

    ``tags``: put at the front of the subject, in this order. ``fields``: names and values of X-Letterlock-Info fields.
    ``own_tags``: tag texts to remove from the subject, ``{signer}`` standing for any address. ``subject_filter``: one
    more pattern to remove; empty: none. ``inbound``: the keyed mark that it came in is added. ``subject``: in place of the
    one that came, which somebody changed after it was signed; None: that one.
    """

    tags: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    own_tags: tuple[str, ...] = ()
    subject_filter: str = ""
    inbound: bool = True
    subject: str | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Finished octets for recipients that share a method, a next hop and everything that shapes the octets.

    ``by_client``: the sender's program encrypted it; it passes as it is. ``hidden``: its addressees are named neither
    in To nor Cc. ``content``: ``opened`` without encryption, ``bare`` without signatures too, ``reduced`` a report without
    content, ``inside`` what the sender's program encrypted, to be encrypted anew. ``opaque``: what is only signed holds its
    content; ``compress``: what is encrypted is compressed before.
    ``signer``: signs with its key; None: not signed; ``answers_to``: the certificate that a signature asks to be answered
    with, where it is not the signer's; ``algorithm``: of the signature, empty: as the key does by itself.
    ``additional``: certificates added to the encryption.
    ``cipher``: of smime_encryption_alg, never ``auto``; ``transport``: how its key reaches all of them.
    ``header``: ``copy``, its fields are protected too; ``hide``, and some of them are not shown outside; ``display``: what
    is hidden is shown in the text for programs that do not know how to read it.
    ``expires_at``, ``delay_notice_at``: seconds since the Unix epoch; delay_notice_at 0: never.
    """

    method: Method
    direction: Direction
    addressees: tuple[Addressee, ...]
    domain: str
    next_hop: str
    tls_min: int
    expires_at: float
    delay_notice_at: float = 0.0
    content: Literal["original", "opened", "bare", "reduced", "inside"] = "original"
    edits: Edits = Edits()
    signer: Candidate | None = None
    answers_to: Candidate | None = None
    algorithm: str = ""
    opaque: bool = False
    compress: bool = False
    additional: tuple[Candidate, ...] = ()
    transport: Transport | Literal[""] = ""
    cipher: str = ""
    by_client: bool = False
    hidden: bool = False
    header: Literal["none", "copy", "hide"] = "none"
    display: bool = False
    marks: Marks | None = None

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses, in envelope order."""
        return tuple(addressee.address for addressee in self.addressees)

    @property
    def encrypts(self) -> bool:
        """We encrypt it (as opposed to: it was encrypted already, or goes in clear)."""
        return self.method == "smime" and bool(self.cipher)

    @property
    def certificates(self) -> tuple[Candidate, ...]:
        """Every certificate the content key is encrypted to, each once: the addressees' and the additional ones."""
        if not self.encrypts:
            return ()
        own = [each for addressee in self.addressees for each in addressee.certificates]
        return tuple({each.certificate.thumbprint: each for each in (*own, *self.additional)}.values())

    def __post_init__(self) -> None:
        if not self.addressees:
            raise PlanUnlawful(detail="a delivery without recipients")
        if self.encrypts:
            if not all(addressee.certificates for addressee in self.addressees):
                raise PlanUnlawful(detail="an encrypted delivery with a recipient that could not open it")
            if not self.transport or len({each.certificate.key_kind for each in self.certificates}) > 1:
                raise PlanUnlawful(detail="an encrypted delivery to keys of different kinds")
            if self.hidden and len(self.addressees) > 1:
                raise PlanUnlawful(detail="a hidden recipient shares an encrypted delivery")
        elif not self.by_client and any(addressee.required == "mandatory" for addressee in self.addressees):
            raise PlanUnlawful(detail="mandatory encryption answered with a delivery that is not encrypted")
        if self.content == "inside" and not self.encrypts:
            raise PlanUnlawful(detail="what a sender encrypted answered with a delivery that is not encrypted")
        if self.opaque and (self.encrypts or self.signer is None):
            raise PlanUnlawful(detail="an opaque signature in encrypted mail, or without a signer")
        if self.method == "plain" and (self.cipher or self.signer or self.by_client or self.additional):
            raise PlanUnlawful(detail="a plain delivery that is signed or encrypted")
        if (self.header != "none" and self.method == "plain") or (self.header == "hide" and not self.encrypts):
            raise PlanUnlawful(detail="a header that is protected, or hidden, without S/MIME that does it")
        if self.method == "smime" and not (self.cipher or self.signer or self.by_client):
            raise PlanUnlawful(detail="an S/MIME delivery that is neither signed nor encrypted")


def shared(shape: Delivery, addressees: Sequence[Addressee]) -> tuple[Delivery, ...]:
    """``shape`` for all these addressees, in as many deliveries as MAX_ADDRESSEES asks. Raises PlanUnlawful."""
    if len(addressees) == 1 and addressees[0] is shape.addressees[0]:
        return (shape,)
    parts = [tuple(addressees[first : first + MAX_ADDRESSEES]) for first in range(0, len(addressees), MAX_ADDRESSEES)]
    return tuple(msgspec.structs.replace(shape, addressees=part) for part in parts)


class Hold(msgspec.Struct, frozen=True):
    """Recipients that wait for an administrator, until at most ``until`` (seconds since the Unix epoch)."""

    recipients: tuple[str, ...]
    reason: HoldReason
    until: float


class Refusal(msgspec.Struct, frozen=True):
    """Recipients that get nothing. ``status``: RFC 3463; ``text``: one sentence for the sender, for anybody.

    ``state``: the recipient's final state in the queue.
    """

    recipients: tuple[str, ...]
    reason: RefusalReason
    status: str
    text: str
    state: Literal["refused", "failed"] = "refused"


class Notice(msgspec.Struct, frozen=True):
    """A message of ours to the sender: which, and about which recipients. ``failure``: a DSN (RFC 3464)."""

    kind: NoticeKind
    to: str
    about: tuple[str, ...]
    reason: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``recipients``: those decided on; each stands in exactly one delivery, hold or refusal."""

    recipients: tuple[str, ...]
    deliveries: tuple[Delivery, ...] = ()
    holds: tuple[Hold, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notices: tuple[Notice, ...] = ()
    trace: Trace = Trace()

    def __post_init__(self) -> None:
        placed = [address for delivery in self.deliveries for address in delivery.recipients]
        placed += [address for hold in self.holds for address in hold.recipients]
        placed += [address for refusal in self.refusals for address in refusal.recipients]
        if sorted(placed) != sorted(set(self.recipients)) or len(self.recipients) != len(placed):
            raise PlanUnlawful(detail=f"{len(self.recipients)} recipients decided on, {len(placed)} placed")

    @property
    def state(self) -> Literal["gone", "held"]:
        """The message's next state in the queue."""
        return "held" if self.holds else "gone"

    @property
    def due_at(self) -> float:
        """When a held message is looked at again, seconds since the Unix epoch; 0: it is not held."""
        return min((hold.until for hold in self.holds), default=0.0)


def join(*plans: Plan) -> Plan:
    """The plans for different recipients of one message as one. Raises PlanUnlawful when a recipient stands twice."""
    if len(plans) == 1:
        return plans[0]
    return Plan(
        recipients=tuple(address for plan in plans for address in plan.recipients),
        deliveries=tuple(each for plan in plans for each in plan.deliveries),
        holds=tuple(each for plan in plans for each in plan.holds),
        refusals=tuple(each for plan in plans for each in plan.refusals),
        notices=tuple(each for plan in plans for each in plan.notices),
        trace=Trace(
            steps=tuple(step for plan in plans for step in plan.trace.steps),
            revision=max((plan.trace.revision for plan in plans), default=0),
            at=max((plan.trace.at for plan in plans), default=0.0),
        ),
    )
