"""The keyholder.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/keyholder``.
    The words of Python among the names, class and from, have an underscore behind them here.

Raises
    DatabaseUnavailable; Denied by store_key. See ``database/errors.py``.
"""

# ruff: noqa: A002 - functions and arguments have the names they have in SQL
from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple, TypedDict, Unpack
from uuid import UUID

from letterlock.audit.chain import Seal
from letterlock.database.gate import Gate
from letterlock.keyholder.records import Exportable, Ordered


class Epoch(NamedTuple):
    """An epoch the database knows."""

    id: UUID
    class_: str
    day: date
    destroyed_at: datetime | None


class EpochOver(NamedTuple):
    """An epoch whose day is past. ``verdict``: 'destroy', or 'overdue' when ``waiting`` contents hang on it."""

    id: UUID
    class_: str
    day: date
    verdict: str
    waiting: int


class OpenableContent(NamedTuple):
    """What a message key is made from, for one content that may be opened now."""

    id: UUID
    session: UUID
    epoch: UUID
    day: date
    class_: str
    session_wrapped: bytes
    session_not_after: datetime
    session_role: str
    wrapped_key: bytes
    commitment: bytes
    envelope: bytes


class PrivateKey(NamedTuple):
    """A wrapped private key. ``spki``: DER; ``addresses``: for whom it may be used, in match form."""

    wrapped: bytes
    organisation: UUID
    algorithm: str
    spki: bytes
    addresses: list[str]


class Unsealed(NamedTuple):
    """Audit rows for the seal to come. ``blob``: their fixed encoding; ``rows`` 0: nothing to seal."""

    number: int
    from_xid: int
    upto_xid: int
    rows: int
    blob: bytes
    previous: bytes


class NewSession(TypedDict):
    """Arguments of open_session but the class. ``role``: the login role that may seal with it."""

    id: UUID
    epoch: UUID
    role: str
    not_after: datetime
    wrapped_key: bytes


class StoredKey(TypedDict):
    """Arguments of store_key. ``spki``: SubjectPublicKeyInfo, DER."""

    token: bytes
    id: UUID
    organisation: UUID
    wrapped: bytes
    spki: bytes
    algorithm: str


class MadeKey(TypedDict):
    """Arguments of make_key. ``role``: the login role whose process asked; ``token``: empty from housekeeping."""

    token: bytes
    role: str
    id: UUID
    organisation: UUID
    use: str
    wrapped: bytes
    spki: bytes
    algorithm: str


class TokenKey(TypedDict):
    """Arguments of store_token_key. ``new``: the key was made for this."""

    token: bytes
    role: str
    id: UUID
    organisation: UUID
    use: str
    wrapped: bytes
    spki: bytes
    algorithm: str
    token_uri: str
    new: bool


async def clock(gate: Gate) -> datetime:
    """The database's time now."""
    now: datetime = (await gate.call("keyholder.clock"))[0][0]
    return now


async def register_epoch(gate: Gate, *, id: UUID, class_: str, day: date) -> str:
    """An epoch exists from now on: 'done' or 'already'."""
    return str((await gate.call("keyholder.register_epoch", id=id, day=day, **{"class": class_}))[0][0])


async def epochs(gate: Gate) -> Sequence[Epoch]:
    """Every epoch the database knows, by day."""
    return [Epoch._make(row) for row in await gate.call("keyholder.epochs")]


async def epochs_over(gate: Gate, *, day: date) -> Sequence[EpochOver]:
    """Epochs not destroyed whose day is before ``day``."""
    return [EpochOver._make(row) for row in await gate.call("keyholder.epochs_over", day=day)]


async def mark_destroyed(gate: Gate, *, id: UUID) -> str:
    """An epoch's key is gone: 'done', 'already' or 'not-found'."""
    return str((await gate.call("keyholder.mark_destroyed", id=id))[0][0])


