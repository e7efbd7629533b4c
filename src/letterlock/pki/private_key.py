"""A private key, wherever it is: it is asked to do things and never handed over.

Guarantees
    A KeyholderKey is bound to one leased message: the keyholder uses the key for its sender (sign) or its recipients
    (unwrap, agree, decapsulate), and for nothing else.

Standards
    RFC 3218 2.3.2 (a failed unwrap is not told from a good one).

Raises
    KeyholderUnavailable when it may work later, KeyRefused when it will not.

See also
    ``vault/opening.py`` for the asking; whether the key is kept here or on a PKCS #11 token (``hsm.py``), the signer knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from letterlock.vault.opening import KeyholderClient


class PrivateKey(Protocol):
    """What S/MIME needs of a private key. A TemporaryError of any kind means: ask again later."""

    async def sign(self, tbs: bytes, algorithm: str) -> bytes:
        """A signature of ``tbs``.

        ``algorithm``: rsa-pkcs1-H, rsa-pss-H, ecdsa-H (H: sha256, sha384, sha512; ECDSA answers DER), ed25519,
        ml-dsa-44, ml-dsa-65, ml-dsa-87.
        """
        ...

    async def unwrap(self, algorithm: str, octets: bytes, length: int) -> bytes:
        """The key of ``length`` octets wrapped in ``octets``; random octets when it does not unwrap.

        ``algorithm``: rsa-pkcs1, rsa-oaep-H, rsa-oaep-H-M (M: hash of MGF1).
        """
        ...

    async def agree(self, algorithm: str, peer: bytes) -> bytes:
        """The shared secret with ``peer``, an encoded point (SEC 1 2.3.3) or 32 octets.

        ``algorithm``: ecdh-p256, ecdh-p384, ecdh-p521, x25519.
        """
        ...

    async def decapsulate(self, algorithm: str, octets: bytes) -> bytes:
        """The secret of 32 octets encapsulated in ``octets``; a random one when it is damaged (FIPS 203 6.3).

        ``algorithm``: ml-kem-768, ml-kem-1024.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyholderKey:
    """A key in the keyholder's care, for one leased message. ``message``: the id of the queued message."""

    keyholder: KeyholderClient
    lease: UUID
    message: UUID
    key: UUID

    async def sign(self, tbs: bytes, algorithm: str) -> bytes:
        """See PrivateKey. Raises KeyRefused unless a certificate of the key names the message's sender."""
        return await self.keyholder.sign(self.lease, self.message, self.key, tbs, algorithm)

    async def unwrap(self, algorithm: str, octets: bytes, length: int) -> bytes:
        """See PrivateKey. Raises KeyRefused unless a certificate of the key names one of the message's recipients."""
        return await self.keyholder.unwrap(self.lease, self.message, self.key, algorithm, octets, length)

    async def agree(self, algorithm: str, peer: bytes) -> bytes:
        """See PrivateKey. Raises KeyRefused unless a certificate of the key names one of the message's recipients."""
        return await self.keyholder.agree(self.lease, self.message, self.key, algorithm, peer)

    async def decapsulate(self, algorithm: str, octets: bytes) -> bytes:
        """See PrivateKey. Raises KeyRefused unless a certificate of the key names one of the message's recipients."""
        return await self.keyholder.decapsulate(self.lease, self.message, self.key, algorithm, octets)
