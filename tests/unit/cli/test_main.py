"""The frame of the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from letterlock.cli import main
from letterlock.errors import PermanentError, SystemFailure, UsageError


@pytest.mark.parametrize("command", main.COMMANDS, ids=lambda command: command.name)
def test_every_command_in_the_table_has_a_parser_and_help(
    command: main.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main.make_parser(command.name).parse_args([command.name, "--help"])
    assert end.value.code == 0
    assert f"letterlock {command.name}" in capsys.readouterr().out


def test_help_lists_all_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.make_parser(None).parse_args(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(command.name in shown and command.line in shown for command in main.COMMANDS)


def test_wrong_use_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["nonsense"], ["queue"], ["queue", "show"]):
        with pytest.raises(SystemExit) as end:
            main.main(words)
        assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--state", "DIR", "certificate", "list"],
        ["certificate", "--state", "DIR", "list"],
        ["certificate", "list", "--state", "DIR"],
        ["certificate", "list", "--state=DIR", "--debug"],
    ],
)
def test_state_may_stand_anywhere(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = str(tmp_path / "none")
    assert main.main([each.replace("DIR", nowhere) for each in words]) == 2
    assert nowhere in capsys.readouterr().err


def test_state_without_a_folder_is_wrong_use() -> None:
    with pytest.raises(SystemExit) as end:
        main.main(["certificate", "list", "--state"])
    assert end.value.code == 2


@pytest.mark.req("J3")
@pytest.mark.parametrize(
    ("fault", "code"),
    [(UsageError("No."), 2), (PermanentError("No."), 1), (SystemFailure("No."), 3), (ValueError("secret"), 3)],
)
def test_faults_are_one_sentence_and_a_code(
    fault: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> int:
        raise fault

    monkeypatch.setattr(main, "_run", fail)
    assert main.main(["run"]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert "secret" not in said
    assert main.main(["--debug", "run"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_missing_installation_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--state", str(tmp_path / "none"), "queue", "list"]) == 2
    assert "init" in capsys.readouterr().err


def test_commands_are_imported_only_when_chosen() -> None:
    import subprocess

    probe = (
        "import sys; from letterlock.cli import main; print(sorted(m for m in sys.modules if 'cryptography' in m)[:1])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
