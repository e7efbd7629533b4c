"""A wrong configuration ends ``run`` with exit code 2 and a sentence that names what to mend; no traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.fakes.installation import Installation


@pytest.fixture(scope="module")
def made() -> Iterator[Installation]:
    """An installation that is never started well."""
    with Installation.create() as installation:
        yield installation


def _complaint(installation: Installation, code: int, **environment: str) -> str:
    before = dict(installation.environment)
    installation.environment.update(environment)
    try:
        done = installation.cli("run", code=code)
    finally:
        installation.environment.clear()
        installation.environment.update(before)
    assert "Traceback" not in done.stderr
    assert "letterlock ready" not in done.stdout
    return done.stderr


@pytest.mark.req("J3")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("LETTERLOCK_SMTP_LISTEN", "not an address", "listen"),
        ("LETTERLOCK_SMTP_LISTEN", "127.0.0.1:99999", "listen"),
        ("LETTERLOCK_SMTP_PROCESSES", "many", "processes"),
        ("LETTERLOCK_SMTP_CERTIFICATE", "/nowhere/certificate.pem", "certificate"),
        ("LETTERLOCK_HTTP_STATUS", "here", "status"),
    ],
)
def test_a_wrong_value_is_named(made: Installation, name: str, value: str, named: str) -> None:
    said = _complaint(made, 2, **{name: value})
    assert named in said.lower()


@pytest.mark.req("J3")
@pytest.mark.slow
def test_a_file_that_cannot_be_read_as_toml(made: Installation) -> None:
    path = made.state / "letterlock.toml"
    before = path.read_text()
    try:
        path.write_text("[smtp\nlisten = ")
        assert "letterlock.toml" in _complaint(made, 2)
        path.write_text('[smtp]\nlissten = "127.0.0.1:25"\n')
        assert "lissten" in _complaint(made, 2)
    finally:
        path.write_text(before)


@pytest.mark.req("J3")
@pytest.mark.slow
def test_a_port_that_is_taken(made: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = _complaint(made, 3, LETTERLOCK_SMTP_LISTEN=f"127.0.0.1:{port}")
    assert str(port) in said


@pytest.mark.req("J3")
@pytest.mark.slow
def test_no_installation_there(made: Installation) -> None:
    done = made.cli("run", state=False, more=("--state", str(made.folder / "elsewhere")), code=None)
    assert done.returncode in (1, 2)
    assert "init" in done.stderr


@pytest.mark.req("J3")
@pytest.mark.slow
def test_init_does_not_touch_what_is_there(made: Installation) -> None:
    before = (made.state / "letterlock.toml").read_bytes()
    done = made.cli("init", state=False, more=("--state", str(made.state)), code=None)
    assert done.returncode in (0, 1, 2)
    assert (made.state / "letterlock.toml").read_bytes() == before
