"""Liveness and readiness of one process: named facts, each good or bad with a reason.

Guarantees
    A process is ready while no fact that it said is bad; it is live as long as it can be asked. Reasons are words or
    sentences of ours; no content, address or key is in them.

See also
    ``supervise/`` for what /livez and /readyz make of all processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from letterlock.telemetry.events import sentence, word


class Fact(NamedTuple):
    """One thing the process needs. ``since``: seconds since the Unix epoch, when it became so."""

    ok: bool
    why: str = ""
    since: float = 0.0


class Health:
    """The facts of one process. ``clock``: seconds since the Unix epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._facts: dict[str, Fact] = {}

    def say(self, name: str, *, ok: bool, why: str = "") -> bool:
        """Enter a fact (``keyholder``, ``database``, ``disk``); returns whether it changed from good to bad or back."""
        name, before = word(name), self._facts.get(word(name))
        changed = before is None or before.ok != ok
        since = self._clock() if changed or before is None else before.since
        self._facts[name] = Fact(ok, "" if ok else sentence(why), since)
        return changed

    def is_ready(self) -> bool:
        """No fact is bad."""
        return all(fact.ok for fact in self._facts.values())

    def report(self) -> dict[str, Fact]:
        """All facts, by name."""
        return dict(self._facts)

    def faults(self) -> list[str]:
        """One line for each bad fact."""
        return [f"{name}: {fact.why}" for name, fact in self._facts.items() if not fact.ok]
