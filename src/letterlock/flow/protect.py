"""Sign once, encrypt per delivery: the S/MIME octets of a message that leaves.

Guarantees
    What is signed is the entity as it stands in the message, octet by octet; header fields stay outside. The signature is
    made by the keyholder's signers; no private key is here. One delivery is one CMS message; who can share one, the
    decision has said.

Standards
    RFC 8551 3.1 (what is signed), 3.3 (encrypted), 3.5 (multipart/signed), 3.7 (signed inside encrypted).

See also
    ``smime/`` for the layers; ``decision/outgoing.py`` for who gets which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from letterlock.decision.plan import Delivery
from letterlock.flow.mark import HeaderChange
from letterlock.flow.work import Work
from letterlock.mail.message import Buffer, Entity
from letterlock.pki.private_key import KeyholderKey
from letterlock.pki.select import Candidate
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.canonical import seven_bit
from letterlock.smime.capabilities import RecipientGroup
from letterlock.smime.compress import compress
from letterlock.smime.encrypt import enveloped, smime_type
from letterlock.smime.mime import MIME_VERSION, belongs_inside, cms_entity, multipart_signed, to_mime, wrap
from letterlock.smime.party import Party, party
from letterlock.smime.sign import opaque, prepare_signature

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts


class Signed(NamedTuple):
    """An entity ready to be sent or encrypted: content fields, empty line, body; signed if it is to be."""

    entity: list[Buffer]


async def sign(crafts: Crafts, work: Work, entity: Entity, delivery: Delivery) -> Signed:
    """The message's entity, signed for the delivery; as it is when it has no signer. Raises KeyRefused,
    KeyholderUnavailable."""
    parts, signer = wrap(entity).entity, delivery.signer
    if signer is None:
        return Signed(parts)
    if not (delivery.encrypts or delivery.opaque):
        # In clear a relay without 8BITMIME would recode the signed part and break the signature (RFC 8551 3.1.2).
        parts = [seven_bit(b"".join(parts))]
    assert signer.key is not None  # chosen as a signer, so its key is here
    who = party(signer.certificate)
    now = datetime.now(UTC)
    chain = await crafts.trust.chain(signer.certificate, work.row.revision, now)
    wish = delivery.answers_to and delivery.answers_to.certificate
    pending = prepare_signature(parts, who, chain, now, algorithm=delivery.algorithm, preferred=wish)
    key = KeyholderKey(crafts.keyholder, work.row.lease, work.row.id, signer.key)
    signature = await key.sign(pending.tbs, pending.algorithm)
    if delivery.opaque:
        inside = opaque(parts, sum(map(len, parts)), [pending.signed(signature)])
        return Signed([*cms_entity(inside, "signed-data")])
    return Signed(multipart_signed(parts, pending, pending.finish(signature)))


def outer_fields(entity: Entity, change: HeaderChange, trace: Sequence[bytes]) -> list[Buffer]:
    """The fields that stay outside, with what changes among them; those of the entity are left out."""
    octets = memoryview(entity.octets)
    parts: list[Buffer] = [*trace, *change.add]
    for field in entity.fields:
        if field in change.remove or belongs_inside(field):
            continue
        if field.start == entity.start and octets[field.start] in b" \t":
            continue  # a damaged first line would continue our last field (RFC 5322 2.2.3)
        replaced = change.replace.get(field)
        parts.append(octets[field.start : field.end] if replaced is None else replaced)
    if entity.fields and entity.octets[entity.header_end - 1] != 0x0A:
        parts.append(b"\r\n")  # a header without an end: the message has no body
    return parts


def finished(outer: list[Buffer], signed: Signed, delivery: Delivery) -> Iterator[Buffer]:
    """The whole message of one delivery, made while it is taken."""
    if not delivery.encrypts:
        return chain(outer, (MIME_VERSION,), signed.entity)
    group, entity = _group(delivery), signed.entity
    if delivery.compress:
        entity = [*cms_entity(compress(entity), "compressed-data")]
    return chain(outer, to_mime(enveloped(entity, sum(map(len, entity)), group), smime_type(group)))


def _group(delivery: Delivery) -> RecipientGroup:
    """All certificates of the delivery, which the decision chose so that one CMS message serves them all."""
    assert delivery.transport
    return RecipientGroup(tuple(map(_party, delivery.certificates)), CIPHERS[delivery.cipher], delivery.transport)


def _party(candidate: Candidate) -> Party:
    return party(candidate.certificate)
