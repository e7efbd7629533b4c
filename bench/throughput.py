"""Messages per second beside the peers: Postfix relay, Postfix with the openssl filter, Letterlock, round by round.

Order
    All three run from the start; in each round each gets the same load in turn, the first one changing, so that what
    the machine does meanwhile falls on all of them.

Guarantees
    Ratios are made within a round and the median of them is printed: the machine's speed drops out.
    Every saved message is opened by openssl; a message lost, doubled, unencrypted or showing the canary fails the run.

See also
    ``docs/performance.md`` for targets and dated results; ``peers/README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rig import PEERS, STATE, Rig, smtpload
from rig import free_port as a_port

COUNTS = {
    "text10k": {"relay": 1500, "filter": 90, "letterlock": 3000},
    "att1m": {"relay": 200, "filter": 24, "letterlock": 200},
}
"""Sized for two seconds of load and more."""
PROMISES = {
    "text10k": {"relay": (1.0, 1.8, 2.0), "filter": (15, 30, 35), "cpu": (1.5, 1.2)},
    "att1m": {"relay": (0.5, 0.8, 1.0), "filter": (5, 6, 9)},
}
"""Floor, target, goal of the design: times the relay, times the filter; CPU ms a message: target, goal."""
NOISE = 0.15  # of the processors' time in a run, used by somebody else
MODES = {"relay": "relay", "filter": "smime"}

Round = dict[str, dict[str, Any]]


class Peers:
    """The Postfix instances; both listen on loopback and send to the sink."""

    def __init__(self, sink_port: int) -> None:
        self.sink_port = sink_port
        self.ports = {name: a_port() for name in MODES}

    def __enter__(self) -> Peers:
        for tool in ("postfix", "msmtp", "openssl"):
            if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None:
                raise SystemExit(f"{tool} is missing: install postfix and msmtp, or measure with --only letterlock")
        for name, mode in MODES.items():
            self._postfix("start", mode, str(self.ports[name]), str(self.sink_port))
        return self

    def __exit__(self, *_: object) -> None:
        for mode in MODES.values():
            self._postfix("stop", mode)

    @staticmethod
    def _postfix(*arguments: str) -> None:
        environment = {**os.environ, "STATE": str(STATE), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        subprocess.run(
            ["bash", PEERS / "postfix.sh", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL
        )

    def pidfile(self, name: str) -> Path:
        """Where Postfix's master wrote its process id."""
        return STATE / "run" / f"postfix-{MODES[name]}" / "pid"


def one_run(name: str, kind: str, count: int, rig: Rig, peers: Peers | None, saved: Path) -> dict[str, Any]:
    """The load on one system."""
    options: dict[str, Any] = {"kind": kind, "count": count, "sink_port": rig.sink_port, "label": name}
    if name == "letterlock":
        options |= {"port": rig.installation.port, "pid": rig.process, "save": 5, "save_dir": saved}
    else:
        assert peers is not None
        options |= {"port": peers.ports[name], "pidfile": peers.pidfile(name)}
    shutil.rmtree(saved, ignore_errors=True)
    result = smtpload(**options)
    if name == "letterlock":
        result["opened"] = rig.opens(sorted(saved.glob("*.eml")))
    return result


def faults(name: str, result: dict[str, Any]) -> list[str]:
    """What makes a run worthless or a promise broken, in words."""
    found = []
    if not result["ok"]:
        found.append(f"{result['lost']} lost, {result['duplicated']} doubled, {result['rejected']} rejected")
    if name != "relay":
        if result["plaintext_seen"]:
            found.append(f"{result['plaintext_seen']} messages left in clear")
        if result["encrypted"] < result["delivered"]:
            found.append(f"{result['delivered'] - result['encrypted']} messages not encrypted")
    opened = result.get("opened")
    if opened is not None and (opened["failed"] or not opened["opened"]):
        found.append(f"openssl opened {opened['opened']} and refused {opened['failed']} saved messages")
    return found


def noisy(result: dict[str, Any]) -> bool:
    """True when others used much of the machine meanwhile."""
    return bool((result["other_cpu_s"] or 0) > NOISE * result["seconds"] * (os.cpu_count() or 1))


