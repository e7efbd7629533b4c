"""A certificate that ends, at a gateway that runs: owner and postmaster get a mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.stories.world import World

pytestmark = [pytest.mark.slow]


@pytest.mark.req("C13")
def test_owner_and_postmaster_get_a_mail(world: World) -> None:
    owner = world.address("inside.test", "ending")
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
    world.import_identity(world.authority.issue(owner, "p256", not_after=end), key=True)
    mail = world.arrived(owner, within=120.0).mail
    assert mail["Subject"].startswith(f"The certificate of {owner} ends on ")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "by hand" in mail.get_content()
    assert any(owner in each.subject for each in world.hop.wait_for_recipient("postmaster@inside.test", within=30.0))
