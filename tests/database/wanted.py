"""Wanted things for tests: noted, taken, answered and stored in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from letterlock.pki import calls as pki
from tests.database.world import World, now

URL = "http://crl.example.test/a.crl"
HOST = "crl.example.test"
FAR = datetime(9999, 12, 31, tzinfo=UTC)
CRL = ("crl", URL, b"", HOST)
BOB = ("directory", "bob@x.test", b"", "")


async def want(w: World, *things: tuple[str, str, bytes, str]) -> list[tuple[bool, str]]:
    """Note things, as flow: whether each is open, and its answer."""
    kinds, names, abouts, hosts = ([each[n] for each in things] for n in range(4))
    rows = await pki.want(w.flow, kinds=kinds, names=names, abouts=abouts, hosts=hosts)  # type: ignore[arg-type]
    assert [row.place for row in rows] == list(range(1, len(things) + 1))
    return [(row.open, row.answer) for row in rows]


async def take(w: World, most: int = 10, lease_for: timedelta = timedelta(minutes=1)) -> Sequence[pki.Taken]:
    """Lease things of both lanes, as the fetch station."""
    found: list[pki.Taken] = []
    for of_address in (False, True):
        room = most - len(found)
        found += await pki.take_wanted(w.fetch, max=room, of_address=of_address, lease_for=lease_for)
    return found


async def answer(w: World, taken: pki.Taken, answer: str = "absent", **more: Any) -> bool:
    """Answer a leased thing without having found it."""
    arguments: dict[str, Any] = {
        "digest": taken.digest,
        "lease": taken.lease,
        "answer": answer,
        "due_at": FAR,
        "good_until": now() + timedelta(hours=1),
        "host_until": None,
    }
    return await pki.answer_wanted(w.fetch, **arguments | more)


async def store_crl(w: World, taken: pki.Taken, *ders: bytes, next_update: datetime | None = None) -> bool:
    """Store CRLs for a leased thing."""
    n = len(ders)
    return await pki.store_crls(
        w.fetch,
        digest=taken.digest,
        lease=taken.lease,
        due_at=now() - timedelta(seconds=1),
        good_until=now() + timedelta(hours=1),
        ders=list(ders),
        issuers=[b"i" * 32] * n,
        issuer_key_ids=[b"k"] * n,
        is_delta=[False] * n,
        this_update=[now() - timedelta(hours=1)] * n,
        next_update=[next_update or now() + timedelta(hours=1)] * n,
    )


async def store_certificates(w: World, taken: pki.Taken, *ders: bytes, is_ca: bool = False) -> bool:
    """Store certificates for a leased thing."""
    n = len(ders)
    return await pki.store_certificates(
        w.fetch,
        digest=taken.digest,
        lease=taken.lease,
        due_at=FAR,
        good_until=now() + timedelta(hours=1),
        ids=[uuid4() for _ in ders],
        ders=list(ders),
        is_ca=[is_ca] * n,
        not_after=[now() + timedelta(days=1)] * n,
    )
