"""Which certificate an OCSP request asks about."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from letterlock.pki.ca import tbs
from letterlock.pki.ca.asked import QuestionUnreadable, question
from tests.fakes.authority import Authority

pytestmark = pytest.mark.req("C5")


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256()])
def test_a_question_as_clients_ask_it(digest: hashes.HashAlgorithm) -> None:
    authority = Authority.create()
    issuer = x509.load_pem_x509_certificate(authority.pem)
    certificate = x509.load_der_x509_certificate(authority.issue("a@x.test").der)
    request = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, digest).build()
    key_hash, number = question(request.public_bytes(Encoding.DER))
    assert key_hash == hashlib.new(digest.name, tbs.key_octets(issuer)).digest()
    assert int.from_bytes(number, "big") == certificate.serial_number or number == b""


@pytest.mark.parametrize("octets", [b"", b"0", b"\x30\x03\x0a\x01\x00", b"\x30\x82\xff\xff", bytes(4096)])
def test_what_is_no_question(octets: bytes) -> None:
    with pytest.raises(QuestionUnreadable):
        question(octets)
