"""CMS written: SignedData and (Auth)EnvelopedData as DER, from templates made once per signer and per recipient group.

Guarantees
    Everything is DER with definite lengths, known before the first octet of content: gpgsm and NSS read nothing else
    while it streams. Templates hold only what is in certificates; every message gets its own key, nonce and digest.

Standards
    RFC 5652 5 (SignedData), 6 (EnvelopedData), 11 (attributes); RFC 5083 2; RFC 5753 3.1 (key agreement);
    RFC 8551 2.5 (attributes of S/MIME); RFC 5035 4 (signingCertificateV2).

See also
    ``sign.py`` and ``encrypt.py``, which compute what goes into the templates.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from letterlock.asn1 import der, oid
from letterlock.smime.algorithms import DERIVATION, EC_PUBLIC_KEY, SIGNATURES, TRANSPORTS, ContentCipher
from letterlock.smime.capabilities import ANNOUNCED, RecipientGroup
from letterlock.smime.party import Party

_VERSION_0: Final = der.integer(0)
_VERSION_1: Final = der.integer(1)
_VERSION_2: Final = der.integer(2)
_VERSION_3: Final = der.integer(3)
GCM_TAG_OCTETS: Final = 16
GCM_NONCE_OCTETS: Final = 12

# ---- SignedData


class SignerTemplate(NamedTuple):
    """All of a detached SignedData but digest and signature, which are put between these octets."""

    attributes_before: bytes  # content of signedAttrs up to the digest's octets
    attributes_after: bytes
    before: bytes  # version, digestAlgorithms, encapContentInfo, certificates
    signer: bytes  # version, sid, digestAlgorithm of the SignerInfo
    signature_algorithm: bytes


@lru_cache(maxsize=256)
def signer_template(party: Party, algorithm: str, second: int, extra: tuple[bytes, ...]) -> SignerTemplate:
    """``second``: signing time in seconds since the epoch; ``extra``: certificates (DER) put in beside the signer's."""
    signature = SIGNATURES[algorithm]
    digest_octets = signature.digest.function.digest_size
    hole = bytes(digest_octets)
    attributes = sorted(
        (
            _attribute(oid.CONTENT_TYPE, oid.DATA),
            _attribute(oid.SIGNING_TIME, der.time(datetime.fromtimestamp(second, UTC))),
            _attribute(oid.MESSAGE_DIGEST, der.octet_string(hole)),
            _attribute(oid.SMIME_CAPABILITIES, ANNOUNCED),
            _certificate_attribute(party),
        )
    )
    # The order (X.690 11.6) is settled by length and OID, before the digest matters: so the hole stands still.
    content = b"".join(attributes)
    index = next(at for at, each in enumerate(attributes) if oid.MESSAGE_DIGEST in each)
    start = sum(map(len, attributes[: index + 1])) - digest_octets
    certificates = sorted({party.certificate.der, *extra})
    return SignerTemplate(
        attributes_before=content[:start],
        attributes_after=content[start + digest_octets :],
        before=b"".join(
            (
                _VERSION_1,
                der.set_of(signature.digest.identifier),
                der.sequence(oid.DATA),
                der.explicit(0, *certificates),
            )
        ),
        signer=b"".join((_VERSION_1, party.certificate.issuer_serial, signature.digest.identifier)),
        signature_algorithm=signature.identifier,
    )


def _attribute(kind: bytes, *values: bytes) -> bytes:
    return der.sequence(kind, der.set_of(*values))


@lru_cache(maxsize=256)
def _certificate_attribute(party: Party) -> bytes:
    """signingCertificateV2 with SHA-256, which is the default algorithm (RFC 5035 4): binds the certificate."""
    identifier = der.sequence(der.octet_string(hashlib.sha256(party.certificate.der).digest()))
    return _attribute(oid.SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(identifier)))


def signed_attributes(template: SignerTemplate, digest: bytes) -> bytes:
    """Content of signedAttrs; it is signed under the tag of SET (RFC 5652 5.4)."""
    return b"".join((template.attributes_before, digest, template.attributes_after))


def signed_data(template: SignerTemplate, attributes: bytes, signature: bytes) -> bytes:
    """The detached SignedData as a ContentInfo."""
    signer = der.sequence(
        template.signer, der.explicit(0, attributes), template.signature_algorithm, der.octet_string(signature)
    )
    data = der.sequence(template.before, der.tlv(der.SET, signer))
    return der.sequence(oid.SIGNED_DATA, der.explicit(0, data))


# ---- EnvelopedData and AuthEnvelopedData


@lru_cache(maxsize=4096)
def transport_prefix(party: Party, transport: str) -> bytes:
    """KeyTransRecipientInfo without its last part, the octets of the encrypted key, which is as long as the modulus."""
    key_octets = (party.certificate.key_bits + 7) // 8
    ending = der.header(der.OCTET_STRING, key_octets)
    content = b"".join((_VERSION_0, party.certificate.issuer_serial, TRANSPORTS[transport], ending))
    return der.header(der.SEQUENCE, len(content) + key_octets) + content


def agreement_info(party: Party, point: bytes, wrap: bytes, wrapped: bytes) -> bytes:
    """KeyAgreeRecipientInfo (RFC 5753 3.1.1). ``wrap``: AlgorithmIdentifier; ``point``: the ephemeral public key."""
    originator = der.explicit(1, der.sequence(EC_PUBLIC_KEY), der.bit_string(point))
    key = der.sequence(party.certificate.issuer_serial, der.octet_string(wrapped))
    return der.explicit(1, _VERSION_3, der.explicit(0, originator), der.sequence(DERIVATION, wrap), der.sequence(key))


def shared_info(wrap: bytes, key_octets: int, ukm: bytes | None = None) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753 7.2): the derivation's input. ``wrap`` as it stands in the message."""
    return der.sequence(
        wrap,
        der.explicit(0, der.octet_string(ukm)) if ukm is not None else b"",
        der.explicit(2, der.octet_string((8 * key_octets).to_bytes(4, "big"))),
    )


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
        version = _VERSION_2 if group.transport == "ecdh" else _VERSION_0  # RFC 5652 6.1
        parameters = der.octet_string(vector)
    encrypted = content_octets(cipher, length)
    info = b"".join((oid.DATA, der.sequence(cipher.oid, parameters), der.header(0x80, encrypted)))
    info = der.header(der.SEQUENCE, len(info) + encrypted) + info
    data = b"".join((version, der.tlv(der.SET, recipients), info))
    data = der.header(der.SEQUENCE, len(data) + encrypted + tail) + data
    outer = b"".join((kind, der.header(0xA0, len(data) + encrypted + tail), data))
    return der.header(der.SEQUENCE, len(outer) + encrypted + tail) + outer
