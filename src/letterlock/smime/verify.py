"""Verify SignedData: who signed, with what, and exactly which octets.

Order
    examine_detached() or examine_opaque() looks at every signer and says what came of each; verify() is the same for
    callers who want the signers or an error. Then the caller asks ``pki`` about the path, and author() about From.

Guarantees
    Hashed are the octets as they came; only when they do not fit, the same text with other line ends: the canonical form,
    or, where that came, LF alone. Whoever asks is told that it was so.
    The signed attributes are verified as the octets that came, under the tag of SET. Without attributes, content that
    is itself a DER SET is refused: it could be the attributes of another signature (RFC 5652 5.4, changed roles).
    A content inside a detached signature is refused: two readers would show two contents.

Standards
    RFC 5652 5.4, 5.6 and 11; RFC 8551 2.4.2; RFC 5035 5 (certificate binding); RFC 6211 (algorithm protection);
    RFC 8550 3 (the author's address).

Raises
    Malformed, BadSignature, NoCertificate, Unsupported, Weak, AddressMismatch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.hashes import Hash

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, Reader
from letterlock.mail.decoded import UnclearMailboxes, as_seen, mailboxes
from letterlock.mail.message import Buffer, Entity
from letterlock.pki.certificate import Certificate, match_form, parse
from letterlock.pki.errors import MalformedCertificate
from letterlock.smime.algorithms import Algorithm, Digest, digest_of
from letterlock.smime.attributes import Said, check_attributes
from letterlock.smime.canonical import canonical, is_canonical
from letterlock.smime.capabilities import Capabilities
from letterlock.smime.cms_read import SignerInfo, Signers, open_cms, read_signed, read_signers
from letterlock.smime.errors import (
    OK,
    AddressMismatch,
    BadSignature,
    Malformed,
    NoCertificate,
    SmimeError,
    Unsupported,
    Weak,
)
from letterlock.smime.party import Party, RecipientId, party
from letterlock.smime.signatures import check_signature, signs_whole

_ADDRESS_LIKE: Final = re.compile(r"[^\s<>()\[\],:;\"'@\uff20]+[@\uff20][^\s<>()\[\],:;\"'@\uff20]+")
_MAX_NAMESAKES: Final = 4  # certificates of one issuer and serial number in one message that are tried


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, as far as octets can tell: the certificate is not yet trusted.

    ``algorithm``: as PrivateKey.sign names it; ``signed_at``, ``capabilities``, ``preferred``: as the signer says, None
    when it does not; ``weak``: reasons, empty when there are none.
    """

    certificate: Certificate
    algorithm: str
    digest: str
    signed_at: datetime | None
    capabilities: Capabilities | None
    preferred: RecipientId | None = None
    weak: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the certificate, in match form."""
        return self.certificate.addresses


class Outcome(NamedTuple):
    """One signer info. ``signer``: the signature fits, though it may be weak; ``fault`` None: all is well."""

    identifier: RecipientId
    signer: Signer | None
    fault: SmimeError | None

    @property
    def verdict(self) -> str:
        """ok, or the verdict of the fault."""
        return self.fault.verdict if self.fault else OK


class Examined(NamedTuple):
    """All signers of one SignedData, and the certificates it brings (DER). No outcomes: nobody signed. ``unlike``: the
    octets fit with other line ends than those they came with."""

    outcomes: tuple[Outcome, ...]
    certificates: tuple[bytes, ...]
    unlike: bool = False

    def verify(self) -> tuple[Signer, ...]:
        """The signers whose signatures fit. Raises the first fault there is.

        A signer whose algorithm or certificate we do not know is passed over when another one fits: that is how
        signers move to new algorithms.
        """
        signers = tuple(each.signer for each in self.outcomes if each.signer and not each.fault)
        for outcome in self.outcomes:
            if outcome.fault and not (signers and isinstance(outcome.fault, Unsupported | NoCertificate)):
                raise outcome.fault
        if not signers:
            raise Malformed(detail="nobody signed")
        return signers


class _Content:
    """Digests of the signed content, made when a signer wants one."""

    def __init__(self, content: Buffer) -> None:
        self._forms: list[Buffer] = [content]
        self._made: dict[tuple[str, int], bytes] = {}
        self.is_set = _is_der_set(bytes(content[:16]), len(content))
        self.unlike = False
        """Another form than that of the octets was asked for: theirs did not fit."""

    def digests(self, digest: Digest) -> Iterable[bytes]:
        """Of the octets as they came, then of those with other line ends."""
        return (self._digest(digest, number) for number, _ in enumerate(self.whole()))

    def whole(self) -> Iterable[Buffer]:
        """The octets as they came; then in canonical form, or, when that is theirs, with LF alone: what a program signed
        that did not know better, before SMTP made CRLF of it."""
        yield self._forms[0]
        self.unlike = True
        if len(self._forms) == 1:
            came = self._forms[0]
            self._forms.append(bytes(came).replace(b"\r\n", b"\n") if is_canonical(came) else canonical(came))
        yield self._forms[1]

    def _digest(self, digest: Digest, form: int) -> bytes:
        made = self._made.get((digest.name, form))
        if made is None:
            hashed = Hash(digest.function)
            hashed.update(self._forms[form])
            made = self._made[digest.name, form] = hashed.finalize()
        return made


class _Streamed:
    """Digests made while the content passed by: those that the header announced."""

    def __init__(self, made: dict[str, bytes], is_set: bool) -> None:
        self._made = made
        self.is_set = is_set

    def digests(self, digest: Digest) -> Iterable[bytes]:
        """Raises Malformed when the digest was not announced."""
        if digest.name not in self._made:
            raise Malformed(detail=f"{digest.name} is not among the digests of the header")
        return (self._made[digest.name],)

    def whole(self) -> Iterable[Buffer]:
        """Raises Unsupported: the octets were not kept."""
        raise Unsupported(detail="a signature over the content itself, which streamed by")


def _is_der_set(start: bytes, length: int) -> bool:
    if start[:1] != b"\x31":
        return False
    try:
        reader = Reader((start,))
        announced = reader.header()[1]
    except BerError:
        return False
    return announced + reader.position == length


def examine_detached(signature: Iterable[Buffer], content: Buffer, known: Sequence[bytes] = ()) -> Examined:
    """The signers of ``content``. ``known``: certificates (DER) for signers that bring none.

    Raises Malformed and Unsupported when the whole cannot be read; what is wrong with one signer is in its outcome.
    """
    try:
        reader = Reader(signature)
        header = read_signed(reader, open_cms(reader))
        if reader.more(header.ends[1]):
            raise Malformed(detail="content inside a detached signature")
        reader.leave(header.ends[1])
        signers = read_signers(reader, header)
    except BerError as error:
        raise Malformed(detail=error.detail) from error
    return _examined(header.content_type, signers, _Content(content), known)


def examine_opaque(
    source: Iterable[Buffer], write: Callable[[Buffer], object], known: Sequence[bytes] = ()
) -> Examined:
    """The signers of the content inside ``source``, which goes to ``write`` as it passes by.

    Raises Malformed and Unsupported when the whole cannot be read: then nothing that was written counts.
    """
    try:
        reader = Reader(source)
        header = read_signed(reader, open_cms(reader))
        hashes = {each.name: Hash(each.function) for each in _known_digests(header.digests)}
        start = b""
        length = 0
        if reader.more(header.ends[1]):
            explicit = reader.enter(0xA0)
            for piece in reader.octets(der.OCTET_STRING):
                for each in hashes.values():
                    each.update(piece)
                start = start or bytes(piece[:16])
                length += len(piece)
                write(piece)
            reader.leave(explicit)
        reader.leave(header.ends[1])
        signers = read_signers(reader, header)
    except BerError as error:
        raise Malformed(detail=error.detail) from error
    made = {name: each.finalize() for name, each in hashes.items()}
    return _examined(header.content_type, signers, _Streamed(made, _is_der_set(start, length)), known)


def _known_digests(algorithms: Iterable[Algorithm]) -> list[Digest]:
    found = []
    for algorithm in algorithms:
        try:
            found.append(digest_of(algorithm))
        except Unsupported:
            continue  # a signer that uses it will be told so
    return found


def verify_detached(signature: Iterable[Buffer], content: Buffer, known: Sequence[bytes] = ()) -> tuple[Signer, ...]:
    """The signers of ``content``; raises what is wrong. See Examined.verify."""
    return examine_detached(signature, content, known).verify()


def verify_opaque(
    source: Iterable[Buffer], write: Callable[[Buffer], object], known: Sequence[bytes] = ()
) -> tuple[Signer, ...]:
    """The signers of the content inside; raises what is wrong, and then what was written does not count."""
    return examine_opaque(source, write, known).verify()


def _examined(content_type: bytes, signers: Signers, content: _Content | _Streamed, known: Sequence[bytes]) -> Examined:
    candidates = [found for each in (*signers.certificates, *known) if (found := _certificate(each)) is not None]
    outcomes = []
    for info in signers.signers:
        try:
            outcomes.append(Outcome(info.signer, _signer(info, content_type, content, candidates), None))
        except Weak as fault:
            outcomes.append(Outcome(info.signer, fault.signer, fault))
        except SmimeError as fault:
            outcomes.append(Outcome(info.signer, None, fault))
        except BerError as error:
            outcomes.append(Outcome(info.signer, None, Malformed(detail=error.detail)))
    unlike = isinstance(content, _Content) and content.unlike and any(each.signer for each in outcomes)
    return Examined(tuple(outcomes), signers.certificates, unlike)


def _certificate(octets: bytes) -> Certificate | None:
    try:
        return parse(octets)
    except MalformedCertificate:
        return None


def _signer(
    info: SignerInfo, content_type: bytes, content: _Content | _Streamed, candidates: Sequence[Certificate]
) -> Signer:
    if content_type != oid.DATA:  # RFC 8551 2.4.2
        raise Unsupported(detail="signed content that is not data")
    digest = digest_of(info.digest)
    named = [each for each in dict.fromkeys(candidates) if info.signer.names(each)]
    if not named:
        raise NoCertificate
    fault: SmimeError = BadSignature()
    for certificate in named[:_MAX_NAMESAKES]:
        try:
            return _signed_by(party(certificate), info, digest, content)
        except (BadSignature, Unsupported) as found:
            fault = found
    raise fault


def _signed_by(signer: Party, info: SignerInfo, digest: Digest, content: _Content | _Streamed) -> Signer:
    key = signer.verifying
    said = Said()
    if info.attributes is None:
        if content.is_set:
            raise Malformed(detail="content that could be signed attributes")
        name = _check_bare(signer, info, digest, content)
    else:
        digests = content.digests(digest)
        said = check_attributes(info, info.attributes, digests, signer.certificate)
        name = check_signature(key, info.algorithm, digest, info.signed, info.signature, prehashed=False)
    weak = (
        *((digest.name,) if digest.weak else ()),
        *((f"{signer.kind}-{signer.certificate.key_bits}",) if signer.is_weak else ()),
    )
    found = Signer(signer.certificate, name, digest.name, *said, weak)
    if weak:
        raise Weak(found)
    return found


def _check_bare(signer: Party, info: SignerInfo, digest: Digest, content: _Content | _Streamed) -> str:
    """A signature over the content itself, or its digest, in one of its forms."""
    key = signer.verifying
    pure = signs_whole(key)
    for form in content.whole() if pure else content.digests(digest):
        try:
            return check_signature(key, info.algorithm, digest, bytes(form), info.signature, prehashed=not pure)
        except BadSignature:
            continue
    raise BadSignature


def author(message: Entity) -> str:
    """The address in the From field, in match form. Raises AddressMismatch unless there is exactly one.

    A display name that holds another address than the real one is what readers would see: it is no author either.
    """
    fields = message.values(b"from")
    try:
        found = mailboxes(fields[0]) if len(fields) == 1 else ()
    except UnclearMailboxes as error:
        raise AddressMismatch(detail="From cannot be read without doubt") from error
    if len(found) != 1:
        raise AddressMismatch(detail=f"{len(fields)} From fields, {len(found)} addresses")
    address = match_form(str(found[0].address))
    if any(match_form(each) != address for each in _ADDRESS_LIKE.findall(as_seen(found[0].display))):
        raise AddressMismatch(detail="the display name holds another address")
    return address


def check_author(signer: Certificate, message: Entity) -> None:
    """Raises AddressMismatch unless the certificate is for the author in From (RFC 8550 3; never Sender, Reply-To)."""
    address = author(message)
    if not address or address not in signer.addresses:
        raise AddressMismatch(detail="the certificate has another address")
