"""As whom an installation runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from letterlock.supervise import identity

BECOME = """
import os, sys
from letterlock.supervise import identity
identity.become(sys.argv[1])
print(os.getuid(), os.geteuid(), os.getgroups() == [] or os.getgid() in os.getgroups())
try:
    os.setuid(0)
except PermissionError:
    print("for good")
"""


def test_no_name_is_whoever_we_are(tmp_path: Path) -> None:
    before = os.geteuid()
    identity.become("")
    identity.give(tmp_path, "")
    assert os.geteuid() == before
    assert tmp_path.stat().st_uid == before


def test_root_becomes_the_named_user_and_cannot_go_back() -> None:
    """Who is not root stays who he is, whatever the name."""
    done = subprocess.run([sys.executable, "-c", BECOME, "nobody"], capture_output=True, text=True, check=True)
    if os.geteuid() == 0:
        uid, euid, grouped = done.stdout.split()[:3]
        assert uid == euid != "0"
        assert grouped == "True"
        assert done.stdout.endswith("for good\n")
    else:
        assert done.stdout.split()[0] == str(os.getuid())


def test_unknown_user_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(identity.UnknownUser, match="useradd"):
        identity.become("nobody-of-that-name")
