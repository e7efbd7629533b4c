"""The audit.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/audit``.

Raises
    DatabaseUnavailable; Denied by those with a token. See ``database/errors.py``.
    The word of Python among the names, from, has an underscore behind it here.
"""

# ruff: noqa: A002 - functions and arguments have the names they have in SQL
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from letterlock.audit.chain import Entry, Seal
from letterlock.database.gate import Gate


class Encoded(NamedTuple):
    """Audit rows in their fixed encoding. ``upto``: from which transaction to go on."""

    blob: bytes
    rows: int
    upto: int


async def entries(
    gate: Gate, *, token: bytes, before: datetime | None, object: UUID | None, max: int
) -> Sequence[Entry]:
    """Rows of the audit trail, the newest first. Raises Denied."""
    rows = await gate.call("audit.entries", token=token, before=before, object=object, max=max)
    return [Entry._make(row) for row in rows]


async def seals(gate: Gate, *, token: bytes, from_: int, max: int) -> Sequence[Seal]:
    """Seals in order, from number ``from_``. Raises Denied."""
    return [Seal._make(row) for row in await gate.call("audit.seals", token=token, max=max, **{"from": from_})]


async def encoded(gate: Gate, *, token: bytes, from_: int, upto: int, limit: int) -> Encoded:
    """Rows of transactions ``from_`` (included) to ``upto`` (not), about ``limit`` of them. Raises Denied."""
    rows = await gate.call("audit.encoded", token=token, upto=upto, limit=limit, **{"from": from_})
    return Encoded._make(rows[0])


async def make_partitions(gate: Gate, *, days: int) -> int:
    """A partition for each of the days to come; how many were made."""
    return int((await gate.call("audit.make_partitions", days=days))[0][0])
