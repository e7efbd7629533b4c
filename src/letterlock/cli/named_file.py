"""Reads a file that a command names: a regular one, and no more of it than may be.

Guarantees
    A pipe, a device or a folder is refused before anything waits for it; at most one octet beyond the bound is read.

Raises
    UsageError when it cannot be read, PermanentError when it is too large; each names the file.
"""

from __future__ import annotations

import os
import stat

from letterlock.errors import PermanentError, UsageError


def read(name: str, most: int) -> bytes:
    """The octets of the file; ``most``: how many there may be."""
    try:
        # Not blocking: to open a pipe would wait for who writes into it.
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"Cannot read {name}: it is not a regular file.")
            octets = file.read(most + 1)
    except IsADirectoryError:  # what fdopen says of a folder
        raise UsageError(f"Cannot read {name}: it is not a regular file.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise UsageError(f"Cannot read {name}: {why}.") from error
    if len(octets) > most:
        raise PermanentError(f"{name} is larger than {most >> 20} MiB.")
    return octets
