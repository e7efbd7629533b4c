"""Certificate revocation lists: what is in one, parsed once; and where a certificate says its lists are.

Guarantees
    A Crl is immutable. ``parse`` reads everything but the entries; those of an ordinary list are searched by serial
    number in place, those of an indirect list are indexed at the first question. ``outline`` is for a long list: its
    entries were packed elsewhere, and neither it nor a search takes time that grows with them.
    Nothing here says that a list may be believed: ``revocation.py`` asks who signed it and what it is for.

Standards
    RFC 5280 5 (lists), 5.2.5 (issuing distribution point), 5.3.3 (certificate issuer), 4.2.1.13 (distribution points).

Raises
    MalformedCrl, by ``parse`` only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.x509 import ReasonFlags

from letterlock.config import approved
from letterlock.pki.certificate import Certificate, name_key
from letterlock.pki.errors import MalformedCrl
from letterlock.pki.packed import Entry, Packed, cut, walk

MAX_OCTETS: Final = 64 << 20
MAX_INDIRECT: Final = 500_000
"""Entries of an indirect list that are indexed; a longer one is not used."""

ALL_REASONS: Final = frozenset(ReasonFlags) - {ReasonFlags.unspecified, ReasonFlags.remove_from_crl}
"""What a ReasonFlags BIT STRING can name (RFC 5280 4.2.1.13): complete when all of them are covered."""


class Scope(NamedTuple):
    """The issuing distribution point of a list. ``names`` None: the list names none, and covers all of its issuer's."""

    names: frozenset[bytes] | None = None
    users_only: bool = False
    authorities_only: bool = False
    attributes_only: bool = False
    indirect: bool = False
    reasons: frozenset[ReasonFlags] = ALL_REASONS


class Point(NamedTuple):
    """A distribution point of a certificate. ``issuers``: name keys of cRLIssuer; None: the certificate's issuer."""

    names: frozenset[bytes] | None
    issuers: frozenset[bytes] | None
    reasons: frozenset[ReasonFlags]


@dataclass(frozen=True, slots=True)
class Crl:
    """One list. Equal and hashable by its octets. ``number`` None: it has none. ``base`` not None: a delta to that."""

    digest: bytes
    octets: int = field(compare=False)
    issuer: str = field(compare=False)
    issuer_key: bytes = field(compare=False)
    authority_key_identifier: bytes | None = field(compare=False)
    this_update: datetime = field(compare=False)
    next_update: datetime | None = field(compare=False)
    number: int | None = field(compare=False)
    base: int | None = field(compare=False)
    scope: Scope = field(compare=False)
    unknown_critical: bool = field(compare=False)
    parsed: x509.CertificateRevocationList = field(compare=False, repr=False)
    packed: Packed | None = field(compare=False, repr=False, default=None)
    """The entries of a long list; ``parsed`` is then the list without them."""
    signed: bytes = field(compare=False, repr=False, default=b"")
    """Of a long list: the digest that its signature is about, or where the scheme takes none, all of the octets."""

    def entry(self, certificate: Certificate) -> Entry | None:
        """Why the list names the certificate, None when it does not. Raises MalformedCrl when it cannot be read."""
        try:
            if self.packed is not None:
                return self.packed.find(certificate.issuer_key, certificate.serial)
            if self.scope.indirect:
                return _indirect(self).get((certificate.issuer_key, certificate.serial))
            found = self.parsed.get_revoked_certificate_by_serial_number(certificate.serial)
            return Entry(_why(found), found.revocation_date_utc) if found is not None else None
        except MalformedCrl:
            raise
        except Exception as error:  # hostile entries, as in parse: each kind means the same here
            raise MalformedCrl(detail=f"{type(error).__name__}: {str(error)[:200]}") from error

    @property
    def held(self) -> int:
        """Octets of memory it takes, about."""
        return len(self.packed.octets) + len(self.signed) if self.packed else self.octets


@lru_cache(maxsize=64)
def parse(der: bytes) -> Crl:
    """The list in ``der``; the latest parsed ones are kept. Raises MalformedCrl."""
    if len(der) > MAX_OCTETS:
        raise MalformedCrl(f"The revocation list is larger than {MAX_OCTETS >> 20} MiB.")
    try:
        return _read(der, x509.load_der_x509_crl(der))
    except MalformedCrl:
        raise
    except Exception as error:  # hostile octets: the library raises many kinds, and each means the same here
        raise MalformedCrl(detail=f"{type(error).__name__}: {str(error)[:200]}") from error


def outline(der: bytes, packed: Packed) -> Crl:
    """The long list in ``der``, whose entries a child has packed. Takes a while, without the interpreter's lock: it is
    for a thread. Raises MalformedCrl."""
    rest, tbs = cut(der)
    made = parse(rest)
    if made.scope.indirect != packed.named:
        raise MalformedCrl(detail="the entries are packed for another kind of list")
    try:
        algorithm = made.parsed.signature_hash_algorithm
        signed = hashlib.new(algorithm.name, tbs).digest() if algorithm is not None else bytes(tbs)
    except (UnsupportedAlgorithm, ValueError) as error:
        raise MalformedCrl(detail=str(error)[:200]) from error
    return replace(made, digest=hashlib.sha256(der).digest(), octets=len(der), packed=packed, signed=signed)


