"""What the certificate authority and housekeeping ask of private keys: make one, carry out an order, seal one in a file.

Guarantees
    An authority's key is never used because a process says so. What is to be signed stands in the database as an order:
    made by a function that checked who asks and audited its digest, used up here once, within ten seconds, by the role
    and the person that made it. A signer then checks what the octets say (certify.py) before it signs them.
    Authorities' keys and mail keys are told apart by the database: no lease reaches the former, no order the latter
    (but a certification request, which a mail key signs for itself), and a key for accounts signs requests to its ACME
    server only (jws.py). Keys stay wrapped under their organisation's
    permanent key until a signer needs them. What was signed and what left stands in the keyholder's own log.

Raises
    KeyRefused, UseRefused, and what the database and the signers raise.

See also
    database/sql/functions/ca/order_signature.sql, keyholder/take_order.sql, make_key.sql, export_key.sql;
    ``private_keys.py`` (uses for mail).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from uuid import UUID

import msgspec

from letterlock.keyholder import jws
from letterlock.keyholder.certify import Parcel, Sealed, Statement
from letterlock.keyholder.epochs import Epochs
from letterlock.keyholder.given import GivenLog
from letterlock.keyholder.pools import Pools
from letterlock.keyholder.private_keys import seal_data
from letterlock.keyholder.records import Records
from letterlock.keyholder.signer import Inspected
from letterlock.vault.errors import ContentRefused, KeyRefused
from letterlock.vault.keys import new_id, seal, unseal

PURPOSES = ("mail", "authority", "account")

NOT_EXPORTED = {
    "not-found": "There is no such private key of a person, or you may not take it out.",
    "on-token": "The private key is on the PKCS #11 token and cannot be taken out.",
    "no-reason": "Say why the private key is taken out; the reason is kept, and its owner is told.",
    "not-fresh": "You proved who you are more than five minutes ago; ask again.",
}


class Orders:
    """Makes keys, carries out orders, seals keys for their owners."""

    def __init__(self, epochs: Epochs, records: Records, signers: Pools, given: GivenLog) -> None:
        self._epochs = epochs
        self._records = records
        self._signers = signers
        self._given = given

    async def make(
        self, role: str, token: bytes, organisation: UUID, algorithm: str, purpose: str
    ) -> tuple[UUID, bytes]:
        """A new private key: its id and SubjectPublicKeyInfo. Raises KeyRefused, UseRefused."""
        if purpose not in PURPOSES:
            raise KeyRefused("A key is made for mail, for an authority or for an account at one.")
        future = self._signers.use("make", b"", None, algorithm, b"")
        self._signers.deal()
        made = msgspec.msgpack.decode(await future, type=Inspected)
        permanent = await self._epochs.permanent(organisation)
        key_id = new_id()
        wrapped = seal(permanent, made.pkcs8, seal_data(organisation, key_id.bytes))
        if not await self._records.make_key(
            token, role, key_id, organisation, purpose, wrapped, made.spki, made.algorithm
        ):
            raise KeyRefused("You may not have keys made for that.")
        return key_id, made.spki

    async def carry_out(self, role: str, token: bytes, order: UUID) -> bytes:
        """What an order says, signed. Raises KeyRefused when it is used, over or another's; UseRefused."""
        found = await self._records.take_order(order, token, role)
        if found is None:
            raise KeyRefused("The order to sign is used, over, or not yours.")
        statement = Statement(found.kind, found.tbs, found.issuer, found.address, found.spki)
        self._given.order(order, found.key, found.kind, hashlib.sha256(found.tbs).digest())
        reveal = self._reveal(found.key, found.organisation, found.wrapped)
        operation = "jws" if found.kind == jws.KIND else "certify"
        future = self._signers.use(operation, found.key.bytes, reveal, "", msgspec.msgpack.encode(statement))
        self._signers.deal()
        return await future

    async def export(self, token: bytes, key: UUID, parcel: Parcel, reason: str) -> Sealed:
        """A mail key in a locked file. Raises KeyRefused, UseRefused."""
        found = await self._records.export_key(token, key, reason)
        if found.wrapped is None or found.organisation is None:
            raise KeyRefused(NOT_EXPORTED.get(found.answer, NOT_EXPORTED["not-found"]))
        self._given.export(key)
        reveal = self._reveal(key, found.organisation, found.wrapped)
        future = self._signers.use("pack", key.bytes, reveal, "", msgspec.msgpack.encode(parcel))
        self._signers.deal()
        return msgspec.msgpack.decode(await future, type=Sealed)

    def _reveal(self, key: UUID, organisation: UUID, wrapped: bytes) -> Callable[[], bytes]:
        def reveal() -> bytes:
            permanent = self._epochs.ring.permanent(organisation)
            if permanent is None:
                raise KeyRefused("The key of this organisation's private keys is missing.")
            try:
                return unseal(permanent, wrapped, seal_data(organisation, key.bytes))
            except ContentRefused:
                raise KeyRefused("The private key does not open.", detail=str(key)) from None

        return reveal
