"""What a signer does for the certificate authority: makes keys, signs what an authority says, seals a key for its owner.

Guarantees
    Nothing is signed for its octets' sake. What is to be signed is put together as the certificate, list, answer or
    request it claims to be, read by a strict parser, and must hold the rules of its kind below; only then the key is
    used. A person's certificate is never an authority's, never outlives its issuer, and names the one address that was
    asked for when nobody watches. Certification requests are signed only for the key's own public key.
    Mail is signed over a SET OF attributes (RFC 5652 5.4), these are SEQUENCEs: neither can be taken for the other.

Standards
    RFC 5280 4.1 and 5.1 (certificates, lists), RFC 6960 4.2.1 (answers), RFC 2986 4.2 (requests), RFC 7292
    (PKCS #12), RFC 8018 6.2 (PBES2).

Raises
    UseRefused.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from letterlock.asn1 import der, oid
from letterlock.keyholder.errors import UseRefused

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

CURVES: dict[str, ec.EllipticCurve] = {"ec-p256": ec.SECP256R1(), "ec-p384": ec.SECP384R1()}
RSA_BITS = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
PASSWORD_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # noqa: S105 - no look-alikes: it is read aloud and typed
PASSWORD_GROUPS, GROUP_LETTERS = 5, 4
"""20 of 31 letters: 99 bits."""
ROUNDS = 600_000
"""Of PBKDF2 for a key that travels by mail."""

_ALLOWED_PURPOSES = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CLIENT_AUTH}


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What is to be signed. ``issuer``: DER of the certificate of the key; ``address``, ``spki``: when set, the one
    address and public key that a certificate may be for."""

    kind: str
    tbs: bytes
    issuer: bytes | None = None
    address: str | None = None
    spki: bytes | None = None


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """A key to be sealed for its owner: the certificates that go with it, the owner's first, and a name for them.

    ``form``: p12 (RFC 7292), or pem (RFC 5958 3 and RFC 7468 11: encrypted PKCS #8, then the certificates).
    """

    certificates: list[bytes]
    name: str
    form: str = "p12"


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """A file with the key and the password that opens it."""

    file: bytes
    password: str

    def __repr__(self) -> str:
        return "Sealed()"


def generate(algorithm: str) -> bytes:
    """A new private key, PKCS #8 in DER. Raises UseRefused for an algorithm that is not made here."""
    made: Any
    if algorithm in RSA_BITS:
        made = rsa.generate_private_key(65537, RSA_BITS[algorithm])
    elif algorithm in CURVES:
        made = ec.generate_private_key(CURVES[algorithm])
    else:
        raise UseRefused("Keys are made of the kinds " + ", ".join([*RSA_BITS, *CURVES]) + ".")
    octets: bytes = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return octets


def certify(key: Any, octets: bytes) -> bytes:
    """The signed certificate, list, answer or request of a Statement, DER. Raises UseRefused."""
    if not isinstance(key, Key):
        raise UseRefused("An authority's key is RSA or of P-256 or P-384.")
    said = msgspec.msgpack.decode(octets, type=Statement)
    issuer = x509.load_der_x509_certificate(said.issuer) if said.issuer else None
    if issuer is not None and said.kind != "authority" and _spki(issuer.public_key()) != _spki(key.public_key()):
        raise UseRefused("The authority's certificate is for another key.")
    check = _CHECKS.get(said.kind)
    if check is None:
        raise UseRefused("This is nothing an authority signs.")
    try:
        check(key, said, issuer, _put_together(said.kind, said.tbs, _algorithm(key), b"\0"))
    except UseRefused:
        raise
    except Exception as error:  # hostile octets: the library raises many kinds, and each means the same here
        raise UseRefused("What is to be signed is not what it claims to be.", detail=type(error).__name__) from None
    return _put_together(said.kind, said.tbs, _algorithm(key), _sign(key, said.tbs))


def pack(key: Any, octets: bytes) -> bytes:
    """A Sealed of a Parcel: the key with its certificates under a new password. Raises UseRefused."""
    parcel = msgspec.msgpack.decode(octets, type=Parcel)
    own, *above = [x509.load_der_x509_certificate(each) for each in parcel.certificates]
    if _spki(own.public_key()) != _spki(key.public_key()):
        raise UseRefused("The certificate is for another key.")
    letters = [secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_GROUPS * GROUP_LETTERS)]
    password = "-".join("".join(letters[at : at + GROUP_LETTERS]) for at in range(0, len(letters), GROUP_LETTERS))
    return msgspec.msgpack.encode(Sealed(_locked(key, own, above, parcel, password.encode()), password))


def _locked(key: Any, own: x509.Certificate, above: list[x509.Certificate], parcel: Parcel, password: bytes) -> bytes:
    if parcel.form == "pem":
        # PBES2 with AES-256-CBC (RFC 8018 6.2)
        locked: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
        return locked + b"".join(each.public_bytes(Encoding.PEM) for each in (own, *above))
    _require(parcel.form == "p12", "A private key leaves as PKCS #12 or as encrypted PEM.")
    sealing = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password)
    )
    return pkcs12.serialize_key_and_certificates(parcel.name.encode(), key, own, above, sealing)


