"""What an SMTP server answers, read line by line within limits.

Guarantees
    An Answer is whole: all lines of one reply, with one code. What is no reply, too long, or too many lines raises
    AnswerInvalid, and the connection is not worth going on with.

Standards
    RFC 5321 4.2 and 4.2.1 (form of replies), 4.5.3.1.5 (length; longer lines are in use and read).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from letterlock.errors import TemporaryError
from letterlock.mail import limits

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r]*))?\r?\Z")


class AnswerInvalid(TemporaryError):
    """The next hop's server does not speak SMTP."""

    code = 451
    status = "4.5.0"


class Answer(NamedTuple):
    """One reply. ``lines``: without code and line ends."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines as one."""
        return " ".join(self.lines)

    @property
    def positive(self) -> bool:
        """True for 2xx and 3xx."""
        return self.code < 400


class AnswerReader:
    """Octets in, Answers out."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._lines: list[str] = []

    @property
    def pending(self) -> bool:
        """True when octets have come that are not part of a whole reply yet."""
        return bool(self._rest or self._lines)

    def feed(self, octets: bytes) -> Iterator[Answer]:
        """The replies that are complete with ``octets``. Raises AnswerInvalid."""
        lines = (self._rest + octets).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > limits.MAX_REPLY_LINE_OCTETS:
            raise AnswerInvalid(detail="a reply line is too long")
        for line in lines:
            answer, is_last = _read(line)
            if is_last and not self._lines:
                yield answer
                continue
            if self._lines and answer.code != self._code:
                raise AnswerInvalid(detail="a reply changes its code")
            self._code = answer.code
            self._lines += answer.lines
            if is_last:
                answer = Answer(self._code, tuple(self._lines))
                self._lines = []
                yield answer
            elif len(self._lines) >= limits.MAX_REPLY_LINES:
                raise AnswerInvalid(detail="a reply has too many lines")


@functools.lru_cache(maxsize=256)  # most replies of a server are alike
def _read(line: bytes) -> tuple[Answer, bool]:
    """One line as an answer, and whether it is its reply's last. Raises AnswerInvalid."""
    match = _LINE.match(line)
    if match is None or len(line) > limits.MAX_REPLY_LINE_OCTETS:
        raise AnswerInvalid(detail="a reply line is not one")
    return Answer(int(match[1]), ((match[3] or b"").decode("utf-8", "replace"),)), match[2] != b"-"
