"""Seals: chained, signed, in the database and in our own file, and checked by audit.verify."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from letterlock.audit import chain, verify
from letterlock.audit.chain import Seal
from letterlock.database.errors import DatabaseUnavailable
from letterlock.keyholder import seal_audit
from letterlock.keyholder.given import GivenLog
from letterlock.keyholder.own_record import kept_seals
from letterlock.keyholder.seal_audit import SealKeeper, key_id_of
from tests.fakes.records import FakeRecords, SetClock


class Scene:
    """Rows, a key, and who seals them."""

    def __init__(self, state: Path) -> None:
        self.clock = SetClock()
        self.records = FakeRecords(self.clock)
        self.key = Ed25519PrivateKey.generate()
        self.log = GivenLog(state / "audit", self.clock)
        self.keeper = SealKeeper(self.records, self.key, self.log, self.clock)
        self.state = state

    def write(self, rows: int) -> None:
        self.records.rows += [os.urandom(40) for _ in range(rows)]

    def seal(self) -> int:
        return asyncio.run(self.keeper.seal())

    def verify(self) -> verify.Proof:
        def check(key_id: str, signed: bytes, signature: bytes) -> None:
            assert key_id == key_id_of(self.key)
            self.key.public_key().verify(signature, signed)

        def encoded(seal: Seal) -> tuple[list[bytes], int]:
            rows = self.records.rows[seal.from_xid : seal.upto_xid]
            return rows, len(rows)

        return verify.verify(self.records.seals, encoded, check, kept=kept_seals(self.state))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.req("I6")
def test_each_row_is_sealed_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal_audit, "ROWS_A_SEAL", 10)
    assert scene.seal() == 0
    for rows in (3, 0, 25, 10):
        scene.write(rows)
        assert scene.seal() == rows
        scene.clock.now += 1
    assert [seal.rows for seal in scene.records.seals] == [3, 10, 10, 5, 10]
    assert kept_seals(scene.state) == scene.records.seals
    proof = scene.verify()
    assert (proof.seals, proof.rows, scene.keeper.sealed) == (5, 38, 38)


@pytest.mark.req("I6")
@pytest.mark.parametrize("change", ["row", "removed", "seal", "cut", "signature"])
def test_what_was_changed_afterwards_is_found(change: str, scene: Scene) -> None:
    for _ in range(3):
        scene.write(4)
        scene.seal()
    scene.verify()
    rows, seals = scene.records.rows, scene.records.seals
    if change == "row":
        rows[5] = os.urandom(40)
    elif change == "removed":
        del rows[5]
    elif change == "seal":
        seals[1] = seals[1]._replace(sealed_at=seals[1].sealed_at + 1)
    elif change == "cut":
        del seals[2], rows[8:]
    else:
        seals[1] = seals[1]._replace(signature=bytes(64))
    with pytest.raises(verify.TrailBroken):
        scene.verify()


def test_link_covers_what_the_seal_says(scene: Scene) -> None:
    scene.write(4)
    scene.seal()
    (seal,) = scene.records.seals
    assert seal.digest == chain.digest(scene.records.rows)
    assert (seal.previous, seal.sealed_at) == (b"", int(scene.clock.now * 1_000_000))


def test_compare_finds_a_database_that_does_not_continue(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(scene.keeper.compare())
    for _ in range(2):
        scene.write(4)
        scene.seal()
    assert asyncio.run(scene.keeper.compare())
    last = scene.records.seals.pop()  # restored from a backup
    assert not asyncio.run(scene.keeper.compare())
    scene.records.seals.append(last._replace(link=bytes(32)))
    assert not asyncio.run(scene.keeper.compare())
    assert "do not continue" in caplog.text


def test_second_writer_is_noticed(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.write(4)

    async def refuse(seal: Seal) -> bool:
        return False

    scene.records.store_seal = refuse  # type: ignore[method-assign]  # another one was quicker
    assert scene.seal() == 0
    assert "another one came before it" in caplog.text
    assert kept_seals(scene.state) == []


def test_database_away_is_survived(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.write(4)
    scene.records.away = True
    with pytest.raises(DatabaseUnavailable):
        scene.seal()
    monkeypatch.setattr(seal_audit, "SEAL_EVERY", 0.0)

    async def keep() -> None:
        task = asyncio.create_task(scene.keeper.keep())
        while scene.records.calls.count("unsealed") < 3:
            await asyncio.sleep(0)
        scene.records.away = False
        while not scene.records.seals:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(keep(), 5))
    assert scene.verify().rows == 4
