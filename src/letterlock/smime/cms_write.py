"""CMS written: SignedData and (Auth)EnvelopedData as DER, from templates made once per signer and per recipient group.

Guarantees
    Everything is DER with definite lengths, known before the first octet of content: gpgsm and NSS read nothing else
    while it streams. Templates hold only what is in certificates; every message gets its own key, nonce and digest.

Standards
    RFC 5652 5 (SignedData), 6 (EnvelopedData), 11 (attributes); RFC 5083 2; RFC 5753 3.1 and RFC 8418 3 (key
    agreement); RFC 9629 3 (key encapsulation); RFC 3274 1.1 (CompressedData); RFC 8551 2.5 (attributes of S/MIME);
    RFC 5035 4 (signingCertificateV2).

See also
    ``sign.py``, ``encrypt.py`` and ``compress.py``, which compute what goes into the templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from letterlock.asn1 import der, oid
from letterlock.pki.certificate import Certificate
from letterlock.smime.algorithms import ContentCipher
from letterlock.smime.attributes import plain_binding, preference
from letterlock.smime.capabilities import ANNOUNCED, RecipientGroup
from letterlock.smime.key_management import (
    EC_PUBLIC_KEY,
    ECDH,
    ECDH_X25519,
    KEM_DERIVATION,
    KEM_IDENTIFIERS,
    KEM_RECIPIENT,
    KEM_WRAP_OCTETS,
    TRANSPORTS,
    X25519,
)
from letterlock.smime.party import Party
from letterlock.smime.signatures import SIGNATURES

_VERSION_0: Final = der.integer(0)
_VERSION_1: Final = der.integer(1)
_VERSION_2: Final = der.integer(2)
_VERSION_3: Final = der.integer(3)
GCM_TAG_OCTETS: Final = 16
GCM_NONCE_OCTETS: Final = 12

# ---- SignedData


class SignerTemplate(NamedTuple):
    """All of a signer but digest and signature, which are put between these octets."""

    attributes_before: bytes  # content of signedAttrs up to the digest's octets
    attributes_after: bytes
    certificates: tuple[bytes, ...]  # the signer's own, and those it brings
    digest: bytes  # AlgorithmIdentifier
    signer: bytes  # version, sid, digestAlgorithm of the SignerInfo
    signature_algorithm: bytes


@lru_cache(maxsize=256)
def signer_template(
    party: Party, algorithm: str, second: int | None, extra: tuple[bytes, ...], preferred: Certificate | None = None
) -> SignerTemplate:
    """``second``: signing time in seconds since the epoch, None: not told; ``extra``: certificates (DER) put in beside
    the signer's; ``preferred``: the one that the signer wants to be written to with (RFC 8551 2.5.3), put in too."""
    signature = SIGNATURES[algorithm]
    digest_octets = signature.digest.function.digest_size
    hole = bytes(digest_octets)
    wish = () if preferred is None else (_attribute(oid.ENCRYPTION_KEY_PREFERENCE, preference(preferred)),)
    time = () if second is None else (_attribute(oid.SIGNING_TIME, der.time(datetime.fromtimestamp(second, UTC))),)
    more = extra if preferred is None else (preferred.der, *extra)
    digest_attribute = _attribute(oid.MESSAGE_DIGEST, der.octet_string(hole))
    attributes = sorted(
        (
            _attribute(oid.CONTENT_TYPE, oid.DATA),
            digest_attribute,
            _attribute(oid.SMIME_CAPABILITIES, ANNOUNCED),
            _attribute(oid.SIGNING_CERTIFICATE_V2, plain_binding(party.certificate)),
            *time,
            *wish,
        )
    )
    # The order (X.690 11.6) is settled by length and OID, before the digest matters: so the hole stands still.
    content = b"".join(attributes)
    start = sum(map(len, attributes[: attributes.index(digest_attribute) + 1])) - digest_octets
    return SignerTemplate(
        attributes_before=content[:start],
        attributes_after=content[start + digest_octets :],
        certificates=(party.certificate.der, *more),
        digest=signature.digest.identifier,
        signer=b"".join((_VERSION_1, party.certificate.issuer_serial, signature.digest.identifier)),
        signature_algorithm=signature.identifier,
    )


def _attribute(kind: bytes, *values: bytes) -> bytes:
    return der.sequence(kind, der.set_of(*values))


def signed_attributes(template: SignerTemplate, digest: bytes) -> bytes:
    """Content of signedAttrs; it is signed under the tag of SET (RFC 5652 5.4)."""
    return b"".join((template.attributes_before, digest, template.attributes_after))


class SignedBy(NamedTuple):
    """One finished signer: its template, its signedAttrs and its signature."""

    template: SignerTemplate
    attributes: bytes
    signature: bytes


def signed_data(signers: Sequence[SignedBy], content: int | None = None) -> tuple[bytes, bytes]:
    """SignedData as a ContentInfo: what stands before and after the octets of the content.

    ``content``: how many there will be; None: the signature is detached, and nothing stands between.
    """
    head = _signed_head(tuple(sorted({each.template.digest for each in signers})))
    certificates = _certificate_set(tuple(each.template.certificates for each in signers))
    tail = certificates + der.set_of(*map(_signer_info, signers))
    if content is None:
        info = der.sequence(oid.DATA)
        data = der.sequence(head, info, tail)
        return der.sequence(oid.SIGNED_DATA, der.explicit(0, data)), b""
    before = der.header(der.OCTET_STRING, content)
    before = der.header(0xA0, len(before) + content) + before
    before = oid.DATA + before
    before = head + der.header(der.SEQUENCE, len(before) + content) + before
    return _around(oid.SIGNED_DATA, before, content + len(tail)), tail


