"""``make demo`` without a terminal: each row as expected, everything stopped at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.req("A1", "B1", "J7")
@pytest.mark.slow
def test_each_row_is_as_expected() -> None:
    before = {process.pid for process in psutil.process_iter()}
    done = subprocess.run(
        [sys.executable, ROOT / "demo" / "run.py"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") >= 6
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and "letterlock-demo" in str(p.info)]
    assert not left
