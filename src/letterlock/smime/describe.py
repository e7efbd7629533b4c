"""What a CMS object says of itself, without any key: its type, algorithms, recipients, signers, and what is weak.

Guarantees
    Nothing is decrypted or verified, so nothing here proves anything; an algorithm we do not know is told by its OID.
    Content streams by and is not held.

Standards
    RFC 5652 3 to 8, RFC 5083 2, RFC 3274 1, RFC 9629 3.

Raises
    Malformed, and Unsupported for a content type or cipher that stands in no table.

See also
    ``peel.py`` for the layers of a message; ``cli`` prints both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from letterlock.asn1 import oid
from letterlock.asn1.ber import BerError, Reader
from letterlock.smime.algorithms import Algorithm, digest_of
from letterlock.smime.cms_read import Envelope, SignerInfo, Source, open_cms, read_envelope, read_signed, read_signers
from letterlock.smime.errors import Malformed, SmimeError, Unsupported
from letterlock.smime.key_management import AGREEMENT_DERIVATIONS, KEMS, WRAPS, X25519, transport_name
from letterlock.smime.recipients import Agreed, Encapsulated, Named, Transported
from letterlock.smime.signatures import told_name

KINDS: Final = {
    oid.DATA: "data",
    oid.SIGNED_DATA: "signed",
    oid.ENVELOPED_DATA: "enveloped",
    oid.AUTH_ENVELOPED_DATA: "auth-enveloped",
    oid.COMPRESSED_DATA: "compressed",
    oid.DIGESTED_DATA: "digested",
    oid.ENCRYPTED_DATA: "encrypted",
    oid.AUTHENTICATED_DATA: "authenticated",
}


class ToldRecipient(NamedTuple):
    """One recipient. ``identifier``: issuer and serial number or ``key:`` and key identifier, in hexadecimal; empty for
    a recipient without a certificate. ``algorithm``: how the content key reaches it. ``weak``: reasons."""

    kind: str
    identifier: str = ""
    algorithm: str = ""
    weak: tuple[str, ...] = ()


class ToldSigner(NamedTuple):
    """One signer. ``signed_attributes``: whether time, digest and so on are signed, or the bare content."""

    identifier: str
    digest: str
    algorithm: str
    signed_attributes: bool
    weak: tuple[str, ...] = ()


class Told(NamedTuple):
    """One CMS object. ``cipher``, ``recipients``: of an encrypted one; ``signers``, ``certificates`` (how many),
    ``detached``: of a signed one. ``weak``: all reasons, each once."""

    kind: str
    cipher: str = ""
    recipients: tuple[ToldRecipient, ...] = ()
    signers: tuple[ToldSigner, ...] = ()
    certificates: int = 0
    detached: bool = False
    weak: tuple[str, ...] = ()


def describe(source: Source) -> Told:
    """What the CMS object says of itself."""
    try:
        reader = Reader(source())
        kind = open_cms(reader)
        name = KINDS.get(kind)
        if name is None:
            raise Unsupported(detail="content type")
        if kind in (oid.ENVELOPED_DATA, oid.AUTH_ENVELOPED_DATA):
            return _encrypted(name, read_envelope(reader, kind))
        return _signed(reader, kind) if kind == oid.SIGNED_DATA else Told(name)
    except BerError as error:
        raise Malformed(detail=error.detail) from error


def _encrypted(kind: str, envelope: Envelope) -> Told:
    recipients = (
        *map(_recipient, envelope.recipients),
        *(ToldRecipient("password", algorithm=_wrap(each.encryption)) for each in envelope.passwords),
        *map(ToldRecipient, envelope.strangers),
    )
    cipher = envelope.cipher
    weak = _once((cipher.name,) if cipher.weak else (), *(each.weak for each in recipients))
    return Told(kind, cipher.name, recipients, weak=weak)


def _recipient(info: Named) -> ToldRecipient:
    name = str(info.recipient)
    if isinstance(info, Transported):
        try:
            algorithm = transport_name(info.algorithm)
        except (SmimeError, BerError):
            algorithm = info.algorithm.dotted
        return ToldRecipient("key transport", name, algorithm, ("sha1",) if "sha1" in algorithm else ())
    if isinstance(info, Agreed):
        derivation = AGREEMENT_DERIVATIONS.get(info.derivation.oid)
        parts = ["x25519" if info.kind == X25519 else "ecdh"]
        parts += [derivation.kind, derivation.function.name] if derivation else [info.derivation.dotted]
        old = derivation is not None and derivation.function.name == "sha1"
        weak = _once(("sha1",) if old else (), _weak_wrap(info.wrap))
        return ToldRecipient("key agreement", name, "-".join((*parts, _wrap(info.wrap))), weak)
    assert isinstance(info, Encapsulated)
    kem = KEMS.get(info.kem.oid) or info.kem.dotted
    return ToldRecipient("key encapsulation", name, f"{kem}-{_wrap(info.wrap)}", _weak_wrap(info.wrap))


def _wrap(algorithm: Algorithm) -> str:
    wrap = WRAPS.get(algorithm.oid)
    return wrap.name if wrap is not None else algorithm.dotted


def _weak_wrap(algorithm: Algorithm) -> tuple[str, ...]:
    wrap = WRAPS.get(algorithm.oid)
    return (wrap.name,) if wrap is not None and wrap.weak else ()


def _signed(reader: Reader, kind: bytes) -> Told:
    header = read_signed(reader, kind)
    detached = not reader.more(header.ends[1])
    if not detached:
        reader.skip()
    reader.leave(header.ends[1])
    found = read_signers(reader, header)
    signers = tuple(map(_signer, found.signers))
    weak = _once(*(each.weak for each in signers))
    return Told("signed", "", (), signers, len(found.certificates), detached and bool(signers), weak)


def _signer(info: SignerInfo) -> ToldSigner:
    weak: tuple[str, ...] = ()
    try:
        digest = digest_of(info.digest)
        digest_name = digest.name
        weak = (digest.name,) if digest.weak else ()
        algorithm = told_name(info.algorithm, digest)
    except (SmimeError, BerError):
        digest_name, algorithm = info.digest.dotted, info.algorithm.dotted
    if algorithm.startswith("dsa-"):
        weak = _once(weak, ("dsa",))
    return ToldSigner(str(info.signer), digest_name, algorithm, info.attributes is not None, weak)


def _once(*reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for each in reasons for reason in each))
