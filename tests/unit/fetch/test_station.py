"""The station's own work: passwords of directories, and the alarm about CRLs that are over."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from letterlock.config.settings import Settings
from letterlock.config.start import Credentials, Start
from letterlock.errors import UsageError
from letterlock.fetch.ldap import Secret
from letterlock.fetch.station import Desk, read_passwords
from letterlock.telemetry.events import emit
from letterlock.telemetry.metrics import Registry


@pytest.mark.req("C14")
def test_passwords_of_directories(tmp_path: Path) -> None:
    assert read_passwords("", tmp_path) == {}
    file = tmp_path / "directories"
    file.write_text('["ldap.Example.test:636"]\ndn = "cn=me"\npassword = "hush"\n')
    file.chmod(0o600)
    for path in ("directories", str(file)):
        assert read_passwords(path, tmp_path) == {"ldap.example.test:636": Secret("cn=me", "hush")}
    file.chmod(0o640)
    with pytest.raises(UsageError, match="0600"):
        read_passwords("directories", tmp_path)
    file.chmod(0o600)
    for text in ("[x", '["h:1"]\ndn = "x"\n', 'h = "x"\n'):
        file.write_text(text)
        with pytest.raises(UsageError, match="cannot be read") as caught:
            read_passwords("directories", tmp_path)
        assert "hush" not in str(caught.value)
    with pytest.raises(UsageError):
        read_passwords("missing", tmp_path)


class _Gate:
    """Answers pki.stale_crls."""

    def __init__(self) -> None:
        self.stale: list[tuple[str, str, datetime]] = []

    async def call(self, function: str, **_: object) -> list[tuple[str, str, datetime]]:
        assert function == "pki.stale_crls"
        return self.stale


@pytest.mark.req("C2")
def test_a_stale_crl_is_an_alarm_once_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, meter = _Gate(), Registry()
    alarms: list[str] = []
    monkeypatch.setattr(type(emit), "crl_stale", lambda _, *, domain, seconds: alarms.append(domain))
    start = Start(
        settings=Settings(),
        name="fetch",
        number=0,
        worker=uuid4(),
        state=tmp_path,
        run=tmp_path,
        database=Credentials("h", 1, "u", "p", "d"),
        meter=meter,
    )
    desk = Desk(start, cast("Any", gate), {})

    def said() -> tuple[float, list[str]]:
        asyncio.run(desk.look_for_stale())
        gauge = next(numbers[0] for name, _, _, numbers in meter.snapshot() if name == "letterlock_crls_stale")
        new = [*alarms]
        alarms.clear()
        return gauge, new

    over = datetime.now(UTC) - timedelta(minutes=1)
    assert said() == (0, [])
    gate.stale = [("http://a.test/", "a.test", over), ("http://b.test/", "b.test", over)]
    assert said() == (2, ["a.test", "b.test"])
    assert said() == (2, [])
    gate.stale = gate.stale[1:]
    assert said() == (1, [])
    gate.stale = []
    assert said() == (0, [])
    gate.stale = [("http://b.test/", "b.test", over)]
    assert said() == (1, ["b.test"])
