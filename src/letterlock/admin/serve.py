"""The admin station; so far its public listener ``[http] public`` only.

Guarantees
    It runs only when that address is set. It asks the keyholder for nothing.

See also
    ``public.py``; ``processes.py``.
"""

from __future__ import annotations

from letterlock.admin.http import HttpServer
from letterlock.admin.public import PublicPages
from letterlock.config.start import Start
from letterlock.database.connect import connect
from letterlock.errors import SystemFailure

CONNECTIONS = 2


class PublicAddressTaken(SystemFailure):
    """The address [http] public cannot be listened on."""


async def run(start: Start) -> None:
    """Serve until ``start.stopping``."""
    where = start.settings.http.public
    assert where is not None, "processes.py starts it only then"
    gate = await connect(start.database, size=CONNECTIONS)
    try:
        server = HttpServer(PublicPages(gate))
        try:
            await server.listen(where)
        except OSError as fault:
            raise PublicAddressTaken(f"[http] public is {where}, which cannot be used: {fault.strerror}.") from None
        start.ready()
        await start.stopping.wait()
        await server.close()
    finally:
        await gate.close()
