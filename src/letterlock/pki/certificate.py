"""What we need of an X.509 certificate, parsed once.

Guarantees
    A Certificate is immutable and complete: ``parse`` reads every extension it needs at once, so nothing raises later.
    ``addresses`` are in match form (see ``match_form``): two addresses name the same mailbox iff their forms are equal.

Standards
    RFC 5280 4.1 and 4.2, RFC 8550 3 (addresses in certificates), RFC 9598 3 (SmtpUTF8Mailbox), RFC 5652 10.2.4
    (IssuerAndSerialNumber), RFC 5280 7.1 (comparison of names).

Raises
    MalformedCertificate, by ``parse`` only.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, mlkem, rsa, x448, x25519
from cryptography.x509.oid import NameOID, PublicKeyAlgorithmOID

from letterlock.mail.address import Address, AddressInvalid
from letterlock.pki.errors import MalformedCertificate

KeyKind = Literal["rsa", "rsa-pss", "ec", "x25519", "x448", "ed25519", "ed448", "ml-kem", "ml-dsa", "dsa", "other"]

EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"  # RFC 5280 4.2.1.12
ANY_PURPOSE = "2.5.29.37.0"

MAX_OCTETS = 256 * 1024
"""A certificate larger than this is not read. Post-quantum keys and signatures take some 10 KiB; names are small."""

_SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"
_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Equal and hashable by its octets.

    ``thumbprint``: SHA-256 of the DER, 32 octets. ``issuer_serial``: DER IssuerAndSerialNumber, as a CMS recipient or
    signer identifier carries it; ``issuer_der``: the issuer's name, its octets as they are. ``key_identifier``: the
    subjectKeyIdentifier extension or, where absent, the digest of RFC 5280 4.2.1.2 (1). ``key_usage``, ``purposes``
    (dotted OIDs): None when the extension is absent. ``path_length`` None: no limit. ``digest``: the hash under the
    issuer's signature, "" where the scheme has none of its own.
    """

    der: bytes
    thumbprint: bytes = field(compare=False)
    subject: str = field(compare=False)
    issuer: str = field(compare=False)
    subject_key: bytes = field(compare=False)
    issuer_key: bytes = field(compare=False)
    issuer_der: bytes = field(compare=False, repr=False)
    serial: int = field(compare=False)
    issuer_serial: bytes = field(compare=False)
    spki: bytes = field(compare=False)
    key_identifier: bytes = field(compare=False)
    has_key_identifier: bool = field(compare=False)
    authority_key_identifier: bytes | None = field(compare=False)
    addresses: tuple[str, ...] = field(compare=False)
    not_before: datetime = field(compare=False)
    not_after: datetime = field(compare=False)
    key_kind: KeyKind = field(compare=False)
    key_bits: int = field(compare=False)
    curve: str = field(compare=False)
    digest: str = field(compare=False)
    key_usage: frozenset[str] | None = field(compare=False)
    purposes: frozenset[str] | None = field(compare=False)
    is_authority: bool = field(compare=False)
    path_length: int | None = field(compare=False)
    parsed: x509.Certificate = field(compare=False, repr=False)

    def __repr__(self) -> str:
        return f"<Certificate {self.thumbprint.hex()[:16]} {self.subject}>"

    @property
    def is_self_issued(self) -> bool:
        """Subject and issuer are the same name (RFC 5280 3.2)."""
        return self.subject_key == self.issuer_key

    def names(self, address: str) -> bool:
        """The certificate is for this address, given in any form."""
        return match_form(address) in self.addresses

    def find(self, kind: type[_Extension]) -> _Extension | None:
        """An extension of a kind the library knows; None when absent."""
        return _find(self.parsed.extensions, kind)

    def extension(self, oid: str) -> bytes | None:
        """The DER of an extension we do not read ourselves, such as smimeCapabilities (RFC 4262); None when absent."""
        try:
            found = self.parsed.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value
        except (x509.ExtensionNotFound, ValueError):
            return None
        return found.public_bytes()


