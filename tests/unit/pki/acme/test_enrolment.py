"""An ACME enrolment for an address, against a server in memory that checks what it is sent (RFC 8555, RFC 8823)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.pki.acme.challenge import ChallengeMail, NoChallenge, b64, thumbprint
from letterlock.pki.acme.enrolment import AcmeRefused, Enrolment, HttpAnswer
from letterlock.pki.ca import tbs
from tests.fakes.acme_server import HOST, SENDER, AcmeServer

pytestmark = pytest.mark.req("C12")

ALICE = "alice@inside.test"
KEY = ec.generate_private_key(ec.SECP256R1())


class AccountInMemory:
    """The account's key."""

    def jwk(self) -> dict[str, str]:
        numbers = KEY.public_key().public_numbers()
        x, y = (b64(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    async def sign(self, octets: bytes) -> bytes:
        r, s = decode_dss_signature(KEY.sign(octets, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def enrolment() -> Enrolment:
    builder = x509.CertificateSigningRequestBuilder().subject_name(tbs.name(ALICE))
    csr = builder.add_extension(tbs.alternative_name(ALICE), critical=False).sign(KEY, hashes.SHA256())
    der = csr.public_bytes(Encoding.DER)
    return Enrolment(f"{HOST}/directory", AccountInMemory(), ALICE, der, "pki@inside.test")


def talk(made: Enrolment, server: AcmeServer, most: int = 40) -> list[float]:
    """Carry requests and answers until nothing more is to be sent; the waits asked for."""

    async def tell() -> list[float]:
        waits = []
        for _ in range(most):
            request = await made.request()
            if request is None:
                return waits
            waits.append(made.receive(server.answer(request)))
        raise AssertionError(f"it does not end: {server.told}")

    return asyncio.run(tell())


@pytest.mark.parametrize("spoiled", [0, 1, 3])
def test_from_the_directory_to_the_certificate(spoiled: int) -> None:
    server, made = AcmeServer(spoil_nonces=spoiled), enrolment()
    talk(made, server)
    assert (made.state, made.challenge and made.challenge.sender) == ("challenge", SENDER)
    server.take_reply(made.reply(server.mail()))
    assert server.proved
    made.replied()
    waits = talk(made, server)
    assert made.state == "done"
    assert made.certificate.startswith(b"-----BEGIN CERTIFICATE-----")
    assert server.csr is not None
    assert 3.0 in waits, "Retry-After"
    if not spoiled:
        assert server.told == [
            *("GET /directory", "HEAD /nonce", "POST /account", "POST /orders", "POST /authz/1", "POST /challenge/1"),
            *("POST /authz/1", "POST /finalize/1", "POST /orders/1", "POST /cert/1"),
        ]


def test_a_server_that_refuses_every_nonce_is_given_up() -> None:
    made = enrolment()
    with pytest.raises(AcmeRefused):
        talk(made, AcmeServer(spoil_nonces=4))
    assert made.state == "failed"


def test_a_token_that_was_folded_is_put_together_again() -> None:
    server, made = AcmeServer(), enrolment()
    talk(made, server)
    mail = server.mail()
    folded = mail._replace(subject=f"ACME: {server.first[:9]} {server.first[9:]}")
    whole, cut = made.reply(mail), made.reply(folded)
    assert whole.text == cut.text


@pytest.mark.parametrize(
    "change",
    [
        {"author": "mallory@elsewhere.test"},
        {"subject": "Hello"},
        {"subject": "Re: ACME: abc"},
        {"subject": "ACME: <script>"},
    ],
)
def test_a_mail_that_is_no_challenge_is_not_answered(change: dict[str, str]) -> None:
    server, made = AcmeServer(), enrolment()
    talk(made, server)
    with pytest.raises(NoChallenge):
        made.reply(server.mail()._replace(**change))
    assert made.state == "challenge"


def test_nothing_is_answered_before_it_was_asked_for() -> None:
    with pytest.raises(NoChallenge):
        enrolment().reply(ChallengeMail(SENDER, "ACME: abc", "<1@acme.test>"))


@pytest.mark.parametrize(
    "url", ["http://acme.test/x", "https://127.0.0.1/x", "https://acme.test:8443/x", "file:///etc/passwd", "https://["]
)
def test_no_address_but_the_servers_own_is_followed(url: str) -> None:
    made = enrolment()
    body = json.dumps({"newNonce": url, "newAccount": f"{HOST}/a", "newOrder": f"{HOST}/o"}).encode()
    with pytest.raises(AcmeRefused, match="not its own"):
        made.receive(HttpAnswer(200, {}, body))
    assert made.state == "failed"


@pytest.mark.parametrize(
    ("code", "body"),
    [(200, b"not JSON"), (200, b"[]"), (200, b"{}"), (403, b'{"type": "urn:x:unauthorized"}'), (200, b"x" * 300_000)],
)
def test_what_cannot_be_followed_ends_it(code: int, body: bytes) -> None:
    made = enrolment()
    with pytest.raises(AcmeRefused):
        made.receive(HttpAnswer(code, {}, body))
    assert asyncio.run(made.request()) is None


def test_an_authorisation_for_another_address_is_none() -> None:
    server, made = AcmeServer(), enrolment()
    original = server._authorisation

    def other() -> dict[str, Any]:
        return {**original(), "identifier": {"type": "email", "value": "ceo@inside.test"}}

    server._authorisation = other  # type: ignore[method-assign]  # a server that lies
    with pytest.raises(AcmeRefused, match="another address"):
        talk(made, server)


def test_thumbprint_of_the_standard() -> None:
    """The members in their order, whatever else the key says of itself (RFC 7638 3)."""
    jwk = AccountInMemory().jwk()
    assert thumbprint(jwk) == thumbprint({"use": "sig", **dict(reversed(jwk.items()))})


def test_a_server_that_never_ends_is_given_up() -> None:
    made = replace(enrolment(), state="finalise")
    made._sent_csr = True
    made._nonce = "spent"
    with pytest.raises(AcmeRefused, match="in time"):
        for _ in range(400):
            made.receive(HttpAnswer(200, {"replay-nonce": "n"}, b'{"status": "processing"}'))
