"""What doctor finds, each fault made on purpose."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from letterlock.cli import checks
from letterlock.cli.checks import Finding, Installation
from letterlock.config import sample
from letterlock.config.settings import Http, Listen, Settings, Smtp
from letterlock.keyholder import ring
from letterlock.supervise import place
from tests.fakes.tls import Certificates


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Files only; nothing runs."""
    ring.create(tmp_path)
    (tmp_path / place.SETTINGS_FILE).write_text(sample.sample())
    settings = Settings(
        smtp=Smtp(listen=(Listen("127.0.0.1", _free_port()),)), http=Http(status=Listen("127.0.0.1", _free_port()))
    )
    return Installation(tmp_path, settings, None)


def _only(found: Iterator[Finding]) -> Finding:
    (one,) = found
    return one


def test_good_ones_are_good(installation: Installation) -> None:
    for check in (checks._keys, checks._segments, checks._disk, checks._processes, checks._destruction):
        assert all(finding.state != "bad" for finding in check(installation)), check.__name__
    assert {finding.state for finding in checks._ports(installation)} == {"good"}


def test_no_installation_ends_the_list(tmp_path: Path) -> None:
    found = checks.examine(tmp_path)
    assert [finding.state for finding in found] == ["good", "bad"]
    assert "init" in found[-1].sentence


def test_wrong_settings_end_the_list(tmp_path: Path) -> None:
    (tmp_path / place.SETTINGS_FILE).write_text("[smtp]\nlisten = 5\n")
    found = checks.examine(tmp_path)
    assert found[-1].name == "settings"
    assert found[-1].state == "bad"
    assert "listen" in found[-1].sentence


def test_open_key_file_is_found(installation: Installation) -> None:
    (installation.state / "keys" / "mark.key").chmod(0o640)
    finding = _only(checks._keys(installation))
    assert finding.state == "bad"
    assert "mark.key" in finding.sentence
    assert "chmod" in finding.sentence


def test_missing_ring_is_found(installation: Installation) -> None:
    (installation.state / "keys" / "generation").unlink()
    assert _only(checks._keys(installation)).state == "bad"


def test_open_segment_folder_is_found(installation: Installation) -> None:
    (installation.state / "segments").mkdir(mode=0o755)
    (installation.state / "segments").chmod(0o755)
    assert _only(checks._segments(installation)).state == "bad"


def test_port_in_use_is_found(installation: Installation) -> None:
    with socket.create_server(tuple(installation.settings.smtp.listen[0])):
        found = list(checks._ports(installation))
    assert [finding.state for finding in found] == ["bad", "good"]


def test_running_but_silent_is_found(installation: Installation) -> None:
    finding = _only(checks._processes(installation._replace(running=os.getpid())))
    assert finding.state == "bad"
    assert {finding.state for finding in checks._ports(installation._replace(running=os.getpid()))} == {"bad"}


def test_full_disk_is_found(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        """As shutil.disk_usage answers."""

        free: int

    for free, state in ((checks.NO_DISK - 1, "bad"), (checks.LITTLE_DISK - 1, "warning"), (checks.LITTLE_DISK, "good")):
        monkeypatch.setattr(checks.shutil, "disk_usage", lambda _folder, free=free: Usage(free))
        assert _only(checks._disk(installation)).state == state


def test_copy_on_write_is_a_warning(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_file_system", lambda _path: ("btrfs", "/"))
    assert _only(checks._destruction(installation)).state == "warning"


def test_a_check_that_breaks_is_a_warning_and_stops_no_other(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Installation) -> Iterator[Finding]:
        raise OSError("gone")

    def after(_: Installation) -> Iterator[Finding]:
        yield Finding("after", "good", "")

    monkeypatch.setattr(checks, "CHECKS", (broken, after))
    found: list[Any] = checks.examine(installation.state)
    assert [finding.state for finding in found[-2:]] == ["warning", "good"]
    assert "gone" in found[-2].sentence


def test_the_certificate_is_looked_at(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Certificates(tmp_path)

    def found(certificate: Path | str, key: str = "") -> Finding:
        smtp = Smtp(certificate=str(certificate), key=key)
        return _only(checks._certificate(installation._replace(settings=Settings(smtp=smtp))))

    assert found("").state == "good"
    assert found(tmp_path / "missing.pem").state == "bad"
    assert "MISMATCH" in found(made.server, str(made.client)).sentence
    good = found(made.server)
    assert "valid until" in good.sentence
    day = datetime.strptime(good.sentence[-10:], "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    for at, state in ((day - 86400, "warning"), (day + 86400, "bad"), (0.0, "bad")):
        monkeypatch.setattr("letterlock.cli.checks.time.time", partial(float, at))
        assert found(made.server).state == state
