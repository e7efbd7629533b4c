"""Stations that do nothing, each ending in its own way, for tests of the supervisor.

Order
    The name of the process says which: ``good`` serves until stopped; ``wrong`` has a lasting fault; ``crash`` raises;
    ``deaf`` does not hear that it shall stop.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from letterlock.config.start import Start
from letterlock.errors import UsageError


async def run(start: Start) -> None:
    """As the name says; writes what it was given to <state>/<name>."""
    (Path(start.state) / start.name).write_text(
        f"{start.database.password} {start.key_token.hex()} {start.worker} {start.settings.smtp.hostname}"
    )
    if start.name == "wrong":
        raise UsageError("The certificate file /none cannot be read.")
    if start.name == "crash":
        raise ValueError("secret")
    start.meter("fake_total", 1, {"of": start.name})
    start.ready()
    if start.name == "deaf":
        await asyncio.Event().wait()
    await start.stopping.wait()
    (Path(start.state) / f"{start.name}.drained").touch()
