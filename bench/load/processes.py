"""What processes used: CPU and memory of a tree of processes, and of the whole machine, from /proc.

Guarantees
    CPU counts a process and its waited-for children; a daemon whose children are given to process 1 is undercounted.
    PSS shares each page among those who map it, so a sum over processes counts no page twice.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

Tree = dict[int, list[bytes]]
"""Process id → the fields of /proc/PID/stat after the command."""


def tree(roots: Iterable[int]) -> Tree:
    """The processes ``roots`` and all below them."""
    children: dict[int, list[int]] = collections.defaultdict(list)
    fields: Tree = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                line = file.read()
        except OSError:
            continue
        fields[int(entry)] = line[line.rindex(b")") + 2 :].split()
        children[int(fields[int(entry)][1])].append(int(entry))
    todo, found = list(roots), {}
    while todo:
        process = todo.pop()
        if process in fields and process not in found:
            found[process] = fields[process]
            todo += children.get(process, [])
    return found


def cpu_seconds(found: Tree) -> float:
    """User and system time, own and of waited-for children."""
    return sum(sum(map(int, fields[11:15])) for fields in found.values()) / TICK


def own_cpu_seconds(fields: list[bytes]) -> float:
    """User and system time of one process without its children."""
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_octets(found: Tree) -> int:
    """Sum of resident sizes; counts shared pages once a process."""
    return sum(int(fields[21]) for fields in found.values()) * PAGE


def proportional_octets(processes: Iterable[int]) -> int:
    """Sum of PSS."""
    total = 0
    for process in processes:
        try:
            with open(f"/proc/{process}/smaps_rollup", "rb") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) * 1024
        except (OSError, StopIteration):
            continue
    return total


def command(process: int) -> str:
    """The command line, '' when it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def machine_busy() -> tuple[float, float]:
    """(busy, stolen) seconds of all processors since the machine started."""
    with open("/proc/stat", "rb") as file:
        values = [int(value) for value in file.readline().split()[1:9]]
    return (sum(values) - values[3] - values[4]) / TICK, values[7] / TICK


class Cgroup:
    """A version 2 control group: exact CPU and memory."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def cpu_seconds(self) -> float:
        """All its processes ever used."""
        lines = (self.folder / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    def memory_octets(self) -> int:
        """What it uses now; 0 when that cannot be read."""
        try:
            return int((self.folder / "memory.current").read_text())
        except (OSError, ValueError):
            return 0


def station(process: int) -> str:
    """What a process is, from the name the kernel shows: ``smtpd``, ``flow``, ``postgres`` ...; '' when it is gone."""
    try:
        name = Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""
    return name.removeprefix("ll-").rstrip("0123456789").rstrip("-") if name.startswith("ll-") else name
