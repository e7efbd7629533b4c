"""How commands print."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from letterlock.cli import show


def test_text_from_outside_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_table(["reply"], [["\x1b[2J250 ok\r\nfake\u202e"]])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.count("\n") == 2


def test_table_and_its_absence(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_table(["a", "long"], [[1, None], ["xyz", True]])
    assert capsys.readouterr().out == "a    long\n1\nxyz  yes\n"
    show.print_table(["a"], [], empty="No message waits.")
    assert capsys.readouterr().out == "No message waits.\n"


def test_json_of_everything_we_have(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_json(
        {
            "time": datetime(2026, 1, 2, tzinfo=UTC),
            "day": date(2026, 1, 2),
            "id": UUID(int=1),
            "for": timedelta(seconds=90),
            "octets": b"\x00",
            "path": Path("/x"),
            "set": {"b", "a"},
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-01-02T00:00:00+00:00",
        "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001",
        "for": 90.0,
        "octets": "AA==",
        "path": "/x",
        "set": ["a", "b"],
    }
