"""Whatever a captured process passes to a function it may call: an answer or a clean refusal, never a fault of ours.

A missing column, an undefined variable or a syntax error in some corner of a function would show here.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from letterlock.database.errors import DatabaseFault
from letterlock.database.roles import LOGIN_ROLES
from letterlock.errors import LetterlockError
from tests.database.test_grants import MAY_CALL
from tests.database.world import World, world
from tests.fakes.postgres import Database

ROUNDS = 40

CLEAN = ("22", "23", "2B", "54")
"""SQLSTATE classes a wrong value may end in: data exception, integrity constraint, program limit."""

WORDS = (
    "",
    "x",
    "gateway",
    "user",
    "held",
    "gone",
    "'; DROP TABLE queue.message; --",
    "a@b.test",
    "\u00e4\u20ac\U0001f511",
    "%s$1",
)

Maker = Callable[[random.Random, list[uuid.UUID]], Any]

SCALARS: dict[str, Maker] = {
    "bool": lambda chance, _: chance.random() < 0.5,
    "bytea": lambda chance, _: chance.randbytes(chance.choice((0, 1, 32, 500))),
    "int8": lambda chance, _: chance.choice((0, 1, -1, 2**62, -(2**63))),
    "int2": lambda chance, _: chance.choice((0, 1, -1, 32767)),
    "int4": lambda chance, _: chance.choice((0, 1, 2, -1, 2**31 - 1)),
    "text": lambda chance, _: chance.choice(WORDS),
    "date": lambda chance, _: date.fromordinal(chance.choice((1, 730120, 739000))),
    "timestamptz": lambda chance, _: datetime(chance.choice((1, 1999, 2026, 9999)), 1, 1, tzinfo=UTC),
    "interval": lambda chance, _: timedelta(seconds=chance.choice((0, -1, 60, 10**9))),
    "uuid": lambda chance, known: chance.choice([*known, uuid.UUID(int=chance.getrandbits(128))]),
    "jsonb": lambda chance, _: chance.choice((0, "x", [], {"a": None})),
}


def _value(kind: str, chance: random.Random, known: list[uuid.UUID]) -> Any:
    if chance.random() < 0.1:
        return None
    if kind.startswith("_"):
        return [SCALARS[kind[1:]](chance, known) for _ in range(chance.choice((0, 1, 1, 2, 5)))]
    return SCALARS[kind](chance, known)


def _declared(w: World, function: str) -> dict[str, str]:
    ((names, types),) = w.ask(
        "SELECT proargnames, ARRAY(SELECT t.typname::text FROM unnest(proargtypes::oid[]) WITH ORDINALITY u(o, n)"
        " JOIN pg_type t ON t.oid = u.o ORDER BY n) FROM pg_proc WHERE oid = %s::regproc",
        function,
    )
    return dict(zip([name.removeprefix("p_") for name in names or []], types, strict=False))


@pytest.mark.req("I5")
@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_every_function_answers_or_refuses_cleanly(database: Database, role: str) -> None:
    chance = random.Random(f"fuzz {role}")

    async def scenario() -> None:
        async with world(database) as w:
            token = await w.login()
            known = [await w.held("c@x.test"), *await w.accept(["a@x.test"], ["b@x.test"]), w.worker, w.epoch]
            known += w.sessions.values()
            await w.advance(await w.claim(most=1))
            messages, deliveries = await w.claim(), await w.claim_deliveries()
            known += [messages[0].id, messages[0].lease, deliveries[0].id, deliveries[0].lease]
            before = w.ask("SELECT count(*) FROM pg_class")
            for function in MAY_CALL[role].split():
                declared = _declared(w, function)
                if function in ("keyholder.restored", "accounts.end_session"):
                    continue  # they end what the rest needs; tested elsewhere
                for _ in range(ROUNDS):
                    arguments = {name: _value(kind, chance, known) for name, kind in declared.items()}
                    if "token" in arguments and chance.random() < 0.8:
                        arguments["token"] = token
                    try:
                        await w.gates[role].call(function, **arguments)
                    except DatabaseFault as fault:
                        assert fault.detail.startswith(CLEAN), (function, fault.detail)
                    except LetterlockError:
                        pass
            partitions = w.ask("SELECT count(*) FROM pg_class WHERE relname ~ '^entry_'")
            after = w.ask("SELECT count(*) FROM pg_class")
            assert role == "ll_housekeeping" or after == before, partitions

    asyncio.run(scenario())
