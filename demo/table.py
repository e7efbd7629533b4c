"""Draws the table: columns that wrap, colour only for people.

Guarantees
    Control characters from outside are never printed.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

NARROWEST, WIDEST = 80, 132
SHARES = (0.30, 0.30, 0.40)
"""Of what is left beside the last column, which must hold an address of the page."""
LAST = 30
BULLET = "· "
HEADINGS = ("Mail", "What happened", "Why", "Where to look")
COLOURS = {"good": "32", "bad": "31", "bold": "1", "soft": "2"}


def paint(text: str, colour: str) -> str:
    """``text`` in a colour when a person looks (and NO_COLOR is not set)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


def width() -> int:
    """Columns to use."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDEST, 40)).columns))


def _widths() -> list[int]:
    inner = width() - 4 - 3 * len(SHARES) - LAST
    return [*(int(inner * share) for share in SHARES), LAST]


def _wrapped(text: str, columns: int) -> list[str]:
    safe = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    lines = []
    for line in safe.splitlines():
        hang = "  " if line.startswith(BULLET) else ""
        lines += textwrap.wrap(line, columns, break_on_hyphens=False, subsequent_indent=hang)
    return lines or [""]


def draw_head() -> None:
    """The headings."""
    cells = "   ".join(name.ljust(size) for name, size in zip(HEADINGS, _widths(), strict=True))
    print(paint(f"    {cells}".rstrip(), "bold"))
    draw_line()


def draw_line() -> None:
    """A line across."""
    print(paint("─" * width(), "soft"))


def draw_row(good: bool, cells: Sequence[str]) -> None:
    """One mail; its mark says whether all was as expected."""
    columns = [_wrapped(text, size) for text, size in zip(cells, _widths(), strict=True)]
    height = max(map(len, columns))
    for number in range(height):
        mark = paint("✓" if good else "✗", "good" if good else "bad") if number == 0 else " "
        line = "   ".join(
            (column[number] if number < len(column) else "").ljust(size)
            for column, size in zip(columns, _widths(), strict=True)
        )
        print(f" {mark}  {line}".rstrip())
    draw_line()
