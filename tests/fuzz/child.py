"""One target in a process of its own, guided by coverage: ``python -m tests.fuzz.child NAME SECONDS FOLDER``.

Order
    The package is instrumented as it is imported, the scene and the first inputs are laid into FOLDER, then libFuzzer
    runs. Each new kind of fault is written to FOLDER/NAME.faults/, and the run goes on; a crash or an endless loop ends
    the process, and libFuzzer leaves the input there. ``--replay FILE`` runs one input without any instrument.

Guarantees
    SECONDS count from the start of the process, so that a slow machine does not make a run longer.
    Memory is bounded by the system, so what grows without end becomes a MemoryError and is told.
    Where there is no atheris for the machine, inputs are changed blindly, and the last line says so.

See also
    ``oracle.py`` for what a fault is; ``run.py``, which starts this.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.oracle import Watch

_MOST_MEMORY = 4 << 30
_STARTED_AT = time.monotonic()


def main(arguments: list[str]) -> int:
    """0 when all went its way, faults or not."""
    name, seconds, folder = arguments[0], float(arguments[1]), Path(arguments[2])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if len(arguments) > 4 and arguments[3] == "--replay":
        return _replay(name, folder, Path(arguments[4]))
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        return _blind(_Run(name, folder), seconds)
    with atheris.instrument_imports(include=["letterlock"]):
        importlib.import_module("tests.fuzz.table")
    return _guided(atheris, _Run(name, folder), seconds)


class _Run:
    """What a run has of its own: target, folders, faults so far."""

    def __init__(self, name: str, folder: Path) -> None:
        from tests.fuzz import oracle, scene, table  # after instrumentation

        self.name = name
        self.folder = folder
        self.target = table.TARGETS[name]
        stage = scene.load(folder)
        own = table.own(name, stage, folder)
        self.inputs = table.start(name, own)
        self.watch: Watch = oracle.Watch(self.target.make(stage, own))
        self.longest = oracle.LONGEST
        self.faults = folder / f"{name}.faults"
        self.corpus = folder / f"{name}.corpus"
        self.faults.mkdir(exist_ok=True)
        self.corpus.mkdir(exist_ok=True)
        for each in self.inputs:
            (self.corpus / hashlib.sha256(each).hexdigest()[:20]).write_bytes(each)
        self.places: set[str] = set()
        self.told = 0.0

    def one(self, octets: bytes) -> None:
        """Looks at one input and writes down a fault that is new."""
        fault = self.watch.look(octets)
        if fault is not None and fault.place not in self.places:
            self.places.add(fault.place)
            stem = self.faults / hashlib.sha256(fault.place.encode()).hexdigest()[:16]
            stem.with_suffix(".input").write_bytes(octets)
            stem.with_suffix(".txt").write_text(f"{fault.place}\n\n{fault.text}\n", encoding="utf-8")
        if (now := time.monotonic()) > self.told + 0.5:
            self.told = now
            self.tell()

    def tell(self, **more: object) -> None:
        """How far it is, for run.py."""
        said = {"runs": self.watch.runs, "slowest": round(self.watch.slowest, 3), "first": len(self.inputs), **more}
        (self.folder / f"{self.name}.json").write_text(json.dumps(said), encoding="utf-8")


def _guided(atheris: Any, run: _Run, seconds: float) -> int:
    from tests.fuzz import grow

    def change(octets: bytes, most: int, seed: int) -> bytes:
        if run.target.structured and seed % 3:
            made = grow.changed(octets, seed)
            if made is not None and len(made) <= most:
                return made
        if not run.target.structured and seed % 4 == 0 and (at := octets.find(b"\r\n\r\n0")) >= 0:
            made = grow.changed(octets[at + 4 :], seed)  # a CMS object in a message, in transfer encoding binary
            if made is not None and len(made) + at + 4 <= most:
                return octets[: at + 4] + made
        return bytes(atheris.Mutate(octets, most))

    left = max(1, int(seconds - (time.monotonic() - _STARTED_AT)))
    options = [
        "fuzz", f"-max_total_time={left}", f"-max_len={run.longest}", "-timeout=20", "-rss_limit_mb=3000",
        f"-artifact_prefix={run.faults}/", "-print_final_stats=1", "-verbosity=1", str(run.corpus),
    ]  # fmt: skip
    atheris.Setup(options, run.one, custom_mutator=change)
    atheris.Fuzz()  # ends the process
    return 0


def _blind(run: _Run, seconds: float) -> int:
    from tests.fuzz import grow

    chance = random.Random()
    until = _STARTED_AT + seconds
    for each in run.inputs:
        run.one(each)
    while time.monotonic() < until:
        octets = chance.choice(run.inputs)
        made = grow.changed(octets, chance.getrandbits(32)) if run.target.structured and chance.random() < 0.6 else None
        if made is None:
            changed = bytearray(octets)
            for _ in range(chance.choice((1, 2, 8))):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            made = bytes(changed[: chance.choice((len(changed), chance.randrange(1, len(changed) + 1)))])
        run.one(made[: run.longest])
    run.tell(blind=True)
    return 0


def _replay(name: str, folder: Path, file: Path) -> int:
    """1 and the fault on standard output when this input still shows one."""
    run = _Run(name, folder)
    octets = file.read_bytes()
    with contextlib.suppress(IndexError):
        run.watch.look(run.inputs[0])
    fault = run.watch.look(octets)
    if fault is None:
        return 0
    sys.stdout.write(f"{fault.place}\n{fault.text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
