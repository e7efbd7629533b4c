"""What the message holds besides its protection: scanner verdict and rule violations, as Findings.

See also
    ``decision/known.py`` for Findings. Scanner and rules are not there yet: nothing is found, and nothing is claimed
    to have been looked for (``docs/limitations.md``).
"""

from __future__ import annotations

from letterlock.decision.known import Findings
from letterlock.flow.work import Opened, Work

_NOTHING = Findings()


def examine(work: Work, opened: Opened) -> Findings:
    """The findings of one message."""
    del work, opened
    return _NOTHING
