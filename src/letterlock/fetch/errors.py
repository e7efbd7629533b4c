"""What can go wrong when something is fetched. Each class says what becomes of the thing that is wanted.

See also
    ``wanted.py``, which turns them into answers.
"""

from __future__ import annotations

from letterlock.errors import PermanentError, TemporaryError


class FetchRefused(PermanentError):
    """What is wanted may not be fetched."""


class FetchAbsent(PermanentError):
    """Whoever was asked says that there is none."""


class FetchFailed(TemporaryError):
    """What came is of no use."""


class HostUnreachable(FetchFailed):
    """The server does not answer as it should; it is left alone for a while."""
