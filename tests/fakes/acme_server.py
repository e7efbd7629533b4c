"""The server's half of an RFC 8823 exchange: it checks every signature, nonce and digest it is sent.

Guarantees
    What it hands out depends on nothing but its own state; ``told`` lists what was asked of it, in order; ``faults`` what
    was not as the standards have it. A nonce is taken once.

Standards
    RFC 8555 6.2 to 6.5, 7; RFC 8823 3.

See also
    ``acme_house.py``, which puts it on TLS and has it send and take mail.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from letterlock.pki.acme.challenge import ChallengeMail, Reply
from letterlock.pki.acme.enrolment import HttpAnswer, HttpRequest
from tests.fakes.authority import Authority

HOST = "https://acme.test"
SENDER = "acme-challenge+1@acme.test"


def unb64(text: str) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class _Holder:
    """Somebody of whom only the public key is known."""

    def __init__(self, public: Any) -> None:
        self.public_key = lambda: public


class AcmeServer:
    """A certificate authority that proves addresses by mail. ``spoil_nonces``: so many good nonces are refused.

    ``authority``: signs; without one it gives nothing of use. ``terms``: of service. ``issued``: makes what
    is delivered.
    """

    def __init__(self, *, spoil_nonces: int = 0, host: str = HOST, authority: Authority | None = None) -> None:
        self.host, self.authority = host, authority
        self.terms = ""
        self.faults: list[str] = []
        self.number = 0
        self.agreed: object = None
        self.issued: Callable[[AcmeServer], bytes] = AcmeServer.certificate
        self.nonces: set[str] = set()
        self.spoil_nonces = spoil_nonces
        self.told: list[str] = []
        self.key: ec.EllipticCurvePublicKey | None = None
        self.jwk: dict[str, str] = {}
        self.address = ""
        self.first, self.second = secrets.token_urlsafe(20), secrets.token_urlsafe(20)
        self.proved = self.refused = self.looked_for = False
        self.csr: x509.CertificateSigningRequest | None = None

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """What the server says to one request."""
        path = request.url.removeprefix(self.host)
        self.told.append(f"{request.method} {path}")
        if path == "/directory":
            places = {"newNonce": "/nonce", "newAccount": "/account", "newOrder": "/orders"}
            meta = {"meta": {"termsOfService": self.terms}} if self.terms else {}
            return self._said(200, {**{name: self.host + place for name, place in places.items()}, **meta})
        if path == "/nonce":
            return self._said(200, None)
        payload = self._open(request)
        if payload is None:
            return self._said(400, {"type": "urn:ietf:params:acme:error:badNonce"})
        return self._page(path, payload)

    def _page(self, path: str, payload: Any) -> HttpAnswer:
        if path == "/account":
            self.agreed = payload.get("termsOfServiceAgreed")
            return self._said(201, {"status": "valid"}, location=f"{self.host}/account/7")
        if path == "/orders":
            return self._order(payload)
        if path == f"/authz/{self.number}":
            return self._said(200, self._authorisation())
        if path == f"/challenge/{self.number}":
            self.looked_for = True
            return self._said(200, {"status": "processing"})
        if path == f"/finalize/{self.number}":
            assert self.proved, "finalise before the address is proved"
            self.csr = x509.load_der_x509_csr(unb64(payload["csr"]))
            assert self.csr.is_signature_valid
            return self._said(200, {"status": "processing"}, **{"retry-after": str(self.retry_after)})
        if path == f"/orders/{self.number}":
            return self._said(200, {"status": "valid", "certificate": f"{self.host}/cert/1"})
        assert path == "/cert/1"
        return self._said(200, self.issued(self).decode())

    retry_after = 3

    def _order(self, payload: Any) -> HttpAnswer:
        (named,) = payload["identifiers"]
        assert named["type"] == "email"
        self.address = named["value"]
        self.number += 1
        if self.number > 1:
            self.first, self.second = secrets.token_urlsafe(20), secrets.token_urlsafe(20)
        self.proved = self.refused = self.looked_for = False
        places = {
            "authorizations": [f"{self.host}/authz/{self.number}"],
            "finalize": f"{self.host}/finalize/{self.number}",
        }
        return self._said(201, {"status": "pending", **places}, location=f"{self.host}/orders/{self.number}")

    def certificate(self) -> bytes:
        """For what was asked for."""
        if self.authority is None:
            return b"-----BEGIN CERTIFICATE-----\n"
        assert self.csr is not None
        return self.certify(self.csr.public_key(), self.address)

    def certify(self, public: Any, address: str) -> bytes:
        """A certificate for any key and address, with its chain, PEM."""
        assert self.authority is not None
        made = self.authority.issue(address, cast("Any", _Holder(public)))
        return made.pem + self.authority.pem

    def _authorisation(self) -> dict[str, Any]:
        url = f"{self.host}/challenge/{self.number}"
        mail = {"type": "email-reply-00", "url": url, "from": SENDER, "token": self.second, "status": "pending"}
        status = "valid" if self.proved and self.looked_for else "invalid" if self.refused else "pending"
        other = {"type": "http-01", "url": url, "token": "x"}
        named = {"type": "email", "value": self.address}
        return {"status": status, "identifier": named, "challenges": [other, mail]}

    def mail(self) -> ChallengeMail:
        """The challenge mail."""
        return ChallengeMail(SENDER, f"ACME: {self.first}", "<1@acme.test>")

    def take_reply(self, reply: Reply) -> None:
        """Look at the reply mail, as RFC 8823 3.2 says."""
        assert (reply.to, reply.in_reply_to) == (SENDER, "<1@acme.test>")
        assert reply.subject == f"Re: ACME: {self.first}"
        canonical = json.dumps(self.jwk, separators=(",", ":"), sort_keys=True).encode()
        thumb = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
        expected = hashlib.sha256(f"{self.first}{self.second}.{thumb}".encode()).digest()
        begin, digest, end, *_ = reply.text.split("\r\n")
        assert (begin, end) == ("-----BEGIN ACME RESPONSE-----", "-----END ACME RESPONSE-----")
        self.proved = unb64(digest) == expected
        self.refused = not self.proved

    def _said(self, code: int, body: Any, **fields: str) -> HttpAnswer:
        nonce = secrets.token_urlsafe(12)
        self.nonces.add(nonce)
        octets = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return HttpAnswer(code, {"replay-nonce": nonce, **fields}, octets)

    def _open(self, request: HttpRequest) -> Any:
        """The payload of a JWS that is checked in full; None for a nonce that is refused."""
        assert (request.method, request.kind) == ("POST", "application/jose+json")
        jws = json.loads(request.body)
        head = json.loads(unb64(jws["protected"]))
        assert (head["alg"], head["url"]) == ("ES256", request.url)
        assert ("jwk" in head) != ("kid" in head)
        if head["nonce"] not in self.nonces:
            return None  # used before, or never given (RFC 8555 6.5)
        self.nonces.discard(head["nonce"])
        if "jwk" in head:
            self.jwk = head["jwk"]
            x, y = (int.from_bytes(unb64(self.jwk[name]), "big") for name in "xy")
            self.key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        else:
            assert head["kid"] == f"{self.host}/account/7"
        signature = unb64(jws["signature"])
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        assert self.key is not None
        signed = f"{jws['protected']}.{jws['payload']}".encode()
        self.key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        if self.spoil_nonces:
            self.spoil_nonces -= 1
            return None
        return json.loads(unb64(jws["payload"])) if jws["payload"] else {}
