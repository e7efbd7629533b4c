"""A minute of fuzzing of everything that reads strangers' octets; `make fuzz` does it for half an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import grow, run
from tests.fuzz.oracle import Fault, Finding, Watch
from tests.fuzz.table import CORPUS, TARGETS


@pytest.mark.slow
@pytest.mark.req("B2")
@pytest.mark.timeout(400)
def test_a_minute_finds_nothing(tmp_path: Path) -> None:
    found = run.run(list(TARGETS), 60, tmp_path)
    assert [fault for each in found for fault in each.faults] == []
    assert all(each.runs > 0 and each.kept > 0 for each in found), run.table(found)  # few on a machine that is busy
    assert len({each.blind for each in found}) == 1


def _raises(error: BaseException) -> Watch:
    def target(octets: bytes) -> None:
        raise error

    return Watch(target)


@pytest.mark.parametrize("error", [RecursionError(), MemoryError(), KeyError("x"), Finding("two answers: 1 is not 2")])
def test_the_watch_sees(error: BaseException) -> None:
    fault = _raises(error).look(b"x")
    assert isinstance(fault, Fault)
    assert fault.place.startswith(type(error).__name__)


def test_changes_keep_the_structure() -> None:
    octets = bytes.fromhex("300c060355040330050403616263")
    made = {grow.changed(octets, seed) for seed in range(200)}
    assert len(made) > 50
    assert all(each is not None and (not each or len(each) >= 2) for each in made)
    assert grow.changed(b"\x30\xff", 1) is None


def test_the_corpus_stays_small() -> None:
    assert sum(each.stat().st_size for each in CORPUS.rglob("*") if each.is_file()) < 100_000
    assert {each.name for each in CORPUS.iterdir()} <= set(TARGETS)
