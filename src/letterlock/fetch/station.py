"""The fetch station: take what is wanted, fetch, store; for ever. It opens mail for nobody and holds no key.

Order
    What is due is taken as room allows: IN_HAND certificates of addresses at a time and as many of all else, PER_HOST of
    one server; each is fetched and answered by itself. Settings are looked at each REFRESH seconds and before anything
    is fetched under a newer revision; CRLs past their nextUpdate each LOOK_AFTER.

Guarantees
    What cannot be fetched is answered and tried again by its own back-off; it stops nothing else. A crash loses
    nothing: leases end. When the station stops, what is in hand is dropped and taken again later.

See also
    ``wanted.py`` (one thing), ``acme.py`` (what is said to an ACME server),
    ``reach.py`` (what may be connected to), ``pki/wanted.py`` (who asks).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import tomllib
from datetime import timedelta
from pathlib import Path
from weakref import WeakValueDictionary

from letterlock.config.start import Start
from letterlock.database.connect import Gate, connect
from letterlock.errors import LetterlockError, UsageError
from letterlock.fetch.acme import Exchanges
from letterlock.fetch.ldap import Secret
from letterlock.fetch.reach import Network, Reach
from letterlock.fetch.wanted import Fetcher, Means
from letterlock.pki import calls, url
from letterlock.policy import calls as policy
from letterlock.policy.effective import of_gateway
from letterlock.policy.settings import authority, fetching
from letterlock.telemetry.events import emit

IN_HAND = 16
PER_HOST = 4
LEASE_FOR = timedelta(minutes=2)  # longer than any fetch takes
IDLE = 0.15  # seconds between two looks
REFRESH = 2.0  # seconds
LOOK_AFTER = 30.0  # seconds
SAY_AGAIN = 3600.0  # seconds after which a stale CRL is named again
TROUBLE = 1.0  # seconds that a database fault is waited out

_log = logging.getLogger("letterlock.fetch")


class Desk:
    """One fetch process."""

    def __init__(self, start: Start, gate: Gate, secrets: dict[str, Secret]) -> None:
        self._start = start
        self._gate = gate
        self._secrets = secrets
        self._fetcher = Fetcher(gate, start.meter, Means())
        self._exchanges = Exchanges(gate)
        self._in_hand: tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]] = (set(), set())  # [1]: of addresses
        self._at: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # servers of what is in hand
        self._revision = -1
        self._refresh_at = self._look_at = 0.0
        self._stale: dict[str, float] = {}  # URL to when it was last said

    async def refresh(self) -> None:
        """Read our settings when they have changed. Raises what the database raises, StoredSettingInvalid."""
        found = await policy.fetcher(self._gate)
        if found.revision == self._revision:
            return
        value = of_gateway(found.settings).value
        allowed: tuple[Network, ...] = value(fetching.FETCH_NETWORKS)
        self._fetcher.means = Means(
            reach=Reach(allowed),
            directories=[url.parse(each) for each in value(fetching.CERTIFICATE_DIRECTORIES)],
            secrets=self._secrets,
            resolver=value(fetching.DNSSEC_RESOLVER),
            crl_interval=value(fetching.CRL_INTERVAL),
        )
        self._exchanges.reach, self._exchanges.directory = self._fetcher.means.reach, value(authority.ACME_DIRECTORY)
        self._revision = found.revision

    async def work(self) -> None:
        """Until the station stops."""
        while not self._start.stopping.is_set():
            try:
                took = await self._look()
            except LetterlockError as error:
                _log.warning("nothing can be taken: %s", error)
                await self._pause(TROUBLE)
                continue
            if not took:
                await self._pause(IDLE)
        left = self._in_hand[0] | self._in_hand[1] | self._exchanges.in_hand
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._start.stopping.wait(), seconds)

    async def _look(self) -> bool:
        """Settings, stale CRLs, and what is due; whether there was anything."""
        now = time.monotonic()
        if now >= self._refresh_at:
            await self.refresh()
            self._refresh_at = now + REFRESH
        if now >= self._look_at:
            await self.look_for_stale()
            self._look_at = now + LOOK_AFTER
        talked = await self._exchanges.take(now, self.refresh)
        return any([talked, *[await self._take(of_address=each) for each in (False, True)]])

    async def _take(self, *, of_address: bool) -> bool:
        """Begin what is due, as room allows; whether there was anything."""
        in_hand = self._in_hand[of_address]
        if len(in_hand) >= IN_HAND:
            return False
        room = IN_HAND - len(in_hand)
        taken = await calls.take_wanted(self._gate, max=room, of_address=of_address, lease_for=LEASE_FOR)
        if taken and taken[0].revision > self._revision:
            await self.refresh()  # nothing is fetched, or not found, by settings of yesterday
        for each in taken:
            task = asyncio.create_task(self._one(each))
            in_hand.add(task)
            task.add_done_callback(in_hand.discard)
        return bool(taken)

    async def _one(self, taken: calls.Taken) -> None:
        many = PER_HOST if taken.host else IN_HAND
        host = self._at.get(taken.host) or self._at.setdefault(taken.host, asyncio.Semaphore(many))
        try:
            async with host:
                await self._fetcher.answer(taken)
        except LetterlockError as error:
            _log.warning("an answer was not stored: %s", error)  # the lease ends, and it is fetched again
        except Exception:
            _log.exception("fetching failed: internal fault")

    async def look_for_stale(self) -> None:
        """Count the CRLs in use that are over, and say each of them once an hour."""
        rows = await calls.stale_crls(self._gate)
        self._start.meter("letterlock_crls_stale", len(rows) - len(self._stale), {})
        now = time.monotonic()
        said = {row.url: self._stale.get(row.url, now - SAY_AGAIN) for row in rows}
        for row in rows:
            if now - said[row.url] >= SAY_AGAIN:
                emit.crl_stale(domain=row.host, seconds=time.time() - row.next_update.timestamp())
                said[row.url] = now
        self._stale = said


def read_passwords(path: str, state: Path) -> dict[str, Secret]:
    """Names and passwords for directories, by host:port. Raises UsageError when the file cannot be used."""
    if not path:
        return {}
    file = state / path
    try:
        if file.stat().st_mode & 0o077:
            raise UsageError(f"The file {path} of [fetch] passwords may be read by others; make it mode 0600.")
        rows = tomllib.loads(file.read_text(encoding="utf-8"))
        return {where.lower(): Secret(str(row["dn"]), str(row["password"])) for where, row in rows.items()}
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f'The file {path} of [fetch] passwords cannot be read; it has ["host:port"] sections with dn and password.',
            detail=type(error).__name__,
        ) from error


async def run(start: Start) -> None:
    """Fetch until ``start.stopping`` is set."""
    secrets = read_passwords(start.settings.fetch.passwords, start.state)
    gate = await connect(start.database)
    try:
        desk = Desk(start, gate, secrets)
        await desk.refresh()
        start.ready()
        await desk.work()
    finally:
        await gate.close()
