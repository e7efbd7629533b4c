"""What a decision may know: Facts, Findings, Opened. Nothing else enters it: no clock, no reader, no secret.

Guarantees
    All of it is immutable. Addresses are as in the envelope; where they are compared, in
    ``pki.certificate.match_form``.

See also
    ``facts.py``, which makes Facts; flow's decrypt, which makes Opened; ``terms.py`` for the settings between two
    addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal
from uuid import UUID

import msgspec

from letterlock.decision.terms import Terms
from letterlock.pki.select import Candidate, Selection
from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings.declare import Effective
from letterlock.policy.triggers import Fields

AUTHORITY: Final = "domain-confidentiality-authority"
"""The local part of a domain's certificate (RFC 3183 4.1)."""

NO_CERTIFICATES = Selection((), ())
_EXTERNAL: Effective[str] = Effective("external")


class Signer(msgspec.Struct, frozen=True):
    """One signer of a signed layer. ``verdict``: of the closed list of smime: ``ok``, ``bad-signature``, ``untrusted``,
    ``address-mismatch`` ... ``addresses``: of the signer's certificate; empty when it is not known."""

    verdict: str
    addresses: tuple[str, ...] = ()
    identifier: str = ""
    """Issuer and serial number, or key identifier, as text."""
    reasons: tuple[str, ...] = ()
    revocation: str = ""
    """By what the certificate is revoked, or why that is not known."""


class Layer(msgspec.Struct, frozen=True):
    """One layer of protection found on a message, outermost first.

    ``opened``: we could take it off (a signed layer: it was read). ``holders``: the addresses of the certificates whose
    keys opened an encrypted layer; ``@example.org`` for a domain's certificate. ``whole``: it covers the whole message.
    """

    kind: Literal["encrypted", "signed", "compressed"]
    opened: bool
    reason: str = ""
    """Why it could not be opened: ``not-for-us``, ``malformed``, ``too-deep`` ..."""
    cipher: str = ""
    recipients: tuple[str, ...] = ()
    """Who it is encrypted to, as issuer and serial number or key identifier."""
    holders: tuple[str, ...] = ()
    signers: tuple[Signer, ...] = ()
    whole: bool = True
    weak: bool = False
    canonical: bool = True
    """The signed octets have CRLF line ends only, as RFC 8551 3.1.1 demands."""


class Opened(msgspec.Struct, frozen=True):
    """The message after the gateway removed the layers it could. No layers: nothing was there to open.

    ``subject``: of signed mail that stays as it came, the subject under its signatures, when another one stands outside.
    """

    layers: tuple[Layer, ...] = ()
    subject: str | None = None

    @property
    def changed(self) -> bool:
        """Some encrypted layer was opened, so opened octets and original octets differ."""
        return any(layer.kind == "encrypted" and layer.opened for layer in self.layers)


class Findings(msgspec.Struct, frozen=True):
    """What scanner and rules found. ``must_encrypt``: a rule demands it."""

    must_encrypt: bool = False


class MessageFacts(msgspec.Struct, frozen=True):
    """What the decision looks at in the message itself, as it came.

    ``protected``: by the sender's own program; ``encrypted`` only when the outermost layer really is enveloped data,
    whatever the Content-Type says. ``authors``: the addresses of all From fields, ``named`` those of To and Cc in
    match_form, both read from undecoded values (RFC 2047 must not change what an address is). ``inbound_mark``: a
    valid one of ours. ``looped``: the recipients this message has been sent to by us before (loop field).
    ``unprotectable``: why its header fields cannot be protected; ``ascii``: they hold nothing but ASCII.
    """

    fields: Fields
    octets: int
    authors: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    protected: Literal["none", "signed", "encrypted"] = "none"
    calendar: bool = False
    inbound_mark: bool = False
    automatic: bool = False
    """Auto-Submitted is there and not "no" (RFC 3834 5), or it is list mail."""
    report: bool = False
    """A delivery report (RFC 6522, report-type delivery-status)."""
    hops: int = 0
    looped: frozenset[str] = frozenset()
    unprotectable: str = ""
    ascii: bool = True


class Queued(msgspec.Struct, frozen=True):
    """Where the message stands in the queue. Times in seconds since the Unix epoch, UTC. ``now``: of this decision."""

    accepted_at: float
    now: float
    state: Literal["received", "held"] = "received"
    released: bool = False
    """An administrator let it go: rules and holds are skipped, encryption never."""
    mandatory: frozenset[str] = frozenset()
    """Recipients for whom an earlier decision demanded encryption: settings changed since cannot take that back."""


class Lack(msgspec.Struct, frozen=True):
    """Something that was not at hand. ``what``: for the trace; ``open``: it may still come."""

    what: str
    open: bool


class SenderFacts(msgspec.Struct, frozen=True):
    """The sender: settings, whether it is one of ours, and who could sign for it. ``answers_to``: the certificate that
    it wants to be answered with, when the signing one is not for encryption."""

    address: str
    settings: EffectiveSettings
    locality: Effective[str] = _EXTERNAL
    signers: Selection = NO_CERTIFICATES
    answers_to: Candidate | None = None
    lacking: tuple[Lack, ...] = ()

    @property
    def internal(self) -> bool:
        """It is one of ours."""
        return self.locality.value == "internal"


class RecipientFacts(msgspec.Struct, frozen=True):
    """One recipient that waits for a decision. ``personal``: certificates of the address; ``domain_wide``: of its
    domain."""

    address: str
    settings: EffectiveSettings
    terms: Terms
    locality: Effective[str] = _EXTERNAL
    organisation: UUID | None = None
    personal: Selection = NO_CERTIFICATES
    domain_wide: Selection = NO_CERTIFICATES
    additional: Selection = NO_CERTIFICATES
    missing: tuple[str, ...] = ()
    """Additional addresses without a usable certificate."""
    lacking: tuple[Lack, ...] = ()

    @property
    def internal(self) -> bool:
        """It is one of ours: the message is incoming for it."""
        return self.locality.value == "internal"


class Inside(msgspec.Struct, frozen=True):
    """What the sender's own program encrypted, when it was opened with the sender's key to be encrypted anew.

    ``reason``: why it was not opened; empty: it was. ``message``: as ``Facts.message``, of what is inside;
    ``recipients``: as ``Layer.recipients``.
    """

    reason: str = ""
    message: MessageFacts | None = None
    recipients: frozenset[str] = frozenset()


class Facts(msgspec.Struct, frozen=True):
    """All that a decision needs. ``recipients``: those still waiting, by envelope address, in envelope order.

    ``lacking``: what concerns the whole message, such as revocation data of its signers. ``inside``: None: nobody looked.
    """

    revision: int
    sender: SenderFacts
    recipients: Mapping[str, RecipientFacts]
    message: MessageFacts
    queued: Queued
    lacking: tuple[Lack, ...] = ()
    inside: Inside | None = None

    @property
    def open(self) -> bool:
        """Something is missing that may still come: it is worth waiting a little."""
        lists = (self.lacking, self.sender.lacking, *(each.lacking for each in self.recipients.values()))
        return any(each.open for one in lists for each in one)
