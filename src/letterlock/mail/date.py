"""The Date field read.

Guarantees
    A date that cannot be read without doubt is none; nothing raises. Years before 1970 and after 9999 are none.

Standards
    RFC 5322 3.3 and 4.3 (obsolete zones and years of two digits), 3.2.2 (comments).

See also
    ``compose.date``, which writes one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONES: Final = {b"est": -5, b"edt": -4, b"cst": -6, b"cdt": -5, b"mst": -7, b"mdt": -6, b"pst": -8, b"pdt": -7}
_COMMENT: Final = re.compile(rb"\([^()]*\)")
_DATE: Final = re.compile(
    rb"(?:[a-z]{3}\s*,)?\s*(\d{1,2})\s+([a-z]{3})\s+(\d{2}|\d{4})\s+(\d{2}):(\d{2})(?::(\d{2}))?\s+([+-]\d{4}|[a-z]{1,3})",
    re.IGNORECASE,
)
LONGEST: Final = 200
"""Octets of a value that is looked at."""


def read(value: bytes) -> datetime | None:
    """The time, aware; None when there is none to be read. ``-0000`` and zones nobody knows count as UTC (4.3)."""
    found = _DATE.fullmatch(_COMMENT.sub(b" ", value[:LONGEST]).strip())
    if found is None:
        return None
    day, month, year, hour, minute, second, zone = found.groups()
    number = int(year)
    if len(year) == 2:
        number += 2000 if number < 50 else 1900
    try:
        at = datetime(
            number,
            _MONTHS.index(month.decode("ascii").lower()) + 1,
            int(day),
            int(hour),
            int(minute),
            min(int(second or 0), 59),  # a leap second
            tzinfo=_zone(zone.lower()),
        )
    except ValueError:
        return None
    return at if at.year >= 1970 else None


def _zone(zone: bytes) -> timezone:
    """Raises ValueError."""
    if zone[:1] in b"+-":
        minutes = int(zone[1:3]) * 60 + int(zone[3:5])
        return timezone(timedelta(minutes=-minutes if zone[:1] == b"-" else minutes))
    hours = _ZONES.get(zone, 0)
    return timezone(timedelta(hours=hours)) if hours else UTC
