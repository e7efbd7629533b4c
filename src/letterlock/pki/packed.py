"""The entries of a long revocation list, packed: made once, in a child, and then searched without reading the list again.

Order
    ``pack`` is the child's work: the list as it came goes in, all its entries come out, sorted, each of the same size.
    The parent cuts the entries out (``cut``) and reads what is left as a list without any; ``Packed`` answers for them.

Guarantees
    ``pack`` takes a list only when the library reads the whole of it; what it leaves out of an entry is never its serial
    number or reason. A child that lies can do so about its own list only: who signed that is asked of the octets.
    A search takes some twenty comparisons, however long the list.

Standards
    RFC 5280 5.1 (the parts of a list), 5.3.1 (reason), 5.3.3 (certificate issuer).

Raises
    MalformedCrl.

See also
    ``crl.py``, which asks; ``at_hand.py``, which has it done; docs/performance.md for what it takes.
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509 import ReasonFlags

from letterlock.asn1 import der
from letterlock.pki.certificate import name_key
from letterlock.pki.errors import MalformedCrl

NAME: Final = "list"
"""Under which name a ForkServer must have ``pack``."""
MAX_SERIAL: Final = 64
"""Octets of a serial number in a long list; RFC 5280 4.1.2.2 allows twenty."""

_DIGEST: Final = 20
_HEAD: Final = struct.Struct(">BBI")  # are issuers named, octets of a key, entries
_TAIL: Final = struct.Struct(">BI")  # reason, day
_REASONS: Final = {
    0: ReasonFlags.unspecified,
    1: ReasonFlags.key_compromise,
    2: ReasonFlags.ca_compromise,
    3: ReasonFlags.affiliation_changed,
    4: ReasonFlags.superseded,
    5: ReasonFlags.cessation_of_operation,
    6: ReasonFlags.certificate_hold,
    8: ReasonFlags.remove_from_crl,
    9: ReasonFlags.privilege_withdrawn,
    10: ReasonFlags.aa_compromise,
}
_CODES: Final = {reason: code for code, reason in _REASONS.items()}


class Entry(NamedTuple):
    """Why and when a list says that a certificate was revoked. ``at``: to the day where the list is packed."""

    reason: ReasonFlags
    at: datetime


@dataclass(frozen=True, slots=True)
class Packed:
    """What ``pack`` made. ``named``: keys are digests of issuer and serial number, else serial numbers."""

    named: bool
    width: int
    count: int
    octets: bytes

    @classmethod
    def of(cls, octets: bytes) -> Packed:
        """Of what a child answered. Raises MalformedCrl when that is not whole."""
        if len(octets) < _HEAD.size:
            raise MalformedCrl(detail="no entries came")
        named, width, count = _HEAD.unpack_from(octets)
        if len(octets) != _HEAD.size + count * (width + _TAIL.size):
            raise MalformedCrl(detail="not all entries came")
        return cls(bool(named), width, count, octets)

    def find(self, issuer_key: bytes, serial: int) -> Entry | None:
        """The entry of a certificate, by its issuer and serial number. Raises MalformedCrl when a child made it up."""
        key = _digest(issuer_key, serial) if self.named else _octets(serial, self.width)
        if key is None:
            return None
        size, low, high = self.width + _TAIL.size, 0, self.count
        while low < high:
            middle = (low + high) // 2
            start = _HEAD.size + middle * size
            found = self.octets[start : start + self.width]
            if found == key:
                return _entry(*_TAIL.unpack_from(self.octets, start + self.width))
            low, high = (middle + 1, high) if found < key else (low, middle)
        return None


def _entry(reason: int, day: int) -> Entry:
    try:
        return Entry(_REASONS[reason], datetime.combine(date.fromordinal(day), time(), UTC))
    except (KeyError, ValueError, OverflowError) as error:
        raise MalformedCrl(detail=f"reason {reason} of day {day}") from error


def _octets(serial: int, width: int) -> bytes | None:
    """A serial number as a key; None: it is longer than any in the list."""
    try:
        return serial.to_bytes(width, "big", signed=True)
    except OverflowError:
        return None


def _digest(issuer_key: bytes, serial: int) -> bytes:
    """Issuer and serial number as a key, for a list that speaks of several issuers' certificates."""
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    return hashlib.sha256(issuer_key + octets).digest()[:_DIGEST]


def cut(octets: bytes) -> tuple[bytes, memoryview]:
    """The list without its entries, DER; and what its signature is about. Raises MalformedCrl."""
    start, end, _ = _element(octets, 0)
    tbs_from, tbs_to, after = _element(octets, start)
    taken = _entries(octets, tbs_from, tbs_to)
    tbs = der.sequence(octets[tbs_from : taken[0]], octets[taken[1] : tbs_to])
    return der.sequence(tbs, octets[after:end]), memoryview(octets)[start:after]


def _entries(octets: bytes, at: int, end: int) -> tuple[int, int]:
    """Where revokedCertificates begins and ends: the SEQUENCE that follows a time (RFC 5280 5.1); nowhere: at the end."""
    before = 0
    while at < end:
        following = _element(octets, at)[2]
        if octets[at] == der.SEQUENCE and before in (der.UTC_TIME, der.GENERALIZED_TIME):
            return at, following
        before, at = octets[at], following
    return end, end


