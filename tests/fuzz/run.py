"""All targets for a while: ``python -m tests.fuzz.run [--seconds N] [--keep FOLDER] [TARGET ...]``; `make fuzz`.

Order
    As many children as there are processors (at most four) work through the targets; each target gets an equal share of
    the time. What a child found is run once more without instruments: what was slow only because of them is dropped.

Guarantees
    1 when there is a fault, or a child did not run to its end; the inputs that show faults stay in the folder.

See also
    ``child.py`` for one target, ``covered.py`` for the lines that were reached.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz import covered, scene
from tests.fuzz.table import TARGETS

ROOT: Final = Path(__file__).resolve().parents[2]
_USUAL: Final = 1800
_LIBFUZZER: Final = ("crash-", "timeout-", "oom-", "leak-")
_LATE: Final = 60.0  # seconds that a child may take longer: its first inputs are always run, however long it takes


class Told(NamedTuple):
    """What became of one target. ``edges``: those of the package's byte code that were reached; ``faults``: texts."""

    name: str
    runs: int
    seconds: float
    edges: int
    kept: int
    slowest: float
    faults: tuple[str, ...]
    blind: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs them, and prints a table."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS") or _USUAL))
    parser.add_argument("--keep", type=Path, help="a folder that stays, with the inputs that were found")
    parser.add_argument("--lines", action="store_true", help="tell which lines the inputs reach")
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}")
    given = parser.parse_args(arguments)
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    folder = given.keep or Path(tempfile.mkdtemp(prefix="letterlock-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    found = run(given.targets or list(TARGETS), given.seconds, folder)
    sys.stdout.write(table(found))
    if given.lines:
        sys.stdout.write(covered.table(folder, [each.name for each in found]))
    faults = [fault for each in found for fault in each.faults]
    if faults:
        sys.stdout.write(f"\n{len(faults)} faults; inputs in {folder}\n\n" + "\n\n".join(faults) + "\n")
    return 1 if faults else 0


def run(names: Sequence[str], seconds: float, folder: Path) -> list[Told]:
    """Each target for its share of ``seconds``."""
    scene.load(folder)
    workers = min(len(names), os.cpu_count() or 1, 4)
    share = max(3.0, seconds * workers / len(names))
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda name: _one(name, share, folder), names))


def _one(name: str, seconds: float, folder: Path) -> Told:
    started = time.monotonic()
    (folder / f"{name}.json").unlink(missing_ok=True)
    runs, slowest, output, broken, said = 0, 0.0, "", [], {}
    while (left := seconds - (time.monotonic() - started)) > 1:
        done, text = _child(name, left, folder)
        output += text
        said = json.loads((folder / f"{name}.json").read_text("utf-8")) if (folder / f"{name}.json").exists() else {}
        runs += int(said.get("runs", 0))
        slowest = max(slowest, float(said.get("slowest", 0)))
        if done == 0:
            break
        if not any((folder / f"{name}.faults").glob("[cto]*-*")):
            broken.append(f"{name}: the child ended with {done}\n{text[-2000:]}")
            break
    edges = [int(each) for each in re.findall(r"cov: (\d+)", output)]
    faults = tuple(broken + _confirmed(name, folder))
    kept = sum(1 for _ in (folder / f"{name}.corpus").iterdir()) if (folder / f"{name}.corpus").is_dir() else 0
    took, blind = time.monotonic() - started, bool(said.get("blind"))
    return Told(name, runs, took, max(edges, default=0), kept, slowest, faults, blind)


def _child(name: str, seconds: float, folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.fuzz.child", name, str(max(1.0, seconds - 1)), str(folder)]
    with (folder / f"{name}.log").open("w+b") as log:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=log, timeout=seconds + _LATE, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = 0  # a machine with too much to do; what hangs in one input libFuzzer tells after 20 s
        log.seek(0)
        return code, log.read().decode("utf-8", "replace")


def _confirmed(name: str, folder: Path) -> list[str]:
    """The faults that show without instruments too; what makes the process die or hang is one by itself."""
    found = []
    for file in sorted((folder / f"{name}.faults").glob("*")):
        if file.suffix == ".txt" or file.name.startswith("slow-unit-"):
            continue
        command = [sys.executable, "-m", "tests.fuzz.child", name, "0", str(folder), "--replay", str(file)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=180, check=False)
        except subprocess.TimeoutExpired:
            found.append(f"{name}: {file.name}: no end within three minutes")
            continue
        if done.returncode:
            text = (done.stdout or done.stderr).decode("utf-8", "replace").strip()
            found.append(f"{name}: {file.name}: {text[:3000] or f'ended with {done.returncode}'}")
    return found


def table(found: Sequence[Told]) -> str:
    """For people."""
    lines = [f"{'target':12} {'runs':>10} {'per s':>7} {'edges':>6} {'kept':>6} {'slowest':>8} {'faults':>6}"]
    for each in found:
        speed = each.runs / max(each.seconds, 0.001)
        lines.append(
            f"{each.name:12} {each.runs:10,} {speed:7.0f} {each.edges:6} {each.kept:6} {each.slowest:7.3f}s"
            f" {len(each.faults):6}{'  (blind: no atheris for this machine)' if each.blind else ''}"
        )
    lines.append(f"{'all':12} {sum(each.runs for each in found):10,}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
