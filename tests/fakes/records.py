"""The keyholder's database in memory, and the small things around it: a clock that is set, a vault to seal with.

Guarantees
    FakeRecords is a Records: what it takes, it keeps as the database would; ``away`` makes every call fail.
    ``leased`` and ``grants`` say who may open what, as the test wishes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from uuid import UUID

from letterlock.audit.chain import Seal
from letterlock.database.errors import DatabaseUnavailable
from letterlock.keyholder.records import EpochRow, Exportable, Leased, Ordered, OverRow, StoredKey, Unsealed
from letterlock.mail.envelope import Envelope, Origin, Recipient
from letterlock.vault.content import SealedContent
from letterlock.vault.keys import Secret, new_id
from letterlock.vault.sealing import SealingSession

NOON = 1_700_000_000.0


class SetClock:
    """A clock that moves only when told."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_days(self, days: float) -> None:
        """So many days go by, or back."""
        self.now += days * 86_400


def sealing_session(clock: SetClock | None = None, day: date = date(2026, 3, 8)) -> SealingSession:
    """A session as the keyholder would give one, for tests without a keyholder."""
    clock = clock or SetClock()
    return SealingSession(
        new_id(),
        Secret(os.urandom(32)),
        epoch=new_id(),
        day=day,
        made_at=clock.now,
        not_after=clock.now + 4200,
        clock=clock,
    )


def envelope(sender: str = "alice@ours.test", *recipients: str, origin: Origin = "submission") -> Envelope:
    """An envelope with these addresses."""
    return Envelope(sender, tuple(Recipient(each) for each in recipients or ("bob@theirs.test",)), origin)


class FakeRecords:
    """Records in memory."""

    def __init__(self, clock: SetClock) -> None:
        self._clock = clock
        self.skew = 0.0
        self.away = False
        self.calls: list[str] = []
        self.generation = 0
        self.was_restored = 0
        self.known_epochs: dict[UUID, EpochRow] = {}
        self.queued: dict[UUID, int] = {}
        self.sessions: dict[UUID, tuple[UUID, str, str, int, bytes]] = {}
        self.leased: dict[tuple[str, UUID, UUID], SealedContent] = {}
        self.grants: dict[UUID, tuple[bytes, SealedContent]] = {}
        self.keys: dict[UUID, StoredKey] = {}
        self.importer = b"importer"
        self.orders: dict[UUID, tuple[tuple[str, bytes], Ordered]] = {}
        self.made: dict[UUID, tuple[str, bytes, UUID]] = {}
        self.token_uris: dict[UUID, str] = {}
        self.seals: list[Seal] = []
        self.rows: list[bytes] = []

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.away:
            raise DatabaseUnavailable

    async def clock(self) -> float:
        self._called("clock")
        return self._clock.now + self.skew

    async def ring_generation(self) -> int:
        self._called("ring_generation")
        return self.generation

    async def note_generation(self, generation: int) -> None:
        self._called("note_generation")
        self.generation = generation

    async def restored(self) -> None:
        self._called("restored")
        self.was_restored += 1

    async def epochs(self) -> list[EpochRow]:
        self._called("epochs")
        return list(self.known_epochs.values())

    async def register_epoch(self, epoch: UUID, cls: str, day: date) -> None:
        self._called("register_epoch")
        self.known_epochs.setdefault(epoch, EpochRow(epoch, cls, day, destroyed=False))

    async def epochs_over(self, day: date) -> list[OverRow]:
        self._called("epochs_over")
        rows = self.known_epochs.values()
        return [OverRow(e.id, e.day, self.queued.get(e.id, 0)) for e in rows if not e.destroyed and e.day < day]

    async def mark_destroyed(self, epoch: UUID) -> None:
        self._called("mark_destroyed")
        if epoch in self.known_epochs:
            self.known_epochs[epoch] = self.known_epochs[epoch]._replace(destroyed=True)

    async def open_session(
        self, session: UUID, epoch: UUID, cls: str, role: str, not_after: int, wrapped_key: bytes
    ) -> None:
        self._called("open_session")
        assert not self.known_epochs[epoch].destroyed
        self.sessions[session] = (epoch, cls, role, not_after, wrapped_key)

    def row(self, sealed: SealedContent) -> Leased:
        """What the database would answer for a content."""
        epoch, cls, role, not_after, wrapped = self.sessions[sealed.session]
        return Leased(
            sealed.id,
            sealed.session,
            epoch,
            sealed.day,
            cls,
            wrapped,
            not_after,
            role,
            sealed.wrapped_key,
            sealed.commitment,
            sealed.envelope,
        )

    async def check_leases(self, role: str, lease: UUID, ids: Sequence[UUID]) -> list[Leased]:
        self._called("check_leases")
        found = [self.leased.get((role, lease, content)) for content in ids]
        return [self.row(sealed) for sealed in found if sealed is not None]

    async def take(self, grant: UUID, token: bytes) -> Leased | None:
        self._called("take")
        expected, sealed = self.grants.get(grant, (None, None))
        if sealed is None or token != expected:
            return None
        del self.grants[grant]
        return self.row(sealed)

    async def private_key(self, key_id: UUID) -> StoredKey | None:
        self._called("private_key")
        return self.keys.get(key_id)

    async def store_key(
        self, token: bytes, key_id: UUID, organisation: UUID, wrapped: bytes, spki: bytes, algorithm: str
    ) -> UUID | None:
        self._called("store_key")
        if token != self.importer:
            return None
        self.keys[key_id] = StoredKey(wrapped, organisation, frozenset())
        return key_id

    async def take_order(self, order: UUID, token: bytes, role: str) -> Ordered | None:
        self._called("take_order")
        found = self.orders.pop(order, None)
        return found[1] if found is not None and found[0] == (role, token) else None

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
        self._called("make_key")
        if not (token == self.importer or (role == "ll_housekeeping" and use == "mail")):
            return False
        self.made[key_id] = (use, wrapped, organisation)
        return True

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
        self._called("store_token_key")
        if not (token == self.importer or (role == "ll_housekeeping" and use == "mail" and new)):
            return None
        self.made[key_id] = (use, wrapped, organisation)
        self.token_uris[key_id] = token_uri
        return key_id

    async def token_keys(self) -> Sequence[tuple[UUID, str, str]]:
        self._called("token_keys")
        return [(key_id, uri, self.made[key_id][0]) for key_id, uri in self.token_uris.items()]

    async def export_key(self, token: bytes, key_id: UUID, reason: str) -> Exportable:
        self._called("export_key")
        use, wrapped, organisation = self.made.get(key_id, ("", b"", key_id))
        if token != self.importer or use != "mail":
            return Exportable("not-found", None, None)
        if key_id in self.token_uris:
            return Exportable("on-token", None, None)
        return Exportable("done", wrapped, organisation) if reason else Exportable("no-reason", None, None)

    async def seal(self, number: int) -> Seal | None:
        self._called("seal")
        return next((seal for seal in self.seals if seal.number == number), None)

    async def unsealed(self, limit: int) -> Unsealed:
        self._called("unsealed")
        last = self.seals[-1] if self.seals else None
        start = last.upto_xid if last else 0
        found = self.rows[start : start + limit]
        return Unsealed(
            len(self.seals) + 1, start, start + len(found), len(found), b"".join(found), last.link if last else b""
        )

    async def store_seal(self, seal: Seal) -> bool:
        self._called("store_seal")
        if seal.number != len(self.seals) + 1:
            return False
        self.seals.append(seal)
        return True
