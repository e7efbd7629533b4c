"""CMS read: the structures of SignedData, EnvelopedData and AuthEnvelopedData, from a stream, inside limits.

Order
    open_cms() says which content type it is and leaves the reader inside it; then read_envelope(), or read_signed() and
    read_signers(), each up to where content streams.

Guarantees
    Contents are never held here. What comes in BER (indefinite lengths, constructed strings) is read as DER would be.
    Identifiers and attributes keep the octets they came with: what is compared or verified is never written anew.

Standards
    RFC 5652 5.1, 5.3, 6.1; RFC 5083 2.1; RFC 3274 1.1.

Raises
    BerError and Malformed for damaged structure, Unsupported for what stands in no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import Element, Reader, elements
from letterlock.mail.message import Buffer
from letterlock.smime.algorithms import Algorithm, ContentCipher, content_cipher
from letterlock.smime.errors import Malformed, Unsupported
from letterlock.smime.party import RecipientId
from letterlock.smime.recipients import (
    ByPassword,
    Named,
    Stranger,
    read_id,
    read_recipients,
)

Source = Callable[[], Iterable[Buffer]]
"""Gives the octets of a CMS object from the start, each time it is called."""

MAX_RECIPIENTS: Final = 5_000
MAX_CERTIFICATES: Final = 100
MAX_SIGNERS: Final = 16


def open_cms(reader: Reader) -> bytes:
    """The content type (its OID in DER) of a ContentInfo; the reader stands before the content itself."""
    reader.enter(der.SEQUENCE)
    kind = reader.element(der.OID).raw
    reader.enter(0xA0)
    return kind


# ---- EnvelopedData and AuthEnvelopedData


class Envelope(NamedTuple):
    """What stands before the encrypted content.

    ``recipients``: those that name a certificate, in order; ``passwords``: those with a password; ``strangers``: the
    others, in words.
    """

    authenticated: bool
    recipients: tuple[Named, ...]
    passwords: tuple[ByPassword, ...]
    strangers: tuple[str, ...]
    cipher: ContentCipher
    vector: bytes
    ends: tuple[int, int]  # of the data and of encryptedContentInfo, for Reader.leave


def read_envelope(reader: Reader, kind: bytes) -> Envelope:
    """After open_cms(): all up to the encrypted content, which is next: ``reader.octets(0x80)``."""
    if kind not in (oid.ENVELOPED_DATA, oid.AUTH_ENVELOPED_DATA):
        raise Unsupported(detail="not an encrypted content type")
    data = reader.enter(der.SEQUENCE)
    reader.element(der.INTEGER)
    if reader.peek() == 0xA0:  # originatorInfo: certificates and CRLs of the sender, of no use here
        reader.skip()
    found = _recipients(reader)
    info = reader.enter(der.SEQUENCE)
    if reader.element(der.OID).raw != oid.DATA:
        raise Unsupported(detail="encrypted content that is not data")  # RFC 8551 2.4.3
    cipher, vector = content_cipher(Algorithm.read(reader.element(der.SEQUENCE)))
    authenticated = kind == oid.AUTH_ENVELOPED_DATA
    if authenticated != (cipher.mode == "gcm"):
        raise Unsupported(detail=f"{cipher.name} in this content type")
    return Envelope(
        authenticated,
        *found,
        cipher,
        vector,
        (data, info),
    )


def _recipients(reader: Reader) -> tuple[tuple[Named, ...], tuple[ByPassword, ...], tuple[str, ...]]:
    named: list[Named] = []
    passwords: list[ByPassword] = []
    strangers: list[str] = []
    infos = reader.enter(der.SET)
    while reader.more(infos):
        for each in read_recipients(reader.element()):
            if isinstance(each, ByPassword):
                passwords.append(each)
            elif isinstance(each, Stranger):
                strangers.append(each.kind)
            else:
                named.append(each)
        if len(named) + len(passwords) + len(strangers) > MAX_RECIPIENTS:
            raise Malformed(detail="too many recipients")
    reader.leave(infos)
    return tuple(named), tuple(passwords), tuple(strangers)


# ---- SignedData


class SignedHeader(NamedTuple):
    """What stands before the signed content. ``end``: for Reader.leave."""

    digests: tuple[Algorithm, ...]
    content_type: bytes
    ends: tuple[int, int]  # of the data and of encapContentInfo


def read_signed(reader: Reader, kind: bytes) -> SignedHeader:
    """After open_cms(): all up to the optional content in encapContentInfo."""
    if kind != oid.SIGNED_DATA:
        raise Unsupported(detail="not signed data")
    data = reader.enter(der.SEQUENCE)
    reader.element(der.INTEGER)
    digests = tuple(Algorithm.read(each) for each in reader.element(der.SET).children())
    if len(digests) > MAX_SIGNERS:
        raise Malformed(detail="too many digests")
    info = reader.enter(der.SEQUENCE)
    return SignedHeader(digests, reader.element(der.OID).raw, (data, info))


class SignerInfo(NamedTuple):
    """One signer. ``attributes`` None: there are no signed attributes; else kind (OID) to its values.

    ``signed``: the attributes as they were signed, a DER SET (RFC 5652 5.4).
    """

    signer: RecipientId
    digest: Algorithm
    attributes: dict[bytes, tuple[Element, ...]] | None
    signed: bytes
    algorithm: Algorithm
    signature: bytes


class Signers(NamedTuple):
    """What stands after the signed content. ``certificates``: DER, in order."""

    certificates: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]


def read_signers(reader: Reader, header: SignedHeader) -> Signers:
    """After encapContentInfo has been left: certificates and signers. CRLs are passed over."""
    certificates: list[bytes] = []
    signers: list[SignerInfo] = []
    data = header.ends[0]
    while reader.more(data):
        tag = reader.peek()
        if tag == 0xA0:
            choices = reader.enter(0xA0)
            while reader.more(choices):
                element = reader.element()
                if element.tag == der.SEQUENCE:  # the other choices are attribute certificates and obsolete forms
                    certificates.append(element.raw)
                if len(certificates) > MAX_CERTIFICATES:
                    raise Malformed(detail="too many certificates")
            reader.leave(choices)
        elif tag == 0xA1:
            reader.skip()
        else:
            infos = reader.enter(der.SET)
            while reader.more(infos):
                if len(signers) >= MAX_SIGNERS:
                    raise Malformed(detail="too many signers")
                signers.append(_signer_info(reader.element(der.SEQUENCE)))
            reader.leave(infos)
    reader.leave(data)
    return Signers(tuple(certificates), tuple(signers))


def _signer_info(element: Element) -> SignerInfo:
    fields = element.children()
    if len(fields) < 5:
        raise Malformed(detail="signer")
    attributes: dict[bytes, tuple[Element, ...]] | None = None
    signed = b""
    at = 3
    if fields[3].tag == 0xA0:
        at = 4
        attributes = _attributes(fields[3])
        # The SET's own tag is signed, not the [0] that stands in the message; the content stays as it came.
        signed = der.tlv(der.SET, fields[3].content)
    if len(fields) - at not in (2, 3):
        raise Malformed(detail="signer")
    if len(fields) - at == 3:
        _check_unsigned(fields[at + 2])
    return SignerInfo(
        read_id(fields[1]),
        Algorithm.read(fields[2]),
        attributes,
        signed,
        Algorithm.read(fields[at]),
        fields[at + 1].octets(),
    )


def _attributes(element: Element) -> dict[bytes, tuple[Element, ...]]:
    """Kinds and values. An attribute that stands there twice is refused: readers would pick different ones."""
    found: dict[bytes, tuple[Element, ...]] = {}
    for attribute in element.children():
        content = attribute.expect(der.SEQUENCE).content
        kind, values = _repeated(content) if len(content) <= _SHORT else _attribute(content)
        if kind in found:
            raise Malformed(detail="attribute twice")
        found[kind] = values
    return found


def _attribute(content: bytes) -> tuple[bytes, tuple[Element, ...]]:
    parts = elements(content)
    if len(parts) != 2:
        raise Malformed(detail="attribute")
    return parts[0].expect(der.OID).raw, tuple(parts[1].expect(der.SET).children())


_SHORT: Final = 256
_repeated = lru_cache(maxsize=1024)(_attribute)  # all but the digest are the same in the next message of a signer


def _check_unsigned(element: Element) -> None:
    """RFC 5652 11.1 to 11.3: these must be signed; a reader that took them from here would believe anybody."""
    for attribute in element.expect(0xA1).children():
        parts = attribute.expect(der.SEQUENCE).children()
        if not parts or parts[0].raw in (oid.CONTENT_TYPE, oid.MESSAGE_DIGEST, oid.SIGNING_TIME):
            raise Malformed(detail="attribute that must be signed")
