"""What can go wrong, said twice: once for the outside, once for the log.

Guarantees
    ``public`` never holds content, secrets, paths or SQL; it may be shown to anybody, in an SMTP reply too.
    ``detail`` is for the operator's log only.
    Every error knows whether trying again can help (``permanent``) and its SMTP reply code and enhanced status code.

Standards
    RFC 5321 4.2 (reply codes), RFC 3463 (enhanced status codes).

See also
    ``mail/reply.py`` for the named replies of the server; each package's ``errors.py`` for its own subclasses.
"""

from __future__ import annotations

from typing import ClassVar


class LetterlockError(Exception):
    """The request could not be carried out."""

    permanent: ClassVar[bool] = False
    code: ClassVar[int] = 451
    status: ClassVar[str] = "4.3.0"

    def __init__(self, public: str | None = None, *, detail: str = "") -> None:
        """``public``: one sentence for anybody; the class's docstring when absent. ``detail``: for the log."""
        self.public = public or (type(self).__doc__ or "The request could not be carried out.").strip().splitlines()[0]
        self.detail = detail
        super().__init__(self.public)

    def __str__(self) -> str:
        return f"{self.public} ({self.detail})" if self.detail else self.public


class PermanentError(LetterlockError):
    """The request was refused and will be refused again."""

    permanent = True
    code = 554
    status = "5.0.0"


class TemporaryError(LetterlockError):
    """The request could not be carried out now; try again later."""


class SystemFailure(TemporaryError):
    """The system failed; its administrator has been told why."""


class UsageError(PermanentError):
    """The command was used wrongly."""