@lru_cache(maxsize=64)
def _signed_head(digests: tuple[bytes, ...]) -> bytes:
    return _VERSION_1 + der.set_of(*digests)


@lru_cache(maxsize=256)
def _certificate_set(groups: tuple[tuple[bytes, ...], ...]) -> bytes:
    return der.explicit(0, *sorted({each for group in groups for each in group}))


def _signer_info(signed: SignedBy) -> bytes:
    template = signed.template
    return der.sequence(
        template.signer,
        der.explicit(0, signed.attributes),
        template.signature_algorithm,
        der.octet_string(signed.signature),
    )


def certificates_only(certificates: Sequence[bytes]) -> bytes:
    """SignedData that nobody signed: a way to hand certificates (DER) over, RFC 8551 3.8."""
    data = der.sequence(
        _VERSION_1, der.set_of(), der.sequence(oid.DATA), _certificate_set((tuple(certificates),)), der.set_of()
    )
    return der.sequence(oid.SIGNED_DATA, der.explicit(0, data))


def compressed_data(octets: int) -> bytes:
    """CompressedData (zlib) up to its content, which has ``octets`` and ends it."""
    before = der.header(der.OCTET_STRING, octets)
    before = oid.DATA + der.header(0xA0, len(before) + octets) + before
    before = _VERSION_0 + der.sequence(oid.ZLIB) + der.header(der.SEQUENCE, len(before) + octets) + before
    return _around(oid.COMPRESSED_DATA, before, octets)


def _around(kind: bytes, before: bytes, octets: int) -> bytes:
    """A ContentInfo around a SEQUENCE that begins with ``before``; ``octets`` more follow."""
    data = der.header(der.SEQUENCE, len(before) + octets) + before
    outer = b"".join((kind, der.header(0xA0, len(data) + octets), data))
    return der.header(der.SEQUENCE, len(outer) + octets) + outer


# ---- EnvelopedData and AuthEnvelopedData


@lru_cache(maxsize=4096)
def transport_prefix(party: Party, transport: str) -> bytes:
    """KeyTransRecipientInfo without its last part, the octets of the encrypted key, which is as long as the modulus."""
    key_octets = (party.certificate.key_bits + 7) // 8
    ending = der.header(der.OCTET_STRING, key_octets)
    content = b"".join((_VERSION_0, party.certificate.issuer_serial, TRANSPORTS[transport], ending))
    return der.header(der.SEQUENCE, len(content) + key_octets) + content


def agreement_info(party: Party, public: bytes, wrap: bytes, wrapped: bytes) -> bytes:
    """KeyAgreeRecipientInfo (RFC 5753 3.1.1, RFC 8418 3). ``wrap``: AlgorithmIdentifier; ``public``: the ephemeral key,
    a point or the 32 octets of X25519."""
    kind, derivation = (X25519, ECDH_X25519) if party.kind == "x25519" else (EC_PUBLIC_KEY, ECDH)
    originator = der.explicit(1, der.sequence(kind), der.bit_string(public))
    key = der.sequence(party.certificate.issuer_serial, der.octet_string(wrapped))
    return der.explicit(1, _VERSION_3, der.explicit(0, originator), der.sequence(derivation, wrap), der.sequence(key))


def encapsulation_info(party: Party, ciphertext: bytes, wrap: bytes, wrapped: bytes) -> bytes:
    """KEMRecipientInfo (RFC 9629 3) inside OtherRecipientInfo. ``wrap``: AlgorithmIdentifier."""
    info = der.sequence(
        _VERSION_0,
        party.certificate.issuer_serial,
        KEM_IDENTIFIERS[party.kem],
        der.octet_string(ciphertext),
        der.sequence(KEM_DERIVATION),
        der.integer(KEM_WRAP_OCTETS),
        wrap,
        der.octet_string(wrapped),
    )
    return der.explicit(4, KEM_RECIPIENT, info)


def content_octets(cipher: ContentCipher, length: int) -> int:
    """Octets of the encrypted content of ``length`` octets: CBC pads with one octet at least (RFC 5652 6.3)."""
    return length if cipher.mode == "gcm" else (length // cipher.block_octets + 1) * cipher.block_octets


def envelope_header(group: RecipientGroup, recipients: bytes, vector: bytes, length: int) -> bytes:
    """All before the encrypted content. ``recipients``: content of recipientInfos; ``length``: of the plaintext."""
    cipher = group.cipher
    if cipher.mode == "gcm":
        kind, version, tail = oid.AUTH_ENVELOPED_DATA, _VERSION_0, 2 + GCM_TAG_OCTETS
        parameters = der.sequence(der.octet_string(vector), der.integer(GCM_TAG_OCTETS))
    else:
        kind, tail = oid.ENVELOPED_DATA, 0
        version = _VERSIONS.get(group.transport, _VERSION_2)
        parameters = der.octet_string(vector)
    encrypted = content_octets(cipher, length)
    info = b"".join((oid.DATA, der.sequence(cipher.oid, parameters), der.header(0x80, encrypted)))
    info = der.header(der.SEQUENCE, len(info) + encrypted) + info
    before = b"".join((version, der.tlv(der.SET, recipients), info))
    return _around(kind, before, encrypted + tail)


# RFC 5652 6.1: 0 with key transport alone, named by issuer and serial number; 3 with other recipient infos
_VERSIONS: Final = {"rsa-pkcs1": _VERSION_0, "rsa-oaep-sha256": _VERSION_0, "ml-kem": _VERSION_3}
