"""Many requests from a CSV file: looked at first, answered line by line, safe to give again.

Guarantees
    ``read`` takes the whole file or says what is wrong with which line; nothing is done before. A line whose address
    has a living certificate or an open request changes nothing, so the same file twice issues nothing twice.

Standards
    RFC 4180 2 (records, header line, quotes), RFC 3629 (UTF-8; a byte order mark is passed over).

Raises
    RequestInvalid when the file cannot be read as a table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from letterlock.errors import LetterlockError
from letterlock.pki.ca import calls
from letterlock.pki.ca.errors import RequestInvalid
from letterlock.pki.ca.issue import Office, Subject, profile_named
from letterlock.pki.ca.pending import Wish, ask, carry_out

COLUMNS: Final = ("email", "name")
MOST_LINES: Final = 10_000
MOST_OCTETS: Final = 4 << 20


class Line(NamedTuple):
    """A line of the file. ``number``: where it begins, the header being 1; ``fault``: why it cannot be used."""

    number: int
    subject: Subject
    fault: str = ""


class Result(NamedTuple):
    """What became of a line. ``answer``: issued, approval, certificate, there, open, new, invalid, failed."""

    number: int
    address: str
    answer: str
    detail: str = ""


def read(octets: bytes) -> list[Line]:
    """The lines below the header, which names the columns ``email`` and, if there, ``name``. Raises RequestInvalid."""
    if len(octets) > MOST_OCTETS:
        raise RequestInvalid(f"The file is larger than {MOST_OCTETS >> 20} MiB.")
    try:
        text = octets.decode("utf-8-sig")
        table = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [each.strip().lower() for each in next(table, [])]
        if "email" not in header or len(set(header)) != len(header) or not set(header) <= set(COLUMNS):
            raise RequestInvalid(f"The first line must name the columns; there are {', '.join(COLUMNS)}.")
        lines, begins = [], table.line_num + 1
        for row in table:
            if row and any(each.strip() for each in row):
                lines.append(_line(begins, header, row))
            begins = table.line_num + 1
            if len(lines) > MOST_LINES:
                raise RequestInvalid(f"The file has more than {MOST_LINES} lines; split it.")
    except UnicodeDecodeError:
        raise RequestInvalid("The file is not UTF-8 text.") from None
    except csv.Error as error:
        raise RequestInvalid(f"Line {table.line_num} is not CSV: {error}.") from None
    return _marked(lines)


def _line(number: int, header: Sequence[str], row: Sequence[str]) -> Line:
    if len(row) != len(header):  # RFC 4180 2.4
        return Line(number, Subject(row[0].strip()), f"it has {len(row)} fields, the header {len(header)}")
    values = dict(zip(header, (each.strip() for each in row), strict=True))
    subject = Subject(values["email"], values.get("name", ""))
    try:
        return Line(number, subject.checked())
    except LetterlockError as fault:
        return Line(number, subject, fault.public)


def _marked(lines: list[Line]) -> list[Line]:
    """Later lines for an address that an earlier one names are faults."""
    seen: dict[str, int] = {}
    marked = []
    for each in lines:
        first = seen.setdefault(each.subject.address, each.number)
        twice = first != each.number and not each.fault
        marked.append(each._replace(fault=f"line {first} names the same address") if twice else each)
    return marked


async def carry(office: Office, lines: Sequence[Line], wish: Wish, now: datetime, *, dry: bool) -> list[Result]:
    """Each line's Result; ``dry``: nothing is changed, "new" says what would be asked for."""
    if wish.organisation is not None:
        await profile_named(office, wish.organisation, wish.profile)
    given = await calls.issued(office.gate, token=office.token, address=None, id=None, max=1_000_000)
    ends = timedelta(days=30)
    living = {each.address for each in given if each.revoked_at is None and each.not_after > now + ends}
    waiting = {each.address: each.state for each in await calls.requests(office.gate, token=office.token, max=100_000)}
    results = []
    for line in lines:
        address = line.subject.address
        if line.fault:
            results.append(Result(line.number, address, "invalid", line.fault))
        elif address in living:
            results.append(Result(line.number, address, "there"))
        elif waiting.get(address, "failed") != "failed":
            results.append(Result(line.number, address, "open", waiting[address]))
        elif dry:
            results.append(Result(line.number, address, "new"))
        else:
            results.append(await _one(office, line, wish, now))
    return results


async def _one(office: Office, line: Line, wish: Wish, now: datetime) -> Result:
    address = line.subject.address
    try:
        answer, request_id = await ask(office, line.subject, wish)
        if answer == "already":
            return Result(line.number, address, "open")
        (request,) = await calls.requests(office.gate, token=office.token, id=request_id)
        state = request.state if request.state != "due" else await carry_out(office, request, now)
        if state in ("due", "failed"):
            (request,) = await calls.requests(office.gate, token=office.token, id=request_id)
    except LetterlockError as fault:
        return Result(line.number, address, "failed", fault.public)
    if state in ("due", "failed"):
        return Result(line.number, address, "open" if state == "due" else "failed", request.reason)
    return Result(line.number, address, "issued" if state == "done" else state)
