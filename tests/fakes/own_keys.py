"""Private keys in memory, behind the protocol of smime: what the keyholder's signers do, without a keyholder.

Guarantees
    unwrap answers with ``length`` octets whatever comes in (implicit rejection), as the real one does.
    ``asked`` counts the operations, ``broken`` makes every one fail for the time being, ``refuses`` for good.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from letterlock.errors import TemporaryError
from letterlock.keyholder.signer import agree, decapsulate
from letterlock.pki.certificate import parse
from letterlock.smime.party import OwnKey, RecipientId
from letterlock.vault.errors import KeyRefused
from tests.fakes.authority import Identity

_HASHES = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class KeyInMemory:
    """The private key of an Identity."""

    def __init__(self, identity: Identity) -> None:
        self.certificate = parse(identity.der)
        self._key = identity.key
        self.asked: list[str] = []
        self.broken = False
        self.refuses = False

    def _note(self, operation: str) -> None:
        self.asked.append(operation)
        if self.broken:
            raise TemporaryError
        if self.refuses:
            raise KeyRefused

    async def sign(self, tbs: bytes, algorithm: str) -> bytes:
        self._note(algorithm)
        return self.sign_now(tbs, algorithm)

    def sign_now(self, tbs: bytes, algorithm: str) -> bytes:
        """The same without waiting."""
        if algorithm == "ed25519" or algorithm.startswith("ml-dsa"):
            return self._key.sign(tbs)
        digest = _HASHES[algorithm.rpartition("-")[2]]
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(tbs, ec.ECDSA(digest))
        if algorithm.startswith("rsa-pss"):
            return self._key.sign(tbs, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return self._key.sign(tbs, padding.PKCS1v15(), digest)

    async def unwrap(self, algorithm: str, octets: bytes, length: int) -> bytes:
        self._note(algorithm)
        assert isinstance(self._key, rsa.RSAPrivateKey)
        how: padding.AsymmetricPadding = padding.PKCS1v15()
        if algorithm.startswith("rsa-oaep"):
            digest, mask = algorithm.split("-")[2:]
            how = padding.OAEP(padding.MGF1(_HASHES[mask]), _HASHES[digest], None)
        try:
            key = self._key.decrypt(octets, how)
        except ValueError:
            key = b""
        return key if len(key) == length else os.urandom(length)

    async def agree(self, algorithm: str, peer: bytes) -> bytes:
        self._note(algorithm)
        return agree(self._key, algorithm, peer)

    async def decapsulate(self, algorithm: str, octets: bytes) -> bytes:
        self._note(algorithm)
        return decapsulate(self._key, algorithm, octets)


class Keys:
    """A KeyLookup over these identities."""

    def __init__(self, *identities: Identity) -> None:
        self.held = [KeyInMemory(each) for each in identities]
        self.looked_for: list[RecipientId] = []

    async def find(self, recipients: Sequence[RecipientId]) -> Sequence[OwnKey]:
        self.looked_for += recipients
        return [
            OwnKey(each.certificate, each)
            for each in self.held
            if any(wanted.names(each.certificate) for wanted in recipients)
        ]
