"""Sign: digest and attributes here, the signature by whoever holds the key, the CMS object here again.

Order
    prepare_signature(), then the private key signs ``pending.tbs`` with ``pending.algorithm``, then pending.finish().
    In between nothing is held but a few hundred octets, so that many signatures can be asked for at once.

Guarantees
    The content is read once and not kept. Signed are the content type, the time, the digest, our capabilities and the
    signer's certificate (RFC 5035), never the bare digest.

Standards
    RFC 5652 5.4 to 5.6, RFC 8551 2.5, RFC 8419 3.

Raises
    Unsupported when the key is not of the algorithm's kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.hashes import Hash

from letterlock.asn1 import der
from letterlock.mail.message import Buffer
from letterlock.smime.algorithms import SIGNATURES
from letterlock.smime.cms_write import SignerTemplate, signed_attributes, signed_data, signer_template
from letterlock.smime.errors import Unsupported
from letterlock.smime.party import Party

_KINDS = {"rsa": "rsa", "ecdsa": "ec", "ed25519": "ed25519"}


class Pending:
    """A signature on its way. ``tbs``: what the private key signs; ``algorithm``: how; ``micalg``: for the field."""

    __slots__ = ("_attributes", "_template", "algorithm", "micalg", "tbs")

    def __init__(self, template: SignerTemplate, algorithm: str, digest: bytes) -> None:
        """Made by prepare_signature()."""
        self._template = template
        self._attributes = signed_attributes(template, digest)
        self.algorithm = algorithm
        self.micalg = SIGNATURES[algorithm].digest.micalg
        self.tbs = der.tlv(der.SET, self._attributes)

    def finish(self, signature: bytes) -> bytes:
        """The detached SignedData, DER. ``signature``: of ``tbs``; ECDSA as DER (RFC 5753 8)."""
        return signed_data(self._template, self._attributes, signature)


def prepare_signature(
    content: Iterable[Buffer],
    party: Party,
    extra_certificates: Sequence[bytes] = (),
    when: datetime | None = None,
    *,
    algorithm: str = "",
) -> Pending:
    """Everything but the signature of ``content``, whose line ends are CRLF already.

    ``extra_certificates``: DER, those between the signer's and the anchor; ``when``: signing time, aware, now unless
    given; ``algorithm``: a name of algorithms.SIGNATURES; that of the party's key unless given. Raises Unsupported.
    """
    name = algorithm or party.signature_algorithm
    signature = SIGNATURES.get(name)
    if signature is None or _KINDS[name.partition("-")[0]] != party.kind:
        raise Unsupported(detail=f"{name} with a key of kind {party.kind}")
    moment = when or datetime.now().astimezone()
    template = signer_template(party, name, int(moment.timestamp()), tuple(extra_certificates))
    digest = Hash(signature.digest.function)
    for part in content:
        digest.update(part)
    return Pending(template, name, digest.finalize())
