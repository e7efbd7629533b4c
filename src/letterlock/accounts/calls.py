"""The accounts.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/accounts``.

Raises
    DatabaseUnavailable; Denied by end_session. See ``database/errors.py``.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from letterlock.database.gate import Gate


async def assert_login(
    gate: Gate, *, principal: str, role: str, token_hash: bytes, idle: timedelta, absolute: timedelta
) -> UUID | None:
    """A session for a person who has proved who they are; None: that role has no people."""
    rows = await gate.call(
        "accounts.assert_login", principal=principal, role=role, token_hash=token_hash, idle=idle, absolute=absolute
    )
    session: UUID | None = rows[0][0]
    return session


async def end_session(gate: Gate, *, token: bytes) -> str:
    """This token speaks for nobody any more: 'done'. Raises Denied."""
    return str((await gate.call("accounts.end_session", token=token))[0][0])


async def expire(gate: Gate) -> int:
    """Forget sessions that ended more than a day ago; how many."""
    return int((await gate.call("accounts.expire"))[0][0])
