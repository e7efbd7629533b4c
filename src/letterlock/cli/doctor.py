"""``letterlock doctor``: checks this installation and says, for whatever is wrong, what to do.

Guarantees
    It changes nothing and opens no key; it may be said whether the gateway runs or not. Policy settings and the token are
    asked for only while it runs: nothing is started for it.
    Exit codes: 0 nothing is wrong, 1 something is (warnings alone are no reason).

See also
    ``checks.py`` (the checks of the installation).
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from letterlock.cli import checks, connect, doctor_token, show
from letterlock.cli.checks import Finding
from letterlock.errors import LetterlockError
from letterlock.policy import calls
from letterlock.policy.effective import of_rows
from letterlock.policy.settings.mail import POSTMASTER
from letterlock.policy.settings.relay import RELAY_CERTIFICATES, RELAY_NETWORKS
from letterlock.supervise import place

SIGNS = {"good": "ok  ", "warning": "warn", "bad": "BAD "}


def add_parser(subparsers: Any) -> None:
    """``doctor [--json]``."""
    show.add_json(subparsers.add_parser("doctor", help="check this installation and say what is wrong"))


async def run(arguments: argparse.Namespace, _door: None) -> int:
    """Run every check."""
    state = place.state_folder(arguments.state)
    found = await asyncio.to_thread(checks.examine, state)
    found += doctor_token.files(state)
    holder = place.lock_holder(state)
    if holder is not None and holder[1] == "run":
        found += await _policy(state)
    if arguments.json:
        show.print_json([finding._asdict() for finding in found])
    else:
        for finding in found:
            print(f"{SIGNS[finding.state]}  {finding.name}: {show.safe(finding.sentence)}")
    return 1 if any(finding.state == "bad" for finding in found) else 0


async def _policy(state: Path) -> list[Finding]:
    """Ask the gateway that runs."""
    try:
        async with connect.connect(state) as door:
            return await policy_findings(door) + await doctor_token.asked(door)
    except (LetterlockError, OSError) as fault:
        return [Finding("policy", "warning", f"could not be checked: {fault}")]


async def policy_findings(door: connect.Door) -> list[Finding]:
    """What an administrator forgets to set, and finds out by mail that is refused or reports that reach nobody."""
    internal = [row.name for row in await calls.domains_list(door.gate, token=door.token) if row.internal]
    addresses = ["", *(f"@{name}" for name in internal)]
    known = of_rows(addresses, await calls.explain(door.gate, token=door.token, addresses=addresses))
    found = []
    if internal and not known[""].value(RELAY_NETWORKS) and not known[""].value(RELAY_CERTIFICATES):
        sentence = "relay_networks is empty: nobody, your own mail server neither, may send out through this gateway"
        found.append(Finding("relay", "warning", f"{sentence}; say 'letterlock setting set relay_networks ADDRESS'"))
    factory = [each for each in addresses[1:] or addresses if known[each].effective(POSTMASTER).level == "factory"]
    if factory:
        where = f" for {factory[0].removeprefix('@')}" if factory[0] else ""
        sentence = f"postmaster is {POSTMASTER.default}{where}: reports name it and nobody reads it"
        found.append(Finding("postmaster", "warning", f"{sentence}; say 'letterlock setting set postmaster ADDRESS'"))
    return found
