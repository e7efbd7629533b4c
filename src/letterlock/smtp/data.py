"""Message content on the wire: end of data, dot-stuffing, BDAT chunks, bare CR and LF; in and out.

Guarantees
    DATA ends at CRLF "." CRLF and at nothing else, however the octets are cut into reads (SMTP smuggling).
    A CR or LF that is no part of CRLF is refused, or made CRLF where the caller says so; never passed on either way.
    Each read is searched while it is in the cache, by a few passes at C speed: no work per line, no regular
    expression; it is copied once.
    After a fault the rest is read and thrown away until the end, so that it can never be taken for commands.

Standards
    RFC 5321 4.5.2 (transparency), 2.3.8 (CR and LF only as CRLF), 4.1.1.4 (end of data); RFC 3030 (BDAT);
    RFC 2045 2.7 and 2.8 (7bit and 8bit data hold no NUL).

See also
    ``tests/attacks/test_smtp_smuggling.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from io import IncrementalNewlineDecoder

from letterlock.errors import PermanentError
from letterlock.mail import reply
from letterlock.mail.reply import Reply
from letterlock.smtp.door import Profile

Octets = bytes | bytearray | memoryview

END_OF_DATA = b"\r\n.\r\n"
HEADROOM = 8
"""Octets that must be free before ``start`` in every buffer fed: what the last read left undecided is put there."""

_HEADER_OCTETS = 4096
"""How far into a piece the end of a header is looked for."""

_MANY_DOTS = 64
_ANOTHER = 16 << 20
"""Refused content is still read, up to this much beyond the limit; then the connection is closed."""


class BareNewline(PermanentError):
    """The message has a CR or LF that is not part of CRLF, and was not sent."""

    code = 554
    status = "5.6.11"


def is_clean(octets: Octets) -> bool:
    """True when each CR and LF is part of a CRLF. What files use to tell their line ends does it in one pass, in a
    third of the time that counting CR, LF and CRLF takes."""
    seen = IncrementalNewlineDecoder(None, translate=False)
    seen.decode(str(octets, "latin-1"), final=True)  # an octet a character
    return seen.newlines in (None, "\r\n")


def normalised(octets: bytes) -> bytes:
    """``octets`` with every line end made CRLF: CRLF, CR and LF each end one line."""
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


class _Content:
    """What DATA and BDAT have in common: the checks on content octets, and their way to the taker."""

    def __init__(self, write: Callable[[bytes], None], profile: Profile) -> None:
        """``write`` takes checked octets."""
        self.octets = 0
        self.fault: Reply | None = None
        self._write = write
        self._limit = profile.max_message_octets
        self._max_line = profile.max_line_octets
        self._normalise = profile.normalise
        self._line = 0
        self._received = 0
        self._held = b""

    @property
    def hopeless(self) -> bool:
        """The peer goes on and on after its content was found too big."""
        return self._received > self._limit + _ANOTHER

    def refuse(self, fault: Reply) -> None:
        """Take no more of this content; the first reason stays."""
        self.fault = self.fault or fault

    def _take(self, buffer: bytearray, start: int, stop: int, skip: int = 0, dots: Sequence[int] | None = ()) -> None:
        """Check and pass on ``buffer[start + skip : stop]``. A CR at its end belongs to what comes later.

        ``dots``: where CRLF and a stuffed dot stand, from ``start`` on; None: in many places.
        """
        if self.fault or start + skip >= stop:
            return
        octets = bytes(memoryview(buffer)[start + skip : stop])
        clean = is_clean(octets)
        if not clean and not self._normalise:
            self.refuse(reply.BARE_NEWLINE)
        elif octets.find(b"\0") >= 0:
            self.refuse(reply.NUL_OCTET)
        elif self._has_long_line(octets):
            self.refuse(reply.CONTENT_LINE_TOO_LONG)
        else:
            if dots is None:
                octets = bytes(memoryview(buffer)[start:stop]).replace(b"\r\n.", b"\r\n")[skip:]
            elif dots:
                octets = _without(octets, [dot + 2 - start - skip for dot in dots])
            self._pass(octets if clean else normalised(octets))

    def _pass(self, octets: bytes) -> None:
        self.octets += len(octets)
        if self.octets > self._limit:
            self.refuse(reply.TOO_BIG)
        else:
            self._write(octets)

    def _has_long_line(self, octets: bytes) -> bool:
        """Whether a line, its CRLF included, is longer than allowed: from each line's beginning the last LF within the
        allowed length is looked for, so that a step takes in as many lines as it can."""
        begin, limit, stop = -self._line, self._max_line, len(octets)
        while begin + limit < stop:
            feed = octets.rfind(b"\n", max(begin, 0), begin + limit)
            if feed < 0:
                return True
            begin = feed + 1
        feed = octets.rfind(b"\n", max(begin, 0))
        self._line = stop - (begin if feed < 0 else feed + 1)
        return False


def _without(octets: bytes, places: Sequence[int]) -> bytes:
    """``octets`` without the ones at ``places``, which rise."""
    view, begin, parts = memoryview(octets), 0, []
    for place in places:
        parts.append(view[begin:place])
        begin = place + 1
    parts.append(view[begin:])
    return b"".join(parts)


class DataDecoder(_Content):
    """The content of one DATA command: fed with reads until it says where the next command begins."""

    def __init__(self, write: Callable[[bytes], None], profile: Profile) -> None:
        super().__init__(write, profile)
        self._held = b"\r\n"  # the 354 stands at a line's beginning: these two are not content
        self._skip = 2

    def feed(self, buffer: bytearray, start: int, end: int) -> int:
        """Content in ``buffer[start:end]``; the HEADROOM octets before ``start`` may be overwritten.

        Returns the offset behind the end of data, or -1 while it has not come.
        """
        self._received += end - start
        held = len(self._held)
        if held:
            start -= held
            buffer[start : start + held] = self._held
        dots, found = self._look_for_dots(buffer, start, end)
        if found >= 0:
            stop, after = found + 2, found + len(END_OF_DATA)
        else:
            stop, after = end - self._undecided(buffer, start, end), -1
            self._held = bytes(memoryview(buffer)[stop:end])
            if dots and dots[-1] >= stop:
                dots.pop()
        if stop > start:
            self._take(buffer, start, stop, self._skip, dots)
            self._skip = 0
        return after

    @staticmethod
    def _look_for_dots(buffer: bytearray, start: int, end: int) -> tuple[list[int] | None, int]:
        """Where CRLF and a dot stand before the end of data (None: in too many places), and where that is, or -1."""
        dots: list[int] = []
        at = buffer.find(b".", start, end)  # a single octet is found at memory speed; base64 has no dots
        if at >= 0:
            at = buffer.find(b"\r\n.", max(start, at - 2), end)
        while at >= 0:
            if buffer.startswith(b"\r\n", at + 3, end):
                return dots, at
            dots.append(at)
            if len(dots) > _MANY_DOTS:
                return None, buffer.find(END_OF_DATA, at, end)
            at = buffer.find(b"\r\n.", at + 3, end)
        return dots, -1

    @staticmethod
    def _undecided(buffer: bytearray, start: int, end: int) -> int:
        """How many octets at the end may be the beginning of the end of data, or half a CRLF."""
        for length in (4, 3, 2, 1):
            if buffer.endswith(END_OF_DATA[:length], start, end):
                return length
        return 0


class ChunkDecoder(_Content):
    """The content of the BDAT commands of one transaction."""

    def __init__(self, write: Callable[[bytes], None], profile: Profile) -> None:
        super().__init__(write, profile)
        self.left = 0
        self.last = False

    @property
    def hopeless(self) -> bool:
        """More was announced than is read of content that was found too big."""
        return self._received + self.left > self._limit + _ANOTHER

    def begin(self, size: int, last: bool) -> None:
        """A BDAT command announces ``size`` octets."""
        self.left, self.last = size, last
        if self.octets + size > self._limit:
            self.refuse(reply.TOO_BIG)

    def feed(self, buffer: bytearray, start: int, end: int) -> int:
        """Octets of the chunk in ``buffer[start:end]``; returns the offset behind those that belong to it.

        The HEADROOM octets before ``start`` may be overwritten. The chunk is complete when ``left`` is 0.
        """
        after = min(end, start + self.left)
        self.left -= after - start
        self._received += after - start
        if self._held:
            start -= 1
            buffer[start : start + 1] = self._held
        stop = after
        if buffer.endswith(b"\r", start, after) and not (self.last and not self.left):
            stop -= 1  # its LF may come with the next read or the next chunk
        self._held = bytes(buffer[stop:after])
        self._take(buffer, start, stop)
        return after


def _has_regular_lines(octets: bytes | bytearray) -> bool:
    """True only when is_clean is, and for a MiB in a third of its time, for a body in lines of one length, as base64
    is: their ends are looked at and blotted out in a copy, in which single octets are then found at memory speed."""
    begin = octets.find(b"\r\n\r\n", 0, _HEADER_OCTETS) + 4
    if begin < 4:
        begin = octets.find(b"\n") + 1
    length = octets.find(b"\n", begin) + 1 - begin
    if length < 2 or not octets.startswith(b"\r\n", begin + 2 * length - 2):
        return False
    feeds, returns = octets[begin + length - 1 :: length], octets[begin + length - 2 :: length]
    lines = min(len(feeds) - len(feeds.lstrip(b"\n")), len(returns) - len(returns.lstrip(b"\r")))
    end = begin + lines * length
    body = bytearray(memoryview(octets)[begin:end])
    body[length - 1 :: length] = body[length - 2 :: length] = bytes(lines)
    return body.find(b"\n") < 0 and body.find(b"\r") < 0 and is_clean(octets[:begin]) and is_clean(octets[end:])


class Stuffer:
    """Dot-stuffing on the way out: pieces in, pieces for the wire out, most of them the same memory.

    Raises BareNewline from ``feed`` and ``finish`` when a CR or LF stands alone, unless ``normalise``.
    """

    def __init__(self, *, normalise: bool = False) -> None:
        self._normalise = normalise
        self._at_line_start = True
        self._held_return = False

    def feed(self, piece: bytes | bytearray) -> Sequence[Octets]:
        """The octets to send for ``piece``."""
        if self._held_return:  # a CR ended the last piece; its LF has to begin this one
            piece = b"\r" + piece
        self._held_return = piece.endswith(b"\r")
        stop = len(piece) - self._held_return
        if not stop:
            return ()
        if stop < len(piece):
            piece = bytes(memoryview(piece)[:stop])
        if not _has_regular_lines(piece) and not is_clean(piece):
            if not self._normalise:
                raise BareNewline
            piece = normalised(bytes(piece))
        begins_with_dot = self._at_line_start and piece.startswith(b".")
        self._at_line_start = piece.endswith(b"\n")
        dot = piece.find(b".")  # single octets are found at memory speed; base64 has dots in its header only
        if dot >= 0 and piece.find(b"\r\n.", max(0, dot - 2), piece.rfind(b".") + 1) >= 0:
            piece = piece.replace(b"\r\n.", b"\r\n..")
        return (b".", piece) if begins_with_dot else (piece,)

    def finish(self) -> bytes:
        """The end of data; with a CRLF before it when the content does not end in one (RFC 5321 4.1.1.4)."""
        if self._held_return:
            if not self._normalise:
                raise BareNewline
            return END_OF_DATA
        return END_OF_DATA[2:] if self._at_line_start else END_OF_DATA


def stuffed(pieces: Iterable[bytes | bytearray], *, normalise: bool = False) -> Generator[Octets]:
    """All of a message as DATA sends it, the end of data included. Raises BareNewline while it is read."""
    stuffer = Stuffer(normalise=normalise)
    for piece in pieces:
        yield from stuffer.feed(piece)
    yield stuffer.finish()
