"""What a signer does for an account at an ACME server: signs requests, and only those that an enrolment needs.

Guarantees
    What is to be signed is read before it is signed. It goes to the server of the order (scheme, host and port), and is one
    of: an empty request, an account, an order for the one address, a PKCS #10 request for the one key and address. So the
    key revokes nothing, changes no key, closes no account and orders nothing for anybody else.

Standards
    RFC 7515 5.1 (signing input), RFC 7518 3.4 (ES256: r and s); RFC 8555 6.2 (protected header), 7.3, 7.4.

Raises
    UseRefused.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.keyholder.certify import Statement
from letterlock.keyholder.errors import UseRefused

KIND = "acme"
_HEAD = {"alg", "nonce", "url"}


def sign(key: Any, octets: bytes) -> bytes:
    """r and s over the signing input of a Statement, 64 octets. ``issuer`` is the server's address. Raises UseRefused."""
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise UseRefused("An account's key is on P-256.")
    said = msgspec.msgpack.decode(octets, type=Statement)
    try:
        _check(key, said)
    except UseRefused:
        raise
    except Exception as error:  # hostile octets: the library raises many kinds, and each means the same here
        raise UseRefused("What is to be signed is not what it claims to be.", detail=type(error).__name__) from None
    r, s = decode_dss_signature(key.sign(said.tbs, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _check(key: ec.EllipticCurvePrivateKey, said: Statement) -> None:
    head, _, payload = said.tbs.partition(b".")
    protected = json.loads(_unb64(head))
    _require(said.kind == KIND and bool(said.issuer), "This is nothing an account's key signs.")
    assert said.issuer is not None
    _require(protected["alg"] == "ES256", "An account's key signs by ES256.")
    _require(protected["url"].startswith(said.issuer.decode()), "The request goes to another server.")
    _require(set(protected) in (_HEAD | {"kid"}, _HEAD | {"jwk"}), "The request says more of itself than is known.")
    if "jwk" in protected:
        numbers = key.public_key().public_numbers()
        own = {name: int.from_bytes(_unb64(protected["jwk"][name].encode()), "big") for name in ("x", "y")}
        _require(own == {"x": numbers.x, "y": numbers.y}, "The request names another key than the account's.")
    if payload:
        _check_payload(json.loads(_unb64(payload)), said)


def _check_payload(payload: Any, said: Statement) -> None:
    """RFC 8555 7.3 (account), 7.4 (order, finalise), 7.5.1 (challenge)."""
    names = set(payload)
    if not names or names <= {"contact", "termsOfServiceAgreed"}:
        return
    if names == {"identifiers"}:
        asked = [{"type": "email", "value": said.address}]
        _require(payload["identifiers"] == asked, "The order is for another address than the request's.")
        return
    _require(names == {"csr"}, "This is nothing an enrolment says.")
    csr = x509.load_der_x509_csr(_unb64(payload["csr"].encode()))
    spki = csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _require(spki == said.spki, "The certificate would be for another key than the request's.")
    named = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = named.get_values_for_type(x509.RFC822Name)
    one = len(named) == 1 and [each.lower() for each in addresses] == [(said.address or "").lower()]
    _require(one, "The certificate would be for another address than the request's.")


def _unb64(octets: bytes) -> bytes:
    return base64.b64decode(octets + b"=" * (-len(octets) % 4), b"-_", validate=True)


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise UseRefused(sentence)
