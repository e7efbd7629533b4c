"""``make demo``: a real gateway, real mail through every method there is, and a table of what became of it.

Order
    1 a test authority and certificates; 2 the next hop with its inbox page; 3 ``letterlock init`` and ``run``;
    4 settings, domains, certificates by the command line; 5 each sample is sent by SMTP and judged, its trace read;
    6 with a terminal all runs on until Enter.

Guarantees
    Exit 0 only if each row is as expected. Everything listens on loopback, lives in one temporary folder, and is
    stopped and deleted at the end. Nothing of the product is imported.
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import table
from cast import introduce, make
from gateway import Gateway, GatewayError
from inbox import Inbox, NextHop
from opening import OpeningError
from page import Page
from samples import SAMPLES, Sample, Stage, UnexpectedError

SKIPPED = ("direction", "next hop", "least TLS", "named neither", "method pdf", "method portal", "method smime-domain",
           "method smime: used")  # fmt: skip
"""Steps of a trace that say nothing here."""
MARK = ".letterlock-demo"
MISSING = "openssl is needed to play the other side's mail program: apt-get install openssl"


def why(stage: Stage, message: str) -> str:
    """The decision's own trace, which the gateway keeps sealed: its deciding lines, in its own words."""
    told = stage.gateway.ask("queue", "show", message, "--trace")["trace"]
    lines = [line.strip() for line in told if line.startswith("  ")]
    return "\n".join(table.BULLET + line.replace(" (factory)", "") for line in lines if not line.startswith(SKIPPED))


def play(stage: Stage, sample: Sample) -> bool:
    """Send, judge and print one sample."""
    mail = f"{sample.title}\n{sample.sender}\n→ {sample.to}"
    try:
        stage.gateway.send(sample.sender, sample.to, sample.make(stage.cast), sample.source)
        outcome = sample.judge(stage)
        reason = why(stage, outcome.message)
    except (UnexpectedError, GatewayError, OpeningError, OSError) as fault:
        table.draw_row(False, (mail, f"NOT AS EXPECTED: {fault}", "", str(stage.gateway.log)))
        return False
    table.draw_row(True, (mail, outcome.happened, reason, outcome.look))
    return True


def perform(folder: Path) -> bool:
    """The whole demo in ``folder``; True when every row was as expected."""
    inbox = Inbox()
    hop, page = NextHop(inbox), Page(inbox)
    for server in (hop, page):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("Making certificates and a fresh installation ...", flush=True)
    cast = make(folder / "keys")
    gateway = Gateway(folder / "state")
    try:
        seconds = gateway.start()
        introduce(gateway, cast, hop.port)
        print(f"The gateway was ready after {seconds:.1f} s.  SMTP 127.0.0.1:{gateway.port}   inbox page {page.url}\n")
        stage = Stage(gateway, inbox, cast, page.url_of)
        table.draw_head()
        good = [play(stage, sample) for sample in SAMPLES]
        print(f"{sum(good)} of {len(good)} as expected.")
        if sys.stdin.isatty():
            wait(gateway, page, folder)
        return all(good)
    finally:
        gateway.stop()
        for server in (hop, page):
            server.shutdown()
            server.server_close()


def wait(gateway: Gateway, page: Page, folder: Path) -> None:
    """Run on until Enter, and say what can be tried meanwhile."""
    print(f"\nLook at {table.paint(page.url, 'bold')}, or send mail of your own, for example")
    print(f"  swaks -s 127.0.0.1:{gateway.port} -f anna@clinic.example -t carla@partner.example")
    print(f"  {sys.executable} -m letterlock --state {folder / 'state'} queue list")
    try:
        input("Enter stops everything. ")
    except (EOFError, KeyboardInterrupt):
        print()


def reachable(folder: Path) -> bool:
    """False when root's PostgreSQL, which runs as a user without rights, could not get to ``folder``."""
    there = [parent for parent in folder.parents if parent.exists()]
    return os.geteuid() != 0 or all(parent.stat().st_mode & stat.S_IXOTH for parent in there)


def fresh_folder(wanted: Path | None) -> Path:
    """An empty folder for the demo. What an earlier demo left in ``wanted`` is deleted, anything else is not."""
    if wanted is not None and not reachable(wanted.absolute()):
        print(f"{wanted} lies in a folder closed to others, where PostgreSQL's user cannot go: using a temporary one.")
        wanted = None
    if wanted is None:
        folder = Path(tempfile.mkdtemp(prefix="letterlock-demo-"))
    else:
        folder = wanted.absolute()
        if (folder / MARK).exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    folder.chmod(0o755)  # PostgreSQL may run as a user of its own, who must be able to pass through
    (folder / MARK).touch()
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Perform in a temporary folder; 0 when all was as expected, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, help="folder for everything (made anew; default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="do not delete the folder at the end")
    options = parser.parse_args(arguments)
    if shutil.which("openssl") is None:
        print(MISSING, file=sys.stderr)
        return 1
    try:
        folder = fresh_folder(options.state)
    except OSError as fault:
        print(f"The demo needs a folder: {fault}", file=sys.stderr)
        return 1
    try:
        return 0 if perform(folder) else 1
    except GatewayError as fault:
        print(f"The demo could not be played: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
