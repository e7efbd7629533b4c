"""The parties: certificates as signing and encryption need them, and whose private keys are asked.

Guarantees
    A Party is parsed once per certificate and kept; two calls with the same octets give the same object.
    Private keys never enter this package: they are asked through PrivateKey, wherever they are.

Raises
    Unsupported for a key of a kind we neither verify nor encrypt to; MalformedCertificate.

See also
    ``vault/opening.py`` for the names of algorithms a private key is asked for; ``pki/certificate.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol, cast

from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem, x25519

from letterlock.pki.certificate import Certificate, parse
from letterlock.smime.capabilities import Capabilities, announced_in
from letterlock.smime.errors import Unsupported
from letterlock.smime.key_management import AGREEMENTS
from letterlock.smime.signatures import MIN_RSA_BITS, VerifyingKey, ml_dsa_level


class RecipientId(NamedTuple):
    """How CMS names a certificate: DER IssuerAndSerialNumber, or a subject key identifier; the other one is empty."""

    issuer_serial: bytes = b""
    key_identifier: bytes = b""

    def names(self, certificate: Certificate) -> bool:
        """Is it this certificate?"""
        if self.issuer_serial:
            return self.issuer_serial == certificate.issuer_serial
        return bool(self.key_identifier) and self.key_identifier == certificate.key_identifier

    def __str__(self) -> str:
        return self.issuer_serial.hex() or f"key:{self.key_identifier.hex()}"


class PrivateKey(Protocol):
    """A private key, wherever it is. ``TemporaryError`` of any kind means: ask again later."""

    async def sign(self, tbs: bytes, algorithm: str) -> bytes:
        """``algorithm``: rsa-pkcs1-H, rsa-pss-H, ecdsa-H (H: sha256, sha384, sha512; answer DER), ed25519, ml-dsa-L."""
        ...

    async def unwrap(self, algorithm: str, octets: bytes, length: int) -> bytes:
        """``algorithm``: rsa-pkcs1, rsa-oaep-H-M. The answer has ``length`` octets.

        They are random ones when it does not unwrap (RFC 3218 2.3.2): nobody may learn here whether it did.
        """
        ...

    async def agree(self, algorithm: str, peer: bytes) -> bytes:
        """``algorithm``: ecdh-p256, ecdh-p384, ecdh-p521; ``peer``: an encoded point (SEC 1 2.3.3). Or x25519, 32 octets."""
        ...

    async def decapsulate(self, algorithm: str, octets: bytes) -> bytes:
        """``algorithm``: ml-kem-768, ml-kem-1024. 32 octets whatever comes: the scheme rejects implicitly (FIPS 203 6.3)."""
        ...


class OwnKey(NamedTuple):
    """A certificate of ours and the private key that belongs to it."""

    certificate: Certificate
    private: PrivateKey


class KeyLookup(Protocol):
    """Finds keys of ours for the recipients of an encrypted message."""

    async def find(self, recipients: Sequence[RecipientId]) -> Sequence[OwnKey]:
        """Those of our keys whose certificate one of ``recipients`` names; all that match, in any order."""
        ...


PublicKey = VerifyingKey | x25519.X25519PublicKey | mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey
Kind = Literal["rsa", "ec", "x25519", "ed25519", "ml-kem", "ml-dsa", "dsa"]
_KINDS: Final[dict[str, Kind]] = {
    "rsa": "rsa",
    "rsa-pss": "rsa",
    "ec": "ec",
    "x25519": "x25519",
    "ed25519": "ed25519",
    "ml-kem": "ml-kem",
    "ml-dsa": "ml-dsa",
    "dsa": "dsa",
}


class Party:
    """A certificate with its public key loaded. ``capabilities`` None: it is not known what its owner can read."""

    __slots__ = ("capabilities", "certificate", "kind", "public")

    def __init__(self, certificate: Certificate, capabilities: Capabilities | None = None) -> None:
        """Raises Unsupported when its key is of a kind or on a curve that is in no table of ours."""
        kind = _KINDS.get(certificate.key_kind)
        if kind is None:
            raise Unsupported(detail=f"key of kind {certificate.key_kind}")
        if kind == "ec" and certificate.curve not in AGREEMENTS:
            raise Unsupported(detail=f"curve {certificate.curve}")
        self.certificate = certificate
        self.public = cast("PublicKey", certificate.parsed.public_key())
        self.kind: Kind = kind
        self.capabilities = capabilities

    def __repr__(self) -> str:
        return f"<Party {self.certificate!r}>"

    @property
    def verifying(self) -> VerifyingKey:
        """Its key, to verify with. Raises Unsupported when it is for encryption only."""
        if self.kind in ("x25519", "ml-kem"):
            raise Unsupported(detail=f"a signature by a key of kind {self.kind}")
        return cast("VerifyingKey", self.public)

    @property
    def signature_algorithm(self) -> str:
        """The algorithm to sign with unless one is asked for: SHA-256, or what fits the curve (RFC 5753 8)."""
        if self.certificate.key_kind == "rsa-pss":  # RFC 4055 1.2: such a key must not be used otherwise
            return "rsa-pss-sha256"
        if self.kind == "ec":
            return {384: "ecdsa-sha384", 521: "ecdsa-sha512"}.get(self.certificate.key_bits, "ecdsa-sha256")
        if isinstance(self.public, mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
            return f"ml-dsa-{ml_dsa_level(self.public)}"
        return "ed25519" if self.kind == "ed25519" else "rsa-pkcs1-sha256"

    @property
    def kem(self) -> str:
        """The name of its key encapsulation mechanism, empty when it has none."""
        if isinstance(self.public, mlkem.MLKEM768PublicKey):
            return "ml-kem-768"
        return "ml-kem-1024" if isinstance(self.public, mlkem.MLKEM1024PublicKey) else ""

    @property
    def is_weak(self) -> bool:
        """An RSA key too short to prove anything (RFC 8551 4.3), or DSA, which is not used any more (RFC 8551 2.2)."""
        return self.kind == "dsa" or (self.kind == "rsa" and self.certificate.key_bits < MIN_RSA_BITS)


@lru_cache(maxsize=4096)
def party(certificate: Certificate, capabilities: Capabilities | None = None) -> Party:
    """The Party of a certificate. ``capabilities``: learned from its owner's signature; None: those in the certificate.

    Raises Unsupported.
    """
    return Party(certificate, announced_in(certificate) if capabilities is None else capabilities)


def load_party(der: bytes, capabilities: Capabilities | None = None) -> Party:
    """The Party of a certificate in DER. Raises MalformedCertificate, Unsupported."""
    return party(parse(der), capabilities)
