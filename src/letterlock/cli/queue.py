"""``letterlock queue``: what waits, why, and what an administrator may do about it.

Order
    ``show --content`` opens a held message in two steps: the database checks the caller, writes the audit row and
    commits a grant; the keyholder takes the grant on its own connection and answers with that message's key; only then
    is the sealed content read and opened here. ``show --trace`` opens the decisions about a message, gone ones too.

Guarantees
    Content goes to standard output (or --out) and nowhere else. On a terminal, control characters are shown as escapes.
    Exit code 1 when the database says no: denied, not found, or in another state.

See also
    ``database/sql/functions/queue/request_open.sql``, ``vault/content.py``, ``decision/trace.py``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.decision import trace as traces
from letterlock.errors import PermanentError, UsageError
from letterlock.queue import calls
from letterlock.vault.content import open_content
from letterlock.vault.keys import MessageKey, Part
from letterlock.vault.segments import FileSegmentStore

STATES = ("receiving", "received", "held", "due", "leased", "gone")
"""What queue.read_rows tells: a message's state, or whether a delivery waits (due) or is at work (leased)."""
ANSWERS = {
    "done": "Done.",
    "not-found": "There is no such message in the queue.",
    "denied": "You may not do this.",
    "wrong-state": "Its state does not allow this now; see 'letterlock queue show'.",
}


class NotOpened(PermanentError):
    """There is nothing to open: no such message, it is not held, or you may not. The audit trail says which."""


def add_parser(subparsers: Any) -> None:
    """``queue list``, ``show``, ``hold``, ``release``, ``retry``, ``drop``."""
    parser = subparsers.add_parser("queue", help="messages in the queue")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="messages and deliveries, oldest first")
    listing.add_argument("--in-state", choices=STATES, help="only those in this state")
    listing.add_argument("--max", type=int, default=1000, help="at most so many rows (1000)")
    show.add_json(listing)
    one = verbs.add_parser("show", help="one message with its deliveries")
    one.add_argument("id", type=UUID)
    one.add_argument("--content", action="store_true", help="open a held message (audited) and print it")
    one.add_argument("--trace", action="store_true", help="print the decisions about it (audited), gone messages too")
    one.add_argument("--purpose", default="content", help="why you look, for the audit trail")
    one.add_argument("--out", type=Path, metavar="FILE", help="write the content there instead")
    show.add_json(one)
    for verb, line in (
        ("hold", "stop a message"),
        ("release", "let a held message go on; never unencrypted where encryption is mandatory"),
        ("retry", "try again now"),
        ("drop", "remove it for good; nobody is told"),
    ):
        act = verbs.add_parser(verb, help=line)
        act.add_argument("id", type=UUID)
        act.add_argument("--reason", default="", help="why, for the audit trail")
        show.add_json(act)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    if arguments.verb == "list":
        rows = await calls.list(door.gate, token=door.token, state=arguments.in_state, max=arguments.max)
        _print_rows(rows, arguments.json)
        return 0
    if arguments.verb == "show":
        return await _show(arguments, door)
    act = {"hold": calls.hold, "release": calls.release, "retry": calls.retry, "drop": calls.drop}[arguments.verb]
    answer = await act(door.gate, token=door.token, id=arguments.id, reason=arguments.reason)
    if arguments.json:
        show.print_json({"id": arguments.id, "answer": answer})
    else:
        print(ANSWERS.get(answer, answer))
    return 0 if answer == "done" else 1


def _print_rows(rows: Iterable[Any], as_json: bool) -> None:
    found = [row._asdict() for row in rows]
    if as_json:
        show.print_json(found)
        return
    show.print_table(
        ("ID", "KIND", "STATE", "FROM", "TO", "SIZE", "ACCEPTED", "NEXT", "TRIES", "WHY"),
        [
            (
                row["id"],
                row["kind"],
                row["state"],
                row["sender"] or "<>",
                row["recipients"],
                row["size"],
                row["accepted_at"],
                row["due_at"],
                row["attempts"],
                row["reason"],
            )
            for row in found
        ],
        empty="The queue is empty.",
    )


async def _show(arguments: argparse.Namespace, door: Door) -> int:
    if arguments.out and arguments.content:
        _check_out(arguments.out)
    rows = await calls.show(door.gate, token=door.token, id=arguments.id)
    told: dict[str, Any] = {"rows": [row._asdict() for row in rows]}
    content: list[bytes] = []
    if arguments.content:
        key, grant = await _take(door, arguments.id, arguments.purpose)
        content = await _content(door, key, grant)
        told["trace"] = await _trace(door, key, grant)
    elif arguments.trace:
        key, grant = await _take(door, arguments.id, "trace")
        told["trace"] = await _trace(door, key, grant)
    elif not rows:
        raise PermanentError(f"There is no message {arguments.id} in the queue; --trace asks for those that have left.")
    if arguments.out and arguments.content:
        with arguments.out.open("xb") as file:
            file.writelines(content)
    elif arguments.content and arguments.json:
        told["content"] = b"".join(content)
    if arguments.json:
        show.print_json(told)
        return 0
    _print_rows(rows, as_json=False)
    for line in told.get("trace", ()):
        print(show.safe(line))
    if arguments.content and not arguments.out:
        print()
        _print_content(content)
    return 0


def _check_out(path: Path) -> None:
    """Before anything is opened and audited. Raises UsageError."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"{show.safe(path)} is there already; --out writes a new file.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"{show.safe(path)} cannot be written: {show.safe(path.parent)} is no folder you may write to."
        )


async def _take(door: Door, message: UUID, purpose: str) -> tuple[MessageKey, UUID]:
    """The message's key and the grant it was given for. Raises NotOpened."""
    grant = await calls.request_open(door.gate, token=door.token, id=message, purpose=purpose)
    if grant is None:
        raise NotOpened
    return await door.keyholder.take(grant, door.token), grant


async def _content(door: Door, key: MessageKey, grant: UUID) -> list[bytes]:
    """All of it, verified: nothing is shown of a message that does not open to its end."""
    row = await calls.read_open(door.gate, token=door.token, grant=grant)
    if row is None:
        raise NotOpened
    return list(open_content(key, row, FileSegmentStore(door.state / "segments")))


async def _trace(door: Door, key: MessageKey, grant: UUID) -> list[str]:
    lines: list[str] = []
    for row in await calls.traces(door.gate, token=door.token, grant=grant):
        key.check(row.message, row.commitment)
        lines += traces.render(traces.decode(key.open_part(Part.TRACE, row.trace)))
    return lines


def _print_content(content: Iterable[bytes]) -> None:
    if not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.writelines(content)
        return
    for line in b"".join(content).decode("utf-8", "replace").splitlines():
        print(show.safe(line))
