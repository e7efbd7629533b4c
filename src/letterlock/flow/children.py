"""The fork server of one flow process: started before the process gets its orders, so its children hold no secret.

Order
    The station calls ``prepare()`` before it says Hello; whoever needs a child asks ``forks()``.

See also
    ``confine/server.py``; ``supervise/station.py``, which calls ``prepare``; ``pki/apart.py``
    and ``pki/packed.py``, the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from letterlock.confine import late
from letterlock.confine.limits import Limits
from letterlock.confine.server import ForkServer, Work
from letterlock.pki import apart, case, packed

WORK: Final[Mapping[str, Work]] = {apart.NAME: apart.judge, packed.NAME: packed.pack}
LIMITS: Final = Limits(memory=256 << 20, seconds=2.0)
OTHER_LIMITS: Final = {packed.NAME: Limits(memory=512 << 20, seconds=15.0)}
"""A list of 20 MB (fetch.wanted.MAX_CRL) takes two seconds of a quiet processor; it comes once in hours."""

late.load(*case.LIBRARIES)  # at import, in the warm parent: every flow process shares it

_started: list[ForkServer] = []


def prepare() -> None:
    """Start the fork server of this process."""
    _started[:] = [ForkServer.start(WORK, LIMITS, OTHER_LIMITS)]


def forks() -> ForkServer:
    """The fork server; started now where no station did it before (tests, tools)."""
    if not _started:
        prepare()
    return _started[0]