@lru_cache(maxsize=8192)
def match_form(address: str) -> str:
    """The form in which addresses are compared: ``mail.address``'s key, lower case with the domain as A-labels.

    Local parts are compared without regard to case: RFC 5321 2.4 allows to be stricter, but nobody runs mail so.
    Returns "", which equals no certificate's, for what is not an address and for a local part that folding would turn
    into another person's ASCII one (KELVIN SIGN becomes k).
    """
    try:
        found = Address.parse(address)
    except AddressInvalid:
        return ""
    if not found.is_ascii and any(_becomes_ascii(each) for each in found.local):
        return ""
    return found.key


def _becomes_ascii(character: str) -> bool:
    return not character.isascii() and unicodedata.normalize("NFC", character).lower().isascii()


@lru_cache(maxsize=2048)
def parse(der: bytes) -> Certificate:
    """The certificate in ``der``; parsed ones are kept. Raises MalformedCertificate."""
    if len(der) > MAX_OCTETS:
        raise MalformedCertificate(detail=f"{len(der)} octets")
    try:
        return _read(der, x509.load_der_x509_certificate(der))
    except MalformedCertificate:
        raise
    except Exception as error:  # hostile octets: the library raises many kinds, and each means the same here
        raise MalformedCertificate(detail=f"{type(error).__name__}: {str(error)[:200]}") from error


def _read(der: bytes, parsed: x509.Certificate) -> Certificate:
    """Every field of Certificate. Raises whatever the library does."""
    serial, issuer, spki = _fields(parsed.tbs_certificate_bytes)
    # Raises on a duplicate or unreadable one. Each is looked for once: the library goes through all of them.
    extensions = {type(each.value): each.value for each in parsed.extensions}
    kind, bits, curve = _public_key(parsed)
    implied = hashlib.sha1(key_octets(spki), usedforsecurity=False).digest()
    identifier = _of(extensions, x509.SubjectKeyIdentifier)
    issuer_identifier = _of(extensions, x509.AuthorityKeyIdentifier)
    usage = _of(extensions, x509.KeyUsage)
    purposes = _of(extensions, x509.ExtendedKeyUsage)
    constraints = _of(extensions, x509.BasicConstraints)
    issued_by = _issuer(issuer, parsed)
    return Certificate(
        der=der,
        thumbprint=hashlib.sha256(der).digest(),
        subject=_text(parsed.subject),
        issuer=issued_by.text,
        subject_key=name_key(parsed.subject),
        issuer_key=issued_by.key,
        issuer_der=issuer,
        serial=parsed.serial_number,
        issuer_serial=_tlv(0x30, issuer + serial),
        spki=spki,
        key_identifier=identifier.digest if identifier else implied,
        has_key_identifier=identifier is not None,
        authority_key_identifier=issuer_identifier.key_identifier if issuer_identifier else None,
        addresses=_addresses(parsed.subject, _of(extensions, x509.SubjectAlternativeName)),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        key_kind=kind,
        key_bits=bits,
        curve=curve,
        digest=_digest(parsed),
        key_usage=frozenset(n for n in _KEY_USAGES if getattr(usage, n)) if usage else None,
        purposes=frozenset(each.dotted_string for each in purposes) if purposes else None,
        is_authority=bool(constraints and constraints.ca),
        path_length=constraints.path_length if constraints else None,
        parsed=parsed,
    )


def _of(extensions: Mapping[type, x509.ExtensionType], kind: type[_Extension]) -> _Extension | None:
    return cast("_Extension | None", extensions.get(kind))


class _Name(NamedTuple):
    """A name for people, and the digest by which it is compared."""

    text: str
    key: bytes


_MOST_ISSUERS = 2048
_issuers: dict[bytes, _Name] = {}


def _issuer(octets: bytes, parsed: x509.Certificate) -> _Name:
    """The issuer's name; many certificates have the same. ``octets``: its DER."""
    found = _issuers.get(octets)
    if found is None:
        if len(_issuers) >= _MOST_ISSUERS:
            _issuers.clear()
        found = _issuers[octets] = _Name(_text(parsed.issuer), name_key(parsed.issuer))
    return found


