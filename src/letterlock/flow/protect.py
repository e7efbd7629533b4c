"""Sign once, encrypt per delivery: the S/MIME octets of a message that leaves.

Guarantees
    What is signed is the entity as it stands in the message, octet by octet; with header protection the fields that leave
    stand in it too, as they leave, and an encrypted message may hide some of them outside. The signature is
    made by the keyholder's signers; no private key is here. One delivery is one CMS message; who can share one, the
    decision has said.

Standards
    RFC 8551 3.1 (what is signed), 3.3 (encrypted), 3.5 (multipart/signed), 3.7 (signed inside encrypted); RFC 9788
    (header protection).

See also
    ``smime/`` for the layers; ``decision/outgoing.py`` for who gets which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from letterlock.decision.plan import Delivery
from letterlock.flow.mark import HeaderChange, printable
from letterlock.flow.work import Work
from letterlock.mail.decoded import text as decoded_text
from letterlock.mail.message import Buffer, Entity, Field, Message
from letterlock.pki.private_key import KeyholderKey
from letterlock.pki.select import Candidate
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.canonical import seven_bit, transportable
from letterlock.smime.capabilities import RecipientGroup
from letterlock.smime.encrypt import enveloped, smime_type
from letterlock.smime.header_writing import confidential, is_protected, payload
from letterlock.smime.mime import MIME_VERSION, belongs_inside, multipart_signed, to_mime, wrap
from letterlock.smime.party import Party, party
from letterlock.smime.sign import prepare_signature

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts


class Signed(NamedTuple):
    """An entity ready to be sent or encrypted: content fields, empty line, body; signed if it is to be."""

    entity: list[Buffer]


async def sign(crafts: Crafts, work: Work, parts: list[Buffer], signer: Candidate | None, *, encrypted: bool) -> Signed:
    """An entity, signed by ``signer``; as it is when None. Raises KeyRefused, KeyholderUnavailable."""
    if signer is None:
        return Signed(parts)
    if not encrypted:
        # In clear a relay without 8BITMIME would recode the signed part and break the signature (RFC 8551 3.1.2).
        parts = [seven_bit(b"".join(parts))]
    assert signer.key is not None  # chosen as a signer, so its key is here
    who = party(signer.certificate)
    now = datetime.now(UTC)
    chain = await crafts.trust.chain(signer.certificate, work.row.revision, now)
    pending = prepare_signature(parts, who, chain, now)
    key = KeyholderKey(crafts.keyholder, work.row.lease, work.row.id, signer.key)
    signature = await key.sign(pending.tbs, pending.algorithm)
    return Signed(multipart_signed(parts, pending, pending.finish(signature)))


def inside(entity: Entity, change: HeaderChange, delivery: Delivery, within: Message | None = None) -> list[Buffer]:
    """The entity that is signed or encrypted: the message's own, with its header fields when they are protected.

    ``within``: an entity in place of the message's own, which the sender's program had encrypted."""
    if within is not None and delivery.signer is not None:
        within = Message(transportable(within.octets))  # what is signed has CRLF line ends (RFC 8551 3.1.1)
    if delivery.header == "none":
        return wrap(entity).entity if within is None else [within.octets]
    fields = [(field.name, octets) for field, octets in _leaving(entity, change) if is_protected(field)]
    subject = Entity(b"".join(octets for name, octets in fields if name == b"subject")).first(b"subject") or b""
    return payload(
        entity if within is None else within,
        fields,
        encrypted=delivery.encrypts,
        hide=delivery.header == "hide",
        display=printable(decoded_text(subject)).strip() if delivery.display else "",
    )


def outer_fields(entity: Entity, change: HeaderChange, trace: Sequence[bytes], *, hide: bool = False) -> list[Buffer]:
    """The fields that stay outside, with what changes among them; those of the entity are left out. ``hide``: and what
    is confidential."""
    parts: list[Buffer] = [*trace, *change.add]
    for field, octets in _leaving(entity, change):
        outside = confidential(field.name, octets) if hide else octets
        if outside is not None:
            parts.append(outside)
    if parts and bytes(parts[-1][-1:]) != b"\n":
        parts.append(b"\r\n")  # a header without an end: the message has no body
    return parts


def _leaving(entity: Entity, change: HeaderChange) -> Iterator[tuple[Field, Buffer]]:
    """The fields of the message that leave, and their octets."""
    octets = memoryview(entity.octets)
    for field in entity.fields:
        if field in change.remove or belongs_inside(field):
            continue
        if field.start == entity.start and octets[field.start] in b" \t":
            continue  # a damaged first line would continue our last field (RFC 5322 2.2.3)
        replaced = change.replace.get(field)
        yield field, octets[field.start : field.end] if replaced is None else replaced


def finished(outer: list[Buffer], signed: Signed, delivery: Delivery) -> Iterator[Buffer]:
    """The whole message of one delivery, made while it is taken."""
    if not delivery.encrypts:
        return chain(outer, (MIME_VERSION,), signed.entity)
    group = _group(delivery)
    length = sum(map(len, signed.entity))
    return chain(outer, to_mime(enveloped(signed.entity, length, group), smime_type(group)))


def _group(delivery: Delivery) -> RecipientGroup:
    """All certificates of the delivery, which the decision chose so that one CMS message serves them all."""
    assert delivery.transport
    return RecipientGroup(tuple(map(_party, delivery.certificates)), CIPHERS[delivery.cipher], delivery.transport)


def _party(candidate: Candidate) -> Party:
    return party(candidate.certificate)
