"""Certificate selection among very many certificates: milliseconds for the call, and for the whole selection.

Order
    A fresh database gets ``--certificates`` rows for half as many addresses, of noise but as large as real ones, made by
    the server itself; then a real address with four real certificates among them (two good, one expired, one of nobody's
    authority), and its trust. Asked are random addresses (the call alone) and the real one (the call, parsing, judging).

Guarantees
    Each question is of another address, so nothing but the server's own caches helps; verdicts are forgotten each round.

See also
    docs/performance.md for results with their date. Run: ``python -m bench.selection [--certificates N] [--json]``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.database.world import World, world
from tests.fakes.authority import Authority
from tests.fakes.postgres import Database, Server

from letterlock.pki import calls, scopes
from letterlock.pki.certificate import parse
from letterlock.pki.select import candidate, encryption_certificates
from letterlock.pki.trust import Trust
from letterlock.vault.keys import new_id

REAL = "real@example.org"
ROUNDS = 2000
WAIT_FOR = 60.0  # seconds for a quiet machine

MAKE = """
WITH made AS (
    INSERT INTO pki.certificate (id, organisation, fingerprint, der, subject, issuer, serial, ski, is_ca, not_before,
                                 not_after, key_id, imported_by, imported_at, origin, sha1)
    SELECT gen_random_uuid(), o.id, sha256(n::text::bytea), decode(repeat(md5(n::text), 44), 'hex'), 'CN=someone',
           'CN=authority', sha256(n::text::bytea), decode(md5(n::text), 'hex'), false, now() - interval '1 year',
           now() + n %% 700 * interval '1 day', NULL, 'bench', now(), 'import',
           decode(md5(n::text) || substring(md5('x' || n), 1, 8), 'hex')
    FROM generate_series(%(first)s::int, %(last)s::int) AS n, policy.organisation o WHERE o.name = 'default'
    RETURNING id, fingerprint)
INSERT INTO pki.address (address, certificate)
SELECT 'user' || (%(first)s / 2 + m.half) || '@example' || m.half %% 997 || '.org', m.id
FROM (SELECT id, (row_number() OVER () - 1) / 2 AS half FROM made) m
"""


def fill(database: Database, count: int) -> float:
    """Make the rows; the seconds that took."""
    began = time.perf_counter()
    step = 50_000
    with database.superuser() as connection:
        for first in range(0, count, step):
            connection.execute(MAKE, {"first": first, "last": min(first + step, count) - 1})
        connection.execute("VACUUM ANALYZE pki.certificate, pki.address")
    return time.perf_counter() - began


def addresses(database: Database, count: int) -> list[str]:
    """Some of the addresses there are, at random."""
    with database.superuser() as connection:
        rows = connection.execute("SELECT address FROM pki.address TABLESAMPLE BERNOULLI (5)").fetchall()
    found = [str(row[0]) for row in rows]
    random.shuffle(found)
    return found[:count]


async def enter_real(w: World) -> Trust:
    """Four real certificates of one address; what they are judged by."""
    token = await w.login()
    anchor = Authority.create("Anchor", key="rsa2048")
    now = datetime.now(UTC)
    for made in (
        anchor.issue(REAL),
        anchor.issue(REAL),
        anchor.issue(REAL, not_after=now - timedelta(minutes=1)),
        Authority.create("Nobody's").issue(REAL),
    ):
        each = parse(made.der)
        await calls.import_certificate(
            w.admin,
            token=token,
            id=new_id(),
            organisation=None,
            der=each.der,
            fingerprint=each.thumbprint,
            subject=each.subject,
            issuer=each.issuer,
            serial=each.issuer_serial,
            ski=each.key_identifier,
            spki=each.spki,
            addresses=each.addresses,
            is_ca=False,
            not_before=each.not_before,
            not_after=each.not_after,
            key_id=None,
        )
    return Trust([parse(anchor.der)])


def keys(address: str) -> list[str]:
    """What flow asks for one recipient."""
    return [each.key for each in (*scopes.personal(address), *scopes.domain_wide(address))]


async def timed(rounds: int, ask: Callable[[int], Awaitable[Any]]) -> list[float]:
    """Milliseconds of each round, the first hundred left out."""
    taken = []
    for number in range(rounds):
        began = time.perf_counter()
        await ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    return taken[100:] or taken


async def measure(database: Database) -> dict[str, list[float]]:
    """The call alone, and the whole selection."""
    async with world(database) as w:
        anchors = (await enter_real(w)).anchors
        some = addresses(database, ROUNDS)

        async def call(number: int) -> None:
            await calls.candidates(w.flow, addresses=keys(some[number % len(some)]))

        async def whole(_number: int) -> None:
            trust = Trust([each for those in anchors.values() for each in those])  # forgets every verdict
            parse.cache_clear()
            rows = await calls.candidates(w.flow, addresses=keys(REAL))
            made = [found for row in rows if (found := candidate(row.id, row.der, row.key_id)) is not None]
            selection = encryption_certificates(REAL, made, trust, datetime.now(UTC))
            assert (len(selection.chosen), len(selection.rejected)) == (2, 2)

        return {"call": await timed(ROUNDS, call), "selection": await timed(ROUNDS, whole)}


@contextlib.contextmanager
def locked(file: str | None, *, alone: bool) -> Iterator[bool]:
    """With a lock that other programs on the machine respect; whether it is held ``alone``.

    Who waits for a quiet machine may wait for ever while others come and go: after WAIT_FOR seconds it is shared.
    """
    if file is None:
        yield False
        return
    with open(file, "ab") as handle:
        end = time.monotonic() + (WAIT_FOR if alone else 0.0)
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                yield True
                return
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield False


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=1_000_000)
    parser.add_argument("--lock", metavar="FILE", help="locked shared while filling, exclusively while measuring")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    server = Server(None)
    try:
        database = server.fresh()
        with locked(arguments.lock, alone=False):
            filled = fill(database, arguments.certificates)
        result: dict[str, Any] = {"certificates": arguments.certificates, "fill_seconds": round(filled, 1)}
        with locked(arguments.lock, alone=True) as quiet:
            measured = asyncio.run(measure(database))
        result["quiet"] = quiet
        for name, taken in measured.items():
            cuts = statistics.quantiles(taken, n=100)
            result[name] = {"p50_ms": round(cuts[49], 3), "p95_ms": round(cuts[94], 3), "max_ms": round(max(taken), 3)}
    finally:
        server.remove()
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
