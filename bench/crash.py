"""The durability campaign: kill -9 of a random process again and again while mail flows; then the account.

Order
    The load begins; each kill waits until the gateway is ready again and a random moment more; after the last one the
    load stops, the queue drains, and the account is made.

Guarantees
    Passes only when every message that got 250 arrived; duplicates came only after kills of delivery or PostgreSQL (or
    of all at once), at most as many a kill as delivery has connections, each with the same octets as the first; a probe
    message was accepted and /readyz was 200 within ``--ready-within`` seconds of each kill.
    A message whose dot was sent and whose 250 never came may be doubled by its client (RFC 5321 6.1): that is counted
    apart.

See also
    ``tests/stories/test_durability.py`` (ten kills in ``make test``), ``make crash`` (thirty and more).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import secrets
import signal
import smtplib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import smtpload
from load import corpus, processes
from load.sender import Sender
from load.sink import Sink
from rig import RECIPIENT, SENDER, Rig

COLD_START_WITHIN = 20.0  # after the death of all at once, which is a start with a database to recover
DOUBLING = ("delivery", "postgres", "backend", "supervisor", "all")
"""Whose death may double a message that the next hop took."""
KINDS = ("smtpd", "flow", "delivery", "keyholder", "signer", "doorkeeper", "housekeeping", "fetch", "nursery", "spawner",
         "postgres", "backend", "supervisor", "all")  # fmt: skip


@dataclass
class Kill:
    """One kill: what, when, and how long until a message was accepted again."""

    what: str
    at: float
    ready_after: float = 0.0
    accepted_after: float = 0.0
    duplicates: int = 0


@dataclass
class Campaign:
    """What was done and what came of it."""

    kills: list[Kill] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    account: dict[str, Any] = field(default_factory=dict)


def victims(rig: Rig) -> dict[str, list[int]]:
    """Process ids by what they are. ``postgres`` is the postmaster, ``backend`` one of its children."""
    found: dict[str, list[int]] = {"supervisor": [rig.process], "all": [rig.process]}
    tree = processes.tree([rig.process])
    postgres = {process for process in tree if processes.station(process) == "postgres"}
    for process, fields in tree.items():
        if process == rig.process:
            continue
        name = processes.station(process)
        if process in postgres:
            name = "backend" if int(fields[1]) in postgres else "postgres"
        found.setdefault(name, []).append(process)
    return found


def strike(rig: Rig, choice: random.Random, wanted: str | None) -> Kill:
    """Kill one process, or all, by SIGKILL. A killed supervisor is started again here, as systemd would."""
    found = victims(rig)
    what = wanted if wanted in found else choice.choice([kind for kind in KINDS if kind in found])
    kill = Kill(what, time.monotonic())
    if what == "all":
        rig.installation.kill()
    else:
        os.kill(choice.choice(found[what]), signal.SIGKILL)
    if what == "supervisor" and rig.installation.run is not None:
        rig.installation.run.wait(10)
        rig.installation.run = None
    if rig.installation.run is None:
        rig.installation.start()
    return kill


def probe(rig: Rig, number: int) -> bool:
    """Try to get one message accepted; it belongs to no run, so the sink counts it as foreign."""
    text = corpus.make_message("text1k", str(number), SENDER, RECIPIENT)
    try:
        with smtplib.SMTP("127.0.0.1", rig.installation.port, timeout=2) as client:
            client.sendmail(SENDER, [RECIPIENT], text)
    except (OSError, smtplib.SMTPException):
        return False
    return True


def wait_until_served(rig: Rig, kill: Kill, number: int) -> None:
    """Until a probe got its 250 and /readyz says 200; notes both times. Raises AssertionError after a minute."""
    while not (kill.accepted_after and kill.ready_after):
        passed = time.monotonic() - kill.at
        if passed > 60:
            raise AssertionError(
                f"not ready a minute after the kill of {kill.what}: {rig.installation.errors()[-3000:]}"
            )
        if not kill.accepted_after and probe(rig, number):
            kill.accepted_after = time.monotonic() - kill.at
        if not kill.ready_after and rig.installation.status("/readyz")[0] == 200:
            kill.ready_after = time.monotonic() - kill.at
        time.sleep(0.02)


class Traffic:
    """The load in processes of its own: a sender that goes on until told, a sink that accounts."""

    def __init__(self, rig: Rig, options: argparse.Namespace) -> None:
        context = multiprocessing.get_context("fork")
        self.load = smtpload.arguments().parse_args(
            ["--port", str(rig.installation.port), "--sink-port", str(rig.sink_port), "--count", "1000000",
             "--rate", str(options.rate), "--kind", options.kind, "--digest", "--retries", "10000",
             "--timeout", "100000", "--seed", str(options.seed)]
        )  # fmt: skip
        run = secrets.token_hex(4).encode()
        self.enough, self.stop, ready = context.Event(), context.Event(), context.Event()
        self.count = context.Value("q", 0, lock=False)
        self.from_sender, self.from_sink = context.SimpleQueue(), context.SimpleQueue()
        self.sink = context.Process(target=self._take, args=(run, ready), daemon=True)
        self.sink.start()
        if not ready.wait(10):
            raise SystemExit("the sink did not start")
        self.sender = context.Process(target=self._send, args=(run,), daemon=True)
        self.sender.start()

    def _take(self, run: bytes, ready: Any) -> None:
        self.from_sink.put(Sink(self.load, run, self.count).serve(ready, self.stop))

    def _send(self, run: bytes) -> None:
        self.from_sender.put(Sender(self.load, run, self.enough.is_set).run())

    def end(self, drain: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Stop sending, wait until all that was accepted has come or ``drain`` seconds are over."""
        self.enough.set()
        while self.from_sender.empty():
            if not self.sender.is_alive():
                raise SystemExit("the sender died")
            time.sleep(0.1)
        sent = self.from_sender.get()
        end = time.monotonic() + drain
        while self.count.value < len(sent["accepted"]) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1.0)  # a late duplicate would come now
        self.stop.set()
        return sent, self.from_sink.get()


