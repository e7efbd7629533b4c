"""OCSP answers: what one says about a certificate, and whether the one who says it may.

Guarantees
    ``status`` says good or revoked only of an answer that names exactly this certificate, is signed by its issuer's key
    or by a responder that this very key authorised, and whose times hold; anything else is None, with the reason.
    Pure: the answer, the certificates and the time come in. The nonce is judged by who sent one: ``check_nonce``.

Standards
    RFC 6960 3.2 and 4.2.2 (acceptance, responders), 4.4.1 (nonce), RFC 9654 (length of the nonce), RFC 5019 4 (caching).

Raises
    MalformedAnswer, by ``parse`` and ``check_nonce``.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from letterlock.pki.certificate import Certificate, key_octets, name_key
from letterlock.pki.certificate import parse as parse_certificate
from letterlock.pki.errors import MalformedAnswer, MalformedCertificate
from letterlock.pki.packed import Entry

MAX_OCTETS: Final = 1 << 20
MAX_SINGLES: Final = 1000
SKEW: Final = timedelta(minutes=5)
"""How far a responder's clock may be ahead of ours."""
LONGEST: Final = timedelta(days=7)
"""How long an answer without nextUpdate is believed at most; RFC 6960 4.2.2.1 would have it asked anew each time."""

_WEAK = ("md5", "sha1")
_OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
_NO_CHECK = "1.3.6.1.5.5.7.48.1.5"  # RFC 6960 4.2.2.2.1


class Status(NamedTuple):
    """``state`` None: the answer does not help, and ``why`` not. ``until``: how long it may be believed.
    ``responder``: the delegated one, when its own revocation must be looked up; None when nothing is left to ask.
    ``revoked``: why and when."""

    state: Literal["good", "revoked"] | None
    until: datetime | None = None
    why: str = ""
    responder: Certificate | None = None
    revoked: Entry | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Equal and hashable by its octets."""

    digest: bytes
    parsed: ocsp.OCSPResponse = field(compare=False, repr=False)


@lru_cache(maxsize=1024)
def parse(der: bytes) -> Answer:
    """The answer in ``der``. Raises MalformedAnswer, also when the responder says it cannot answer."""
    if len(der) > MAX_OCTETS:
        raise MalformedAnswer(detail=f"{len(der)} octets")
    try:
        parsed = ocsp.load_der_ocsp_response(der)
        if parsed.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise MalformedAnswer(f"The OCSP responder answered {parsed.response_status.name.lower()}.")
        _ = parsed.extensions, parsed.certificates, parsed.produced_at_utc  # raise now what they raise
    except MalformedAnswer:
        raise
    except Exception as error:  # hostile octets, as in certificate.parse
        raise MalformedAnswer(detail=f"{type(error).__name__}: {str(error)[:200]}") from error
    return Answer(hashlib.sha256(der).digest(), parsed)


def check_nonce(answer: Answer, nonce: bytes) -> None:
    """Raises MalformedAnswer unless the answer carries the nonce that was sent (RFC 6960 4.4.1)."""
    try:
        found = answer.parsed.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        found = b""
    if not hmac.compare_digest(found, nonce):
        raise MalformedAnswer("The OCSP answer is not to our question: its nonce is another.")


def status(answer: Answer, certificate: Certificate, issuer: Certificate, at: datetime) -> Status:
    """What the answer says of ``certificate``, issued by ``issuer``, at this (aware) time."""
    try:
        single = _single(answer, certificate, issuer)
        if single is None:
            return Status(None, why="the answer is about another certificate")
        produced = answer.parsed.produced_at_utc
        until = single.next_update_utc or single.this_update_utc + LONGEST
        if single.this_update_utc > at + SKEW or produced > at + SKEW or at > until:
            return Status(None, why="the answer is not of this time")
        signer = _signer(answer, issuer, at)
    except (ValueError, UnsupportedAlgorithm, TypeError) as error:
        return Status(None, why=f"the answer cannot be read: {str(error)[:100]}")
    if isinstance(signer, str):
        return Status(None, why=signer)
    checked = signer == issuer or signer.extension(_NO_CHECK) is not None
    left = None if checked else signer
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        why = single.revocation_reason or x509.ReasonFlags.unspecified
        when = single.revocation_time_utc or single.this_update_utc
        return Status("revoked", until, responder=left, revoked=Entry(why, when))
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return Status("good", min(until, signer.not_after), responder=left)
    return Status(None, why="the responder does not know the certificate")


def _single(answer: Answer, certificate: Certificate, issuer: Certificate) -> ocsp.OCSPSingleResponse | None:
    """The part of the answer about this certificate: serial number, and digests of its issuer's name and key."""
    for count, single in enumerate(answer.parsed.responses):
        if count >= MAX_SINGLES:
            break
        if single.serial_number != certificate.serial:
            continue
        digest = single.hash_algorithm.name
        if digest not in ("sha1", "sha256", "sha384", "sha512"):
            continue
        # Digests of public values, as the certificate identifier has them: no strength is asked of SHA-1 here.
        name = hashlib.new(digest, certificate.issuer_der, usedforsecurity=False).digest()
        key = hashlib.new(digest, key_octets(issuer.spki), usedforsecurity=False).digest()
        if (name, key) == (single.issuer_name_hash, single.issuer_key_hash):
            return single
    return None


