"""What can become of a job that is done by a child.

Guarantees
    A caller never takes a missing result for a good one: there is a result, or one of these is raised.
"""

from __future__ import annotations

from letterlock.errors import PermanentError, TemporaryError


class ChildEnded(PermanentError):
    """The work took too much time or memory and was given up."""


class WorkFailed(PermanentError):
    """The work could not be done."""


class NoForkServer(TemporaryError):
    """The process that starts limited children is not there."""