def judge(campaign: Campaign, sent: dict[str, Any], taken: dict[str, Any], options: argparse.Namespace) -> None:
    """Write down every broken promise."""
    account = campaign.account
    if account["lost"]:
        campaign.faults.append(f"{account['lost']} accepted messages did not arrive: {account['lost_ids']}")
    if account["changed"]:
        campaign.faults.append(f"{account['changed']} duplicates came with other octets than the first")
    if account["plaintext_seen"]:
        campaign.faults.append(f"{account['plaintext_seen']} messages left in clear")
    if account["rejected"]:
        campaign.faults.append(f"{account['rejected']} messages were refused: {account['rejected_codes']}")
    ambiguous = set(sent["ambiguous"])
    for at, number in taken["dups_at"]:
        before = [kill for kill in campaign.kills if kill.at < at]
        if number in ambiguous:
            continue
        if not before:
            campaign.faults.append(f"message {number} was doubled before any kill")
            continue
        blamed = next((kill for kill in reversed(before) if kill.what in DOUBLING), before[-1])
        blamed.duplicates += 1
    for kill in campaign.kills:
        if kill.duplicates and kill.what not in DOUBLING:
            campaign.faults.append(f"{kill.duplicates} duplicates after a kill of {kill.what}")
        if kill.duplicates > options.connections:
            campaign.faults.append(
                f"{kill.duplicates} duplicates after one kill of {kill.what}, more than {options.connections}"
            )
        slowest = max(kill.accepted_after, kill.ready_after)
        if slowest > (COLD_START_WITHIN if kill.what == "all" else options.ready_within):
            campaign.faults.append(f"ready only {slowest:.1f} s after the kill of {kill.what}")


def run(options: argparse.Namespace, rig: Rig) -> Campaign:
    """The whole campaign on a running gateway."""
    choice = random.Random(options.seed)
    campaign = Campaign()
    traffic = Traffic(rig, options)
    # Each kind once before any comes twice, in random order.
    order = [each for _ in range(options.kills) for each in choice.sample(KINDS, len(KINDS))]
    wanted = options.only.split(",") * options.kills if options.only else order
    for number in range(options.kills):
        time.sleep(choice.uniform(0.2, 1.5))
        available = victims(rig)
        while wanted[0] not in available:
            wanted.pop(0)
        kill = strike(rig, choice, wanted.pop(0))
        wait_until_served(rig, kill, number)
        campaign.kills.append(kill)
        print(f"  {number + 1:3} {kill.what:13} accepted after {kill.accepted_after:5.2f} s"
              f"   ready after {kill.ready_after:5.2f} s", flush=True)  # fmt: skip
    sent, taken = traffic.end(options.drain)
    traffic.load.count = len(sent["accepted"])
    campaign.account = smtpload.account(traffic.load, sent, taken)
    judge(campaign, sent, taken, options)
    return campaign


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--only", default="", help=f"comma list of {', '.join(KINDS)}")
    parser.add_argument("--rate", type=float, default=100, help="messages a second")
    parser.add_argument("--kind", default="text10k")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--drain", type=float, default=90)
    parser.add_argument("--connections", type=int, default=20, help="connections that delivery may have open")
    parser.add_argument("--ready-within", type=float, default=5.0, help="seconds after a kill")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def main() -> int:
    """Make a gateway, kill, account; exit 1 when a promise was broken."""
    options = arguments()
    print(f"{options.kills} kills, seed {options.seed}")
    with Rig() as rig:
        campaign = run(options, rig)
        if campaign.account["lost"]:  # lost, or only late?
            campaign.faults.append(f"the queue holds {rig.installation.queue()}")
            campaign.faults.append(f"the log ends with {rig.installation.errors()[-6000:]}")
    account = campaign.account
    slowest = max(max(kill.accepted_after, kill.ready_after) for kill in campaign.kills)
    doubled = sum(kill.duplicates for kill in campaign.kills)
    print(f"{account['accepted']} accepted, {account['lost']} lost, {doubled} doubled, "
          f"{account['duplicated_ambiguous']} doubled by their client, slowest return {slowest:.2f} s")  # fmt: skip
    for fault in campaign.faults:
        print(f"FAULT {fault}")
    if options.json:
        kills = [vars(kill) for kill in campaign.kills]
        options.json.write_text(json.dumps({"account": account, "kills": kills, "faults": campaign.faults}, indent=1))
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
