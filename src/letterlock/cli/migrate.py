"""``letterlock migrate``: bring the database to this version's schema, the gateway not running.

Guarantees
    ``run`` does the same at each start; this command is for seeing it happen alone, before an upgrade goes on.
"""

from __future__ import annotations

import argparse
from typing import Any

from letterlock.supervise import installation, place
from letterlock.supervise.supervisor import Supervisor


def add_parser(subparsers: Any) -> None:
    """``migrate`` has no arguments of its own."""
    subparsers.add_parser("migrate", help="bring the database to this version's schema")


async def run(arguments: argparse.Namespace, _door: None) -> int:
    """Start PostgreSQL, migrate, stop."""
    state = place.state_folder(arguments.state)
    supervisor = Supervisor(state, installation.enter(state), offline=True)
    try:
        await supervisor.start(processes_too=False)
    finally:
        await supervisor.stop()
    print("The database has this version's schema.")
    return 0
