"""The keyholder's own file: appended, read back, whole after a crash."""

from __future__ import annotations

import gzip
from pathlib import Path
from uuid import UUID

import pytest

from letterlock.audit.chain import Seal
from letterlock.keyholder import given
from letterlock.keyholder.given import GivenLog
from letterlock.keyholder.own_record import kept_seals
from tests.fakes.records import SetClock


def seal(number: int) -> Seal:
    return Seal(number, 0, 9, 3, b"d" * 32, b"p" * 32, b"l" * 32, 1_700_000_000_123_456, b"s" * 64, "key")


def test_seals_are_read_back(tmp_path: Path) -> None:
    log = GivenLog(tmp_path / "audit", SetClock())
    assert log.last_seal() is None
    assert kept_seals(tmp_path) == []
    log.seal(seal(1))
    log.grant(UUID(int=1), UUID(int=2))
    log.seal(seal(2))
    log.grant(UUID(int=1), UUID(int=3))
    assert log.last_seal() == seal(2)
    log.close()
    assert kept_seals(tmp_path) == [seal(1), seal(2)]
    assert (tmp_path / "audit/seals").stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    log = GivenLog(tmp_path / "audit", SetClock())
    log.seal(seal(1))
    log.close()
    path = tmp_path / "audit/seals"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:50])
    again = GivenLog(tmp_path / "audit", SetClock())
    assert again.last_seal() == seal(1)
    again.seal(seal(2))
    again.close()
    assert kept_seals(tmp_path) == [seal(1), seal(2)]


def test_no_seal_within_the_tail(tmp_path: Path) -> None:
    log = GivenLog(tmp_path / "audit", SetClock())
    log.seal(seal(1))
    for number in range(2000):
        log.grant(UUID(int=number), UUID(int=number))
    assert log.last_seal() == seal(1)
    log.close()


def test_leases_go_to_the_file_of_their_day(tmp_path: Path) -> None:
    clock = SetClock()
    log = GivenLog(tmp_path / "audit", clock)
    log.lease("ll_flow", b"l" * 16, [b"a" * 16, b"b" * 16])
    assert list((tmp_path / "audit").glob("given-*")) == []
    log.flush()
    clock.pass_days(1)
    log.lease("ll_deliver", b"m" * 16, [b"c" * 16])
    log.flush()
    log.flush()
    log.close()
    assert _given(tmp_path) == ["given-2023-11-14.gz", "given-2023-11-15"]
    first, second = _lines(tmp_path)
    assert first.split()[1:] == ["ll_flow", "6c" * 16, "61" * 16, "62" * 16]
    assert second.split()[1:] == ["ll_deliver", "6d" * 16, "63" * 16]


def _given(state: Path) -> list[str]:
    return sorted(path.name for path in (state / "audit").glob("given-*"))


def _lines(state: Path) -> list[str]:
    """All lines, file by file, compressed or not."""
    found = []
    for path in sorted((state / "audit").glob("given-*")):
        octets = path.read_bytes()
        found += (gzip.decompress(octets) if path.suffix == ".gz" else octets).decode().splitlines()
    return found


def test_a_long_day_has_many_files_and_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "LONGEST_GIVEN", 200)
    said = []
    for number in range(6):  # started anew in the midst: what was compressed is not begun again
        log = GivenLog(tmp_path / "audit", SetClock())
        for place in range(5):
            said.append(f"{number:02x}{place:02x}")
            log.lease("ll_flow", b"l" * 16, [bytes.fromhex(said[-1]) * 8])
            log.flush()
        log.seal(seal(number + 1))
        log.close()
    assert sorted(line.split()[3] for line in _lines(tmp_path)) == sorted(each * 8 for each in said)
    names = _given(tmp_path)
    assert {"given-2023-11-14.gz", "given-2023-11-14.1.gz", "given-2023-11-14.6.gz"} <= set(names)
    assert [seal.number for seal in kept_seals(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "audit").iterdir()} == {0o600}


def test_a_crash_while_compressing_loses_and_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / "given-2023-11-13").write_text("1 ll_flow 00 01\n")  # compressed, and not yet removed
    (folder / "given-2023-11-13.gz").write_bytes(gzip.compress(b"1 ll_flow 00 01\n"))
    (folder / "given-2023-11-14").write_text("2 ll_flow 00 02\n")  # the same, and of this day
    (folder / "given-2023-11-14.gz").write_bytes(gzip.compress(b"2 ll_flow 00 02\n"))
    (folder / "given-2023-11-14.gz.new").write_bytes(b"half of it")
    log = GivenLog(folder, SetClock())
    for _ in range(3):
        log.lease("ll_flow", b"l" * 16, [b"a" * 16])
        log.flush()
    log.close()
    assert _given(tmp_path) == ["given-2023-11-13.gz", "given-2023-11-14.1", "given-2023-11-14.gz"]
    assert sorted(line.split()[0] for line in _lines(tmp_path))[:2] == ["1", "1700000000.000"]
    assert len(_lines(tmp_path)) == 5


def test_what_cannot_be_compressed_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    (folder / "given-2023-11-13.gz").mkdir(parents=True)
    (folder / "given-2023-11-13").write_text("1 ll_flow 00 01\n")
    log = GivenLog(folder, SetClock())
    log.seal(seal(1))
    log.flush()
    log.close()
    assert (folder / "given-2023-11-13").read_text() == "1 ll_flow 00 01\n"
    assert kept_seals(tmp_path) == [seal(1)]
