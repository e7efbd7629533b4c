"""``letterlock run`` as an operator meets it: ready, killed part by part and as a whole, drained; and commands beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from letterlock import processes
from tests.fakes.installation import Installation, free_port

READY_AGAIN = 5.0
"""Seconds within which everything serves again after any one process was killed."""

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def running() -> Iterator[Installation]:
    """One installation that runs, with every process there is; a test that stops it starts it again."""
    with Installation.create({"LETTERLOCK_HTTP_PUBLIC": f"127.0.0.1:{free_port()}"}) as made:
        made.start()
        yield made


def _report(installation: Installation) -> dict[str, Any]:
    return dict(json.loads(installation.status("/readyz")[1]))


def _alive(below: list[psutil.Process], within: float) -> list[psutil.Process]:
    """Those that have not ended; one that only waits to be collected has."""
    _, left = psutil.wait_procs(below, timeout=within)
    return [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.req("J3")
def test_readyz_says_isolation_and_each_process(running: Installation) -> None:
    report = _report(running)
    assert report["ready"] is True
    assert report["isolation"] == "single user"
    names = {name.partition("-")[0] for name in report["processes"]}
    assert names == {row.name for row in processes.TABLE} | {"postgres", "spawner"}
    assert running.status("/livez") == (200, "ok\n")
    assert running.status("/")[0] == 404


def test_metrics_name_every_process(running: Installation) -> None:
    code, text = running.status("/metrics")
    assert code == 200
    for name in _report(running)["processes"]:
        assert f'letterlock_process_ready{{process="{name}"}} 1' in text


@pytest.mark.req("A1")
@pytest.mark.parametrize("name", ["postgres", "spawner", *(f"{row.name}-0" for row in processes.TABLE)])
def test_killed_it_serves_again_and_takes_nobody_along(running: Installation, name: str) -> None:
    before = _report(running)["processes"]
    began = time.monotonic()
    os.kill(before[name]["pid"], signal.SIGKILL)
    while True:
        report = _report(running)
        if report["ready"] and report["processes"][name]["pid"] not in (0, before[name]["pid"]):
            break
        assert time.monotonic() - began < READY_AGAIN
        time.sleep(0.02)
    assert report["processes"][name]["restarts"] == before[name]["restarts"] + 1
    others = {other: told["pid"] for other, told in report["processes"].items() if other != name}
    assert others == {other: told["pid"] for other, told in before.items() if other != name}


def test_commands_work_beside_it_also_after_all_those_kills(running: Installation) -> None:
    assert running.ask("queue", "list") == []
    assert running.ask("audit", "verify")["ok"] is True
    assert running.ask("keys", "list")["epochs"] >= 1


@pytest.mark.req("I6")
def test_a_command_leaves_a_login_in_the_audit_trail_and_no_session(running: Installation) -> None:
    rows = running.ask("audit", "list")
    assert rows[0]["action"] == "accounts.login"
    assert rows[0]["principal"].startswith("local:")


def test_a_second_one_is_refused_with_a_sentence(running: Installation) -> None:
    done = running.cli("run", code=3)
    assert running.run is not None
    assert f"process {running.run.pid}" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_doctor_finds_nothing_wrong(running: Installation) -> None:
    found = running.ask("doctor")
    assert not [one for one in found if one["state"] == "bad"]
    assert {"python", "postgresql", "keys", "clock", "disk", "isolation", "port", "segments", "sockets"} <= {
        one["name"] for one in found
    }


def test_killed_as_a_whole_nothing_stays_and_it_starts_at_once(running: Installation) -> None:
    assert running.run is not None
    below = psutil.Process(running.run.pid).children(recursive=True)
    assert len(below) > len(processes.TABLE)
    running.run.send_signal(signal.SIGKILL)
    running.run.wait(10)
    seconds = running.start()
    assert seconds < 30
    assert not _alive(below, within=5)
    assert running.ask("audit", "verify")["ok"] is True


def test_sigterm_drains_ends_with_zero_and_leaves_nobody(running: Installation) -> None:
    assert running.run is not None
    below = psutil.Process(running.run.pid).children(recursive=True)
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 20
    assert not _alive(below, within=1)
    assert running.status("/livez")[0] == 0
    running.start()


def test_without_it_a_command_starts_what_it_needs_and_stops_it(running: Installation) -> None:
    running.stop()
    done = running.cli("queue", "list", "--json")
    assert json.loads(done.stdout) == []
    assert done.stderr == ""
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "letterlock", "--state", str(running.state), "queue", "list"],
            env=running.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [one.communicate(timeout=120)[0] for one in both] == ["The queue is empty.\n"] * 2
    running.start()


def test_a_dead_keyholders_ring_is_said_at_the_start(running: Installation) -> None:
    running.stop()
    ring = running.state / "keys" / "generation"
    kept = ring.read_bytes()
    ring.unlink()
    try:
        done = running.cli("run", code=None)
        assert done.returncode in (2, 3)
        assert "keyholder" in done.stderr
        assert "Traceback" not in done.stderr
        assert running.cli("doctor", code=1).stdout.count("BAD") == 1
    finally:
        ring.write_bytes(kept)
    running.start()
