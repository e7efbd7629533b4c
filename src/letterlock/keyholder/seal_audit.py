"""Seals the audit trail each second: hashes the new rows, chains, signs, stores the seal, and keeps it in our own file.

Guarantees
    A seal covers whole transactions in the order of their ids, none twice and none left out. It is signed with a key
    that only the keyholder has, over all it says and the link of the one before. It is in the database first, then
    in ``<state>/audit/seals``. What was changed, removed or put in after its seal no longer agrees with both.
    A database whose seals do not continue those of the file is reported at the start, and sealed on.

Standards
    FIPS 180-4 (SHA-256), RFC 8032 (Ed25519).

See also
    ``audit/chain.py`` (the encoding of rows and seals), ``audit/verify.py`` (checks offline), ``given.py`` (the file).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.audit import chain
from letterlock.audit.chain import Seal
from letterlock.errors import LetterlockError
from letterlock.keyholder.given import GivenLog
from letterlock.keyholder.records import Records, Unsealed
from letterlock.vault.sealing import Clock

ROWS_A_SEAL = 5000
SEAL_EVERY = 1.0
"""Seconds."""

_log = logging.getLogger("letterlock.keyholder.seal_audit")


def key_id_of(key: Ed25519PrivateKey) -> str:
    """The name of the signing key: the first 16 hexadecimal digits of the SHA-256 of its SubjectPublicKeyInfo."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()[:16]


class SealKeeper:
    """Makes the seals. ``sealed``: rows sealed by this process."""

    def __init__(self, records: Records, key: Ed25519PrivateKey, log: GivenLog, clock: Clock) -> None:
        self._records = records
        self._key = key
        self._key_id = key_id_of(key)
        self._log = log
        self._clock = clock
        self.sealed = 0
        self._sealing = asyncio.Lock()

    async def compare(self) -> bool:
        """Whether the newest seal of our file is in the database as it was."""
        kept = self._log.last_seal()
        if kept is None:
            return True
        if await self._records.seal(kept.number) == kept:
            return True
        _log.error(
            "the seals in the database do not continue those in our own file; run “letterlock audit verify”",
            extra={"event": "keyholder.seals-differ"},
        )
        return False

    async def seal(self) -> int:
        """Seal what is committed and not yet sealed; how many rows that were."""
        async with self._sealing:
            return await self._seal()

    async def _seal(self) -> int:
        total = 0
        while True:
            found = await self._records.unsealed(ROWS_A_SEAL)
            if not found.rows:
                return total
            seal = self._make(found)
            if not await self._records.store_seal(seal):
                _log.error("a seal was not stored: another one came before it", extra={"event": "keyholder.seal-lost"})
                return total
            self._log.seal(seal)
            total += found.rows
            self.sealed += found.rows
            if found.rows < ROWS_A_SEAL:
                return total

    def _make(self, found: Unsealed) -> Seal:
        sealed_at = int(self._clock() * 1_000_000)
        digest = chain.digest([found.blob])
        link = chain.link(
            number=found.number,
            from_xid=found.from_xid,
            upto_xid=found.upto_xid,
            rows=found.rows,
            digest=digest,
            previous=found.previous,
            sealed_at=sealed_at,
        )
        return Seal(
            number=found.number,
            from_xid=found.from_xid,
            upto_xid=found.upto_xid,
            rows=found.rows,
            digest=digest,
            previous=found.previous,
            link=link,
            sealed_at=sealed_at,
            signature=self._key.sign(link),
            key_id=self._key_id,
        )

    async def keep(self) -> None:
        """Seal and write to disk each second, for ever; run as a task, cancelled at the end."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self.seal()
            except LetterlockError as error:
                _log.warning("nothing was sealed: %s", error)
            await loop.run_in_executor(None, self._log.flush)
            await asyncio.sleep(SEAL_EVERY)