def _sign(key: Key, tbs: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(tbs, ec.ECDSA(_hash(key)))


def _hash(key: ec.EllipticCurvePrivateKey) -> hashes.HashAlgorithm:
    return hashes.SHA384() if key.curve.name == "secp384r1" else hashes.SHA256()


def _algorithm(key: Key) -> bytes:
    """The AlgorithmIdentifier of ``_sign``: RFC 4055 5, RFC 5758 3.2."""
    if isinstance(key, rsa.RSAPrivateKey):
        return der.sequence(oid.encode("1.2.840.113549.1.1.11"), der.NULL)
    return der.sequence(oid.encode("1.2.840.10045.4.3.3" if key.curve.name == "secp384r1" else "1.2.840.10045.4.3.2"))


def _put_together(kind: str, tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    signed = der.sequence(tbs, algorithm, der.bit_string(signature))
    if kind != "ocsp":
        return signed
    # OCSPResponse: successful, BasicOCSPResponse (RFC 6960 4.2.1)
    basic = der.sequence(oid.encode("1.3.6.1.5.5.7.48.1.1"), der.octet_string(signed))
    return der.sequence(der.tlv(0x0A, b"\0"), der.explicit(0, basic))


def _spki(key: Any) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise UseRefused(sentence)


def _same_tbs(found: bytes, said: Statement) -> None:
    _require(found == said.tbs, "What is to be signed is not read as it is written.")


def _check_certificate(key: Key, said: Statement, issuer: x509.Certificate | None, octets: bytes) -> None:
    made = x509.load_der_x509_certificate(octets)
    _same_tbs(made.tbs_certificate_bytes, said)
    _require(issuer is not None and made.issuer == issuer.subject, "The certificate names another issuer.")
    assert issuer is not None
    constraints, usage = _extension(made, x509.BasicConstraints), _extension(made, x509.KeyUsage)
    _require(not (constraints and constraints.ca), "A person's certificate is no authority's.")
    _require(bool(usage) and not usage.key_cert_sign and not usage.crl_sign, "A person's key signs no certificates.")
    purposes = _extension(made, x509.ExtendedKeyUsage)
    _require(bool(purposes) and set(purposes) <= _ALLOWED_PURPOSES, "The certificate is for something else than mail.")
    _require(made.not_valid_after_utc <= issuer.not_valid_after_utc, "The certificate would outlive its issuer.")
    _require(made.serial_number.bit_length() > 56, "The serial number is too short.")
    names = _extension(made, x509.SubjectAlternativeName)
    addresses = names.get_values_for_type(x509.RFC822Name) if names else []
    _require(bool(addresses) and len(addresses) == len(names), "The certificate names no address, or more than those.")
    if said.address is not None:
        _require([each.lower() for each in addresses] == [said.address.lower()], "It names another address.")
    if said.spki is not None:
        _require(_spki(made.public_key()) == said.spki, "It is for another key than the request's.")
    _require(_spki(made.public_key()) != _spki(key.public_key()), "An authority's key is not used for mail.")


def _check_authority(key: Key, said: Statement, issuer: x509.Certificate | None, octets: bytes) -> None:
    made = x509.load_der_x509_certificate(octets)
    _same_tbs(made.tbs_certificate_bytes, said)
    constraints, usage = _extension(made, x509.BasicConstraints), _extension(made, x509.KeyUsage)
    _require(bool(constraints and constraints.ca), "An authority's certificate says so.")
    _require(bool(usage) and usage.key_cert_sign and usage.crl_sign, "An authority signs certificates and lists.")
    if issuer is None:  # a root: its own public key under its own name
        _require(made.issuer == made.subject and _spki(made.public_key()) == _spki(key.public_key()), "No root.")
        return
    _require(made.issuer == issuer.subject, "The certificate names another issuer.")
    _require(constraints.path_length == 0, "An issuing authority makes no other authorities.")
    _require(made.not_valid_after_utc <= issuer.not_valid_after_utc, "The certificate would outlive its issuer.")


def _check_list(key: Key, said: Statement, issuer: x509.Certificate | None, octets: bytes) -> None:
    made = x509.load_der_x509_crl(octets)
    _same_tbs(made.tbs_certlist_bytes, said)
    _require(issuer is not None and made.issuer == issuer.subject, "The list names another issuer.")
    _require(made.next_update_utc is not None, "A list says when the next one comes.")


def _check_answer(key: Key, said: Statement, issuer: x509.Certificate | None, octets: bytes) -> None:
    made = ocsp.load_der_ocsp_response(octets)
    _same_tbs(made.tbs_response_bytes, said)
    assert issuer is not None
    # RFC 6960 4.2.1: KeyHash is SHA-1 of the public key, as RFC 5280 4.2.1.2 (1) has it for key identifiers
    _require(
        made.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest,
        "The answer names another responder.",
    )
    _require(made.next_update_utc is not None, "An answer says how long it holds.")


def _check_request(key: Key, said: Statement, _issuer: x509.Certificate | None, octets: bytes) -> None:
    made = x509.load_der_x509_csr(octets)
    _same_tbs(made.tbs_certrequest_bytes, said)
    _require(_spki(made.public_key()) == _spki(key.public_key()), "A request is for the key's own public key.")


_CHECKS = {
    "certificate": _check_certificate,
    "authority": _check_authority,
    "crl": _check_list,
    "ocsp": _check_answer,
    "request": _check_request,
}
