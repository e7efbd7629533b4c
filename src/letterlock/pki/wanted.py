"""What is missing: noted for the fetch station, and remembered, so that nothing is noted twice.

States
    open        noted, and somebody may still wait for it
    found       it has been fetched; what was found is read like everything else that is stored
    absent      whoever was asked says there is none
    failed      nobody answered, or nothing of use came; a CRL is tried again by itself, the others when asked for later
    refused     it may not be fetched

Guarantees
    Wants are made from certificates and addresses without reading anything. ``Noted.note`` makes one call for all of
    them, and none at all when each was noted within the hour (a CRL that was found) or the minute (not found).
    A URL that may not be fetched never becomes a Want. Of the URLs of one distribution point, which all name the same
    CRL, the next is wanted only when the one before failed.

Standards
    RFC 5280 4.2.1.13 (CRL distribution points) and 4.2.2.1 (authority information access), RFC 6960 4.1.1 (CertID),
    RFC 5019 2.1.1 (SHA-1 in CertID), RFC 8162 (SMIMEA).

See also
    ``fetched.py`` for what comes; ``fetch/`` for how; ``decision/facts.py``, which asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal, NamedTuple, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from letterlock.asn1 import der, oid
from letterlock.pki import url
from letterlock.pki.certificate import Certificate

Kind = Literal["crl", "ocsp", "issuer", "directory", "smimea"]
KINDS: Final = ("crl", "ocsp", "issuer", "directory", "smimea")
ANSWERS: Final = ("found", "absent", "failed", "refused")

FOUND_FOR: Final[Mapping[str, float]] = {"crl": 3600.0, "ocsp": 60.0}
"""Seconds after which what was found is noted again: it tells the fetch station that it is still in use. What is asked
for only when it is missing (certificates) is not remembered as found: it may be over by now."""
GONE_FOR: Final = 60.0
"""Seconds after which what was not found is asked for again; how often it is really fetched is not decided here."""
OPEN_FOR: Final = 0.2
"""Seconds for which one answer serves the messages of a batch."""
MAX_ABOUT: Final = 1000
"""Octets of a CertID: RFC 5280 4.1.2.2 lets a serial number have twenty."""
MAX_URLS: Final = 4
"""URLs taken from one extension: a certificate may name thousands."""

SHA1: Final = der.sequence(oid.encode("1.3.14.3.2.26"), der.NULL)


class Want(NamedTuple):
    """One missing thing. ``name``: a URL, or an address in match form; ``about``: DER CertID of an OCSP request.

    ``host``: the server that is asked, empty when our own configuration names it.
    """

    kind: Kind
    name: str
    about: bytes = b""
    host: str = ""

    def __str__(self) -> str:
        return _WORDS[self.kind].format(self.host or self.name)


_WORDS: Final[Mapping[Kind, str]] = {
    "crl": "the CRL at {}",
    "ocsp": "an OCSP answer of {}",
    "issuer": "the issuer's certificate at {}",
    "directory": "certificates of {} in directories",
    "smimea": "the SMIMEA record of {}",
}


class KnownRow(Protocol):
    """One row of pki.want."""

    @property
    def open(self) -> bool: ...
    @property
    def answer(self) -> str: ...


class Ask(Protocol):
    """pki.calls.want, bound to a gate."""

    def __call__(
        self, *, kinds: Sequence[str], names: Sequence[str], abouts: Sequence[bytes], hosts: Sequence[str]
    ) -> Awaitable[Sequence[KnownRow]]: ...


class _Known(NamedTuple):
    until: float
    open: bool
    answer: str


class Noted:
    """What one process has noted. ``capacity``: how many things it remembers."""

    def __init__(self, ask: Ask, *, capacity: int = 20_000) -> None:
        self._ask = ask
        self._capacity = capacity
        self._known: dict[Want, _Known] = {}

    def failed(self, want: Want) -> bool:
        """It could not be fetched when we last asked: the next of its alternatives may be wanted."""
        known = self._known.get(want)
        return known is not None and known.answer in ("failed", "refused")

    async def note(self, wants: Iterable[Want], now: float, doubtful: Collection[Want] = ()) -> dict[Want, bool]:
        """Note them; those that are not at hand are returned, with whether they may still come.

        What has come since this process last asked is said to come once more: what was read before does not hold it.
        So is what of ``doubtful`` this process asks for the first time: others may have asked, and it came just now.
        ``now``: seconds since the Unix epoch.
        """
        asked = list(dict.fromkeys(wants))
        came: set[Want] = set()
        new = [each for each in asked if (known := self._known.get(each)) is None or known.until <= now]
        if new:
            rows = await self._ask(
                kinds=[each.kind for each in new],
                names=[each.name for each in new],
                abouts=[each.about for each in new],
                hosts=[each.host for each in new],
            )
            came = {
                each
                for each, row in zip(new, rows, strict=True)
                if row.answer == "found"
                and not row.open
                and (old.open if (old := self._known.get(each)) is not None else each in doubtful)
            }
            for each, row in zip(new, rows, strict=True):
                found_for = FOUND_FOR.get(each.kind, OPEN_FOR)
                span = OPEN_FOR if row.open else found_for if row.answer == "found" else GONE_FOR
                self._known[each] = _Known(now + span, row.open, row.answer)
            while len(self._known) > self._capacity:
                del self._known[next(iter(self._known))]  # the one first noted
        known_now = {each: self._known[each] for each in asked if each in self._known}
        return {
            each: known.open or each in came
            for each, known in known_now.items()
            if known.open or each in came or known.answer in ("failed", "refused")
        }


def revocation(path: Sequence[Certificate], noted: Noted) -> Iterator[Want]:
    """What tells whether a path, from a certificate to its anchor, is revoked: CRLs, else OCSP answers.

    An OCSP responder learns whom we write to, a CRL's server does not; so OCSP is asked only where no CRL can be had.
    """
    for certificate, issuer in pairwise(path):
        points = list(_distribution_points(certificate))
        lists = [next((each for each in point if not noted.failed(each)), None) for point in points]
        yield from (each for each in lists if each is not None)
        if not points or None in lists:
            asked = responder(certificate)
            about = cert_id(certificate, issuer) if asked is not None else b""
            if asked is not None and len(about) <= MAX_ABOUT:
                yield asked._replace(about=about)
        for point in _distribution_points(certificate, x509.FreshestCRL):  # deltas: without them the base counts
            yield from (each for each in point[:1] if not noted.failed(each))


@lru_cache(maxsize=8192)
def responder(certificate: Certificate) -> Want | None:
    """The OCSP responder that a certificate names (RFC 5280 4.2.2.1), asked about nothing yet."""
    found = next(_urls("ocsp", certificate, AuthorityInformationAccessOID.OCSP), None)
    return found if found is not None and found.name.startswith("http") else None


def issuers(certificate: Certificate) -> Iterator[Want]:
    """Where the certificate's issuer can be fetched (caIssuers, RFC 5280 4.2.2.1)."""
    yield from _urls("issuer", certificate, AuthorityInformationAccessOID.CA_ISSUERS)


