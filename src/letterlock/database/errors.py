"""What the database says, as our exceptions: SQLSTATE LLxxx are our own, the rest is PostgreSQL's.

Guarantees
    ``public`` never names a function, a table or a value; what PostgreSQL said is in ``detail``, without its DETAIL
    line, which may quote values.
    An answer that never came (connection lost) is temporary and leaves open whether the call took effect: every call
    that matters is idempotent or fenced.

Standards
    PostgreSQL Appendix A (SQLSTATE classes), RFC 3463 3.4 and 3.5 (X.3.0 mail system status, X.7.1 not authorised).

See also
    ``gate.py``, which raises them; the header of each function file names its SQLSTATEs.
"""

from __future__ import annotations

from letterlock.errors import LetterlockError, PermanentError, SystemFailure, TemporaryError


class DatabaseUnavailable(SystemFailure):
    """The database does not answer at the moment."""


class DatabaseBusy(TemporaryError):
    """The database could not do this now; try again."""


class DatabaseFault(SystemFailure):
    """The database refused a call; this is a fault of the installation."""


class SealingSessionUnknown(TemporaryError):
    """The content was sealed in a session that is unknown or over; it must be sealed again."""


class RecipientUnaccounted(SystemFailure):
    """A message may not leave while one of its recipients has neither a delivery nor an outcome."""


class Denied(PermanentError):
    """This is not allowed, or the login has ended."""

    code = 550
    status = "5.7.1"


OUR_OWN: dict[str, type[LetterlockError]] = {
    "LL001": SealingSessionUnknown,
    "LL002": Denied,
    "LL003": RecipientUnaccounted,
}
"""One line for each SQLSTATE that a function file raises; a test compares."""

# 40 transaction rollback (serialization, deadlock), 55 object not in prerequisite state (lock_timeout),
# 53 insufficient resources (disk full, too many connections), 57 operator intervention (shutdown, statement_timeout)
_PASSING = {"40": DatabaseBusy, "55": DatabaseBusy, "53": DatabaseUnavailable, "57": DatabaseUnavailable}


def from_sqlstate(sqlstate: str | None, message: str) -> LetterlockError:
    """The exception for an error the server reported. ``message``: its primary message."""
    detail = f"{sqlstate or 'no SQLSTATE'}: {message}"
    if sqlstate is None or sqlstate.startswith("08"):  # connection exception
        return DatabaseUnavailable(detail=detail)
    if sqlstate in OUR_OWN:
        return OUR_OWN[sqlstate](detail=detail)
    if sqlstate == "57014":  # query_canceled: the statement took too long
        return DatabaseBusy(detail=detail)
    return _PASSING.get(sqlstate[:2], DatabaseFault)(detail=detail)
