"""The PostgreSQL that comes along: starts whatever was left behind, lets in whom it should, and ends clean."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from letterlock.config.start import Credentials
from letterlock.database import embedded, place
from letterlock.database.connect import connect
from letterlock.database.embedded import Cluster, DatabaseNotStarted
from letterlock.database.errors import DatabaseUnavailable
from letterlock.database.migrate import migrate
from letterlock.database.roles import set_passwords
from tests.fakes.postgres import DISTRIBUTION, FAST, WHEEL, distribution_programs

pytestmark = pytest.mark.slow  # each starts a server of its own

VERSIONS = [WHEEL] if os.environ.get("LETTERLOCK_TEST_FAST") else [WHEEL, DISTRIBUTION]


@pytest.fixture(params=VERSIONS)
def programs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The wheel's programs, then the distribution's."""
    monkeypatch.delenv("LETTERLOCK_PG_BIN", raising=False)
    if request.param == DISTRIBUTION:
        found = distribution_programs()
        assert found is not None, "install the distribution's PostgreSQL, or set LETTERLOCK_TEST_FAST"
        monkeypatch.setenv("LETTERLOCK_PG_BIN", str(found))
    return str(request.param)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder, closed as an installation's is; its database goes at the end."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    yield folder
    place.remove(folder)


@pytest.fixture
def cluster(state: Path, programs: str) -> Iterator[Cluster]:
    """A cluster not yet started, stopped at the end."""
    made = Cluster(state)
    yield made
    made.stop(immediate=True)


def _modes(path: Path) -> dict[Path, int]:
    return {folder: stat.S_IMODE(folder.stat().st_mode) for folder in (path, *path.parents)}


def _runs(cluster: Cluster) -> bool:
    return cluster.pid is not None


def test_a_clean_start_and_stop_widen_nothing(state: Path, programs: str) -> None:
    before = _modes(state)
    cluster = Cluster(state)
    cluster.start()
    assert _modes(state) == before
    data = cluster.place.data
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert data.stat().st_uid == cluster.place.user.pw_uid != 0
    socket = Path(cluster.host)
    assert not socket.stat().st_mode & 0o007
    assert socket.stat().st_gid == os.getegid() or not cluster.place.is_own_user
    cluster.stop()
    assert not _runs(cluster)
    assert not (data / "postmaster.pid").exists()
    assert "database system is shut down" in cluster.log.read_text()
    cluster.start()  # what was stopped starts again
    assert _runs(cluster)
    cluster.stop()
    cluster.stop()  # and a second stop is harmless


def test_after_kill_9_it_is_ready_again_and_has_what_was_committed(cluster: Cluster) -> None:
    cluster.start()
    with cluster.superuser() as connection:
        connection.execute("CREATE TABLE public.kept (n int)")
        for n in range(50):
            connection.execute("INSERT INTO public.kept VALUES (%s)", [n])
        pid = cluster.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        cluster.start()  # its backends may still be there
    assert time.monotonic() - started < 10
    assert cluster.pid != pid
    with cluster.superuser() as connection:
        assert connection.execute("SELECT count(*) FROM public.kept").fetchone() == (50,)
    assert "not properly shut down" in cluster.log.read_text()


def _kill(cluster: Cluster) -> None:
    assert cluster.pid is not None
    postmaster = psutil.Process(cluster.pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=10)


@pytest.mark.req("A1")
@pytest.mark.parametrize("what", ["a dead process nobody has collected", "another process of the same user"])
def test_a_lock_file_that_names_no_postmaster_is_no_obstacle(cluster: Cluster, what: str) -> None:
    cluster.start()
    _kill(cluster)
    user = cluster.place.user.pw_uid if cluster.place.is_own_user else None
    stranger = subprocess.Popen(["sleep", "0" if "dead" in what else "60"], user=user, cwd="/")
    try:
        while "dead" in what and psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        for lock in (cluster.place.data / "postmaster.pid", Path(cluster.host) / ".s.PGSQL.5432.lock"):
            _, _, rest = lock.read_text().partition("\n")
            lock.write_text(f"{stranger.pid}\n{rest}")
        began = time.monotonic()
        cluster.start()
        assert time.monotonic() - began < 15
    finally:
        stranger.kill()
        stranger.wait()


def test_after_kill_9_of_one_backend_the_gate_finds_the_database_again(cluster: Cluster) -> None:
    cluster.start()
    with cluster.superuser() as connection:
        migrate(connection)
        password = set_passwords(connection)["ll_flow"]

    async def scenario() -> None:
        gate = await connect(Credentials(cluster.host, cluster.port, "ll_flow", password, "letterlock"))
        with cluster.superuser() as connection:
            ((backend,),) = connection.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'll_flow'").fetchall()
        os.kill(backend, signal.SIGKILL)
        refused, deadline = 0, time.monotonic() + 20
        while True:
            try:
                assert await gate.call("policy.revision") == [(1,)]
                break
            except DatabaseUnavailable:
                refused += 1
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        assert refused >= 1
        await gate.close()

    asyncio.run(scenario())


def test_a_start_can_be_awaited(cluster: Cluster) -> None:
    ticks = 0

    async def scenario() -> None:
        nonlocal ticks

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        await cluster.start_waiting()
        ticking.cancel()

    asyncio.run(scenario())
    assert ticks > 1
    assert cluster.pid