def _find(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _addresses(subject: x509.Name, alternative: x509.SubjectAlternativeName | None) -> tuple[str, ...]:
    """Match forms of rfc822Name, SmtpUTF8Mailbox and emailAddress in the subject (RFC 8550 3), each once."""
    found: list[str] = []
    for name in alternative or ():
        if isinstance(name, x509.RFC822Name):
            found.append(name.value)
        elif isinstance(name, x509.OtherName) and name.type_id.dotted_string == _SMTP_UTF8_MAILBOX:
            tag, value, rest = _split(name.value)
            if tag == 0x0C and not rest:  # UTF8String; RFC 9598 3
                found.append(value.decode("utf-8"))
    found += [str(each.value) for each in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    return tuple(dict.fromkeys(form for each in found if (form := match_form(each))))


def _public_key(parsed: x509.Certificate) -> tuple[KeyKind, int, str]:
    """Kind, size in bits (0 where it says nothing) and curve. A key we cannot load is "other": listed, never used."""
    try:
        key = parsed.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return "other", 0, ""
    if isinstance(key, rsa.RSAPublicKey):
        restricted = parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
        return ("rsa-pss" if restricted else "rsa"), key.key_size, ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ec", key.key_size, key.curve.name
    if isinstance(key, dsa.DSAPublicKey):
        return "dsa", key.key_size, ""
    for kind, classes in _OTHER_KINDS.items():
        if isinstance(key, classes):
            return kind, 0, ""
    return "other", 0, ""


_OTHER_KINDS: dict[KeyKind, tuple[type, ...]] = {
    "ed25519": (ed25519.Ed25519PublicKey,),
    "ed448": (ed448.Ed448PublicKey,),
    "x25519": (x25519.X25519PublicKey,),
    "x448": (x448.X448PublicKey,),
    "ml-dsa": (mldsa.MLDSA44PublicKey, mldsa.MLDSA65PublicKey, mldsa.MLDSA87PublicKey),
    "ml-kem": (mlkem.MLKEM768PublicKey, mlkem.MLKEM1024PublicKey),
}


def _digest(parsed: x509.Certificate) -> str:
    try:
        algorithm = parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "unknown"
    return algorithm.name if algorithm else ""


def _text(name: x509.Name) -> str:
    """A name for people to read (RFC 4514), one line, bounded."""
    return "".join(c if c.isprintable() else "?" for c in name.rfc4514_string())[:500]


_BLANKS = re.compile(r"\s+")


def name_key(name: x509.Name) -> bytes:
    """A digest, equal for names that RFC 5280 7.1 calls equal: string type, case and runs of blanks do not count."""
    parts = [sorted(f"{each.oid.dotted_string}={_folded(each.value)}" for each in relative) for relative in name.rdns]
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()


def _folded(value: str | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else _BLANKS.sub(" ", value.strip()).casefold()


def _fields(tbs: bytes) -> tuple[bytes, bytes, bytes]:
    """Serial number, issuer and subjectPublicKeyInfo of a tbsCertificate, each a whole TLV with its octets as they are.

    The library would encode a name anew; a recipient identifier must carry the issuer's own octets (RFC 5652 10.2.4).
    """
    at = _ends(tbs, 0)[0]
    if tbs[at] == 0xA0:  # version, explicit [0]
        at = _ends(tbs, at)[1]
    taken = []
    for _ in range(6):  # serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
        after = _ends(tbs, at)[1]
        taken.append(tbs[at:after])
        at = after
    return taken[0], taken[2], taken[5]


def key_octets(spki: bytes) -> bytes:
    """The octets of the subjectPublicKey BIT STRING in a SubjectPublicKeyInfo, as RFC 5280 4.2.1.2 (1) digests them."""
    inner = _split(spki)[1]
    return _split(_split(inner)[2])[1][1:]


def _ends(octets: bytes, at: int) -> tuple[int, int]:
    """Where the value of the TLV at ``at`` begins and ends. Only for octets the library has already taken as DER."""
    length, start = octets[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(octets[at + 2 : start], "big")
    if start + length > len(octets):
        raise ValueError("a length reaches beyond its container")
    return start, start + length


def _split(octets: bytes) -> tuple[int, bytes, bytes]:
    """Tag, value and what follows of the first TLV."""
    start, end = _ends(octets, 0)
    return octets[0], octets[start:end], octets[end:]


def _tlv(tag: int, value: bytes) -> bytes:
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value
