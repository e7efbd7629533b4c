"""What can go wrong with keys and sealed content.

Guarantees
    No text here holds content, keys or file names; ``detail`` names ids at most.

See also
    ``errors.py`` for what public text, detail and reply codes mean.
"""

from __future__ import annotations

from letterlock.errors import LetterlockError, PermanentError, TemporaryError


class SealingUnavailable(TemporaryError):
    """Mail cannot be stored safely at the moment; try again later."""


class StorageUnavailable(TemporaryError):
    """There is no room to store the message; try again later."""

    code = 452  # RFC 5321 4.2.3: insufficient system storage
    status = "4.3.1"  # RFC 3463 3.4: mail system full


class KeyholderUnavailable(TemporaryError):
    """Keys are not available at the moment; try again later."""


class KeyRefused(LetterlockError):
    """The keyholder does not give or use this key for this request."""


class ContentRefused(PermanentError):
    """Stored content does not agree with its seal and is not given out."""


class FrameInvalid(LetterlockError):
    """What came over the socket is not a frame."""
