"""A message: the octets as received, and a lazy view of its header.

Guarantees
    The octets are never changed and never written again from a parsed form; a change is a splice (``headers.edit``).
    Every octet of the header belongs to exactly one Field; joining ``octets[field.start:field.end]`` gives it back.
    Whatever the octets are, reading them ends in fields, never in an exception other than HeaderTooLarge.

Standards
    RFC 5322 2.2, 4.5 (obsolete syntax: white space before the colon), RFC 6532 (UTF-8 fields), RFC 2045 2.4 (entity).
    Deviation: a line that is no field is kept as a Field without a name and the header goes on to the first empty line,
    so that what follows it is still seen when fields are looked for and removed.

Raises
    HeaderTooLarge

See also
    ``decoded.py`` for the meaning of values; ``headers.py`` for changes; ``parse.py`` for the MIME tree.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final, NamedTuple

from letterlock.errors import PermanentError
from letterlock.mail.limits import MAX_FIELDS, MAX_HEADER_OCTETS

Buffer = bytes | bytearray | memoryview
Octets = bytes | bytearray
"""A whole message in memory. A bytearray is never changed by us, and must not be by whoever gave it."""


class HeaderTooLarge(PermanentError):
    """The header of the message is too large."""

    code = 552
    status = "5.3.4"


class Field(NamedTuple):
    """One header field by its offsets: name in lower case (empty: no field, a damaged line), start, value, end."""

    name: bytes
    start: int
    value: int
    end: int


# Name, optional white space (RFC 5322 4.5), colon, the rest of the line and its continuation lines.
_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n?")
_DAMAGED: Final = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*\n?")


def scan(octets: Octets, start: int, end: int) -> tuple[list[Field], int]:
    """Fields of the entity at ``octets[start:end]`` and where its body starts (``end`` when there is no body).

    Raises HeaderTooLarge.
    """
    fields: list[Field] = []
    at = start
    limit = min(end, start + MAX_HEADER_OCTETS)
    match_field = _FIELD.match
    while at < end:
        if octets[at] == 0x0A:
            return fields, at + 1
        if octets[at] == 0x0D and octets[at + 1 : at + 2] == b"\n" and at + 1 < end:
            return fields, at + 2
        if at >= limit or len(fields) >= MAX_FIELDS:
            raise HeaderTooLarge(detail=f"{len(fields)} fields, {at - start} octets")
        if found := match_field(octets, at, end):
            field = Field(found[1].lower(), at, found.start(2), found.end())
        else:
            damaged = _DAMAGED.match(octets, at, end)
            assert damaged is not None  # the expression matches everything
            field = Field(b"", at, at, damaged.end())
        fields.append(field)
        at = field.end
    return fields, end


class Entity:
    """A run of octets with a header and a body: a message, or a part of one."""

    def __init__(self, octets: Octets, start: int = 0, end: int | None = None) -> None:
        """The entity at ``octets[start:end]``; nothing is copied or looked at yet."""
        self.octets = octets
        self.start = start
        self.end = len(octets) if end is None else end

    @cached_property
    def _scanned(self) -> tuple[list[Field], int]:
        return scan(self.octets, self.start, self.end)

    @property
    def fields(self) -> list[Field]:
        """All fields in their order, damaged lines included."""
        return self._scanned[0]

    @property
    def body_start(self) -> int:
        """Offset of the first octet after the empty line."""
        return self._scanned[1]

    @property
    def header_end(self) -> int:
        """Offset after the last field: where the empty line is, if there is one."""
        return self.fields[-1].end if self.fields else self.start

    @property
    def body(self) -> memoryview:
        """The octets of the body."""
        return memoryview(self.octets)[self.body_start : self.end]

    def raw(self, field: Field) -> bytes:
        """The field's octets, line end included."""
        return bytes(self.octets[field.start : field.end])

    def value(self, field: Field) -> bytes:
        """The field's value: unfolded, without white space around it (RFC 5322 2.2.3)."""
        value = bytes(self.octets[field.value : field.end])
        return value.replace(b"\r\n", b"").replace(b"\n", b"").strip(b" \t\r")

    @cached_property
    def _by_name(self) -> dict[bytes, list[Field]]:
        found: dict[bytes, list[Field]] = {}
        for field in self.fields:
            found.setdefault(field.name, []).append(field)
        return found

    def named(self, name: bytes) -> list[Field]:
        """All fields with this name (lower case)."""
        return list(self._by_name.get(name, ()))

    def values(self, name: bytes) -> list[bytes]:
        """Unfolded values of all fields with this name (lower case)."""
        return [self.value(field) for field in self._by_name.get(name, ())]

    def first(self, name: bytes) -> bytes | None:
        """Unfolded value of the first field with this name (lower case); None when there is none."""
        found = self._by_name.get(name)
        return self.value(found[0]) if found else None


class Message(Entity):
    """A whole message (RFC 5322)."""

    def __init__(self, octets: Octets) -> None:
        """``octets``: header, empty line, body, as they came."""
        super().__init__(octets)
