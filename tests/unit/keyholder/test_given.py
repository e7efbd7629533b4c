"""The keyholder's own file: appended, read back, whole after a crash."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from letterlock.audit.chain import Seal
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
    files = sorted((tmp_path / "audit").glob("given-*"))
    assert [path.name for path in files] == ["given-2023-11-14", "given-2023-11-15"]
    assert [len(path.read_text().splitlines()) for path in files] == [1, 1]
    assert files[0].read_text().split()[1:] == ["ll_flow", "6c" * 16, "61" * 16, "62" * 16]
