"""Files of certificates and keys: PEM, DER, P7B and PKCS#12, in and out.

Guarantees
    Reading says what is in a file and nothing about trust: an import never trusts.
    Every key given back belongs to one of the file's certificates, and is a Secret from the moment it is read.

Standards
    RFC 7468 (PEM), RFC 5652 5 (certificates-only signed data, P7B), RFC 7292 (PKCS#12), RFC 5958 (PKCS#8).

Raises
    MalformedBundle, MalformedCertificate, WrongPassword, KeyMismatch, UnsupportedKey.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7, pkcs12

from letterlock.config import approved
from letterlock.pki import iterations
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.errors import (
    KeyMismatch,
    MalformedBundle,
    MalformedCertificate,
    UnsupportedKey,
    WrongPassword,
)
from letterlock.pki.lattice_key import seed_form
from letterlock.vault.keys import Secret

MAX_OCTETS = 32 << 20
MAX_CERTIFICATES = 10_000
MAX_KEY_OCTETS = 8 << 10
"""Of a private key in DER: an RSA key of 8192 bits has 4.7 KB, the largest lattice key 5. Checking an RSA
key takes time with more than the third power of its length."""

Format = Literal["pem", "der", "p7b", "p12"]

_SUPPORTED = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    x25519.X25519PrivateKey,
    mldsa.MLDSA44PrivateKey,
    mldsa.MLDSA65PrivateKey,
    mldsa.MLDSA87PrivateKey,
    mlkem.MLKEM768PrivateKey,
    mlkem.MLKEM1024PrivateKey,
)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")  # id-PBKDF2, RFC 8018 A.2
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # id-signedData, RFC 5652 5.1


class BundledKey(NamedTuple):
    """A private key of a file. ``pkcs8``: unencrypted DER; ``spki``: the public key as made from it;
    ``certificates``: those of the file it belongs to."""

    pkcs8: Secret
    spki: bytes
    certificates: tuple[Certificate, ...]


class Bundle(NamedTuple):
    """What is in a file. ``unreadable``: certificates left out since they cannot be read."""

    certificates: tuple[Certificate, ...]
    keys: tuple[BundledKey, ...] = ()
    unreadable: int = 0

    def key_of(self, certificate: Certificate) -> BundledKey | None:
        """The private key that belongs to a certificate, if the file has it."""
        return next((each for each in self.keys if certificate in each.certificates), None)


class _Found:
    """What has been read so far. ``with_keys``: private keys and PKCS#12 are read, not passed over."""

    def __init__(self, with_keys: bool) -> None:
        self.with_keys = with_keys
        self.certificates: dict[Certificate, None] = {}
        self.keys: dict[bytes, Secret] = {}
        self.unreadable = 0

    def take_der(self, der: bytes) -> None:
        try:
            self.certificates[parse(der)] = None
        except MalformedCertificate:
            self.unreadable += 1
        if len(self.certificates) > MAX_CERTIFICATES:
            raise MalformedBundle(f"The file holds more than {MAX_CERTIFICATES} certificates; split it.")

    def take(self, certificates: Iterable[x509.Certificate]) -> None:
        for each in certificates:
            self.take_der(each.public_bytes(Encoding.DER))

    def load_key(self, der: bytes, password: bytes | None) -> None:
        """A private key in DER."""
        if not self.with_keys:
            return
        if len(der) > MAX_KEY_OCTETS:
            raise UnsupportedKey("The private key is larger than any that is supported.")
        with _key_faults(password):
            self.take_key(serialization.load_der_private_key(seed_form(der), None))

    def take_key(self, key: object) -> None:
        if not isinstance(key, _SUPPORTED):
            raise UnsupportedKey(detail=type(key).__name__)
        if isinstance(key, x25519.X25519PrivateKey) and not approved.permits("certificate key", "x25519"):
            raise UnsupportedKey("X25519 keys are not used while crypto_profile is fips.")
        if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, _CURVES):
            raise UnsupportedKey(f"The private key's curve {key.curve.name} is not supported.")
        spki = key.public_key().public_bytes(Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        pkcs8 = key.private_bytes(Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.keys[spki] = Secret(pkcs8)


def read(octets: bytes, password: str | None = None, *, with_keys: bool = True) -> Bundle:
    """Certificates and keys of a file, its format told from its octets. ``password``: for PKCS#12 and sealed keys.

    ``with_keys`` False: for octets of strangers. Private keys and PKCS#12 are passed over: to check a key, or to hash a
    password as often as the file wants, costs as much time as its maker likes.
    """
    if len(octets) > MAX_OCTETS:
        raise MalformedBundle(f"The file is larger than {MAX_OCTETS >> 20} MiB.")
    secret = password.encode() if password else None
    found = _Found(with_keys)
    blocks = list(_blocks(octets))
    if blocks:
        for label, block in blocks:
            _read_block(label, block, secret, found)
    else:
        _read_der(_unarmoured(octets), secret, found)
    if not found.certificates:
        if found.keys:
            raise KeyMismatch("The file holds a private key but no certificate; put both into one file.")
        raise MalformedCertificate if found.unreadable else MalformedBundle
    keys: list[BundledKey] = []
    for spki, pkcs8 in found.keys.items():
        owners = tuple(each for each in found.certificates if _same_key(each, spki))
        if not owners:
            raise KeyMismatch
        keys.append(BundledKey(pkcs8, spki, owners))
    return Bundle(tuple(found.certificates), tuple(keys), found.unreadable)


def _same_key(certificate: Certificate, spki: bytes) -> bool:
    """The public key is the certificate's; encodings may differ, as in explicit curve parameters or RSASSA-PSS."""
    if certificate.spki == spki:
        return True
    try:
        public = certificate.parsed.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return False
    return public.public_bytes(Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) == spki


def _blocks(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Label and whole text of each PEM block, whatever stands between them (RFC 7468 2)."""
    end = 0
    while (start := octets.find(b"-----BEGIN ", end)) >= 0:
        label = octets[start + 11 : start + 75].partition(b"-----")[0]
        foot = b"-----END " + label + b"-----"
        end = octets.find(foot, start)
        if end < 0:
            raise MalformedBundle("The file ends in the middle of a PEM block.")
        end += len(foot)
        yield label, octets[start:end]


def _read_block(label: bytes, block: bytes, password: bytes | None, found: _Found) -> None:
    """One PEM block (RFC 7468); labels we have no use for, such as X509 CRL, are passed over."""
    if label in (b"CERTIFICATE", b"X509 CERTIFICATE"):
        try:
            der = _body(block)
        except MalformedBundle:
            found.unreadable += 1
            return
        found.take_der(der)
    elif label in (b"PKCS7", b"CMS", b"PKCS12"):
        _read_der(_body(block), password, found)
    elif label == b"PRIVATE KEY":
        found.load_key(_body(block), None)
    elif label.endswith(b"PRIVATE KEY") and found.with_keys:
        if 2 * len(block) > 3 * MAX_KEY_OCTETS:
            raise UnsupportedKey("The private key is larger than any that is supported.")
        if label == b"ENCRYPTED PRIVATE KEY":
            iterations.check(_body(block))
        if _is_sealed(label, block) and not _is_approved(label, block):
            raise UnsupportedKey("The private key is sealed in a way that is not used while crypto_profile is fips.")
        with _key_faults(password):
            found.take_key(serialization.load_pem_private_key(block, password if _is_sealed(label, block) else None))


def _is_sealed(label: bytes, block: bytes) -> bool:
    return label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in block  # RFC 1421 4.6.1.1


def _is_approved(label: bytes, block: bytes) -> bool:
    """PBES2 with PBKDF2 (SP 800-132), or any way while everything is permitted."""
    if label == b"ENCRYPTED PRIVATE KEY" and _PBKDF2 in _body(block)[:200]:
        return approved.permits("password", "private key under PBES2 with PBKDF2")
    return approved.permits("password", "private key under older schemes")


def _body(block: bytes) -> bytes:
    """The octets between the armour lines. Raises MalformedBundle."""
    try:
        return base64.b64decode(b"".join(block.split(b"-----")[2].split()), validate=True)
    except binascii.Error as error:
        raise MalformedBundle("The file holds a damaged PEM block.", detail=str(error)[:200]) from error


def _unarmoured(octets: bytes) -> bytes:
    """Base64 without armour lines, as some programs write P7B, decoded; anything else as it is."""
    text = b"".join(octets.split())
    if text[:1] == b"M":  # 0x30 of a SEQUENCE in base64
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            return octets
    return octets


def _read_der(der: bytes, password: bytes | None, found: _Found) -> None:
    """One DER (or BER) structure, told apart by the first element inside its SEQUENCE."""
    inside = _inside(der)
    if inside.startswith(_SIGNED_DATA):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it may be BER, which the library warns of and reads
                found.take(pkcs7.load_der_pkcs7_certificates(der))
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise MalformedBundle(detail=str(error)[:200]) from error
    elif inside.startswith(b"\x02\x01\x03"):  # version 3 of a PFX, RFC 7292 4
        _read_pkcs12(der, password, found)
    elif inside.startswith(b"\x02"):  # version of a private key, RFC 5958 2 and RFC 8017 A.1.2
        found.load_key(der, password)
    elif inside:
        found.take_der(der)


def _inside(der: bytes) -> bytes:
    """The first octets of the content of a SEQUENCE; b"" when it is none."""
    if len(der) < 4 or der[0] != 0x30:
        return b""
    skip = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    return der[skip : skip + 16]


def _read_pkcs12(der: bytes, password: bytes | None, found: _Found) -> None:
    if not found.with_keys:
        return
    if not approved.permits("password", "PKCS#12"):
        raise MalformedBundle("PKCS#12 is not used while crypto_profile is fips; make it PEM.")
    iterations.check(der)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            contents = pkcs12.load_pkcs12(der, password)
    except (ValueError, x509.InvalidVersion) as error:
        # One error for both: the library cannot tell a wrong password from a damaged file.
        raise WrongPassword(
            "The password is wrong or the file is damaged." if password else "The file needs a password.",
            detail=str(error)[:200],
        ) from error
    except UnsupportedAlgorithm as error:
        raise MalformedBundle(
            "The file is protected in a way that is not supported; make it anew.", detail=str(error)[:200]
        ) from error
    if contents.cert is not None:
        found.take([contents.cert.certificate])
    found.take(each.certificate for each in contents.additional_certs)
    if contents.key is not None:
        found.take_key(contents.key)


@contextlib.contextmanager
def _key_faults(password: bytes | None) -> Iterator[None]:
    """Turns what loading a private key raises into our errors."""
    try:
        yield
    except TypeError as error:  # sealed, and no password given
        raise WrongPassword("The private key needs a password.") from error
    except UnsupportedAlgorithm as error:
        raise UnsupportedKey(detail=str(error)[:200]) from error
    except ValueError as error:
        text = "The password is wrong or the private key is damaged." if password else "The private key is damaged."
        raise WrongPassword(text, detail=str(error)[:200]) from error


def to_pem(certificates: Sequence[Certificate]) -> bytes:
    """One PEM block after another, in order."""
    return b"".join(each.parsed.public_bytes(Encoding.PEM) for each in certificates)


def to_p7b(certificates: Sequence[Certificate], *, pem: bool = False) -> bytes:
    """A certificates-only signed data, DER unless ``pem``."""
    return pkcs7.serialize_certificates([each.parsed for each in certificates], Encoding.PEM if pem else Encoding.DER)


def to_p12(pkcs8: Secret, certificate: Certificate, above: Sequence[Certificate], password: str) -> bytes:
    """A PKCS#12 with one key, its certificate and those above it, sealed under ``password`` (AES-256, HMAC-SHA-256)."""
    if not approved.permits("password", "PKCS#12"):
        raise UnsupportedKey("PKCS#12 is not used while crypto_profile is fips.")
    if not password:
        raise WrongPassword("A file with a private key needs a password.")
    key = serialization.load_der_private_key(pkcs8.octets, None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise UnsupportedKey(detail=type(key).__name__)
    sealing = serialization.BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(
        None, key, certificate.parsed, [each.parsed for each in above], sealing
    )
