"""A member of the group letterlock-admin administers a gateway that runs as another user; nobody else may."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.config import sockets
from letterlock.config.sockets import ADMIN_GROUP
from letterlock.supervise import place
from tests.fakes.installation import Installation

MEMBER, STRANGER, OWN = "ll-test-member", "ll-test-other", "ll-test-own"

# Root imports all (its home holds our Python), then becomes the person, with the groups that a login would give.
PERSON = """
import encodings.idna, importlib, os, pkgutil, pwd, sys
import letterlock.cli, letterlock.cli.main as main
for each in pkgutil.iter_modules(letterlock.cli.__path__):
    importlib.import_module(f"letterlock.cli.{each.name}")
import asyncio, psycopg, psycopg.pq
asyncio.run(asyncio.sleep(0))
entry = pwd.getpwnam(sys.argv[1])
os.initgroups(entry.pw_name, entry.pw_gid)
os.setgid(entry.pw_gid)
os.setuid(entry.pw_uid)
sys.exit(main.main(sys.argv[2:]))
"""


def _as(person: str, installation: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    """One command, by a person of this machine."""
    command = [sys.executable, "-c", PERSON, person, "--state", str(installation.state), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_without_the_group_the_folder_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "admin_group", lambda: None)
    (tmp_path / "s").mkdir()
    folder = place.make_socket_folder(tmp_path / "s")
    assert folder.stat().st_mode & 0o777 == 0o700
    with sockets.bind(folder / "a.sock", admins=True):
        assert (folder / "a.sock").stat().st_mode & 0o777 == 0o600


def test_with_the_group_its_members_may_pass_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "admin_group", os.getegid)
    (tmp_path / "s").mkdir()
    folder = place.make_socket_folder(tmp_path / "s")
    assert (folder.stat().st_mode & 0o777, folder.stat().st_gid) == (0o710, os.getegid())
    with sockets.bind(folder / "a.sock", admins=True), sockets.bind(folder / "b.sock"):
        assert (folder / "a.sock").stat().st_mode & 0o777 == 0o660
        assert (folder / "b.sock").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(sockets, "admin_group", lambda: None)  # the group was removed since
    assert place.make_socket_folder(tmp_path / "s").stat().st_mode & 0o777 == 0o700


def test_a_group_that_is_not_ours_to_give_to_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(sockets, "admin_group", os.getegid)
    monkeypatch.setattr(os, "chown", refuse)
    (tmp_path / "s").mkdir()
    assert place.make_socket_folder(tmp_path / "s").stat().st_mode & 0o777 == 0o700


if os.geteuid() == 0:  # only root may make users; elsewhere the tests above stand for these

    @pytest.fixture
    def people() -> Iterator[None]:
        """The group, one user in it and two who are not."""
        made_group = ADMIN_GROUP not in {each.gr_name for each in grp.getgrall()}
        try:
            if made_group:
                subprocess.run(["groupadd", "--system", ADMIN_GROUP], check=True)
            for name, more in ((MEMBER, ["-G", ADMIN_GROUP]), (STRANGER, []), (OWN, [])):
                command = ["useradd", "--system", "--user-group", "--no-create-home", *more, name]
                subprocess.run(command, check=True, capture_output=True)
            yield
        finally:
            for name in (MEMBER, STRANGER, OWN):
                subprocess.run(["userdel", name], check=False, capture_output=True)
            if made_group:
                subprocess.run(["groupdel", ADMIN_GROUP], check=True)

    @pytest.mark.req("J3")
    @pytest.mark.slow
    def test_a_member_administers_and_a_stranger_does_not(people: None) -> None:
        with Installation.create() as gateway:
            before = gateway.state.stat().st_mode
            gateway.start()
            done = _as(MEMBER, gateway, "domain", "add", "inside.test", "--internal")
            assert done.returncode == 0, done.stderr
            listed = _as(MEMBER, gateway, "queue", "list", "--json")
            assert json.loads(listed.stdout) == [], listed.stderr
            rows = gateway.ask("audit", "list")
            assert f"local:{MEMBER}" in {row["principal"] for row in rows}
            told = _as(MEMBER, gateway, "keys", "confirm-time")  # asks the keyholder
            assert told.returncode == 0, told.stderr
            refused = _as(STRANGER, gateway, "queue", "list")
            assert refused.returncode != 0
            assert "Traceback" not in refused.stderr
            assert gateway.state.stat().st_mode == before
            run = place.socket_folder(gateway.state)
            assert run.stat().st_mode & 0o777 == 0o710
            group = grp.getgrnam(ADMIN_GROUP).gr_gid
            reachable = {
                each.name for each in run.iterdir() if each.stat().st_gid == group or each.stat().st_mode & 0o007
            }
            assert reachable == {"door.sock", "key.sock"}
            gateway.stop()
            closed = _as(MEMBER, gateway, "queue", "list")
            assert (closed.returncode, "start it" in closed.stderr) == (3, True), closed.stderr

    @pytest.mark.req("J3")
    def test_root_gives_the_group_to_what_runs_as_the_installations_user(people: None) -> None:
        code = (
            "import os; from letterlock.supervise import identity; identity.become('"
            + OWN
            + "'); print(os.getgroups())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        wanted = {pwd.getpwnam(OWN).pw_gid, grp.getgrnam(ADMIN_GROUP).gr_gid}
        assert set(json.loads(done.stdout)) == wanted
