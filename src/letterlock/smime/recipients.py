"""RecipientInfo read: to whom a content key was given, and how; every kind there is, those we cannot use by their name.

Guarantees
    One damaged structure refuses the message; an algorithm we do not know does not: another recipient may be ours.
    Identifiers keep the octets they came with.

Standards
    RFC 5652 6.2 (the five kinds), RFC 5753 3.1 and RFC 8418 3 (key agreement), RFC 9629 3 (key encapsulation).

Raises
    BerError, Malformed.

See also
    ``cms_read.py`` (the envelope around), ``content_keys.py`` (what is done with them).
"""

from __future__ import annotations

from typing import NamedTuple

from letterlock.asn1 import der
from letterlock.asn1.ber import Element
from letterlock.smime.algorithms import Algorithm
from letterlock.smime.errors import Malformed
from letterlock.smime.key_management import EC_PUBLIC_KEY, KEM_RECIPIENT, X25519
from letterlock.smime.party import RecipientId

MAX_KEY_OCTETS = 65_535  # kekLength, RFC 9629 3


class Transported(NamedTuple):
    """KeyTransRecipientInfo."""

    recipient: RecipientId
    algorithm: Algorithm
    encrypted_key: bytes


class Agreed(NamedTuple):
    """One recipient of a KeyAgreeRecipientInfo with an ephemeral originator key. ``public``: a point, or 32 octets.

    ``kind``: of the originator's key, an OID in DER.
    """

    recipient: RecipientId
    kind: bytes
    public: bytes
    ukm: bytes | None
    derivation: Algorithm
    wrap: Algorithm
    encrypted_key: bytes


class Encapsulated(NamedTuple):
    """KEMRecipientInfo. ``octets``: of the key that is derived."""

    recipient: RecipientId
    kem: Algorithm
    ciphertext: bytes
    derivation: Algorithm
    octets: int
    ukm: bytes | None
    wrap: Algorithm
    encrypted_key: bytes


class ByPassword(NamedTuple):
    """PasswordRecipientInfo. ``derivation`` None: the password itself is the key, which we do not read."""

    derivation: Algorithm | None
    encryption: Algorithm
    encrypted_key: bytes


class Stranger(NamedTuple):
    """A recipient of a kind that names no certificate and no password, in words."""

    kind: str


Named = Transported | Agreed | Encapsulated
"""Those that name a certificate."""


def read_recipients(element: Element) -> list[Named | ByPassword | Stranger]:
    """All recipients of one RecipientInfo."""
    if element.tag == der.SEQUENCE:
        fields = element.children()
        if len(fields) != 4:
            raise Malformed(detail="key transport")
        return [Transported(read_id(fields[1]), Algorithm.read(fields[2]), fields[3].octets())]
    if element.tag == 0xA1:
        return _agreed(element)
    if element.tag == 0xA2:
        return [Stranger("a key shared beforehand")]
    if element.tag == 0xA3:
        return [_by_password(element)]
    return [_other(element)] if element.tag == 0xA4 else [Stranger(f"unknown, tag {element.tag:#x}")]


def read_id(element: Element) -> RecipientId:
    """RecipientIdentifier and SignerIdentifier."""
    if element.tag == der.SEQUENCE:
        return RecipientId(issuer_serial=element.raw)
    if element.tag & ~0x20 == 0x80:
        return RecipientId(key_identifier=element.octets())
    raise Malformed(detail="recipient identifier")


def _agreed(element: Element) -> list[Named | ByPassword | Stranger]:
    fields = element.children()
    if len(fields) < 4:
        raise Malformed(detail="key agreement")
    originator = fields[1].expect(0xA0).children()
    if len(originator) != 1 or originator[0].tag != 0xA1:
        return [Stranger("key agreement with a lasting key")]  # RFC 5753 3.1.1: ephemeral-static only
    public = originator[0].children()
    if len(public) != 2:
        raise Malformed(detail="originator's key")
    kind = Algorithm.read(public[0])
    point = public[1].expect(der.BIT_STRING).content
    ukm = _ukm(fields[2]) if fields[2].tag == 0xA1 else None
    at = 3 if fields[2].tag == 0xA1 else 2
    if len(fields) != at + 2 or point[:1] != b"\0":
        raise Malformed(detail="key agreement")
    if kind.oid not in (EC_PUBLIC_KEY, X25519):
        return [Stranger(f"key agreement with {kind.dotted}")]
    derivation = Algorithm.read(fields[at])
    if derivation.parameters is None:
        raise Malformed(detail="key agreement without key wrap")
    wrap = Algorithm.read(derivation.parameters)
    found: list[Named | ByPassword | Stranger] = []
    for key in fields[at + 1].expect(der.SEQUENCE).children():
        parts = key.expect(der.SEQUENCE).children()
        if len(parts) != 2:
            raise Malformed(detail="recipient encrypted key")
        recipient = _agreement_id(parts[0])
        found.append(Agreed(recipient, kind.oid, point[1:], ukm, derivation, wrap, parts[1].octets()))
    return found


def _ukm(field: Element) -> bytes | None:
    parts = field.children()
    return parts[0].octets() if parts else None


def _agreement_id(element: Element) -> RecipientId:
    """KeyAgreeRecipientIdentifier: here the key identifier is a sequence with more in it (RFC 5652 6.2.2)."""
    if element.tag == 0xA0 and (parts := element.children()):
        return RecipientId(key_identifier=parts[0].octets())
    return read_id(element)


def _by_password(element: Element) -> ByPassword:
    fields = element.children()
    derivation = None
    if len(fields) == 4 and fields[1].tag == 0xA0:  # KeyDerivationAlgorithmIdentifier, implicit
        derivation = Algorithm.read(Element(der.SEQUENCE, fields.pop(1).content))
    if len(fields) != 3:
        raise Malformed(detail="password recipient")
    return ByPassword(derivation, Algorithm.read(fields[1]), fields[2].octets())


def _other(element: Element) -> Encapsulated | Stranger:
    parts = element.children()
    if len(parts) != 2:
        raise Malformed(detail="other recipient")
    if parts[0].raw != KEM_RECIPIENT:
        return Stranger("of another kind")
    fields = parts[1].expect(der.SEQUENCE).children()
    ukm = None
    if len(fields) == 9 and fields[6].tag == 0xA0:
        ukm = _ukm(fields.pop(6))
    if len(fields) != 8:
        raise Malformed(detail="key encapsulation")
    octets = fields[5].integer()
    if fields[0].integer() != 0 or not 1 <= octets <= MAX_KEY_OCTETS:
        raise Malformed(detail="key encapsulation")
    return Encapsulated(
        read_id(fields[1]),
        Algorithm.read(fields[2]),
        fields[3].octets(),
        Algorithm.read(fields[4]),
        octets,
        ukm,
        Algorithm.read(fields[6]),
        fields[7].octets(),
    )
