"""Ten kills -9 under load: every message that got its 250 arrives; the long form is ``make crash``.

Guarantees
    Being ready again may take twice as long here as ``make crash`` allows: other tests may use the machine too.

See also
    ``bench/crash.py``, which does it and judges.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.req("A1", "A3", "A4")
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_kills(tmp_path: Path) -> None:
    account = tmp_path / "account.json"
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "bench" / "crash.py",
            "--kills",
            "10",
            "--rate",
            "60",
            "--ready-within",
            "10",
            "--json",
            account,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(account.read_text())
    assert len(found["kills"]) == 10
    assert found["account"]["accepted"] > 100
    assert found["account"]["lost"] == 0