def _signer(answer: Answer, issuer: Certificate, at: datetime) -> Certificate | str:
    """Whose signature the answer bears, if that one may answer for the issuer; else why not (RFC 6960 4.2.2.2)."""
    if _is_named(answer, issuer) and _is_signed_by(answer, issuer):
        return issuer
    why = "the signature is neither the issuer's nor an authorised responder's"
    for each in answer.parsed.certificates[:5]:
        try:
            found = parse_certificate(each.public_bytes(serialization.Encoding.DER))
        except MalformedCertificate:
            continue
        if not _is_named(answer, found):
            continue
        if found.issuer_key != issuer.subject_key or not _is_issued_by(found, issuer):
            why = "the responder's certificate is not by the issuer of the certificate asked about"
        elif found.purposes is None or _OCSP_SIGNING not in found.purposes:
            why = "the responder's certificate is not for answering"
        elif found.key_usage is not None and "digital_signature" not in found.key_usage:
            why = "the responder's key is not for signing"
        elif not found.not_before <= at <= found.not_after:
            why = "the responder's certificate is not valid now"
        elif _is_signed_by(answer, found):
            return found
        else:
            why = "the signature is wrong"
    return why


def _is_named(answer: Answer, certificate: Certificate) -> bool:
    """The responder's identifier is this certificate's, by name or by the digest of its key."""
    name, key = answer.parsed.responder_name, answer.parsed.responder_key_hash
    if name is not None:
        return name_key(name) == certificate.subject_key
    return key == hashlib.sha1(key_octets(certificate.spki), usedforsecurity=False).digest()


def _is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        certificate.parsed.verify_directly_issued_by(issuer.parsed)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return certificate.digest not in _WEAK


@lru_cache(maxsize=2048)
def _is_signed_by(answer: Answer, signer: Certificate) -> bool:
    """The answer's signature fits the key in this certificate, with a digest that is still safe."""
    parsed = answer.parsed
    try:
        key, digest = signer.parsed.public_key(), parsed.signature_hash_algorithm
        octets, tbs = parsed.signature, parsed.tbs_response_bytes
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(octets, tbs)
            return True
        if digest is None or digest.name in _WEAK:
            return False
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(octets, tbs, _padding(parsed, digest), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(octets, tbs, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _padding(parsed: ocsp.OCSPResponse, digest: hashes.HashAlgorithm) -> padding.AsymmetricPadding:
    if parsed.signature_algorithm_oid == x509.SignatureAlgorithmOID.RSASSA_PSS:
        return padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
    return padding.PKCS1v15()
