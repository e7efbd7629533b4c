"""``letterlock audit``: verify the chain of the audit trail, list its rows.

Guarantees
    ``verify`` computes the chain anew from the rows, and compares it with the seals in the database and with those in
    the keyholder's own file; exit code 1 when anything differs, with the first place that does.

See also
    ``audit/chain.py`` (the encoding), ``keyholder/seal_audit.py`` (who seals).
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

from letterlock.audit import calls
from letterlock.audit.chain import Seal
from letterlock.audit.verify import TrailBroken, verify
from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.keyholder import own_record

PAGE = 5000
"""Rows or seals asked for at once."""


def add_parser(subparsers: Any) -> None:
    """``audit verify`` and ``audit list``."""
    parser = subparsers.add_parser("audit", help="verify and list the audit trail")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show.add_json(verbs.add_parser("verify", help="compare the rows with the keyholder's seals"))
    listing = verbs.add_parser("list", help="the rows, newest first")
    listing.add_argument("--before", type=datetime.fromisoformat, metavar="TIME", help="older than this (RFC 3339)")
    listing.add_argument("--id", type=UUID, help="about this message, certificate or session only")
    listing.add_argument("--max", type=int, default=200, help="at most so many rows (200)")
    show.add_json(listing)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    return await (_verify if arguments.verb == "verify" else _list)(arguments, door)


async def _verify(arguments: argparse.Namespace, door: Door) -> int:
    """All seals and the rows under each, fetched seal by seal while the check goes on in a thread."""
    # The keyholder's file first: a seal made meanwhile is then only in the database, which is no fault.
    kept = own_record.kept_seals(door.state)
    check = own_record.signature_check(door.state)
    seals = await _all_seals(door)
    loop = asyncio.get_running_loop()

    def rows_under(seal: Seal) -> tuple[list[bytes], int]:
        return asyncio.run_coroutine_threadsafe(_rows_under(door, seal), loop).result()

    try:
        proof = await asyncio.to_thread(verify, seals, rows_under, check, kept=kept)
    except TrailBroken as broken:
        if not arguments.json:
            raise
        show.print_json({"ok": False, "why": broken.public})
        return 1
    if arguments.json:
        show.print_json({"ok": True, **proof._asdict()})
    else:
        print(
            f"The audit trail holds: {proof.rows} rows under {proof.seals} seals, up to transaction {proof.upto_xid}."
        )
    return 0


async def _all_seals(door: Door) -> list[Seal]:
    seals: list[Seal] = []
    while more := await calls.seals(door.gate, token=door.token, from_=seals[-1].number + 1 if seals else 1, max=PAGE):
        seals += more
    return seals


async def _rows_under(door: Door, seal: Seal) -> tuple[list[bytes], int]:
    """The encoded rows of one seal and how many they are."""
    blobs, count, begin = [], 0, seal.from_xid
    while begin < seal.upto_xid:
        piece = await calls.encoded(door.gate, token=door.token, from_=begin, upto=seal.upto_xid, limit=PAGE)
        blobs.append(piece.blob)
        count += piece.rows
        begin = piece.upto
    return blobs, count


async def _list(arguments: argparse.Namespace, door: Door) -> int:
    before = arguments.before.astimezone() if arguments.before else None
    rows = await calls.entries(door.gate, token=door.token, before=before, object=arguments.id, max=arguments.max)
    found = [row._asdict() for row in rows]
    if arguments.json:
        show.print_json(found)
        return 0
    show.print_table(
        ("TIME", "WHO", "ACTION", "OBJECT", "OK", "DETAIL"),
        [(row["at"], row["principal"], row["action"], row["object"], row["ok"], row["detail"]) for row in found],
        empty="No such rows.",
    )
    return 0
