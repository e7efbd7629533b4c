"""A command and housekeeping do not carry out the same request."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.pki.ca import pending
from letterlock.pki.ca.issue import Subject
from tests.fakes.office import Desks, now
from tests.fakes.postgres import Database
from tests.stories.test_authority import ALICE, at_work, quick_profile, requests

pytestmark = [pytest.mark.slow]


@pytest.mark.req("C7")
def test_housekeeping_leaves_a_persons_request_to_the_command_for_a_while(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await desks.found()
        await quick_profile(desks)
        _, request_id = await pending.ask(desks.person, Subject(ALICE), pending.Wish(organisation=desks.organisation))
        for later, state in ((timedelta(seconds=30), "due"), (timedelta(seconds=61), "done")):
            await pending.work(desks.housekeeping, now() + later, timedelta(minutes=1))
            (asked,) = await requests(desks, id=request_id)
            assert asked.state == state

    at_work(database, tmp_path, story)
