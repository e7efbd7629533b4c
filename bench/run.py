"""``make bench``: each measurement after the other; ``ARGS="memory profile"`` chooses.

See also
    ``README.md`` for what each says; ``docs/performance.md`` for results and their dates.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
USUAL = ("cms", "throughput", "memory")


def main() -> int:
    """Run the chosen scripts; exit 1 when one of them did not end well."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("run", "rig", "smtpload"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=USUAL, help=f"of {', '.join(known)}; usually {', '.join(USUAL)}")
    parser.add_argument("--results", type=Path, help="folder for each script's figures as JSON")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"there is no measurement {', '.join(unknown)}; there are {', '.join(known)}")
    failed = []
    for name in options.names:
        print(f"\n== {name}", flush=True)
        where = ["--json", str(options.results / f"{name}.json")] if options.results and name != "profile" else []
        if subprocess.run([sys.executable, FOLDER / f"{name}.py", *where], check=False).returncode:
            failed.append(name)
    for name in failed:
        print(f"{name} did not end well; see above")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