def measure(options: argparse.Namespace, rig: Rig, peers: Peers | None, kind: str) -> list[Round]:
    """All rounds of one kind of mail."""
    rounds: list[Round] = []
    systems = [name for name in ("relay", "filter", "letterlock") if name in options.only]
    with tempfile.TemporaryDirectory() as saved:
        for number in range(options.rounds):
            results: Round = {}
            for name in systems[number % len(systems) :] + systems[: number % len(systems)]:
                count = max(8, int(COUNTS[kind][name] * options.scale))
                results[name] = one_run(name, kind, count, rig, peers, Path(saved) / "mail")
                for fault in faults(name, results[name]):
                    print(f"  round {number + 1}, {name}: {fault}")
                if noisy(results[name]):
                    print(f"  round {number + 1}, {name}: others used {results[name]['other_cpu_s']} s of processor")
            rounds.append(results)
            line = "  ".join(f"{name} {result['msg_s']:.0f}/s" for name, result in sorted(results.items()))
            print(f"  {kind} round {number + 1}: {line}", flush=True)
    return rounds


def ratios(rounds: list[Round], peer: str) -> list[float]:
    """Letterlock's rate over the peer's, each round."""
    return [
        round(each["letterlock"]["msg_s"] / each[peer]["msg_s"], 2)
        for each in rounds
        if peer in each and "letterlock" in each and each[peer]["msg_s"]
    ]


def verdict(value: float, floor: float, target: float, goal: float) -> str:
    """Which of the three was reached."""
    if value >= goal:
        return "goal reached"
    return "target reached" if value >= target else "above the floor" if value >= floor else "BELOW THE FLOOR"


def middle(rounds: list[Round], name: str, *path: str) -> float:
    """The median over the rounds of one figure."""
    values = []
    for each in rounds:
        value: Any = each[name]
        for key in path:
            value = value[key]
        values.append(value or 0)
    return float(statistics.median(values))


def report(kind: str, rounds: list[Round]) -> dict[str, Any]:
    """Print the table of one kind; returns it as data."""
    print(f"\n{kind}, 8 connections, median of {len(rounds)} rounds")
    print(f"{'':12}{'msg/s':>8}{'MB/s':>8}{'CPU ms':>8}{'PSS MB':>8}{'accept p50/p99':>18}{'end to end p50/p99':>22}")
    summary: dict[str, Any] = {}
    for name in rounds[0]:
        row = {
            "msg_s": middle(rounds, name, "msg_s"),
            "mb_s": middle(rounds, name, "mb_s"),
            "cpu_ms": middle(rounds, name, "cpu_s_per_1000"),
            "pss_mb": middle(rounds, name, "peak_pss_mb"),
            "accept_ms": [middle(rounds, name, "accept_ms", at) for at in ("p50", "p99")],
            "e2e_ms": [middle(rounds, name, "e2e_ms", at) for at in ("p50", "p99")],
        }
        summary[name] = row
        accept, end = (f"{a:.0f} / {b:.0f} ms" for a, b in (row["accept_ms"], row["e2e_ms"]))
        print(
            f"{name:12}{row['msg_s']:>8.0f}{row['mb_s']:>8.1f}{row['cpu_ms']:>8.2f}{row['pss_mb']:>8.0f}"
            f"{accept:>18}{end:>22}"
        )
    for peer in ("relay", "filter"):
        found = ratios(rounds, peer)
        if found:
            median = statistics.median(found)
            floor, target, goal = PROMISES[kind][peer]
            print(
                f"x {peer}: {'  '.join(map(str, found))}  median {median:.2f}"
                f"  (floor {floor}, target {target}, goal {goal}): {verdict(median, floor, target, goal)}"
            )
            summary[f"x_{peer}"] = {"rounds": found, "median": median}
    return summary


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default="text10k,att1m")
    parser.add_argument("--only", default="relay,filter,letterlock", help="which systems, comma list")
    parser.add_argument("--scale", type=float, default=1.0, help="of the message counts")
    parser.add_argument("--json", type=Path, help="write every figure of every run here")
    options = parser.parse_args()
    options.only = options.only.split(",")
    return options


def main() -> int:
    """Measure, print, write; exit 1 when a run had a fault."""
    options = arguments()
    peered = any(name in options.only for name in MODES)
    result: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "kinds": {},
    }
    with Rig() as rig:
        result["ready_s"] = round(rig.ready_after, 2)
        peers = Peers(rig.sink_port) if peered else None
        if peers is not None:
            peers.__enter__()
        try:
            for kind in options.kinds.split(","):
                rounds = measure(options, rig, peers, kind)
                result["kinds"][kind] = {"rounds": rounds, "summary": report(kind, rounds)}
        finally:
            if peers is not None:
                peers.__exit__()
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    bad = [
        fault
        for kind in result["kinds"].values()
        for each in kind["rounds"]
        for n, r in each.items()
        for fault in faults(n, r)
    ]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
