"""Take off the S/MIME layers where the gateway holds the key, for the internal recipients; say what each layer was.

Guarantees
    Unopenable is a fact, not an exception; only a key that is away for the moment puts the message off. A private key is
    used by the keyholder, and only when its certificate names a recipient of this very message.
    A signer is "ok" only when the signature fits, the path to an anchor holds now, and the certificate names the author.

See also
    ``smime/peel.py`` (the layers), ``pki/trust.py`` (the path), ``decision/incoming.py`` (who gets what was opened).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from letterlock.decision.known import Layer, Signer
from letterlock.decision.known import Opened as KnownOpened
from letterlock.errors import PermanentError
from letterlock.flow.work import Opened, Work
from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.mail.parse import parse as parse_tree
from letterlock.pki import calls
from letterlock.pki.apart import shapes
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.errors import MalformedCertificate
from letterlock.pki.harvest import Found, Signed, harvest
from letterlock.pki.private_key import KeyholderKey
from letterlock.pki.reasons import Reason
from letterlock.pki.trust import Apart, Trust
from letterlock.smime import errors
from letterlock.smime.canonical import transportable
from letterlock.smime.party import OwnKey, RecipientId
from letterlock.smime.peel import Layer as PeeledLayer
from letterlock.smime.peel import kind_of, peel
from letterlock.smime.verify import Outcome, author, check_author

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts


_NOTHING = KnownOpened()


async def decrypt(crafts: Crafts, work: Work) -> Opened:
    """What is inside, when an internal recipient waits; else only what the outermost layer is."""
    message = work.message
    part = Part.of(message)
    outermost = kind_of(part)
    calendar = _has_calendar(message, part)
    protected: Literal["none", "signed", "encrypted"] = "none"
    if outermost in ("signed", "encrypted"):
        protected = outermost
    if outermost is None:
        return Opened(message, _NOTHING, protected, calendar)
    domains = await crafts.domains(work.row.revision)
    if not any(domains.is_internal(each.address) for each in work.recipients):
        return Opened(message, _NOTHING, protected, calendar)
    peeled = await peel(message, _Keys(crafts, work.row.lease, work.row.id))
    trust = await crafts.trust.at(work.row.revision)
    apart = partial(shapes, crafts.forks)
    paths: list[tuple[Certificate, ...]] = []
    layers = tuple([await _known(apart, each, message, trust, paths) for each in peeled.layers])
    # What was encrypted may hold bare line feeds, which no server of ours or theirs takes (RFC 5321 2.3.8).
    opened = transportable(peeled.opened.octets)
    inside = peeled.opened if opened is peeled.opened.octets else Message(opened)
    found = _harvest(message, peeled.layers, layers, trust)
    return Opened(inside, KnownOpened(layers), protected, calendar, tuple(paths), found)


def _has_calendar(message: Message, part: Part) -> bool:
    """A text/calendar part anywhere (RFC 5545 8.1); the tree is made only when there is one."""
    kind = part.content_type.value
    if not kind.startswith(("multipart/", "message/")):
        return kind == "text/calendar"
    return any(each.content_type.value == "text/calendar" for each in parse_tree(message.octets).walk())


class _Keys:
    """Our keys for the recipients of an encrypted layer; smime.party.KeyLookup."""

    def __init__(self, crafts: Crafts, lease: UUID, message: UUID) -> None:
        self._crafts = crafts
        self._lease = lease
        self._message = message

    async def find(self, recipients: Sequence[RecipientId]) -> Sequence[OwnKey]:
        """Those of our keys whose certificate one of ``recipients`` names."""
        rows = await calls.own_certificates(
            self._crafts.gate,
            serials=[each.issuer_serial for each in recipients if each.issuer_serial],
            skis=[each.key_identifier for each in recipients if each.key_identifier],
        )
        found: list[OwnKey] = []
        for row in rows:
            try:
                certificate = parse(bytes(row.der))
            except MalformedCertificate:
                continue
            key = KeyholderKey(self._crafts.keyholder, self._lease, self._message, row.key_id)
            found.append(OwnKey(certificate, key))
        return found


def _harvest(
    message: Message, peeled: Sequence[PeeledLayer], layers: Sequence[Layer], trust: Trust
) -> tuple[Found, ...]:
    """Certificates worth keeping, of the outermost layer that somebody signed well."""
    for layer, known in zip(peeled, layers, strict=True):
        signers = [
            Signed(each.signer.certificate, each.signer.capabilities, each.signer.signed_at)
            for each, told in zip(layer.outcomes, known.signers, strict=True)
            if each.signer is not None and told.verdict == errors.OK
        ]
        if signers:
            at = datetime.now(UTC)
            return harvest(author(message), signers, _certificates(layer.certificates), trust, at)
    return ()


async def _known(
    apart: Apart, layer: PeeledLayer, message: Message, trust: Trust, paths: list[tuple[Certificate, ...]]
) -> Layer:
    """What the decision may know of one layer. The paths of its signers are added to ``paths``."""
    brought = _certificates(layer.certificates)
    return Layer(
        kind=layer.kind,
        opened=layer.opened,
        reason="" if layer.opened else layer.verdict,
        cipher=layer.cipher,
        recipients=tuple(map(str, layer.recipients)),
        holders=tuple(address for holder in layer.holders for address in holder.addresses),
        signers=tuple([await _signer(apart, each, message, trust, brought, paths) for each in layer.outcomes]),
        weak=layer.weak,
    )


def _certificates(octets: Sequence[bytes]) -> list[Certificate]:
    found = []
    for each in octets:
        try:
            found.append(parse(each))
        except MalformedCertificate:
            continue
    return found


async def _signer(
    apart: Apart,
    outcome: Outcome,
    message: Message,
    trust: Trust,
    brought: list[Certificate],
    paths: list[tuple[Certificate, ...]],
) -> Signer:
    """The verdict on one signer: the signature, then the path, then the author."""
    identifier = str(outcome.identifier)
    signer = outcome.signer
    if signer is None:
        return Signer(outcome.verdict, (), identifier)
    verdict, reasons = outcome.verdict, tuple(signer.weak)
    if verdict == errors.OK:
        path = await trust.verdict_apart(apart, signer.certificate, datetime.now(UTC), "sign", brought)
        reasons = tuple(path.reasons)
        if not path.ok:
            verdict = _VERDICTS.get(path.reasons[0] if len(path.reasons) == 1 else Reason.UNTRUSTED, "untrusted")
        else:
            paths.append(path.path)
            try:
                check_author(signer.certificate, message)
            except PermanentError:
                verdict = errors.AddressMismatch.verdict
    return Signer(verdict, signer.addresses, identifier, reasons)


_VERDICTS = {
    Reason.EXPIRED: errors.Expired.verdict,
    Reason.NOT_YET_VALID: errors.Expired.verdict,
    Reason.REVOKED: errors.Revoked.verdict,
    Reason.WEAK_KEY: errors.Weak.verdict,
    Reason.WEAK_DIGEST: errors.Weak.verdict,
}
