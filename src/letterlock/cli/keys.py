"""``letterlock keys``: how the key ring is, what is on the token; and by which word destruction goes on after a clock
went wrong.

See also
    ``keyholder/destroy.py`` (when it stops), ``keyholder/ring.py``.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from letterlock.cli import show
from letterlock.cli.connect import Door


def add_parser(subparsers: Any) -> None:
    """``keys list``, ``keys token`` and ``keys confirm-time``."""
    parser = subparsers.add_parser("keys", help="the key ring")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show.add_json(verbs.add_parser("list", help="how ring, clocks and signers are"))
    show.add_json(verbs.add_parser("token", help="the private keys on the PKCS #11 token"))
    show.add_json(verbs.add_parser("confirm-time", help="say that this machine's time is right: destruction goes on"))


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    if arguments.verb == "token":
        return _token(await door.keyholder.list_token(), as_json=arguments.json)
    confirm = arguments.verb == "confirm-time"
    facts = await (door.keyholder.confirm_time() if confirm else door.keyholder.inquire())
    if arguments.json:
        show.print_json(facts)
        return 0
    if confirm:
        print(f"Confirmed: it is {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC.")
    show.print_facts({name.replace("_", " "): _shown(value) for name, value in facts.items()})
    return 0


def _token(rows: list[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        show.print_json(rows)
    else:
        names = ("id", "label", "algorithm", "key", "use")
        head = ("ID", "LABEL", "ALGORITHM", "KEY", "USE")
        show.print_table(head, [tuple(row[each] for each in names) for row in rows], empty="No keys on the token.")
    return 0


def _shown(value: object) -> str:
    return json.dumps(value, default=str) if isinstance(value, dict | list) else show.safe(value)
