"""Files that a command names: what is no regular file is refused at once, and no more is read than may be."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from letterlock.cli import main, named_file
from letterlock.cli.certificate_import import read_file
from letterlock.errors import PermanentError, UsageError


@pytest.fixture(params=["/dev/zero", "folder", "pipe", "socket"])
def odd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    return str(request.param)


@pytest.mark.req("B2")
def test_what_is_no_regular_file(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=f"^Cannot read {odd}: ") as caught:
        read_file(odd)
    for words in (["inspect", odd], ["inspect", "x", "--crl", odd], ["pki", "check", odd]):
        Path("x").write_bytes(b"From: a@example.org\r\n\r\n")
        assert main.main(words) == 2
        assert capsys.readouterr().err == f"letterlock: {caught.value.public}\n"


@pytest.mark.req("B2")
def test_the_bound(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)
    assert named_file.read(str(file), 10) == b"x" * 10
    with pytest.raises(PermanentError, match="file is larger than"):
        named_file.read(str(file), 9)


@pytest.mark.parametrize(
    ("name", "why"), [("absent", "No such file or directory"), ("a\0b", "no file has such a name")]
)
def test_what_cannot_be_opened(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"{why}\\.$"):
        named_file.read(name, 10)
