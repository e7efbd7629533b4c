"""The Records of the real database: the keyholder.* functions, over the keyholder's own connection.

Guarantees
    A question that changes nothing is asked once more when its connection broke (the database was started anew); what
    changes something is not.

Raises
    DatabaseUnavailable and others of ``database/errors.py``; RingRefused when the database contradicts the ring.

See also
    ``records.py`` (the seam), ``calls.py`` (the calls).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar
from uuid import UUID

from letterlock.audit.chain import Seal
from letterlock.database.connect import Gate
from letterlock.database.errors import DatabaseUnavailable
from letterlock.keyholder import calls
from letterlock.keyholder.errors import RingRefused
from letterlock.keyholder.records import EpochRow, Exportable, Leased, Ordered, OverRow, StoredKey, Unsealed

_Answer = TypeVar("_Answer")


class Ledger:
    """Records over a Gate of the role ll_keyholder."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def clock(self) -> float:
        """The database's clock."""
        return (await _ask(lambda: calls.clock(self._gate))).timestamp()

    async def ring_generation(self) -> int:
        """The generation noted last."""
        return await _ask(lambda: calls.ring_generation(self._gate))

    async def note_generation(self, generation: int) -> None:
        """Note the ring's generation. Raises RingRefused when the database knows a later one."""
        if not await _ask(lambda: calls.note_generation(self._gate, generation=generation)):
            raise RingRefused("Another keyholder has changed the key ring meanwhile.")

    async def restored(self) -> None:
        """Void what lived in a restored copy."""
        await calls.restored(self._gate)

    async def epochs(self) -> list[EpochRow]:
        """Every epoch known."""
        rows = await _ask(lambda: calls.epochs(self._gate))
        return [EpochRow(row.id, row.class_, row.day, row.destroyed_at is not None) for row in rows]

    async def register_epoch(self, epoch: UUID, cls: str, day: date) -> None:
        """Make an epoch known."""
        await _ask(lambda: calls.register_epoch(self._gate, id=epoch, class_=cls, day=day))

    async def epochs_over(self, day: date) -> list[OverRow]:
        """Epochs not destroyed whose day is past."""
        rows = await _ask(lambda: calls.epochs_over(self._gate, day=day))
        # The verdict is the database's; a row it does not want destroyed counts as needed.
        return [OverRow(row.id, row.day, 0 if row.verdict == "destroy" else max(row.waiting, 1)) for row in rows]

    async def mark_destroyed(self, epoch: UUID) -> None:
        """Say that an epoch's key is no more."""
        await _ask(lambda: calls.mark_destroyed(self._gate, id=epoch))

    async def open_session(
        self, session: UUID, epoch: UUID, cls: str, role: str, not_after: int, wrapped_key: bytes
    ) -> None:
        """Make a sealing session known. Raises RingRefused when the database does not know its epoch."""
        answer = await calls.open_session(
            self._gate,
            class_=cls,
            id=session,
            epoch=epoch,
            role=role,
            not_after=datetime.fromtimestamp(not_after, UTC),
            wrapped_key=wrapped_key,
        )
        if answer != "done":
            raise RingRefused("The database does not know the epoch to seal in.", detail=answer)

    async def check_leases(self, role: str, lease: UUID, ids: Sequence[UUID]) -> list[Leased]:
        """Those of ``ids`` that ``role`` holds under ``lease`` now."""
        rows = await _ask(lambda: calls.check_leases(self._gate, role=role, lease=lease, ids=ids))
        return [_leased(row) for row in rows]

    async def take(self, grant: UUID, token: bytes) -> Leased | None:
        """Use a grant up."""
        row = await calls.take(self._gate, grant=grant, token=token)
        return None if row is None else _leased(row)

    async def private_key(self, key_id: UUID) -> StoredKey | None:
        """A user's private key, wrapped."""
        row = await _ask(lambda: calls.private_key(self._gate, id=key_id))
        return None if row is None else StoredKey(row.wrapped, row.organisation, frozenset(row.addresses))

    async def store_key(
        self, token: bytes, key_id: UUID, organisation: UUID, wrapped: bytes, spki: bytes, algorithm: str
    ) -> UUID | None:
        """Keep a private key."""
        return await calls.store_key(
            self._gate,
            token=token,
            id=key_id,
            organisation=organisation,
            wrapped=wrapped,
            spki=spki,
            algorithm=algorithm,
        )

    async def take_order(self, order: UUID, token: bytes, role: str) -> Ordered | None:
        """Use an order to sign up."""
        return await calls.take_order(self._gate, order=order, token=token, role=role)

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
        """Keep a private key that was made here."""
        return await calls.make_key(
            self._gate,
            token=token,
            role=role,
            id=key_id,
            organisation=organisation,
            use=use,
            wrapped=wrapped,
            spki=spki,
            algorithm=algorithm,
        )

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
        """Keep the reference of a key on the token."""
        return await calls.store_token_key(
            self._gate,
            token=token,
            role=role,
            id=key_id,
            organisation=organisation,
            use=use,
            wrapped=wrapped,
            spki=spki,
            algorithm=algorithm,
            token_uri=token_uri,
            new=new,
        )

    async def token_keys(self) -> Sequence[tuple[UUID, str, str]]:
        """Keys that are on the token."""
        return await _ask(lambda: calls.token_keys(self._gate))

    async def export_key(self, token: bytes, key_id: UUID, reason: str) -> Exportable:
        """A mail key that may leave."""
        return await calls.export_key(self._gate, token=token, id=key_id, reason=reason)

    async def seal(self, number: int) -> Seal | None:
        """The seal of that number."""
        found = await _ask(lambda: calls.seals(self._gate, from_=number, max=1))
        return found[0] if found and found[0].number == number else None

    async def unsealed(self, limit: int) -> Unsealed:
        """Audit rows not yet sealed."""
        return Unsealed._make(await _ask(lambda: calls.unsealed(self._gate, limit=limit)))

    async def store_seal(self, seal: Seal) -> bool:
        """Keep a seal."""
        return await calls.store_seal(self._gate, seal)


def _leased(row: calls.OpenableContent) -> Leased:
    """The same fields in the same order; the session's end in whole seconds."""
    return Leased._make((*row[:6], round(row.session_not_after.timestamp()), *row[7:]))


async def _ask(question: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """The answer to what may be asked twice."""
    try:
        return await question()
    except DatabaseUnavailable:
        return await question()