@lru_cache(maxsize=8192)
def cert_id(certificate: Certificate, issuer: Certificate) -> bytes:
    """The DER CertID (RFC 6960 4.1.1) with SHA-1 (RFC 5019 2.1.1), under which OCSP answers are kept."""
    algorithm = hashes.SHA1()  # noqa: S303 - names a certificate, protects nothing (RFC 5019 2.1.1)
    request = ocsp.OCSPRequestBuilder().add_certificate(certificate.parsed, issuer.parsed, algorithm).build()
    return der.sequence(
        SHA1,
        der.octet_string(request.issuer_name_hash),
        der.octet_string(request.issuer_key_hash),
        der.integer(certificate.serial),
    )


def _distribution_points(
    certificate: Certificate, where: type[x509.CRLDistributionPoints | x509.FreshestCRL] = x509.CRLDistributionPoints
) -> Iterator[tuple[Want, ...]]:
    """For each distribution point the URLs of its CRL, HTTP first; points without one that we fetch are left out.
    ``where``: the extension (RFC 5280 4.2.1.13 and 4.2.1.15)."""
    points = certificate.find(where) or ()
    for point in list(points)[:MAX_URLS]:
        found = [each for name in (point.full_name or ())[:MAX_URLS] for each in _want("crl", name)]
        if found:
            yield tuple(sorted(found, key=lambda each: not each.name.startswith("http")))


def _urls(kind: Kind, certificate: Certificate, method: x509.ObjectIdentifier) -> Iterator[Want]:
    described = certificate.find(x509.AuthorityInformationAccess) or ()
    for each in [one for one in described if one.access_method == method][:MAX_URLS]:
        yield from _want(kind, each.access_location)


def _want(kind: Kind, name: x509.GeneralName) -> Iterator[Want]:
    """The Want of a URL that may be fetched; nothing for any other name."""
    if not isinstance(name, x509.UniformResourceIdentifier):
        return
    try:
        found = url.parse(name.value)
    except url.UrlRefused:
        return
    yield Want(kind, str(found), host=found.host)
