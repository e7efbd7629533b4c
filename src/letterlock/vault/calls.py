"""The vault.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/vault``.

Raises
    DatabaseUnavailable.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from letterlock.database.gate import Gate


async def unknown_contents(gate: Gate, *, ids: Sequence[UUID]) -> Sequence[UUID]:
    """Those of ``ids`` that belong to no content any more."""
    return [row[0] for row in await gate.call("vault.unknown_contents", ids=ids)]
