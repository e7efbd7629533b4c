"""How commands print: one JSON document with --json, else a table for a person.

Guarantees
    JSON output is one document on standard output and nothing else there. Text from outside (addresses, subjects,
    replies) cannot move the terminal's cursor: control characters are shown as escapes.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID


def add_json(parser: argparse.ArgumentParser) -> None:
    """The --json option that every listing command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date | UUID | PurePath):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(type(value).__name__)


def print_json(value: Any) -> None:
    """One JSON document. Times as RFC 3339, octets as base64, durations in seconds."""
    json.dump(value, sys.stdout, default=_plain, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def safe(value: object) -> str:
    """One line of text without control characters; an empty cell for None; times without their fraction."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S%z")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(safe(part) for part in value)
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in str(value))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "Nothing.") -> None:
    """Rows in columns as wide as needed; ``empty`` instead of a table without rows."""
    cells = [[safe(value) for value in row] for row in rows]
    if not cells:
        print(empty)
        return
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    for row in [list(headings), *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def print_facts(facts: Mapping[str, object]) -> None:
    """Name and value, one a line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        print(f"{name.ljust(width)}  {safe(value)}")
