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
from typing import TYPE_CHECKING, Literal, NamedTuple

from letterlock.decision.known import Layer, Signer
from letterlock.decision.known import Opened as KnownOpened
from letterlock.decision.lacking import is_by_revocation
from letterlock.flow.own_keys import OwnKeys
from letterlock.flow.reveal import reveal, reveal_bare
from letterlock.flow.work import Opened, Work
from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.mail.parse import parse as parse_tree
from letterlock.pki.apart import shapes
from letterlock.pki.certificate import Certificate
from letterlock.pki.harvest import Found, Signed, harvest
from letterlock.pki.revocation import Mode
from letterlock.pki.trust import MAX_BROUGHT, Apart, Trust
from letterlock.smime import errors
from letterlock.smime.header_protection import Protected
from letterlock.smime.header_protection import protected as read_protected
from letterlock.smime.judge import asks_path, brought, judge
from letterlock.smime.party import RecipientId
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
    inside = [each.address for each in work.recipients if domains.is_internal(each.address)]
    if not inside:
        return Opened(message, _NOTHING, protected, calendar)
    if outermost is None:
        return Opened(message, KnownOpened(_partial(partial_layers(part))), protected, calendar)
    peeled = await peel(message, OwnKeys(crafts, work))
    inner = read_protected(message, peeled.layers, peeled.payload)
    asked = await _asked(crafts, work, peeled.layers, inside)
    paths: list[tuple[Certificate, ...]] = []
    known = [await _known(asked, each, message, inner, paths) for each in peeled.layers]
    signed = inner.subject if inner is not None and not peeled.changed else None
    every = KnownOpened((*known, *_partial(peeled.partial)), signed)
    found = _harvest(message, peeled.layers, known, asked)
    bare = partial(reveal_bare, peeled, inner)
    return Opened(reveal(peeled, inner), every, protected, calendar, tuple(paths), found, bare=bare)


class _Asked(NamedTuple):
    """What signers are judged by. ``mode``: what becomes of one that may have been revoked."""

    apart: Apart
    trust: Trust
    mode: Mode
    at: datetime


async def _asked(crafts: Crafts, work: Work, layers: Sequence[PeeledLayer], inside: Sequence[str]) -> _Asked:
    """The trust as of now, with what is at hand of revocation where a recipient asks for it."""
    at, revision = datetime.now(UTC), work.row.revision
    mode = await crafts.revocation(work, inside)
    signers = [
        each.signer.certificate for layer in layers for each in layer.outcomes if each.signer and asks_path(each)
    ]
    if mode == "none" or not signers:
        trust = await crafts.trust.at(revision)
    else:
        others = [each for layer in layers for each in brought(layer)]
        trust = await crafts.trust.informed(revision, [*signers, *others[:MAX_BROUGHT]], others, at)
    return _Asked(partial(shapes, crafts.forks), trust, mode, at)


def _has_calendar(message: Message, part: Part) -> bool:
    """A text/calendar part anywhere (RFC 5545 8.1); the tree is made only when there is one."""
    kind = part.content_type.value
    if not kind.startswith(("multipart/", "message/")):
        return kind == "text/calendar"
    return any(each.content_type.value == "text/calendar" for each in parse_tree(message.octets).walk())


def _harvest(
    message: Message, peeled: Sequence[PeeledLayer], layers: Sequence[Layer], asked: _Asked
) -> tuple[Found, ...]:
    """Certificates worth keeping, of the outermost layer that somebody signed well."""
    for layer, known in zip(peeled, layers, strict=True):
        good = [
            each.signer
            for each, told in zip(layer.outcomes, known.signers, strict=True)
            if each.signer is not None and told.verdict == errors.OK
        ]
        if good:
            others = brought(layer)
            signers = [
                Signed(each.certificate, each.capabilities, each.signed_at, _named(each.preferred, others))
                for each in good
            ]
            return harvest(author(message), signers, others, asked.trust, asked.at, asked.mode)
    return ()


def _named(wish: RecipientId | None, certificates: Sequence[Certificate]) -> Certificate | None:
    return next((each for each in certificates if wish is not None and wish.names(each)), None)


async def _known(
    asked: _Asked,
    layer: PeeledLayer,
    message: Message,
    inner: Protected | None,
    paths: list[tuple[Certificate, ...]],
) -> Layer:
    """What the decision may know of one layer. The paths of its signers are added to ``paths``."""
    others = brought(layer)
    signers = []
    for outcome in layer.outcomes:
        path = None
        if outcome.signer is not None and asks_path(outcome):
            path = await asked.trust.verdict_apart(
                asked.apart, outcome.signer.certificate, asked.at, "sign", others, asked.mode
            )
            if asked.mode != "none" and (path.ok or is_by_revocation(path.reasons)):
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