def _read(der: bytes, parsed: x509.CertificateRevocationList) -> Crl:
    number = base = key = None
    scope = Scope()
    unknown = False
    issuer = name_key(parsed.issuer)
    for extension in parsed.extensions:
        value = extension.value
        if isinstance(value, x509.CRLNumber):
            number = value.crl_number
            unknown = unknown or extension.critical  # RFC 5280 5.2.3: it never is
        elif isinstance(value, x509.DeltaCRLIndicator):
            base = value.crl_number
        elif isinstance(value, x509.AuthorityKeyIdentifier):
            key = value.key_identifier
        elif isinstance(value, x509.IssuingDistributionPoint):
            scope = Scope(
                _names(value.full_name, value.relative_name, parsed.issuer),
                value.only_contains_user_certs,
                value.only_contains_ca_certs,
                value.only_contains_attribute_certs,
                value.indirect_crl,
                value.only_some_reasons or ALL_REASONS,
            )
        elif extension.critical:
            unknown = True
    digest = hashlib.sha256(der).digest()
    named = parsed.issuer.rfc4514_string()[:500]
    since, until = parsed.last_update_utc, parsed.next_update_utc
    return Crl(digest, len(der), named, issuer, key, since, until, number, base, scope, unknown, parsed)


def _names(
    full: list[x509.GeneralName] | None, relative: x509.RelativeDistinguishedName | None, above: x509.Name
) -> frozenset[bytes] | None:
    """A distribution point's names, each in a form that can be compared; None when there are none."""
    if full is not None:
        return frozenset(_general(each) for each in full)
    if relative is not None:
        return frozenset((b"d" + name_key(x509.Name([*above.rdns, relative])),))
    return None


def _general(name: x509.GeneralName) -> bytes:
    if isinstance(name, x509.DirectoryName):
        return b"d" + name_key(name.value)
    return f"{type(name).__name__} {name.value!r}".encode("utf-8", "surrogatepass")


def _why(entry: x509.RevokedCertificate) -> ReasonFlags:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return ReasonFlags.unspecified


@lru_cache(maxsize=16)
def _indirect(crl: Crl) -> dict[tuple[bytes, int], Entry]:
    """Entries by issuer and serial."""
    if len(crl.parsed) > MAX_INDIRECT:
        raise MalformedCrl("The indirect revocation list has too many entries.")
    return {(issuer, serial): entry for issuer, serial, entry in walk(crl.parsed)}


_MOST_SIGNATURES: Final = 4096
_signatures: dict[tuple[bytes, bytes], bool] = {}


def is_signed_by(crl: Crl, signer: Certificate) -> bool:
    """The list's signature fits the key in this certificate. Remembered by digests: no list is kept alive for it."""
    pair = (crl.digest, signer.thumbprint)
    found = _signatures.get(pair)
    if found is None:
        if len(_signatures) >= _MOST_SIGNATURES:
            _signatures.clear()
        found = _signatures[pair] = _fits(crl, signer)
    return found


def _fits(crl: Crl, signer: Certificate) -> bool:
    parsed = crl.parsed
    try:
        key = signer.parsed.public_key()
        digest = parsed.signature_hash_algorithm
        if digest is not None and not approved.permits("digest", digest.name):
            return False
        if crl.packed is None and not isinstance(key, dsa.DSAPublicKey):  # the library no longer asks such keys
            return bool(parsed.is_signature_valid(key))  # type: ignore[arg-type]  # other keys raise TypeError
        signed = crl.signed or parsed.tbs_certlist_bytes
        how = Prehashed(digest) if crl.packed is not None and digest is not None else digest
        if isinstance(key, rsa.RSAPublicKey) and how is not None:
            scheme = parsed.signature_algorithm_parameters
            if not isinstance(scheme, padding.PSS | padding.PKCS1v15):
                return False
            key.verify(parsed.signature, signed, scheme, how)
        elif isinstance(key, ec.EllipticCurvePublicKey) and how is not None:
            key.verify(parsed.signature, signed, ec.ECDSA(how))
        elif isinstance(key, dsa.DSAPublicKey) and how is not None and approved.permits("signature", "dsa"):
            key.verify(parsed.signature, signed, how)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and digest is None:
            key.verify(parsed.signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


@lru_cache(maxsize=4096)
def points(certificate: Certificate) -> tuple[Point, ...]:
    """Where the certificate says it may be found revoked; last the point it need not say (RFC 5280 6.3.3)."""
    found: list[Point] = []
    try:
        said = certificate.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        said = x509.CRLDistributionPoints([])
    for each in said:
        others = [name.value for name in each.crl_issuer or () if isinstance(name, x509.DirectoryName)]
        above = others[0] if others else certificate.parsed.issuer
        names = _names(each.full_name, each.relative_name, above)
        issuers = frozenset(name_key(name) for name in others) if each.crl_issuer else None
        if names is None and others:
            names = frozenset(b"d" + name_key(name) for name in others)
        found.append(Point(names, issuers, each.reasons or ALL_REASONS))
    implied = frozenset((b"d" + certificate.issuer_key,))
    return (*found, Point(implied, None, ALL_REASONS))


def is_fresh(crl: Crl, at: datetime) -> bool:
    """``at`` lies between the list's thisUpdate and nextUpdate; one without nextUpdate is never fresh (5.1.2.5)."""
    return crl.this_update <= at <= (crl.next_update or datetime.min.replace(tzinfo=UTC))
