"""Certificate revocation lists: what is in one, parsed once; and where a certificate says its lists are.

Guarantees
    A Crl is immutable. ``parse`` reads everything but the entries; those of an ordinary list are searched by serial
    number in place, those of an indirect list are indexed at the first question.
    Nothing here says that a list may be believed: ``revocation.py`` asks who signed it and what it is for.

Standards
    RFC 5280 5 (lists), 5.2.5 (issuing distribution point), 5.3.3 (certificate issuer), 4.2.1.13 (distribution points).

Raises
    MalformedCrl, by ``parse`` only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.x509 import ReasonFlags

from letterlock.config import approved
from letterlock.pki.certificate import Certificate, name_key
from letterlock.pki.errors import MalformedCrl

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

    def entry(self, certificate: Certificate) -> ReasonFlags | None:
        """Why the list names the certificate, None when it does not. Raises MalformedCrl when it cannot be read."""
        try:
            if self.scope.indirect:
                return _indirect(self).get((certificate.issuer_key, certificate.serial))
            found = self.parsed.get_revoked_certificate_by_serial_number(certificate.serial)
            return _why(found) if found is not None else None
        except MalformedCrl:
            raise
        except Exception as error:  # hostile entries, as in parse: each kind means the same here
            raise MalformedCrl(detail=f"{type(error).__name__}: {str(error)[:200]}") from error


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
def _indirect(crl: Crl) -> dict[tuple[bytes, int], ReasonFlags]:
    """Entries by issuer and serial: an entry without certificateIssuer has that of the one before (RFC 5280 5.3.3)."""
    if len(crl.parsed) > MAX_INDIRECT:
        raise MalformedCrl("The indirect revocation list has too many entries.")
    found: dict[tuple[bytes, int], ReasonFlags] = {}
    issuer = crl.issuer_key
    for entry in crl.parsed:
        why = ReasonFlags.unspecified
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CertificateIssuer):
                names = extension.value.get_values_for_type(x509.DirectoryName)
                issuer = name_key(names[0]) if names else b""
            elif isinstance(extension.value, x509.CRLReason):
                why = extension.value.reason
        found[issuer, entry.serial_number] = why
    return found


@lru_cache(maxsize=4096)
def is_signed_by(crl: Crl, signer: Certificate) -> bool:
    """The list's signature fits the key in this certificate."""
    try:
        key = signer.parsed.public_key()
        digest = crl.parsed.signature_hash_algorithm
        if digest is not None and not approved.permits("digest", digest.name):
            return False
        if isinstance(key, dsa.DSAPublicKey):  # the library no longer asks such keys
            if digest is None or not approved.permits("signature", "dsa"):
                return False
            key.verify(crl.parsed.signature, crl.parsed.tbs_certlist_bytes, digest)
            return True
        return bool(crl.parsed.is_signature_valid(key))  # type: ignore[arg-type]  # other keys raise TypeError
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False


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
