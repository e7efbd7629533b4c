"""Which lines of the readers the inputs of a run reach: they are run once more under a tracer.

See also
    ``run.py --lines``.
"""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]
_PACKAGE: Final = str(_ROOT / "src" / "letterlock") + "/"
_MOST: Final = 3000  # inputs of one target


def table(folder: Path, names: Sequence[str]) -> str:
    """Percent of the lines in functions, for each module that a target is to reach."""
    lines = [f"\n{'lines reached':34} {'of':>5} {'':>6}"]
    for name in names:
        command = [sys.executable, "-m", "tests.fuzz.covered", name, str(folder)]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        lines.append(done.stdout.rstrip() or f"{name}: {done.stderr[-300:]}")
    return "\n".join(lines) + "\n"


def _lines_of(path: str) -> set[int]:
    """The lines inside functions."""
    code = compile(Path(path).read_text("utf-8"), path, "exec")
    return {line for each in _codes(code) for _, _, line in each.co_lines() if line and line != each.co_firstlineno}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            if each.co_flags & 0x2:  # CO_NEWLOCALS: a function, no class body
                yield each
            yield from _codes(each)


def main(name: str, folder: Path) -> None:
    """Runs the inputs of one target, and prints its modules."""
    from tests.fuzz import scene, table

    wanted = {_PACKAGE + each for each in table.TARGETS[name].modules}
    seen: set[tuple[str, int]] = set()

    def trace(frame: types.FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in wanted:
            return None
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    stage = scene.load(folder)
    call = table.TARGETS[name].make(stage, table.own(name, stage, folder))
    inputs = sorted((folder / f"{name}.corpus").iterdir(), key=lambda each: each.stat().st_size)[:_MOST]
    sys.settrace(trace)
    for each in inputs:
        try:
            call(each.read_bytes())
        except Exception:  # a fault is told elsewhere
            continue
    sys.settrace(None)
    for path in sorted(wanted):
        every = _lines_of(path)
        reached = {line for file, line in seen if file == path} & every
        sys.stdout.write(
            f"  {name:11} {path[len(_PACKAGE) :]:26} {len(every):5} {100 * len(reached) // len(every):4} %\n"
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
