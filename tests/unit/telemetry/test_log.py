"""Log lines: JSON, one a line, from typed fields only."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints
from uuid import UUID

import pytest

import letterlock
from letterlock.errors import SystemFailure
from letterlock.telemetry import log
from letterlock.telemetry.events import EVENTS, FIELDS, Domain, Emit, Sentence, Word, domain, emit, fields_of, word

ID = UUID(int=7)


@pytest.fixture
def lines() -> Iterator[list[bytes]]:
    written: list[bytes] = []
    before = (logging.getLogger().level, logging.getLogger("letterlock").level)
    log.configure("flow-0", "info", written.append)
    yield written
    root = logging.getLogger()
    for handler in [each for each in root.handlers if type(each).__module__ == "letterlock.telemetry.log"]:
        root.removeHandler(handler)
    log._sink.write = None
    root.setLevel(before[0])
    logging.getLogger("letterlock").setLevel(before[1])


def told(lines: list[bytes]) -> dict[str, Any]:
    (line,) = lines
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


@pytest.mark.req("I1")
def test_an_event_is_a_line(lines: list[bytes]) -> None:
    emit.message_advanced(id=ID, state="gone", seconds=0.25)
    found = told(lines)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("at"))
    assert found == {
        "level": "info",
        "process": "flow-0",
        "event": "flow.advanced",
        "id": str(ID),
        "state": "gone",
        "seconds": 0.25,
    }


def test_what_is_no_word_is_not_written(lines: list[bytes]) -> None:
    emit.message_advanced(id=ID, state="Subject: the canary\nsings", seconds=1)
    assert told(lines)["state"] == "?"


def test_levels(lines: list[bytes]) -> None:
    logging.getLogger("letterlock.x").debug("no")
    logging.getLogger("asyncio").info("no")
    log.set_level("error")
    emit.message_advanced(id=ID, state="gone", seconds=1)
    assert lines == []
    log.set_level("debug")
    logging.getLogger("letterlock.x").debug("yes")
    assert told(lines)["message"] == "yes"


def test_records_of_our_own_keep_message_and_known_extras(lines: list[bytes]) -> None:
    logging.getLogger("letterlock.supervise").info(
        "%s ended",
        "flow-1",
        extra={"event": "process.ended", "station": "flow-1", "subject": "the canary", "why": "a\nb"},
    )
    found = told(lines)
    assert (found["message"], found["event"], found["why"]) == ("flow-1 ended", "process.ended", "a b")
    assert "canary" not in json.dumps(found)


def test_records_of_others_lose_their_values(lines: list[bytes]) -> None:
    logging.getLogger("asyncio").error("task %r failed", "the canary")
    assert told(lines)["message"] == "task %r failed"


def test_an_exception_is_class_and_place_without_text(lines: list[bytes]) -> None:
    try:
        raise ValueError("the canary sings")
    except ValueError:
        logging.getLogger("letterlock.flow").exception("internal fault")
    found = told(lines)
    assert (found["fault"], found["message"]) == ("ValueError", "internal fault")
    assert "test_an_exception" in found["frames"][-1]
    assert "canary" not in json.dumps(found)


def test_our_own_errors_may_speak(lines: list[bytes]) -> None:
    try:
        try:
            raise OSError("the canary")
        except OSError as error:
            raise SystemFailure("The disk is full.", detail="segments") from error
    except SystemFailure:
        logging.getLogger("letterlock.flow").exception("no")
    found = told(lines)
    assert (found["why"], found["cause"]) == ("The disk is full. (segments)", "OSError")
    assert "canary" not in json.dumps(found)


def test_a_log_that_cannot_be_written_stops_nothing(lines: list[bytes]) -> None:
    def broken(octets: bytes) -> None:
        raise BrokenPipeError

    log.configure("flow-0", "info", broken)
    emit.message_advanced(id=ID, state="gone", seconds=1)
    logging.getLogger("letterlock.x").info("too")
    assert lines == []


def test_nothing_configured_nothing_written() -> None:
    log._sink.write = None
    emit.message_advanced(id=ID, state="gone", seconds=1)


def test_no_field_of_an_event_can_hold_content() -> None:
    """Every parameter of every event is a number, an id or one of the cut-down texts, and has its form in FIELDS."""
    allowed = (UUID, int, float, Word, Domain, Sentence)
    methods = [method for name, method in inspect.getmembers(Emit, inspect.isfunction) if not name.startswith("_")]
    assert len(methods) >= 4
    for method in methods:
        hints = get_type_hints(method, include_extras=True)
        for name, parameter in inspect.signature(method).parameters.items():
            if name == "self":
                continue
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert hints[name] in allowed, (method.__name__, name)
            assert name in FIELDS, (method.__name__, name)


def test_forms() -> None:
    assert word("x" * 65) == word("Grüße") == word("a\nb") == "?"
    assert domain("mx.example") == "mx.example"
    assert domain("a b") == "?"
    assert fields_of({"code": "x", "rows": None, "unknown": 1, "seconds": "0.5"}) == {
        "code": "?",
        "rows": "?",
        "seconds": 0.5,
    }


def test_every_event_named_in_the_code_is_in_the_catalogue() -> None:
    named = set()
    for file in Path(letterlock.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        named |= set(re.findall(r'"event": "([^"]+)"', text))
        named |= set(re.findall(r'self\._write\(\s*"([^"]+)"', text)) if file.name == "events.py" else set()
    assert named <= set(EVENTS), named - set(EVENTS)
