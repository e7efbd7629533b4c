"""What RFC 5280 4 asks of those who issue certificates, for when strictness is asked: `letterlock pki check`.

Guarantees
    Rules on the octets of one chain, nothing else. They are not asked for mail (``path.Rules.strict``): authorities that
    leave out a key identifier or a criticality are frequent in companies, and harm nobody.
    Left out on purpose, since validation must bear it: negative serial numbers (4.1.2.2), and as PKITS has them,
    policy constraints that are not critical.

Standards
    RFC 5280 4.1.2.2 (serial), 4.1.2.4 and 4.1.2.6 (names), 4.2.1.1 to 4.2.1.14 (extensions), RFC 5321 4.1.2 (mailboxes),
    RFC 9525 6.3 (wildcards against name constraints).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509

from letterlock.mail.address import Address, AddressInvalid
from letterlock.pki.certificate import Certificate
from letterlock.pki.chains import Path
from letterlock.pki.reasons import Reason


class Fault(NamedTuple):
    """A broken rule. ``detail``: for the administrator."""

    reason: Reason
    detail: str


def chain_faults(path: Path) -> list[Fault]:
    """The rules that a chain breaks; ``path``: from the certificate to the anchor."""
    found: list[Fault] = []
    for depth, each in enumerate(path):
        words = [*_faults(each)] + ([*_authority_faults(each)] if depth else [])
        if depth < len(path) - 1:
            words += _link_faults(each)
        elif not _is_marked(each):
            words.append("the basic constraints of the anchor are not critical")
        found += [Fault(Reason.NONCONFORMING, f"{word} (certificate {depth})") for word in words]
    found += [Fault(Reason.NAME_CONSTRAINT, word) for word in _wildcard_faults(path)]
    return found


@lru_cache(maxsize=2048)
def _faults(certificate: Certificate) -> tuple[str, ...]:
    """What any certificate must keep."""
    return tuple(_each_fault(certificate))


def _each_fault(certificate: Certificate) -> Iterator[str]:
    parsed = certificate.parsed
    length = (certificate.serial.bit_length() + 8) // 8
    if certificate.serial == 0 or length > 20:  # 4.1.2.2
        yield "the serial number is zero or longer than 20 octets"
    if not parsed.issuer.rdns:  # 4.1.2.4
        yield "the issuer has no name"
    usage = certificate.key_usage or frozenset()
    if not certificate.is_authority:
        if "key_cert_sign" in usage:  # 4.2.1.9
            yield "it may sign certificates but is no authority"
        if certificate.path_length is not None:
            yield "it has a path length but is no authority"
    for extension in parsed.extensions:
        yield from _extension_faults(certificate, extension)


_NEVER_CRITICAL = (
    x509.AuthorityKeyIdentifier,  # 4.2.1.1
    x509.SubjectKeyIdentifier,  # 4.2.1.2
    x509.AuthorityInformationAccess,  # 4.2.2.1
    x509.SubjectInformationAccess,
    x509.FreshestCRL,  # 4.2.1.15
)
_ALWAYS_CRITICAL = (x509.NameConstraints, x509.InhibitAnyPolicy)  # 4.2.1.10, 4.2.1.14


def _extension_faults(certificate: Certificate, extension: x509.Extension[x509.ExtensionType]) -> Iterator[str]:
    value, name = extension.value, type(extension.value).__name__
    if extension.critical and isinstance(value, _NEVER_CRITICAL):
        yield f"{name} is critical"
    if not extension.critical and isinstance(value, _ALWAYS_CRITICAL):
        yield f"{name} is not critical"
    if isinstance(value, x509.NameConstraints):
        if not certificate.is_authority:  # 4.2.1.10
            yield "it has name constraints but is no authority"
        for constraint in (*(value.permitted_subtrees or ()), *(value.excluded_subtrees or ())):
            if isinstance(constraint, x509.DNSName) and constraint.value.startswith("."):
                yield "a name constraint on domains begins with a period"
    elif isinstance(value, x509.SubjectAlternativeName):
        if not certificate.parsed.subject.rdns and not extension.critical:  # 4.2.1.6
            yield "the only name is not critical"
        for alternative in value:
            if isinstance(alternative, x509.DNSName) and not _is_domain(alternative.value):
                yield f"{alternative.value[:100]!r} is no domain name"
            if isinstance(alternative, x509.RFC822Name) and not _is_mailbox(alternative.value):
                yield f"{alternative.value[:100]!r} is no address"


_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def _is_domain(name: str) -> bool:
    """The preferred syntax of 4.2.1.6, a wildcard as the first label included; an IP address is none."""
    labels = name.split(".")
    if labels[0] == "*":
        labels = labels[1:]
    well = bool(labels) and all(_LABEL.fullmatch(each) for each in labels)
    return well and len(name) <= 253 and not labels[-1].isdigit()


def _is_mailbox(name: str) -> bool:
    try:
        Address.parse(name)
    except AddressInvalid:
        return False
    return name.isascii()  # others are SmtpUTF8Mailbox, RFC 9598 3


@lru_cache(maxsize=2048)
def _authority_faults(certificate: Certificate) -> tuple[str, ...]:
    """What only those that issue must keep."""
    found: list[str] = []
    if not certificate.parsed.subject.rdns:  # 4.1.2.6
        found.append("an authority has no name")
    if not certificate.has_key_identifier:  # 4.2.1.2
        found.append("the subject key identifier of an authority is missing")
    if not certificate.is_authority:  # 4.2.1.9; of an anchor OpenSSL asks nothing
        found.append("an authority has no basic constraints that say so")
    return tuple(found)


def _link_faults(certificate: Certificate) -> list[str]:
    """What one below an anchor must keep: whose key signed the anchor itself does not matter."""
    if certificate.authority_key_identifier is None and not certificate.is_self_issued:  # 4.2.1.1
        return ["the authority key identifier is missing"]
    return []


def _is_marked(anchor: Certificate) -> bool:
    """Asked of anchors only: intermediates without the mark must be borne (PKITS 4.6.4)."""
    try:
        return anchor.parsed.extensions.get_extension_for_class(x509.BasicConstraints).critical
    except x509.ExtensionNotFound:
        return True


def _wildcard_faults(path: Path) -> Iterator[str]:
    """A wildcard whose names include one that an authority above may not issue for."""
    excluded = {name for each in path[1:] for name in _excluded_domains(each)}
    if not excluded:
        return
    for each in path[:-1]:
        for name in _wildcards(each):
            if any(other.partition(".")[2] == name for other in excluded):
                yield f"*.{name} includes a name that an authority above may not issue for"


@lru_cache(maxsize=2048)
def _excluded_domains(certificate: Certificate) -> frozenset[str]:
    try:
        value = certificate.parsed.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return frozenset()
    found = [each.value for each in value.excluded_subtrees or () if isinstance(each, x509.DNSName)]
    return frozenset(each.lower() for each in found)


def _wildcards(certificate: Certificate) -> list[str]:
    try:
        value = certificate.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [each[2:].lower() for each in value.get_values_for_type(x509.DNSName) if each.startswith("*.")]