@pytest.mark.req("I4")
def test_it_lets_in_whom_it_should_and_nobody_else(cluster: Cluster) -> None:
    cluster.start()
    with cluster.superuser() as connection:
        migrate(connection)
        passwords = set_passwords(connection)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        rules = connection.execute(
            "SELECT type, user_name, auth_method FROM pg_hba_file_rules WHERE error IS NULL ORDER BY line_number"
        ).fetchall()
        assert {kind for kind, _, _ in rules} == {"local"}
        assert [method for _, _, method in rules] == ["peer", "scram-sha-256", "reject", "reject"]
        assert rules[-1][1] == ["all"]
        stored = connection.execute(
            "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"
        ).fetchall()
        assert {name for name, _ in stored} == set(passwords)
        assert all(value.startswith("SCRAM-SHA-256$") for _, value in stored)
        assert set_passwords(connection).keys() == passwords.keys()

    def enter(user: str, password: str = "", dbname: str = "letterlock") -> None:
        psycopg.connect(host=cluster.host, user=user, password=password, dbname=dbname).close()

    for user, password, dbname in (
        ("ll_flow", "", "letterlock"),
        ("ll_flow", passwords["ll_flow"], "letterlock"),  # yesterday's: they were made anew since
        ("ll_owner", "", "letterlock"),
        ("fn_queue", "", "letterlock"),
        ("postgres", "", "postgres"),
        ("nobody", "", "letterlock"),
    ):
        with pytest.raises(psycopg.OperationalError):
            enter(user, password, dbname)
    with cluster.superuser() as connection:
        password = set_passwords(connection)["ll_flow"]
    enter("ll_flow", password)
    with pytest.raises(psycopg.OperationalError):
        enter("ll_flow", password, "postgres")


def test_the_log_shows_no_value(cluster: Cluster) -> None:
    cluster.start()
    with cluster.superuser() as connection:
        connection.execute("CREATE TABLE public.t (a text PRIMARY KEY)")
        connection.execute("INSERT INTO public.t VALUES (%s)", ["canary-in-a-row"])
        for statement in (
            "INSERT INTO public.t VALUES ('canary-in-a-row')",  # DETAIL would quote it
            "SELECT 'canary-in-a-statement' FROM nowhere",
            "SELECT 'canary-cast'::int",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement.encode())
        with pytest.raises(psycopg.Error):
            connection.execute("INSERT INTO public.t VALUES (%s), (%s)", ["canary-in-a-row", "canary-parameter"])
    log = cluster.log.read_text()
    assert "duplicate key" in log
    assert "canary-in" not in log
    assert "canary-parameter" not in log
    assert stat.S_IMODE(cluster.log.stat().st_mode) == 0o600


def test_programs_of_another_version_are_refused_with_a_remedy(cluster: Cluster) -> None:
    cluster.initialise()
    (cluster.place.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(DatabaseNotStarted, match="made by PostgreSQL 14"):
        cluster.start()


def test_a_link_left_in_the_data_directory_is_not_followed(cluster: Cluster, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    cluster.initialise()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (cluster.place.data / name).unlink()
        (cluster.place.data / name).symlink_to(victim)
        (cluster.place.data / f"{name}.new").symlink_to(victim)
    owner = victim.stat().st_uid
    cluster.start()
    assert victim.read_text() == "precious"
    assert victim.stat().st_uid == owner


def test_a_deep_state_folder_has_a_short_socket(tmp_path: Path, programs: str) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "state"
    deep.mkdir(mode=0o711, parents=True)
    cluster = Cluster(deep, extra=FAST)
    try:
        cluster.start()
        assert len(os.fsencode(f"{cluster.host}/.s.PGSQL.5432")) <= 107
        host = cluster.host
        pid = cluster.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        cluster.start()
        assert cluster.host == host  # others know it
    finally:
        cluster.stop(immediate=True)
        place.remove(deep)
    if not host.startswith(("/var/lib/letterlock", str(tmp_path))):
        assert not Path(host).exists()


def test_what_cannot_start_says_why_at_once(state: Path, programs: str) -> None:
    cluster = Cluster(state, extra={**FAST, "shared_buffers": "nonsense"})
    started = time.monotonic()
    with pytest.raises(DatabaseNotStarted, match="shared_buffers"):
        cluster.start()
    assert time.monotonic() - started < 20
    assert cluster.pid is None


def test_it_ends_when_its_parent_is_killed(state: Path, programs: str) -> None:
    script = (
        "import sys, time; from pathlib import Path; from letterlock.database.embedded import Cluster;"
        "c = Cluster(Path(sys.argv[1]), extra={'fsync': 'off'}); c.start(); print(c.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(state)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    postgres = psutil.Process(int(parent.stdout.readline()))
    assert postgres.uids().real != 0
    parent.kill()
    parent.wait()
    parent.stdout.close()
    postgres.wait(30)
    # and a successor starts at once, over the same data
    successor = Cluster(state, extra=FAST)
    successor.start()
    successor.stop(immediate=True)


@pytest.mark.parametrize("trap", ["pipe", "link", "large", "folder"])
def test_what_a_captured_database_leaves_as_lock_file_stops_nobody(tmp_path: Path, trap: str) -> None:
    path = tmp_path / "postmaster.pid"
    if trap == "pipe":
        os.mkfifo(path)
    elif trap == "link":
        path.symlink_to("/proc/self/environ")
    elif trap == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"1\n" * 10_000_000)
    started = time.monotonic()
    text = embedded._lock_text(path)
    assert time.monotonic() - started < 1
    assert len(text) <= embedded.LONGEST_LOCK
    assert trap == "large" or not text