async def open_session(gate: Gate, *, class_: str, **arguments: Unpack[NewSession]) -> str:
    """A sealing session exists from now on: 'done' or 'no-epoch'."""
    return str((await gate.call("keyholder.open_session", **arguments, **{"class": class_}))[0][0])


async def check_leases(gate: Gate, *, role: str, lease: UUID, ids: Sequence[UUID]) -> Sequence[OpenableContent]:
    """What of ``ids`` is leased now by ``role`` under ``lease``."""
    rows = await gate.call("keyholder.check_leases", role=role, lease=lease, ids=ids)
    return [OpenableContent._make(row) for row in rows]


async def take(gate: Gate, *, grant: UUID, token: bytes) -> OpenableContent | None:
    """Use a grant, once; None: refused, audited."""
    rows = await gate.call("keyholder.take", grant=grant, token=token)
    return OpenableContent._make(rows[0]) if rows else None


async def store_key(gate: Gate, **arguments: Unpack[StoredKey]) -> UUID:
    """Keep a private key; the id it is kept under (an older one when it was here already). Raises Denied."""
    stored: UUID = (await gate.call("keyholder.store_key", **arguments))[0][0]
    return stored


async def private_key(gate: Gate, *, id: UUID) -> PrivateKey | None:
    """A wrapped private key and for whom it may be used; None: no such key."""
    rows = await gate.call("keyholder.private_key", id=id)
    return PrivateKey._make(rows[0]) if rows else None


async def take_order(gate: Gate, *, order: UUID, token: bytes, role: str) -> Ordered | None:
    """Use an order to sign, once; None: refused, audited."""
    rows = await gate.call("keyholder.take_order", order=order, token=token, role=role)
    return Ordered._make(rows[0]) if rows else None


async def make_key(gate: Gate, **arguments: Unpack[MadeKey]) -> bool:
    """Keep a private key that the keyholder made; False: housekeeping may not. Raises Denied."""
    return bool((await gate.call("keyholder.make_key", **arguments))[0][0])


async def store_token_key(gate: Gate, **arguments: Unpack[TokenKey]) -> UUID | None:
    """Keep a key that is on the token; the id it is kept under; None: housekeeping may not. Raises Denied."""
    kept: UUID | None = (await gate.call("keyholder.store_token_key", **arguments))[0][0]
    return kept


async def token_keys(gate: Gate) -> Sequence[tuple[UUID, str, str]]:
    """Private keys that are on the token: id, URI, use."""
    return [(row[0], row[1], row[2]) for row in await gate.call("keyholder.token_keys")]


async def export_key(gate: Gate, *, token: bytes, id: UUID, reason: str) -> Exportable:
    """Whether a mail key may leave; if so the wrapped key. Raises Denied."""
    return Exportable._make((await gate.call("keyholder.export_key", token=token, id=id, reason=reason))[0])


async def ring_generation(gate: Gate) -> int:
    """How far the key ring had come when the database last heard of it."""
    return int((await gate.call("keyholder.ring_generation"))[0][0])


async def note_generation(gate: Gate, *, generation: int) -> bool:
    """The ring has come this far; False: the database knows a later one."""
    return bool((await gate.call("keyholder.note_generation", generation=generation))[0][0])


async def restored(gate: Gate) -> None:
    """This database is a restored copy: void what lived in it."""
    await gate.call("keyholder.restored")


async def unsealed(gate: Gate, *, limit: int) -> Unsealed:
    """The audit rows that no seal covers yet, about ``limit`` of them."""
    return Unsealed._make((await gate.call("keyholder.unsealed", limit=limit))[0])


async def store_seal(gate: Gate, seal: Seal) -> bool:
    """Put the next seal on the trail; False: it does not follow the last one."""
    return bool((await gate.call("keyholder.store_seal", **seal._asdict()))[0][0])


async def seals(gate: Gate, *, from_: int, max: int) -> Sequence[Seal]:
    """Seals in order, from number ``from_``."""
    return [Seal._make(row) for row in await gate.call("keyholder.seals", max=max, **{"from": from_})]
