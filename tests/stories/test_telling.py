"""That a private key left is told by mail, once, whatever crashes; over a real database and keyholder."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from letterlock.database.errors import DatabaseUnavailable
from letterlock.housekeeping import tell_exports
from letterlock.mail.envelope import Recipient
from letterlock.mail.envelope import decode as decode_envelope
from letterlock.pki import calls as pki
from letterlock.pki.ca.issue import Subject, issue
from letterlock.pki.ca.profile import Profile
from letterlock.vault.content import open_content, open_envelope
from tests.fakes.office import Desks, now, office
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.slow]

ALICE = "alice@inside.test"


async def _exported(desks: Desks) -> None:
    """Alice's key leaves."""
    authority = await desks.found()
    made = await issue(desks.person, authority, ("smime", Profile(key="ec-p256")), Subject(ALICE), now())
    assert made.key_id is not None
    desk = desks.person
    await desk.keyholder.export_key(
        desk.token, made.key_id, [made.certificate.der], ALICE, reason="A <b>laptop</b>\r\nBcc: x@y.test"
    )


@pytest.mark.req("C10")
def test_owner_and_postmaster_are_told_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with office(database, tmp_path) as desks:
            await _exported(desks)
            gate, keyholder = desks.housekeeping.gate, desks.housekeeping.keyholder
            noted = pki.export_told

            async def crash(*_: Any, **__: Any) -> None:
                raise DatabaseUnavailable

            monkeypatch.setattr(pki, "export_told", crash)
            with pytest.raises(DatabaseUnavailable):
                await tell_exports.tell(gate, keyholder, time.time())
            monkeypatch.setattr(pki, "export_told", noted)
            assert await tell_exports.tell(gate, keyholder, time.time()) == 1
            assert await tell_exports.tell(gate, keyholder, time.time()) == 0
            flow = desks.scene.house.client("flow")
            rows = await desks.scene.world.claim()
            keys = await flow.message_keys(rows[0].lease, [row.id for row in rows])
            told = {}
            for row in rows:
                mail = b"".join(open_content(keys[row.id], row, desks.scene.store))
                head, _, text = mail.partition(b"\r\n\r\n")
                assert ALICE.encode() in text
                assert b"local:" in text
                assert b"laptop" in text
                assert b"\nBcc:" not in mail
                envelope = decode_envelope(open_envelope(keys[row.id], row))
                assert (envelope.sender, envelope.origin) == ("", "notice")
                assert envelope.received_at > 0
                told[envelope.recipients] = head
            assert set(told) == {(Recipient(each),) for each in (ALICE, "postmaster@inside.test")}
            assert all(b"Auto-Submitted: auto-generated" in each for each in told.values())

    asyncio.run(story())
