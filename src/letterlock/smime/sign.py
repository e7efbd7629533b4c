"""Sign: digest and attributes here, the signature by whoever holds the key, the CMS object here again.

Order
    prepare_signature(), then the private key signs ``pending.tbs`` with ``pending.algorithm``, then pending.finish();
    for several signers, or content inside: pending.signed() for each, then detached() or opaque().
    In between nothing is held but a few hundred octets, so that many signatures can be asked for at once.

Guarantees
    The content is read once and not kept. Signed are the content type, the time, the digest, our capabilities and the
    signer's certificate (RFC 5035), never the bare digest.

Standards
    RFC 5652 5.4 to 5.6, RFC 8551 2.5 and 3.5.1, RFC 8419 3, RFC 9882 3.

Raises
    Unsupported when the key is not of the algorithm's kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.hashes import Hash

from letterlock.asn1 import der
from letterlock.mail.date import read as read_date
from letterlock.mail.message import Buffer
from letterlock.pki.certificate import Certificate
from letterlock.smime.cms_write import SignedBy, SignerTemplate, signed_attributes, signed_data, signer_template
from letterlock.smime.errors import Unsupported
from letterlock.smime.party import Party
from letterlock.smime.signatures import SIGNATURES

_NEAR: Final = timedelta(hours=1)
_KINDS = {"rsa": "rsa", "ecdsa": "ec", "ed25519": "ed25519", "ml": "ml-dsa"}


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

    def signed(self, signature: bytes) -> SignedBy:
        """The finished signer, to be put together with others. ``signature``: of ``tbs``; ECDSA as DER (RFC 5753 8)."""
        return SignedBy(self._template, self._attributes, signature)

    def finish(self, signature: bytes) -> bytes:
        """The detached SignedData of this signer alone, DER."""
        return detached([self.signed(signature)])


def prepare_signature(
    content: Iterable[Buffer],
    party: Party,
    extra_certificates: Sequence[bytes] = (),
    when: datetime | None = None,
    *,
    algorithm: str = "",
    preferred: Certificate | None = None,
    timed: bool = True,
) -> Pending:
    """Everything but the signature of ``content``, whose line ends are CRLF already.

    ``extra_certificates``: DER, those between the signer's and the anchor; ``when``: signing time, aware, now unless
    given; ``algorithm``: a name of algorithms.SIGNATURES; that of the party's key unless given; ``preferred``: the
    certificate that the signer wants to be written to with, put in beside its own; ``timed``: whether the signing time
    is told (RFC 8551 2.5). Raises Unsupported.
    """
    name = algorithm or party.signature_algorithm
    signature = SIGNATURES.get(name)
    if signature is None or _KINDS[name.partition("-")[0]] != party.kind or not _fits(name, party):
        raise Unsupported(detail=f"{name} with a key of kind {party.kind}")
    moment = when or datetime.now().astimezone()
    second = int(moment.timestamp()) if timed else None
    template = signer_template(party, name, second, tuple(extra_certificates), preferred)
    digest = Hash(signature.digest.function)
    for part in content:
        digest.update(part)
    return Pending(template, name, digest.finalize())


def is_timely(date: bytes | None, now: datetime) -> bool:
    """Is the message's Date, as it stands in the field, so near that the signing time may be told?

    Thunderbird shows a signature as not valid when the two differ by more than an hour, or when it cannot read Date;
    without a signing time it compares nothing. A message that was held or written offline is signed later than that.
    """
    then = read_date(date or b"")
    return then is not None and abs(now - then) <= _NEAR


def _fits(name: str, party: Party) -> bool:
    """A restricted RSA key signs with PSS only (RFC 4055 1.2); ML-DSA has one parameter set for each key."""
    if party.kind == "ml-dsa":
        return name == party.signature_algorithm
    return party.certificate.key_kind != "rsa-pss" or name.startswith("rsa-pss")


def detached(signers: Sequence[SignedBy]) -> bytes:
    """A detached SignedData by all of ``signers``, DER."""
    return signed_data(signers)[0]


def opaque(content: Iterable[Buffer], length: int, signers: Sequence[SignedBy]) -> Iterator[Buffer]:
    """SignedData with its content inside, DER, piece by piece. ``content``: what was signed, of ``length`` octets.

    Readers without S/MIME cannot see it: only for relays that break clear signatures (RFC 8551 3.5.1).
    """
    before, after = signed_data(signers, length)
    yield before
    done = 0
    for part in content:
        done += len(part)
        yield part
    if done != length:
        raise ValueError(f"content of {done} octets, announced with {length}")
    yield after
