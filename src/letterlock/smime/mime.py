"""S/MIME in MIME: what stands around CMS objects, and how they are recognised.

Guarantees
    What goes into a signed or encrypted layer is the entity's own octets; header fields that do not belong to the
    entity stay outside, octet by octet. Nothing here holds more than the pieces it is given.

Standards
    RFC 8551 3.1 (what moves inside), 3.2 (application/pkcs7-mime), 3.5 (multipart/signed), 3.6, 3.10 (recognising),
    RFC 1847 2.1.

See also
    ``peel.py``, which undoes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from letterlock.mail.message import Buffer, Entity, Field
from letterlock.mail.parse import Part
from letterlock.smime.base64_lines import base64_lines

if TYPE_CHECKING:
    from letterlock.smime.sign import Pending

MIME_VERSION: Final = b"MIME-Version: 1.0\r\n"


class Wrapped(NamedTuple):
    """A message taken apart: fields that stay outside, and the entity that goes inside a layer."""

    outer: list[Buffer]
    entity: list[Buffer]


def belongs_inside(field: Field) -> bool:
    """Does the field describe the entity (RFC 8551 3.1: Content-*, and MIME-Version)?"""
    return field.name.startswith(b"content-") or field.name == b"mime-version"


def wrap(message: Entity) -> Wrapped:
    """Takes a message apart. Its line ends are CRLF already: that is what we accept by SMTP (else: ``canonical.py``).

    Without a Content-Type the entity says what it is by default (RFC 2045 5.2): some readers need it inside.
    """
    octets = memoryview(message.octets)
    outer: list[Buffer] = []
    entity: list[Buffer] = []
    kept = message.start
    last = outer
    typed = False
    for field in message.fields:
        if belongs_inside(field):
            if field.start > kept:
                outer.append(octets[kept : field.start])
            if field.name != b"mime-version":
                entity.append(octets[field.start : field.end])
                typed = typed or field.name == b"content-type"
                last = entity
            kept = field.end
    if message.header_end > kept:
        outer.append(octets[kept : message.header_end])
        last = outer
    if message.fields and octets[message.header_end - 1] != 0x0A:  # nothing but a header, its last line not ended
        last.append(b"\r\n")
    if not typed:
        entity.append(b"Content-Type: text/plain\r\n")
    entity += (b"\r\n", message.body)
    return Wrapped(outer, entity)


def multipart_signed(entity: Sequence[Buffer], pending: Pending, signature: bytes) -> list[Buffer]:
    """multipart/signed around ``entity``: an entity from Content-Type on, without MIME-Version.

    ``signature``: what ``pending.finish`` returned.
    """
    boundary = b"----LL" + os.urandom(15).hex().encode("ascii")
    return [
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n micalg=%b;\r\n boundary="%b"\r\n'
        b"\r\n--%b\r\n" % (pending.micalg.encode("ascii"), boundary, boundary),
        *entity,
        b'\r\n--%b\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n' % boundary,
        *base64_lines((signature,)),
        b"--%b--\r\n" % boundary,
    ]


SmimeType = Literal["enveloped-data", "authEnveloped-data", "signed-data", "compressed-data", "certs-only"]


def to_mime(cms: Iterable[Buffer], smime_type: SmimeType) -> Iterator[bytes]:
    """application/pkcs7-mime around a CMS object, for a message: MIME-Version, then cms_entity()."""
    yield MIME_VERSION
    yield from cms_entity(cms, smime_type)


def cms_entity(cms: Iterable[Buffer], smime_type: SmimeType) -> Iterator[bytes]:
    """application/pkcs7-mime around a CMS object: content fields, empty line, base64."""
    yield (
        b"Content-Type: application/pkcs7-mime; smime-type=%b;\r\n"
        b' name="smime.p7m"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7m"\r\n'
        b"\r\n" % smime_type.encode("ascii")
    )
    yield from base64_lines(cms)


# ---- recognising

_CMS_TYPES: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_SIGNATURE_TYPES: Final = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_PLAIN_TYPES: Final = frozenset({"application/octet-stream", "application/pkcs7"})


def is_cms(part: Part) -> bool:
    """Is the entity as a whole a CMS object (RFC 8551 3.10: by type, or by file name)?"""
    kind = part.content_type.value
    return kind in _CMS_TYPES or (kind in _PLAIN_TYPES and part.filename.lower().endswith((".p7m", ".p7z")))


def names_cms(part: Part) -> bool:
    """Does its content type say that it is a CMS object?"""
    return part.content_type.value in _CMS_TYPES


def is_signature(part: Part) -> bool:
    """Is the entity a detached signature?"""
    kind = part.content_type.value
    return kind in _SIGNATURE_TYPES or (kind in _PLAIN_TYPES and part.filename.lower().endswith(".p7s"))


def is_multipart_signed(part: Part) -> bool:
    """Is it multipart/signed with an S/MIME signature, by its protocol, or without one?"""
    if part.content_type.value != "multipart/signed":
        return False
    protocol = part.content_type.parameters.get("protocol")
    return protocol is None or protocol.lower() in _SIGNATURE_TYPES
