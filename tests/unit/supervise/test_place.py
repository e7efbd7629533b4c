"""The lock of a state folder and the folder of its sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from letterlock.config.settings import Listen, Reinject, Settings, Smtp
from letterlock.supervise import place

HOLD = """
import sys, time
from pathlib import Path
from letterlock.supervise import place
lock = place.take_lock(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def _holder(state: Path, kind: str) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def _end(holder: subprocess.Popen[bytes]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.communicate()


def test_two_at_once_are_refused_with_who_is_there(tmp_path: Path) -> None:
    holder = _holder(tmp_path, "run")
    try:
        assert place.lock_holder(tmp_path) == (holder.pid, "run")
        with pytest.raises(place.AlreadyRunning, match=f"process {holder.pid}"):
            place.take_lock(tmp_path, "run")
    finally:
        _end(holder)


def test_a_killed_holder_leaves_nothing_behind(tmp_path: Path) -> None:
    _end(_holder(tmp_path, "run"))
    assert place.lock_holder(tmp_path) is None
    lock = place.take_lock(tmp_path, "run")
    assert place.lock_holder(tmp_path) == (os.getpid(), "run")
    lock.release()
    assert place.lock_holder(tmp_path) is None


def test_a_command_is_waited_for_and_no_longer_than_said(tmp_path: Path) -> None:
    holder = _holder(tmp_path, "offline")
    try:
        with pytest.raises(place.AlreadyRunning):
            place.take_lock(tmp_path, "run", wait_for=0.1)
    finally:
        _end(holder)
    place.take_lock(tmp_path, "run", wait_for=5).release()


def test_sockets_are_in_the_state_folder_when_their_path_is_short(tmp_path: Path) -> None:
    assert place.socket_folder(Path("/srv/letterlock")) == Path("/srv/letterlock/run")
    deep = Path("/srv") / ("x" * 90)
    folder = place.socket_folder(deep)
    assert len(str(folder)) + place.LONGEST_NAME <= place.LONGEST_SOCKET
    assert folder == place.socket_folder(deep)
    assert folder != place.socket_folder(Path("/srv") / ("y" * 90))


def test_socket_folder_is_emptied_and_private(tmp_path: Path) -> None:
    state = tmp_path / "s"
    state.mkdir()
    folder = place.make_socket_folder(state)
    (folder / "old.sock").touch()
    (folder / "pg").mkdir()
    assert list(place.make_socket_folder(state).iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700


def test_socket_folder_of_others_is_refused(tmp_path: Path) -> None:
    folder = place.socket_folder(tmp_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o750)
    try:
        with pytest.raises(place.UnsafeFolder, match="0700"):
            place.make_socket_folder(tmp_path)
    finally:
        folder.rmdir()


def test_no_installation_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(place.NotInstalled, match="init"):
        place.require_installation(tmp_path)


def test_state_folder_by_option_environment_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTERLOCK_STATE", raising=False)
    assert place.state_folder(None) == Path("letterlock-state").absolute()
    monkeypatch.setenv("LETTERLOCK_STATE", "/a")
    assert place.state_folder(None) == Path("/a")
    assert place.state_folder("/b") == Path("/b")


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_an_address_that_another_gateway_shares_is_refused(host: str) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = Listen(host, other.getsockname()[1])
        for settings, named in (
            (Settings(smtp=Smtp(listen=(taken,))), "[smtp] listen is"),
            (Settings(smtp=Smtp(listen=(), tls_listen=(taken,))), "[smtp] tls_listen is"),
            (Settings(smtp=Smtp(listen=()), reinject=Reinject((taken,))), "[reinject] listen is"),
        ):
            with pytest.raises(place.AddressUnusable) as caught:
                place.require_addresses(settings, wait_for=0.1)
            assert caught.value.public.startswith(f"{named} {taken},")
    place.require_addresses(Settings(smtp=Smtp(listen=(taken,))))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(place.AddressUnusable, match=r"192\.0\.2\.1:2525"):
        place.require_addresses(Settings(smtp=Smtp(listen=(Listen("192.0.2.1", 2525),))))
