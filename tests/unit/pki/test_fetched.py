"""What was fetched is read as far as needed; hostile octets end in one error."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from hypothesis import given
from hypothesis import strategies as st

from letterlock.pki import fetched
from letterlock.pki.certificate import parse
from letterlock.pki.fetched import NotUseful
from letterlock.pki.wanted import cert_id
from tests.fakes.authority import Authority
from tests.fakes.published import crl

AUTHORITY = Authority.create()
CRL = crl(AUTHORITY, 1, 2, 3)
ABOUT = cert_id(parse(AUTHORITY.issue("a@x.test", "p256").der), parse(AUTHORITY.der))


def _damaged(octets: bytes) -> st.SearchStrategy[bytes]:
    places = st.lists(st.tuples(st.integers(0, len(octets) - 1), st.integers(0, 255)), min_size=1, max_size=8)

    def damage(changes: list[tuple[int, int]]) -> bytes:
        made = bytearray(octets)
        for place, value in changes:
            made[place] = value
        return bytes(made)

    return st.one_of(
        places.map(damage), st.integers(0, len(octets) - 1).map(lambda n: octets[:n]), st.binary(max_size=99)
    )


@pytest.mark.req("C2")
@given(_damaged(CRL))
def test_a_damaged_crl(octets: bytes) -> None:
    try:
        found = fetched.read_crl(octets)
    except NotUseful:
        return
    assert found.der == octets  # no signature is looked at here; who uses it does


@pytest.mark.req("C4")
@given(st.binary(max_size=300))
def test_a_damaged_ocsp_answer(octets: bytes) -> None:
    with pytest.raises(NotUseful):
        fetched.read_ocsp(octets, ABOUT)


@given(_damaged(serialize_certificates([AUTHORITY.certificate], Encoding.DER)))
def test_damaged_certificates(octets: bytes) -> None:
    try:
        assert fetched.read_certificates(octets, authorities=True)
    except NotUseful:
        return


def test_not_more_certificates_than_the_limit() -> None:
    made = [AUTHORITY.issue(f"p{n}@x.test", "p256").certificate for n in range(fetched.MAX_CERTIFICATES + 5)]
    found = fetched.read_certificates(serialize_certificates(made, Encoding.DER), authorities=False)
    assert len(found) == fetched.MAX_CERTIFICATES
    with pytest.raises(NotUseful):
        fetched.read_certificates(serialize_certificates(made, Encoding.DER), authorities=True)
