"""Log lines: one JSON object a line on standard error.

Guarantees
    Values never come from outside unformed: events have typed fields (``events.py``); records of the logging module
    give their message only when they are ours, else their template; a traceback is file names, lines and class names,
    never the text of an exception that is not ours. A line is one write and shorter than 8 KiB; writing it never
    raises.

See also
    ``events.py``; config's [run] log for the level.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from letterlock.errors import LetterlockError

DEBUG: Final = logging.DEBUG
INFO: Final = logging.INFO
WARNING: Final = logging.WARNING
ERROR: Final = logging.ERROR

_LEVELS: Final = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}
_OURS: Final = "letterlock"
_FRAMES: Final = 12
_MESSAGE_MOST: Final = 1000

Write = Callable[[bytes], object]

_encoder = msgspec.json.Encoder()


class _Sink:
    """Where lines go, once configure() has said so."""

    process: str = ""
    level: int = INFO
    write: Write | None = None


_sink = _Sink()


def _stderr(octets: bytes) -> None:
    """One write of a whole line: lines of several processes do not mix."""
    os.write(2, octets)


def configure(process: str, level: str = "info", write: Write | None = None) -> None:
    """Log from now on, as ``process`` (``flow-0``), what is at least as severe as ``level``."""
    _sink.process = process
    _sink.write = write or _stderr
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler())
    set_level(level)


def set_level(level: str) -> None:
    """debug, info, warning or error."""
    _sink.level = _LEVELS.get(level, INFO)
    logging.getLogger().setLevel(max(_sink.level, WARNING))
    logging.getLogger(_OURS).setLevel(_sink.level)


def wants(level: int) -> bool:
    """Whether a line of this level would be written."""
    return _sink.write is not None and level >= _sink.level


def line(level: int, fields: Mapping[str, object]) -> None:
    """Write one line. ``fields``: already in their forms (events.fields_of)."""
    if _sink.write is None:
        return
    at = time.time()
    second = int(at)
    stamp = f"{_second(second)}.{int((at - second) * 1000):03d}Z"
    told = {"at": stamp, "level": _names.get(level, "info"), "process": _sink.process, **fields}
    try:
        _sink.write(_encoder.encode(told) + b"\n")
    except OSError:
        return  # whoever read our log has gone; the mail goes on


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


_names: Final = {level: logging.getLevelName(level).lower() for level in (DEBUG, INFO, WARNING, ERROR)}


def frames(error: BaseException) -> list[str]:
    """Where an exception came from: file, line, function; the innermost last. No values, no text."""
    found = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{each.filename.rpartition('/letterlock/')[2]}:{each.lineno} {each.name}" for each in found]


def fault(error: BaseException) -> dict[str, object]:
    """An exception as fields: its class and place; its text only when it is ours, and so holds no content."""
    told: dict[str, object] = {"fault": type(error).__name__, "frames": frames(error)}
    if isinstance(error, LetterlockError):
        told["why"] = _printable(str(error))
    cause = error.__cause__ or error.__context__
    if cause is not None:
        told["cause"] = type(cause).__name__
    return told


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:_MESSAGE_MOST]


class _Handler(logging.Handler):
    """Turns records of the logging module into lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises."""
        from letterlock.telemetry.events import fields_of

        ours = record.name.partition(".")[0] == _OURS
        try:
            message = record.getMessage() if ours else str(record.msg)
        except Exception:
            message = str(record.msg)
        told: dict[str, object] = {"logger": record.name, "message": _printable(message)}
        told |= fields_of({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info and record.exc_info[1] is not None:
            told |= fault(record.exc_info[1])
        line(record.levelno, told)


_STANDARD: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "taskName"}
