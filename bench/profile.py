"""Where the time goes: py-spy on each Python process during load, processor time of every process, in ms a message.

Guarantees
    Sampling (100 a second) slows what it looks at by a few percent: the rates printed here are no benchmark.

See also
    ``throughput.py`` for the rates; ``docs/performance.md`` for what was found.
"""

from __future__ import annotations

import argparse
import collections
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from load import processes
from rig import Rig, smtpload

SPY = Path(sys.executable).with_name("py-spy")
WARM_UP = 1.0
OUTER = ("letterlock/supervise/", "letterlock/__main__", "nursery.py", "cli/main.py")
"""Frames that every stack begins with."""


def cpu_now(root: int) -> dict[int, float]:
    """Own CPU seconds of each process of the tree."""
    return {process: processes.own_cpu_seconds(fields) for process, fields in processes.tree([root]).items()}


def spy(process: int, seconds: int, folder: Path, *, native: bool) -> subprocess.Popen[bytes]:
    """Start py-spy on one process; it writes collapsed stacks to folder/PID."""
    return subprocess.Popen(
        [SPY, "record", "--pid", str(process), "--duration", str(seconds), "--format", "raw",
         "--output", folder / str(process), "--nonblocking", *(["--native"] if native else [])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def frames(stacks: Path) -> tuple[collections.Counter[str], collections.Counter[str], int]:
    """(samples by innermost frame, samples by any frame of ours, all samples)."""
    inner: collections.Counter[str] = collections.Counter()
    within: collections.Counter[str] = collections.Counter()
    total = 0
    for line in stacks.read_text(errors="replace").splitlines() if stacks.exists() else []:
        stack, _, many = line.rpartition(" ")
        names = stack.split(";")
        total += int(many)
        inner[names[-1]] += int(many)
        for name in {name for name in names if "letterlock/" in name and not any(each in name for each in OUTER)}:
            within[name] += int(many)
    return inner, within, total


def print_process(name: str, stacks: Path, cpu_ms: float, top: int) -> None:
    """One process: what it cost and its largest frames."""
    inner, within, total = frames(stacks)
    print(f"\n{name}: {cpu_ms:.3f} ms of processor a message")
    if not total:
        return
    print("  innermost frame")
    for frame, many in inner.most_common(top):
        print(f"    {100 * many / total:5.1f} %  {frame}")
    print("  with all it calls")
    for frame, many in within.most_common(top):
        print(f"    {100 * many / total:5.1f} %  {frame}")


def main() -> int:
    """Load, look, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="text10k")
    parser.add_argument("--count", type=int, default=8000)
    parser.add_argument("--seconds", type=int, default=5, help="of sampling")
    parser.add_argument("--top", type=int, default=12)
    parser.add_argument("--native", action="store_true", help="C and Rust frames too")
    parser.add_argument("--keep", type=Path, help="copy the collapsed stacks here (for a flame graph)")
    options = parser.parse_args()
    with Rig() as rig, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        account: dict[str, object] = {}
        load = threading.Thread(
            target=lambda: account.update(
                smtpload(port=rig.installation.port, sink_port=rig.sink_port, kind=options.kind,
                         count=options.count, pid=rig.process)
            )
        )  # fmt: skip
        before = cpu_now(rig.process)
        load.start()
        time.sleep(WARM_UP)
        pythons = [p for p in processes.tree([rig.process]) if "postgres" not in processes.station(p)]
        spies = [spy(process, options.seconds, folder, native=options.native) for process in pythons]
        load.join()
        after = cpu_now(rig.process)
        names = {process: processes.station(process) for process in after}
        for each in spies:
            each.wait(options.seconds + 30)
        if options.keep:
            shutil.copytree(folder, options.keep, dirs_exist_ok=True)
        done = int(str(account["delivered"]))
        used = {process: 1000 * (after[process] - before.get(process, 0.0)) / done for process in after}
        print(f"{account['msg_s']} messages/s while looked at; {sum(used.values()):.2f} ms of processor a message")
        database = sum(cost for process, cost in used.items() if process not in pythons)
        print(f"PostgreSQL, all processes: {database:.3f} ms")
        for process in sorted(pythons, key=lambda each: -used.get(each, 0)):
            print_process(f"{names.get(process)} ({process})", folder / str(process), used.get(process, 0), options.top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
