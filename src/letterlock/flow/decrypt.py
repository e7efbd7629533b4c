"""Take off the S/MIME layers where the gateway holds the key, for the internal recipients; say what each layer was.

Guarantees
    Unopenable is a fact, not an exception; only a key that is away for the moment puts the message off. A private key is
    used by the keyholder, and only when its certificate names a recipient of this very message.
    Protected fields take the place of those outside; what a reader is to see, ``reveal.py`` says.
    A signer is "ok" only when the signature fits, the path to an anchor holds now, and the certificate names the author.

See also
    ``smime/peel.py`` (the layers), ``pki/trust.py`` (the path), ``smime/judge.py`` (the verdicts),
    ``decision/incoming.py`` (who gets what was opened).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from letterlock.decision.known import Layer, Signer
from letterlock.decision.known import Opened as KnownOpened
from letterlock.flow.own_keys import OwnKeys
from letterlock.flow.reveal import reveal
from letterlock.flow.work import Opened, Work
from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.mail.parse import parse as parse_tree
from letterlock.pki.apart import shapes
from letterlock.pki.certificate import Certificate
from letterlock.pki.harvest import Found, Signed, harvest
from letterlock.pki.trust import Apart, Trust
from letterlock.smime import errors
from letterlock.smime.header_protection import Protected
from letterlock.smime.header_protection import protected as read_protected
from letterlock.smime.judge import asks_path, brought, judge
from letterlock.smime.peel import Kind, partial_layers, peel, whole
from letterlock.smime.peel import Layer as PeeledLayer
from letterlock.smime.verify import author

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts


_NOTHING = KnownOpened()


async def decrypt(crafts: Crafts, work: Work) -> Opened:
    """What is inside, when an internal recipient waits; else only what the outermost layer is."""
    message = work.message
    part = Part.of(message)
    layer = whole(part)
    outermost = layer.kind if layer is not None else None
    calendar = _has_calendar(message, part)
    protected: Literal["none", "signed", "encrypted"] = "none"
    if outermost in ("signed", "encrypted"):
        protected = outermost
    if outermost is None and not part.content_type.value.startswith("multipart/"):
        return Opened(message, _NOTHING, protected, calendar)
    domains = await crafts.domains(work.row.revision)
    if not any(domains.is_internal(each.address) for each in work.recipients):
        return Opened(message, _NOTHING, protected, calendar)
    if outermost is None:
        return Opened(message, KnownOpened(_partial(partial_layers(part))), protected, calendar)
    peeled = await peel(message, OwnKeys(crafts, work))
    trust = await crafts.trust.at(work.row.revision)
    inner = read_protected(message, peeled.layers, peeled.payload)
    apart = partial(shapes, crafts.forks)
    paths: list[tuple[Certificate, ...]] = []
    known = [await _known(apart, each, message, trust, inner, paths) for each in peeled.layers]
    every = KnownOpened((*known, *_partial(peeled.partial)))
    found = _harvest(message, peeled.layers, known, trust)
    return Opened(reveal(peeled, inner), every, protected, calendar, tuple(paths), found)


def _has_calendar(message: Message, part: Part) -> bool:
    """A text/calendar part anywhere (RFC 5545 8.1); the tree is made only when there is one."""
    kind = part.content_type.value
    if not kind.startswith(("multipart/", "message/")):
        return kind == "text/calendar"
    return any(each.content_type.value == "text/calendar" for each in parse_tree(message.octets).walk())


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
            return harvest(author(message), signers, brought(layer), trust, at)
    return ()


async def _known(
    apart: Apart,
    layer: PeeledLayer,
    message: Message,
    trust: Trust,
    inner: Protected | None,
    paths: list[tuple[Certificate, ...]],
) -> Layer:
    """What the decision may know of one layer. The paths of its signers are added to ``paths``."""
    others, now = brought(layer), datetime.now(UTC)
    signers = []
    for outcome in layer.outcomes:
        path = None
        if outcome.signer is not None and asks_path(outcome):
            path = await trust.verdict_apart(apart, outcome.signer.certificate, now, "sign", others)
            if path.ok:
                paths.append(path.path)
        signers.append(Signer(*judge(outcome, message, path, inner)))
    return Layer(
        kind=layer.kind,
        opened=layer.opened,
        reason="" if layer.opened else layer.verdict,
        cipher=layer.cipher,
        recipients=tuple(map(str, layer.recipients)),
        holders=tuple(address for holder in layer.holders for address in holder.addresses),
        signers=tuple(signers),
        weak=layer.weak,
        canonical=layer.canonical,
    )


def _partial(kinds: Sequence[Kind]) -> tuple[Layer, ...]:
    """Parts beside others that stay as they are: told of, and never taken for the message."""
    return tuple(Layer(kind, opened=False, reason=errors.NotCovered.verdict, whole=False) for kind in kinds)
