"""``python -m letterlock`` is the command line, and how the supervisor starts interpreters of its own.

See also
    ``cli/main.py``; ``supervise/internal.py`` for the words beginning with an underscore.
"""

from __future__ import annotations

import sys


def _start() -> int:
    if len(sys.argv) > 1 and sys.argv[1].startswith("_"):
        from letterlock.supervise import internal

        return internal.main(sys.argv[1:])
    from letterlock.cli import main

    return main.main()


if __name__ == "__main__":
    sys.exit(_start())
