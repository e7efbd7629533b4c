"""Take layers off a message, outermost first, and say what each of them was.

Order
    As long as the entity as a whole is a CMS object or multipart/signed, or one that Exchange wrapped: encrypted layers
    are decrypted, signatures verified, compressed ones inflated, and what is inside is looked at in the same way.

Guarantees
    Unopenable is a fact, not an exception. Only a layer that is the whole entity is opened: an encrypted part beside
    other parts stays as it is, so decrypted text never stands in a frame that somebody else made (EFAIL).
    The fields of the message stay; the Content fields come from inside, all other fields inside are left out. The body
    of an opened message is, octet by octet, what was encrypted.
    Signatures that no encryption was found in stay in the message: its readers can verify them too.

Standards
    RFC 8551 3.3 to 3.7 (nesting), 3.10 (recognising); RFC 1847 2.1 (what multipart/signed covers).

Raises
    TemporaryError of a private key: then nothing is known, and the message is to be tried again.

See also
    ``verify.author`` and ``pki`` for what is left to ask about a signer; ``canonical.transportable`` before sending.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from letterlock.asn1 import oid
from letterlock.asn1.ber import BerError, Reader
from letterlock.mail.limits import MAX_EXPANSION, MAX_MESSAGE_OCTETS
from letterlock.mail.message import Buffer, Entity, Message
from letterlock.mail.parse import Part, parse, split
from letterlock.pki.certificate import Certificate
from letterlock.smime.canonical import canonical, is_canonical
from letterlock.smime.cms_read import open_cms
from letterlock.smime.decompress import decompress
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.entity_sink import EntitySink
from letterlock.smime.errors import OK, Malformed, SmimeError, TooDeep
from letterlock.smime.mime import is_cms, is_multipart_signed, is_signature, names_cms
from letterlock.smime.party import KeyLookup, RecipientId
from letterlock.smime.spool import MemorySpool, Spool
from letterlock.smime.verify import Examined, Outcome, examine_detached, examine_opaque
from letterlock.smime.wrapped import is_tnef, unwrapped

MAX_LAYERS: Final = 8

Kind = Literal["encrypted", "signed", "compressed"]


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer was. ``opened``: what is inside could be read; ``verdict``: "ok" or of errors.VERDICTS.

    A signed layer's own verdict says whether it could be read; what came of each signer is in ``outcomes``, where
    none means that nobody signed (certificates only). ``form`` of a signature: clear is multipart/signed, whose first
    part it covers; opaque holds its content. ``holders``: certificates of ours whose key opened it.
    """

    kind: Kind
    opened: bool
    verdict: str = OK
    detail: str = ""
    form: Literal["", "clear", "opaque"] = ""
    cipher: str = ""
    recipients: tuple[RecipientId, ...] = ()
    holders: tuple[Certificate, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    certificates: tuple[bytes, ...] = ()
    weak: bool = False
    canonical: bool = True
    """The octets under a clear signature have CRLF line ends only (RFC 8551 3.1.1); others are verified all the same."""
    inside: bytes = b""
    """The header of the entity inside, as it was signed or encrypted."""


@dataclass(frozen=True, slots=True)
class Peeled:
    """``opened``: the message without its encrypted layers, the very message given when there are none.

    ``layers``: outermost first. ``partial``: signed or encrypted parts beside others, which stay as they are: nothing
    is shown as signed or decrypted for them.
    """

    message: Message
    opened: Message
    layers: tuple[Layer, ...]
    _entity: Part
    partial: tuple[Kind, ...] = ()

    @property
    def changed(self) -> bool:
        """Some encrypted layer was taken off."""
        return self.opened is not self.message

    @property
    def payload(self) -> Part:
        """What is inside all layers that could be read."""
        return self._entity

    def bare(self) -> Message:
        """The message without any layer that could be read: what is examined, and what a reader without S/MIME sees."""
        entity = self._entity
        if entity.start == 0 and entity.end == len(entity.octets):
            return self.message if entity.octets is self.message.octets else Message(entity.octets)
        spool = MemorySpool()
        sink = EntitySink(self.message, spool, len(entity.octets) + len(self.message.octets))
        sink.write(memoryview(entity.octets)[entity.start : entity.end])
        sink.finish()
        return Message(spool.octets())


async def peel(
    message: Message,
    keys: KeyLookup,
    *,
    known: Sequence[bytes] = (),
    spools: Callable[[], Spool] = MemorySpool,
    most_octets: int = 2 * MAX_MESSAGE_OCTETS,
) -> Peeled:
    """Takes off all layers there are.

    ``known``: certificates (DER) for signers that bring none; ``spools``: makes the places for decrypted octets;
    ``most_octets``: of the result of a layer that is larger than the message itself.
    """
    size = len(message.octets)
    most = max(size, min(most_octets, MAX_EXPANSION * size))  # what came in may come out again, however large it is
    peeling = _Peeling(message, keys, known, spools, most)
    layers: list[Layer] = []
    entity = Part.of(message)
    opened = message
    while (found := whole(entity)) is not None:
        if len(layers) == MAX_LAYERS:
            layers.append(Layer(found.kind, False, TooDeep.verdict))
            break
        layer, inside = await peeling.take_off(found.entity, found.kind)
        layers.append(layer)
        if inside is None:
            break
        entity = Part.of(inside)
        if layer.kind == "encrypted" and isinstance(inside, Message):
            opened = inside
    return Peeled(message, opened, tuple(layers), entity, partial_layers(entity))


_KINDS: Final[dict[bytes, Kind]] = {
    oid.ENVELOPED_DATA: "encrypted",
    oid.AUTH_ENVELOPED_DATA: "encrypted",
    oid.SIGNED_DATA: "signed",
    oid.COMPRESSED_DATA: "compressed",
}
_CLAIMED: Final[dict[str, Kind]] = {
    "signed-data": "signed",
    "certs-only": "signed",
    "compressed-data": "compressed",
}


class Whole(NamedTuple):
    """A layer that the entity as a whole is. ``entity``: the CMS object or multipart/signed, out of what wraps it."""

    kind: Kind
    entity: Part


def whole(entity: Part) -> Whole | None:
    """The layer that the entity as a whole is; None when it is none. In a winmail.dat only an encrypted one counts.

    What is decrypted replaces the winmail.dat, and all else that it says. One that is signed stays as it came, with a text
    and a subject of its own that nobody signed: whoever has a signed file could put it into one of his making.
    """
    kind = kind_of(entity)
    if kind is not None:
        return Whole(kind, entity)
    inside = unwrapped(entity)
    return Whole("encrypted", inside) if inside is not None and kind_of(inside) == "encrypted" else None


def kind_of(entity: Part) -> Kind | None:
    """The kind of the layer that the entity as a whole is; None when it is none.

    What a CMS object is, it says itself; only when it cannot be read, the smime-type parameter is believed.
    """
    if is_multipart_signed(entity):
        return "signed"
    if not is_cms(entity):
        return None
    try:
        return _KINDS.get(open_cms(Reader(entity.decoded())))
    except BerError:
        if not names_cms(entity):  # a file that merely has such a name
            return None
        return _CLAIMED.get(entity.content_type.parameters.get("smime-type", "").lower(), "encrypted")


def partial_layers(entity: Part) -> tuple[Kind, ...]:
    """What S/MIME there is in parts of a multipart; messages that are attached speak for themselves."""
    if not entity.content_type.value.startswith("multipart/") or is_multipart_signed(entity):
        return ()
    found: list[Kind] = []
    stack = list(reversed(parse(entity.octets, entity.start, entity.end).children))
    while stack and len(found) < MAX_LAYERS:
        part = stack.pop()
        kind = kind_of(part)
        if kind is None and is_tnef(part) and (layer := whole(part)) is not None:
            kind = layer.kind
        if kind is None and is_signature(part):
            kind = "signed"
        if kind is not None:
            found.append(kind)
        elif not part.content_type.value.startswith("message/"):
            stack += reversed(part.children)
    return tuple(found)


class _Peeling:
    """What stays the same for all layers of one message."""

    def __init__(
        self, outer: Entity, keys: KeyLookup, known: Sequence[bytes], spools: Callable[[], Spool], most: int
    ) -> None:
        self._outer = outer
        self._keys = keys
        self._known = known
        self._spools = spools
        self._most = most

    async def take_off(self, entity: Part, kind: Kind) -> tuple[Layer, Entity | None]:
        """The facts of the layer, and what is inside; None when it could not be read.

        Inside multipart/signed that is a part of the same octets, else a message of its own.
        """
        if is_multipart_signed(entity):
            return self._clear(entity)
        if kind == "encrypted":
            return await self._encrypted(entity)
        return self._opaque(entity) if kind == "signed" else self._compressed(entity)

    def _sink(self) -> tuple[Spool, EntitySink]:
        spool = self._spools()
        return spool, EntitySink(self._outer, spool, self._most)

    async def _encrypted(self, entity: Part) -> tuple[Layer, Entity | None]:
        try:
            enveloped = Enveloped(entity.decoded)
        except SmimeError as fault:
            return Layer("encrypted", False, fault.verdict, fault.detail), None
        envelope = enveloped.envelope
        recipients = tuple(each.recipient for each in envelope.recipients)
        spool, sink = self._sink()
        try:
            holders = await enveloped.open(self._keys, sink)
        except SmimeError as fault:
            spool.clear()
            return Layer(
                "encrypted",
                False,
                fault.verdict,
                cipher=envelope.cipher.name,
                recipients=recipients,
                weak=envelope.cipher.weak,
            ), None
        sink.finish()
        layer = Layer(
            "encrypted",
            True,
            cipher=envelope.cipher.name,
            recipients=recipients,
            holders=holders,
            weak=envelope.cipher.weak,
            inside=sink.inside,
        )
        return layer, Message(spool.octets())

    def _clear(self, entity: Part) -> tuple[Layer, Entity | None]:
        """multipart/signed: exactly two parts, and no doubt about where they are."""
        try:
            content, signature = _signed_parts(entity)
            examined = examine_detached(
                signature.decoded(), memoryview(entity.octets)[content.start : content.end], self._known
            )
        except SmimeError as fault:
            return Layer("signed", False, fault.verdict, fault.detail, "clear"), None
        layer = _signed("clear", examined.outcomes, examined.certificates)
        covered = memoryview(entity.octets)[content.start : content.end]
        inside = bytes(covered[: content.body_start - content.start])
        return replace(layer, canonical=self._is_canonical(signature, covered, examined), inside=inside), content

    def _is_canonical(self, signature: Part, covered: Buffer, examined: Examined) -> bool:
        """Was the canonical form signed? Octets with other line ends may have been changed on the way, or by the signer."""
        if is_canonical(covered):
            return not examined.unlike
        again = examine_detached(signature.decoded(), canonical(covered), self._known)
        same = [each.verdict for each in again.outcomes] == [each.verdict for each in examined.outcomes]
        return same and not again.unlike

    def _opaque(self, entity: Part) -> tuple[Layer, Entity | None]:
        spool, sink = self._sink()
        try:
            examined = examine_opaque(entity.decoded(), sink.write, self._known)
        except SmimeError as fault:
            spool.clear()
            return Layer("signed", False, fault.verdict, fault.detail, "opaque"), None
        layer = _signed("opaque", examined.outcomes, examined.certificates)
        if not examined.outcomes:  # certificates only: there is nothing inside
            return layer, None
        sink.finish()
        return replace(layer, inside=sink.inside), Message(spool.octets())

    def _compressed(self, entity: Part) -> tuple[Layer, Entity | None]:
        spool, sink = self._sink()
        try:
            decompress(entity.decoded(), sink)
        except SmimeError as fault:
            spool.clear()
            return Layer("compressed", False, fault.verdict, fault.detail), None
        sink.finish()
        return Layer("compressed", True, inside=sink.inside), Message(spool.octets())


def _signed(form: Literal["clear", "opaque"], outcomes: tuple[Outcome, ...], certificates: tuple[bytes, ...]) -> Layer:
    weak = any(each.signer is not None and bool(each.signer.weak) for each in outcomes)
    return Layer("signed", True, form=form, outcomes=outcomes, certificates=certificates, weak=weak)


def _signed_parts(entity: Part) -> tuple[Part, Part]:
    """Content and signature. Raises Malformed where readers could disagree about which octets they are."""
    if not entity.content_type.clear:
        raise Malformed(detail="doubtful Content-Type")
    boundary = entity.content_type.parameters.get("boundary", "").encode("utf-8", "replace")
    found = split(entity.octets, entity.body_start, entity.end, boundary, 3)
    if len(found.children) != 2 or not found.closed:
        raise Malformed(detail=f"multipart/signed with {len(found.children)} parts")
    content, signature = (Part(entity.octets, start, end) for start, end in found.children)
    if not is_signature(signature):
        raise Malformed(detail="the second part is no signature")
    return content, signature
