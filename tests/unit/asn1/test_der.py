"""DER as we write it, against an encoder that was not written here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from asn1crypto import core
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.asn1 import der, oid

ARCS = st.lists(st.integers(0, 2**40), max_size=8)


@settings(deadline=None)
@given(st.integers(-(2**4000), 2**4000))
def test_integers(value: int) -> None:
    assert der.integer(value) == core.Integer(value).dump()


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65535, 65536, 70000])
def test_lengths_are_minimal(length: int) -> None:
    assert der.octet_string(bytes(length)) == core.OctetString(bytes(length)).dump()


@settings(deadline=None)
@given(st.integers(0, 1), st.integers(0, 39), ARCS)
def test_identifiers_there_and_back(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, (first, second, *rest)))
    assert oid.encode(dotted) == core.ObjectIdentifier(dotted).dump()
    if len(oid.encode(dotted)) < 130:
        assert oid.dotted(oid.encode(dotted)) == dotted


def test_joint_iso_arc_goes_beyond_39() -> None:
    assert oid.dotted(oid.encode("2.999.1")) == "2.999.1"


@pytest.mark.parametrize("dotted", ["", "1", "3.1", "1.40", "a.b", "1.-2"])
def test_what_is_no_identifier(dotted: str) -> None:
    with pytest.raises(ValueError, match=r"not an object identifier|invalid literal"):
        oid.encode(dotted)


@pytest.mark.parametrize("octets", [b"", b"\x06\x00", b"\x06\x02\x2a", b"\x06\x01\x80", b"\x04\x01\x2a"])
def test_what_is_no_encoded_identifier(octets: bytes) -> None:
    with pytest.raises(ValueError, match="not an object identifier"):
        oid.dotted(octets)


def test_sets_are_sorted() -> None:
    parts = [der.integer(300), der.integer(2), der.octet_string(b"x"), der.integer(1)]
    assert der.set_of(*parts) == der.tlv(der.SET, der.integer(1), der.integer(2), der.integer(300), parts[2])


@pytest.mark.parametrize(
    ("at", "octets"),
    [
        (datetime(2026, 11, 22, 3, 4, 5, 999, tzinfo=UTC), b"\x17\x0d261122030405Z"),
        (datetime(2026, 11, 22, 3, 0, tzinfo=timezone(timedelta(hours=5))), b"\x17\x0d261121220000Z"),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(1949, 1, 1, tzinfo=UTC), b"\x18\x0f19490101000000Z"),
    ],
)
def test_times(at: datetime, octets: bytes) -> None:
    assert der.time(at) == octets
