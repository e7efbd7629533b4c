"""Turns a stream of an entity into the stream of a message: the fields of an outer message, the content of the inner.

Guarantees
    Memory: the header of the entity, within the limits of mail. The body is passed on octet by octet.
    Of the inner header only Content fields come through; what stands in the outer one cannot be replaced from inside.

Standards
    RFC 8551 3.1 (which fields are inside), RFC 2045 4 (MIME-Version).
"""

from __future__ import annotations

from collections.abc import Iterable

from letterlock.mail.limits import MAX_HEADER_OCTETS
from letterlock.mail.message import Buffer, Entity, Field, HeaderTooLarge, scan
from letterlock.smime.errors import TooDeep
from letterlock.smime.mime import MIME_VERSION, belongs_inside
from letterlock.smime.spool import Sink


class EntitySink:
    """A Sink for an entity; call finish() when all of it was written."""

    def __init__(self, outer: Entity, sink: Sink, most_octets: int) -> None:
        """``outer``: whose fields come first; ``sink``: where the message goes; ``most_octets``: of the entity."""
        self._outer = outer
        self._sink = sink
        self._most = most_octets
        self._header = bytearray()
        self._size = 0
        self._in_body = False
        self.inside = b""
        """The header of the entity as it stands inside, for what it protects (RFC 9788); complete after finish()."""

    def clear(self) -> None:
        """Forget all that was written."""
        self._header = bytearray()
        self._size = 0
        self._in_body = False
        self.inside = b""
        self._sink.clear()

    def write(self, octets: Buffer, /) -> None:
        """Take the next octets of the entity. Raises TooDeep when it gets too large."""
        self._size += len(octets)
        if self._size > self._most:
            raise TooDeep(detail=f"a layer of more than {self._most} octets")
        if self._in_body:
            self._sink.write(octets)
            return
        at = max(len(self._header) - 3, 0)
        self._header += octets
        if _has_empty_line(self._header, at) or len(self._header) > MAX_HEADER_OCTETS:
            self._begin()

    def finish(self) -> None:
        """The entity has ended."""
        if not self._in_body:
            self._begin()

    def _begin(self) -> None:
        header = bytes(self._header)
        self._header = bytearray()
        self._in_body = True
        try:
            fields, body = scan(header, 0, len(header))
        except HeaderTooLarge:
            fields, body = [], 0
        if fields and not fields[0].name:  # plain text that was encrypted without a MIME header
            fields, body = [], 0
        self.inside = header[:body]
        self._fields(self._outer.octets, (each for each in self._outer.fields if not belongs_inside(each)))
        self._sink.write(MIME_VERSION)
        self._fields(header, (each for each in fields if belongs_inside(each) and each.name != b"mime-version"))
        self._sink.write(b"\r\n")
        if len(header) > body:
            self._sink.write(header[body:])

    def _fields(self, octets: Buffer, fields: Iterable[Field]) -> None:
        for field in fields:
            raw = bytes(octets[field.start : field.end])
            self._sink.write(raw if raw.endswith(b"\n") else raw + b"\r\n")


def _has_empty_line(header: bytearray, at: int) -> bool:
    return header.find(b"\n\r\n", at) >= 0 or header.find(b"\n\n", at) >= 0 or header.startswith((b"\r\n", b"\n"))
