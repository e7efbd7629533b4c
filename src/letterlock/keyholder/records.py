"""What the keyholder knows from the database, as plain rows, behind one seam.

Guarantees
    Times are seconds since the Unix epoch, whole where they are part of a seal. Nothing else of the keyholder knows the
    database: tests put a Records in memory in its place.

Raises
    LetterlockError when the database does not answer or refuses.

See also
    ``ledger.py`` (the real one, over calls.py), ``database/sql/functions/keyholder``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol
from uuid import UUID

from letterlock.audit.chain import Seal


class EpochRow(NamedTuple):
    """An epoch the database knows."""

    id: UUID
    cls: str
    day: date
    destroyed: bool


class OverRow(NamedTuple):
    """An epoch whose day is over. ``queued``: how many queued rows hang on it; it ends only when there are none."""

    id: UUID
    day: date
    queued: int


class Leased(NamedTuple):
    """A content the asking role may open now, with the sealing session its key hangs on."""

    id: UUID
    session: UUID
    epoch: UUID
    day: date
    cls: str
    session_wrapped: bytes
    session_not_after: int
    session_role: str
    wrapped_key: bytes
    commitment: bytes
    envelope: bytes


class StoredKey(NamedTuple):
    """A user's private key, wrapped; ``addresses``: those of its certificates, in match form (pki.certificate)."""

    wrapped: bytes
    organisation: UUID
    addresses: frozenset[str]


class Ordered(NamedTuple):
    """What an authority's key is to sign, and the key, wrapped. ``issuer``: DER of the key's certificate; ``address``
    and ``spki``: what a certificate must be for, None when the person who asks answers for it."""

    kind: str
    key: UUID
    organisation: UUID
    wrapped: bytes
    tbs: bytes
    issuer: bytes | None
    address: str | None
    spki: bytes | None


class Exportable(NamedTuple):
    """Whether a key may leave: 'done', with key and organisation; 'not-found', 'on-token', 'no-reason', 'not-fresh'."""

    answer: str
    wrapped: bytes | None
    organisation: UUID | None


class Unsealed(NamedTuple):
    """Committed audit rows that no seal covers, and what the next seal says of its place.

    ``blob`` holds ``rows`` rows with from_xid <= xid < upto_xid; ``previous``: link of the seal before, b"" at first.
    """

    number: int
    from_xid: int
    upto_xid: int
    rows: int
    blob: bytes
    previous: bytes


class Records(Protocol):
    """The keyholder.* database functions, as the keyholder needs them."""

    async def clock(self) -> float:
        """The database's clock."""
        ...

    async def ring_generation(self) -> int:
        """The generation of the key ring that was noted last; 0 when none was."""
        ...

    async def note_generation(self, generation: int) -> None:
        """Note the generation of the key ring; durable when it returns."""
        ...

    async def restored(self) -> None:
        """The database is an old copy: sessions, grants and leases become void, the queue goes on hold."""
        ...

    async def epochs(self) -> list[EpochRow]:
        """Every epoch known."""
        ...

    async def register_epoch(self, epoch: UUID, cls: str, day: date) -> None:
        """Make an epoch known; nothing happens when it is."""
        ...

    async def epochs_over(self, day: date) -> list[OverRow]:
        """Epochs that are not destroyed and whose day is before ``day``."""
        ...

    async def mark_destroyed(self, epoch: UUID) -> None:
        """Say that an epoch's key is no more."""
        ...

    async def open_session(
        self, session: UUID, epoch: UUID, cls: str, role: str, not_after: int, wrapped_key: bytes
    ) -> None:
        """Make a sealing session known, so that what is sealed in it is accepted."""
        ...

    async def check_leases(self, role: str, lease: UUID, ids: Sequence[UUID]) -> list[Leased]:
        """Those of ``ids`` that ``role`` holds under ``lease`` now."""
        ...

    async def take(self, grant: UUID, token: bytes) -> Leased | None:
        """Use a grant up; None when it is used, over, another's, or its object is gone. Durable when it returns."""
        ...

    async def private_key(self, key_id: UUID) -> StoredKey | None:
        """A user's private key, wrapped, and the addresses it stands for now."""
        ...

    async def store_key(
        self, token: bytes, key_id: UUID, organisation: UUID, wrapped: bytes, spki: bytes, algorithm: str
    ) -> UUID | None:
        """Keep a private key; its id, or that of the same key kept already. None or Denied when the token may not."""
        ...

    async def take_order(self, order: UUID, token: bytes, role: str) -> Ordered | None:
        """Use an order to sign up; None when it is used, over, another's. Durable when it returns."""
        ...

    async def make_key(
        self,
        token: bytes,
        role: str,
        key_id: UUID,
        organisation: UUID,
        use: str,
        wrapped: bytes,
        spki: bytes,
        algorithm: str,
    ) -> bool:
        """Keep a private key that was made here; False or Denied when who asks may not."""
        ...

    async def store_token_key(
        self,
        token: bytes,
        role: str,
        key_id: UUID,
        organisation: UUID,
        use: str,
        wrapped: bytes,
        spki: bytes,
        algorithm: str,
        token_uri: str,
        new: bool,
    ) -> UUID | None:
        """Keep the reference of a key on the token; its id, or that of the same key. None or Denied when refused."""
        ...

    async def token_keys(self) -> Sequence[tuple[UUID, str, str]]:
        """Keys that are on the token: id, URI, use."""
        ...

    async def export_key(self, token: bytes, key_id: UUID, reason: str) -> Exportable:
        """A mail key that may leave, wrapped. Denied when who asks may not."""
        ...

    async def seal(self, number: int) -> Seal | None:
        """The seal of that number."""
        ...

    async def unsealed(self, limit: int) -> Unsealed:
        """The oldest audit rows not yet sealed, about ``limit`` of them."""
        ...

    async def store_seal(self, seal: Seal) -> bool:
        """Keep a seal, durably; False when it does not follow the last one."""
        ...
