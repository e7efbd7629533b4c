"""Messages: the tree of parts, decoding, fields and addresses keep their promises for any octets.

See also
    ``src/letterlock/mail/parse.py``, ``decoded.py``, ``headers.py``; ``smime/canonical.py``, ``entity_sink.py``.
"""

from __future__ import annotations

import base64
import re

from letterlock.decision.message import message_facts
from letterlock.mail import decoded, headers, parse
from letterlock.mail.message import Entity, HeaderTooLarge, Message
from letterlock.mail.parse import Part
from letterlock.smime.canonical import canonical, is_canonical, transportable
from letterlock.smime.entity_sink import EntitySink
from letterlock.smime.errors import TooDeep
from letterlock.smime.mime import wrap
from letterlock.smime.peel import kind_of, partial_layers
from letterlock.smime.spool import MemorySpool
from tests.fuzz import scene
from tests.fuzz.oracle import cuttings, holds, same, told
from tests.fuzz.scene import Scene


def prepare() -> None:
    """Makes the pieces of the decoder small, so that small inputs meet all of its turns."""
    parse._SMALL, parse._FIRST_PIECE, parse._PIECE = 64, 48, 80  # type: ignore[misc]


def run(octets: bytes) -> None:
    """All that is done with a message before anything is decided."""
    message = Message(octets)
    read = told(lambda: message.fields, HeaderTooLarge)
    root = parse.parse(octets)
    for part in root.walk():
        _part(part)
    if not read.refused:
        _header(message)
        _sinks(message, octets)
        same(b"".join(bytes(each) for each in headers.edit(message)), octets, "edited with nothing to do")
        holds(sum(map(len, wrap(message).entity)) > 0, "an entity")
        message_facts(message, len(octets), protected="encrypted")
    kind_of(root)
    partial_layers(root)
    same(is_canonical(octets), re.search(rb"(?<!\r)\n|\r(?!\n)", octets) is None, "canonical")
    holds(is_canonical(canonical(octets)), "made canonical")
    if not read.refused:
        holds(is_canonical(transportable(octets)), "made transportable")


def _part(part: Part) -> None:
    at = part.body_start
    holds(part.start <= at <= part.end, "a body inside its part")
    for child in part.children:
        holds(at <= child.start <= child.end <= part.end, "children in order inside their parent")
        at = child.end
    joined = b"".join(bytes(each) for each in part.decoded())
    if part.encoding == "base64":
        same(joined, _base64(bytes(part.body)), "base64, in pieces and at once")
    elif part.encoding != "quoted-printable":
        same(joined, bytes(part.body), "a body and its pieces")
    _ = part.filename, part.disposition, part.content_type


def _base64(body: bytes) -> bytes:
    """The plain way: other characters out, to the first "=", whole groups and a rest of two or three."""
    kept = re.sub(rb"[^A-Za-z0-9+/=]", b"", body).partition(b"=")[0]
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    return base64.b64decode(kept + b"=" * (-len(kept) % 4))


def _header(message: Entity) -> None:
    joined = b"".join(message.raw(field) for field in message.fields)
    same(joined, bytes(message.octets[message.start : message.header_end]), "a header and its fields")
    for field in message.fields:
        value = message.value(field)
        text = decoded.text(value)
        decoded.as_seen(text)
        decoded.parameters(value)
        same(
            told(lambda value=value: decoded.mailboxes(value), decoded.UnclearMailboxes),
            told(lambda value=value: decoded._mailboxes.__wrapped__(value), decoded.UnclearMailboxes),
            "mailboxes, remembered and not",
        )
        if not any(each in text for each in "\r\n\0") and len(value) < 500:
            _written(text)


def _written(text: str) -> None:
    """A text that we write as a field is one field, and the same text when it is read."""
    try:
        octets = headers.field("Subject", text)
    except ValueError:
        return
    fields = Message(octets + b"\r\n").fields
    same([each.name for each in fields], [b"subject"], "one field written")
    again = decoded.text(Message(octets + b"\r\n").first(b"subject") or b"")
    plain = text.strip(" \t")
    if plain.encode("utf-8", "replace").decode() == plain:
        same(again.split(), plain.split(), "a text, written and read")


def _sinks(message: Entity, octets: bytes) -> None:
    seen = [_sunk(message, way) for way in ([octets], *cuttings(octets))]
    for each in seen[1:]:
        same(seen[0], each, "an entity, written in other pieces")


def _sunk(message: Entity, pieces: object) -> tuple[bytes, bytes]:
    spool = MemorySpool()
    sink = EntitySink(message, spool, 1 << 20)
    try:
        for each in pieces:  # type: ignore[attr-defined]
            sink.write(each)
        sink.finish()
    except TooDeep:
        return b"", b""
    return bytes(spool.octets()), sink.inside


def seeds(stage: Scene) -> list[bytes]:
    """Where it starts."""
    return scene.messages(stage)
