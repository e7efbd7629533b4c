"""``letterlock doctor``: checks this installation and says, for whatever is wrong, what to do.

Guarantees
    It changes nothing and opens no key; it may be said whether the gateway runs or not.
    Exit codes: 0 nothing is wrong, 1 something is (warnings alone are no reason).

See also
    ``checks.py`` (the checks).
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from letterlock.cli import checks, show
from letterlock.supervise import place

SIGNS = {"good": "ok  ", "warning": "warn", "bad": "BAD "}


def add_parser(subparsers: Any) -> None:
    """``doctor [--json]``."""
    show.add_json(subparsers.add_parser("doctor", help="check this installation and say what is wrong"))


async def run(arguments: argparse.Namespace, _door: None) -> int:
    """Run every check."""
    state = place.state_folder(arguments.state)
    found = await asyncio.to_thread(checks.examine, state)
    if arguments.json:
        show.print_json([finding._asdict() for finding in found])
    else:
        for finding in found:
            print(f"{SIGNS[finding.state]}  {finding.name}: {show.safe(finding.sentence)}")
    return 1 if any(finding.state == "bad" for finding in found) else 0
