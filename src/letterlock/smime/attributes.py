"""The signed attributes: what a signature says about the content, the algorithms and the certificate.

Guarantees
    Content type and digest are demanded; what is optional is checked when it is there. An attribute with another
    number of values than one is refused.

Standards
    RFC 5652 11, RFC 5035 3 (SigningCertificateV2), RFC 6211 2 (CMSAlgorithmProtection), RFC 8551 2.5.

See also
    ``cms_read.py``, which refuses an attribute that stands there twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, Element, single
from letterlock.pki.certificate import Certificate
from letterlock.smime import capabilities
from letterlock.smime.algorithms import Algorithm, digest_of
from letterlock.smime.cms_read import SignerInfo
from letterlock.smime.errors import BadSignature, Malformed
from letterlock.smime.party import RecipientId

_TIME_FIELDS: Final = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))


class Said(NamedTuple):
    """What a signer says beside the content. ``signed_at``: aware; ``capabilities``, ``preferred``: what its owner can
    read, and with which certificate it wants to be written to (RFC 8551 2.5.2 and 2.5.3); None when it does not say."""

    signed_at: datetime | None = None
    capabilities: capabilities.Capabilities | None = None
    preferred: RecipientId | None = None


def check_attributes(
    info: SignerInfo,
    attributes: dict[bytes, tuple[Element, ...]],
    digests: Iterable[bytes],
    certificate: Certificate,
) -> Said:
    """Checks all that binds the signature to content, algorithms and certificate; returns what else is said.

    ``digests``: those of the content that count as its own. Raises Malformed, BadSignature, Unsupported, BerError.
    """
    # RFC 5652 11.1 and 11.2: both must be there, with one value each
    if _value(attributes, oid.CONTENT_TYPE).expect(der.OID).raw != oid.DATA:
        raise Malformed(detail="content type attribute")
    message_digest = _value(attributes, oid.MESSAGE_DIGEST).octets()
    if not any(hmac.compare_digest(message_digest, each) for each in digests):
        raise BadSignature(detail="the content was changed")
    if oid.ALGORITHM_PROTECTION in attributes:
        _check_protection(_value(attributes, oid.ALGORITHM_PROTECTION), info)
    if oid.SIGNING_CERTIFICATE_V2 in attributes:
        _check_binding(_value(attributes, oid.SIGNING_CERTIFICATE_V2), certificate)
    signed_at = _time(_value(attributes, oid.SIGNING_TIME)) if oid.SIGNING_TIME in attributes else None
    announced = attributes.get(oid.SMIME_CAPABILITIES)
    preferred = attributes.get(oid.ENCRYPTION_KEY_PREFERENCE)
    return Said(
        signed_at,
        capabilities.read(announced[0].raw) if announced else None,
        read_preference(preferred[0].raw) if preferred else None,
    )


def preference(certificate: Certificate) -> bytes:
    """SMIMEEncryptionKeyPreference that names a certificate by issuer and serial number (RFC 8551 2.5.3)."""
    return der.retag(0xA0, certificate.issuer_serial)


@lru_cache(maxsize=1024)
def read_preference(value: bytes) -> RecipientId | None:
    """Whom a SMIMEEncryptionKeyPreference names. A damaged one names nobody: it is a wish, and no reason to refuse."""
    try:
        choice = single(value)
        if choice.tag == 0xA0:
            return RecipientId(issuer_serial=der.retag(der.SEQUENCE, choice.raw))
        if choice.tag == 0xA1:
            return RecipientId(key_identifier=choice.children()[0].octets())
        return RecipientId(key_identifier=choice.content) if choice.tag == 0x82 else None
    except (BerError, IndexError):
        return None


def _value(attributes: dict[bytes, tuple[Element, ...]], kind: bytes) -> Element:
    values = attributes.get(kind, ())
    if len(values) != 1:
        raise Malformed(detail=f"{len(values)} values of attribute {oid.dotted(kind)}")
    return values[0]


def _check_protection(value: Element, info: SignerInfo) -> None:
    """CMSAlgorithmProtection (RFC 6211 2): the algorithms in the signer info are those that were signed."""
    fields = value.children()
    expected = ((der.SEQUENCE, info.digest), (0xA1, info.algorithm))
    if len(fields) != 2:
        raise Malformed(detail="algorithm protection")
    for field, (tag, algorithm) in zip(fields, expected, strict=True):
        if field.tag != tag or der.retag(der.SEQUENCE, field.raw) != algorithm.raw:
            raise BadSignature(detail="the algorithms were changed")


def _check_binding(value: Element, certificate: Certificate) -> None:
    """SigningCertificateV2 (RFC 5035 3): the first identifier is the signer's certificate."""
    if value.raw == plain_binding(certificate):
        return  # nearly every one there is
    identifiers = value.expect(der.SEQUENCE).children()[:1]
    first = identifiers[0].children()[0].children() if identifiers and identifiers[0].content else []
    name = "sha256"
    if first and first[0].tag == der.SEQUENCE:
        name = digest_of(Algorithm.read(first.pop(0))).name
    its = certificate.thumbprint if name == "sha256" else hashlib.new(name, certificate.der).digest()
    if not first or not hmac.compare_digest(first[0].octets(), its):
        raise BadSignature(detail="signed with another certificate")


@lru_cache(maxsize=1024)
def plain_binding(certificate: Certificate) -> bytes:
    """SigningCertificateV2 with nothing but the SHA-256 of the certificate, which is the default (RFC 5035 4)."""
    identifier = der.sequence(der.octet_string(certificate.thumbprint))
    return der.sequence(der.sequence(identifier))


def _time(value: Element) -> datetime:
    """RFC 5652 11.3: UTCTime or GeneralizedTime, in UTC."""
    return _moment(value.tag, value.content)


@lru_cache(maxsize=1024)
def _moment(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii", "replace")
    if tag == der.UTC_TIME and len(text) == 13:  # RFC 5280 4.1.2.5.1: two digits from 50 on are 19xx
        text = ("19" if text >= "50" else "20") + text
    elif tag != der.GENERALIZED_TIME:
        raise Malformed(detail="signing time")
    if len(text) != 15 or not text.endswith("Z") or not (text[:14].isascii() and text[:14].isdigit()):
        raise Malformed(detail="signing time")
    try:
        year, month, day, hour, minute, second = (int(text[a:b]) for a, b in _TIME_FIELDS)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise Malformed(detail="signing time") from error
