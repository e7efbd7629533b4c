"""How long to wait before starting again what has ended.

Guarantees
    The first restart after a good while of service is immediate; each further one in a row waits twice as long as the
    one before, up to LONGEST. A process that dies at once over and over costs a fork each ten seconds and no more.
"""

from __future__ import annotations

FIRST = 0.1
LONGEST = 10.0
SETTLED = 10.0
"""Seconds of service after which a process counts as healthy again."""


class Pace:
    """The waiting times of one process."""

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived: float) -> float:
        """Seconds to wait before the next start, given that the last life took ``lived`` seconds."""
        if lived >= SETTLED:
            self._next = 0.0
        wait = self._next
        self._next = min(LONGEST, max(FIRST, wait * 2))
        return wait
