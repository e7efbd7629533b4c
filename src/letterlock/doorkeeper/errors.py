"""What the doorkeeper refuses.

See also
    ``errors.py`` for what public text and detail mean.
"""

from __future__ import annotations

from letterlock.errors import PermanentError


class NotAdmitted(PermanentError):
    """You may not administer this installation."""
