"""The entries of a long list, packed: the same answers as the list itself gives, whatever form its entries have."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ReasonFlags
from hypothesis import given
from hypothesis import strategies as st

from letterlock.asn1 import der
from letterlock.pki import crl, packed
from letterlock.pki.certificate import Certificate, name_key, parse
from letterlock.pki.crl import Crl
from letterlock.pki.errors import MalformedCrl
from letterlock.pki.packed import Packed
from tests.fakes.authority import Authority
from tests.fakes.revocation import Extensions, distribution_point, make_crl, make_large_crl

ANCHOR = Authority.create("Anchor")
PERSON = ANCHOR.issue("a@example.org", "p256")
SERIAL = PERSON.certificate.serial_number


def outline(octets: bytes) -> Crl:
    return crl.outline(octets, Packed.of(packed.pack(octets)))


def same(octets: bytes, *certificates: Certificate) -> Crl:
    """The list read as a long one says what it says itself."""
    long, short = outline(octets), crl.parse(octets)
    for each in certificates:
        mine, its = long.entry(each), short.entry(each)
        assert (mine and (mine.reason, mine.at.date())) == (its and (its.reason, its.at.date()))
    for name in ("digest", "octets", "issuer", "issuer_key", "this_update", "next_update", "number", "base", "scope"):
        assert getattr(long, name) == getattr(short, name), name
    for signer in (ANCHOR, Authority.create("Anchor")):
        assert crl._fits(long, parse(signer.der)) == crl._fits(short, parse(signer.der)) == (signer is ANCHOR)
    return long


@pytest.mark.req("C2")
@pytest.mark.parametrize("reason", [None, *(each for each in ReasonFlags if each is not ReasonFlags.unspecified)])
def test_every_reason(reason: ReasonFlags | None) -> None:
    more: dict[int, ReasonFlags | None] = {random.randrange(1 << 159): ReasonFlags.superseded for _ in range(20)}
    long = same(make_crl(ANCHOR, {**more, SERIAL: reason}), parse(PERSON.der))
    found = long.entry(parse(PERSON.der))
    assert found is not None
    assert found.reason is (reason or ReasonFlags.unspecified)


@pytest.mark.req("C2")
@given(st.sets(st.integers(-(1 << 40), 1 << 159), max_size=30))
def test_serial_numbers_of_any_length_and_sign(serials: set[int]) -> None:
    made = Packed.of(packed.pack(make_large_crl(ANCHOR, sorted(serials))))
    key = name_key(ANCHOR.certificate.subject)
    assert made.count == len(serials)
    assert all(made.find(key, each) for each in serials)
    assert not any(made.find(key, each) for each in {n for s in serials for n in (s - 1, s + 1, -s, s << 8)} - serials)


@pytest.mark.req("C2")
def test_a_list_without_entries_and_without_extensions() -> None:
    same(make_crl(ANCHOR), parse(PERSON.der))
    same(make_crl(ANCHOR, {SERIAL: None}, number=None), parse(PERSON.der))


@pytest.mark.req("C2")
@pytest.mark.parametrize("key", ["rsa2048", "p384", "ed25519"])
def test_whatever_it_is_signed_with(key: str) -> None:
    authority = Authority.create("Anchor", key=key)  # type: ignore[arg-type]  # kinds of the fake
    algorithm = None if key == "ed25519" else "sha256"
    octets = _signed(authority, algorithm)
    assert crl._fits(outline(octets), parse(authority.der))
    assert not crl._fits(outline(octets), parse(ANCHOR.der))
    broken = octets.replace(der.integer(SERIAL), der.integer(SERIAL ^ 1))
    assert not crl._fits(outline(broken), parse(authority.der))


def _signed(authority: Authority, algorithm: str | None) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    now = datetime.now(UTC)
    entry = x509.RevokedCertificateBuilder().serial_number(SERIAL).revocation_date(now).build()
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(now).next_update(now + timedelta(hours=1)).add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256() if algorithm else None).public_bytes(Encoding.DER)


@pytest.mark.req("C2")
def test_an_indirect_list_tells_issuers_apart() -> None:
    other = Authority.create("Other")
    stranger = other.issue("b@example.org", "p256")
    named = {stranger.certificate.serial_number: other.certificate.subject}
    spot: Extensions = [distribution_point(uri="http://x/", indirect=True)]
    octets = make_crl(ANCHOR, {SERIAL: None, stranger.certificate.serial_number: None}, extensions=spot, named=named)
    long = same(octets, parse(PERSON.der), parse(stranger.der))
    assert long.entry(parse(stranger.der)) is not None


@pytest.mark.req("C2")
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_list_is_refused_or_not_signed(place: int, octet: int) -> None:
    whole = make_large_crl(ANCHOR, range(1000, 1100))
    damaged = bytearray(whole)
    damaged[place % len(whole)] = octet
    try:
        made = outline(bytes(damaged))
    except MalformedCrl:
        return
    assert bytes(damaged) == whole or not crl._fits(made, parse(ANCHOR.der))


@pytest.mark.req("C2")
def test_what_a_child_says_must_be_whole() -> None:
    told = packed.pack(make_crl(ANCHOR, {SERIAL: None}))
    for wrong in (b"", told[:-1], told + b"x"):
        with pytest.raises(MalformedCrl):
            Packed.of(wrong)
    for tail in (b"\x07\0\0\0\1", b"\0\xff\xff\xff\xff", b"\0\0\0\0\0"):  # no such reason, no such day
        with pytest.raises(MalformedCrl):
            Packed.of(told[:-5] + tail).find(b"", SERIAL)
    with pytest.raises(MalformedCrl):  # told of another kind of list
        spot: Extensions = [distribution_point(uri="http://x/", indirect=True)]
        crl.outline(make_crl(ANCHOR, extensions=spot), Packed.of(told))