def _element(octets: bytes, at: int) -> tuple[int, int, int]:
    """Where the content of the element at ``at`` begins and ends, and where the next begins. Raises MalformedCrl."""
    try:
        length, start = octets[at + 1], at + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(octets[at + 2 : start], "big")
    except IndexError:
        length, start = 1, len(octets)
    if start + length > len(octets):
        raise MalformedCrl(detail="a length reaches beyond its container")
    return start, start + length, start + length


def pack(octets: bytes) -> bytes:
    """The child's work: all entries of the list in ``octets``. Raises MalformedCrl."""
    try:
        parsed = x509.load_der_x509_crl(octets)
        named = _is_indirect(parsed)
        found = {_DIGEST: _named(parsed)} if named else _scan(octets)
    except Exception as error:  # hostile octets, as in crl.parse
        raise MalformedCrl(detail=f"{type(error).__name__}: {str(error)[:200]}") from error
    width = max(found, default=1)
    if width > MAX_SERIAL:
        raise MalformedCrl("A serial number in the revocation list is too long.")
    every = [each for length, those in found.items() for each in (those if length == width else _padded(those, width))]
    every.sort()
    return b"".join([_HEAD.pack(named, width, len(every)), *every])


def _padded(entries: list[bytes], width: int) -> Iterator[bytes]:
    """Entries whose serial number, an INTEGER's content, is lengthened to ``width`` with its sign kept."""
    for each in entries:
        yield each.rjust(width + _TAIL.size, b"\xff" if each[0] & 0x80 else b"\0")


def _is_indirect(parsed: x509.CertificateRevocationList) -> bool:
    try:
        return parsed.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value.indirect_crl
    except x509.ExtensionNotFound:
        return False


def _named(parsed: x509.CertificateRevocationList) -> list[bytes]:
    """Entries by issuer and serial number (RFC 5280 5.3.3); the last one of a certificate counts."""
    found: dict[bytes, bytes] = {}
    for key, serial, entry in walk(parsed):
        found[_digest(key, serial)] = _TAIL.pack(_CODES[entry.reason], entry.at.toordinal())
    return [key + tail for key, tail in found.items()]


def walk(parsed: x509.CertificateRevocationList) -> list[tuple[bytes, int, Entry]]:
    """All entries: issuer, serial number, entry. One without certificateIssuer has the issuer of the one before."""
    issuer = name_key(parsed.issuer)
    found = []
    for each in parsed:
        why = ReasonFlags.unspecified
        for extension in each.extensions:
            if isinstance(extension.value, x509.CertificateIssuer):
                names = extension.value.get_values_for_type(x509.DirectoryName)
                issuer = name_key(names[0]) if names else b""
            elif isinstance(extension.value, x509.CRLReason):
                why = extension.value.reason
        found.append((issuer, each.serial_number, Entry(why, each.revocation_date_utc)))
    return found


def _scan(octets: bytes) -> dict[int, list[bytes]]:
    """Entries by the length of their serial numbers, of octets that the library has taken.

    The library would make an object of each, which takes many times as long.
    """
    start, end = _element(octets, _element(octets, 0)[0])[:2]
    at, end = _entries(octets, start, end)
    if at < end:
        at, end, _ = _element(octets, at)
    found: defaultdict[int, list[bytes]] = defaultdict(list)
    tails: dict[bytes, bytes] = {}  # most entries share day and reason with many others
    while at < end:
        length, first = octets[at + 1], at + 2
        following = first + length
        if length & 0x80:
            first, following, _ = _element(octets, at)
        size = octets[first + 1]
        when = first + 2 + size
        more = when + 2 + octets[when + 1]
        tail = octets[when : when + (8 if octets[when] == der.UTC_TIME else 10)] + octets[more:following]
        packed = tails.get(tail)
        if packed is None:
            packed = tails[tail] = _tail(octets[when:more], octets[more:following])
        found[size].append(octets[first + 2 : when] + packed)
        at = following
    return found


def _tail(moment: bytes, extensions: bytes) -> bytes:
    """Reason and day of an entry. ``moment``: UTCTime or GeneralizedTime."""
    digits = moment[2:].decode("ascii")
    if moment[0] == der.UTC_TIME:  # RFC 5280 4.1.2.5.1: 50 to 99 are 19YY
        digits = ("19" if digits >= "50" else "20") + digits
    day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    return _TAIL.pack(_reason(extensions) if extensions else 0, day.toordinal())


def _reason(extensions: bytes) -> int:
    """The reasonCode in an entry's extensions (RFC 5280 5.3.1); one that nobody knows is unspecified: revoked it is."""
    at, end, _ = _element(extensions, 0)
    while at < end:
        start, _, following = _element(extensions, at)
        if extensions.startswith(_REASON_CODE, start):
            code = extensions[following - 1]
            return code if code in _REASONS else 0
        at = following
    return 0


_REASON_CODE: Final = b"\x06\x03\x55\x1d\x15"  # the OID, whole
