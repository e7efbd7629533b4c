"""Memory of all processes and PostgreSQL together (PSS): idle, at 8 connections of 10 KB mail, during a 50 MB message.

Guarantees
    The limit for messages is raised for the last part only in this installation, which is deleted afterwards.
    Peaks are sampled every 50 ms; ``by station`` is a sample at the end of each part.

See also
    ``docs/performance.md``: at most 400 MB idle and at 8 connections; a 50 MB message adds at most 100 MB.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from load import processes
from rig import Rig, smtpload

SETTLE = 3.0  # seconds of rest before an idle sample
LIMIT = 400 * 1_000_000
ADDED_LIMIT = 100 * 1_000_000


class Peak:
    """Samples the sum of PSS until told to stop."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.octets = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.octets = max(self.octets, processes.proportional_octets(processes.tree([self.root])))


def by_station(root: int) -> dict[str, float]:
    """PSS in MB, summed over the processes that share a name."""
    names: collections.Counter[str] = collections.Counter()
    for process in processes.tree([root]):
        names[processes.station(process)] += processes.proportional_octets([process])
    return {name: round(octets / 1e6, 1) for name, octets in names.most_common()}


def part(rig: Rig, name: str, **options: Any) -> dict[str, Any]:
    """One load with its peak."""
    with Peak(rig.process) as peak:
        account = smtpload(port=rig.installation.port, sink_port=rig.sink_port, pid=rig.process, **options)
    if not account["ok"]:
        raise SystemExit(f"{name}: not every message arrived: {account}")
    return {"name": name, "peak": peak.octets, "by_station": by_station(rig.process), "msg_s": account["msg_s"]}


def main() -> int:
    """Measure the three parts, print them; exit 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--count", type=int, default=2000, help="10 KB messages")
    options = parser.parse_args()
    limits = {"max_message_octets": "150000000", "smime_max_size": "150000000"}
    with Rig(limits) as rig:
        time.sleep(SETTLE)
        idle = processes.proportional_octets(processes.tree([rig.process]))
        parts = [{"name": "idle", "peak": idle, "by_station": by_station(rig.process)}]
        parts.append(part(rig, "8 connections, 10 KB", kind="text10k", count=options.count))
        time.sleep(SETTLE)
        before = processes.proportional_octets(processes.tree([rig.process]))
        parts.append(part(rig, "one message of 50 MB", kind="msg50m", count=1, connections=1, variants=1))
    added = parts[2]["peak"] - before
    for each in parts:
        stations = ", ".join(f"{name} {size}" for name, size in each["by_station"].items())
        print(f"{each['name']:24}{each['peak'] / 1e6:7.0f} MB   after it: {stations}")
    print(f"{'the 50 MB message added':24}{added / 1e6:7.0f} MB")
    if options.json:
        options.json.write_text(json.dumps({"parts": parts, "added": added}, indent=1))
    return 0 if max(parts[0]["peak"], parts[1]["peak"]) <= LIMIT and added <= ADDED_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
