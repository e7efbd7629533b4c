"""The CSV table of requests, as RFC 4180 writes it and as people do."""

from __future__ import annotations

import pytest

from letterlock.pki.ca import bulk
from letterlock.pki.ca.errors import RequestInvalid

pytestmark = pytest.mark.req("C8")


def test_lines_with_quotes_line_ends_and_their_numbers() -> None:
    lines = bulk.read(b'name,email\r\n"A, ""B""\r\nC",A@x.test\r\n\r\n,b@x.test\r\nonly\r\n')
    assert [(each.number, each.subject.address) for each in lines] == [(2, "a@x.test"), (5, "b@x.test"), (6, "only")]
    assert [bool(each.fault) for each in lines] == [False, False, True]


def test_the_same_address_twice_is_a_fault_of_the_second() -> None:
    first, second = bulk.read(b"email\na@x.test\nA@X.test\n")
    assert not first.fault
    assert second.fault == "line 2 names the same address"


@pytest.mark.parametrize("field", ["", "no address", "a@b@c", "t\u00e4st@x.test", "a@x.test\nBcc: b@x.test"])
def test_an_address_that_cannot_stand_in_a_certificate(field: str) -> None:
    (line,) = bulk.read(f'email,name\r\n"{field}",x\r\n'.encode())
    assert line.fault


def test_a_name_that_is_too_long() -> None:
    (line,) = bulk.read(b"email,name\r\na@x.test," + b"n" * 65 + b"\r\n")
    assert "64" in line.fault


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"name\r\nx\r\n",
        b"email,email\r\na@x.test,a@x.test\r\n",
        b"email,colour\r\n",
        b"email\r\n\xff\r\n",
        b'email\r\n"a@x.test\r\n',
        b"email\r\n" + b"a" * bulk.MOST_OCTETS,
    ],
)
def test_what_is_no_table(octets: bytes) -> None:
    with pytest.raises(RequestInvalid):
        bulk.read(octets)
