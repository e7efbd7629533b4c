"""Which addresses may be connected to, and the connecting: a name is resolved once, and what was checked is dialled.

Guarantees
    No connection to this machine, its networks or any address that is not the public Internet's, unless an administrator
    listed it (setting fetch_networks). All addresses of a name are checked, and one that is refused refuses the name.
    Nothing is resolved again between the check and the connection: another answer the second time (DNS rebinding)
    changes nothing. The environment names no proxy.

Standards
    RFC 6890 (special-purpose addresses), RFC 4291 2.5 (IPv4 inside IPv6), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380
    (Teredo).

Raises
    FetchRefused, HostUnreachable.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

from letterlock.config import approved_tls
from letterlock.fetch.errors import FetchRefused, HostUnreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses as text. Raises OSError."""

TOTAL_FOR: Final = 20.0
"""Seconds for one whole fetch, redirects and all."""
CONNECT_FOR: Final = 8.0
"""Seconds for one address."""
MAX_ADDRESSES: Final = 4
"""Addresses of one name that are tried."""
RESOLVERS: Final = 32

# RFC 6890 and the registries it founded, as of 2026; and every form in which an IPv6 address holds an IPv4 one.
NEVER: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "::/3",  # all that is not global unicast: unspecified, loopback, IPv4-compatible, IPv4-mapped, NAT64 ...
        "4000::/2",
        "8000::/1",  # ... unique local, link-local, site-local, multicast
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)

_threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")


async def resolve(host: str) -> Sequence[str]:
    """The addresses of a name by the system's resolver, numbers in any notation too. Raises OSError."""
    loop = asyncio.get_running_loop()
    rows = await loop.run_in_executor(_threads, _addresses, host)
    return list(dict.fromkeys(rows))


def _addresses(host: str) -> list[str]:
    return [str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def is_public(address: Address) -> bool:
    """It belongs to the public Internet."""
    return not any(address.version == each.version and address in each for each in NEVER)


class Reach:
    """What may be reached. ``allowed``: networks an administrator listed though they are not public."""

    def __init__(
        self, allowed: Sequence[Network] = (), look_up: Resolve = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._allowed = tuple(allowed)
        self._look_up = look_up
        self._tls = tls

    def listed(self, address: Address) -> bool:
        """An administrator listed it: it is one of our own."""
        return any(address.version == each.version and address in each for each in self._allowed)

    def check(self, text: str) -> Address:
        """The address in ``text``, when it may be connected to. Raises FetchRefused."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise FetchRefused(detail=f"no address: {text[:60]!r}") from None
        if getattr(address, "scope_id", None) or not (self.listed(address) or is_public(address)):
            raise FetchRefused(detail=f"{address} may not be reached")
        return address

    async def addresses(self, host: str) -> list[Address]:
        """The addresses of a host, all of them checked. Raises FetchRefused, HostUnreachable."""
        try:
            found = await self._look_up(host)
        except (OSError, UnicodeError) as error:
            raise HostUnreachable(detail=f"{host}: {error}") from error
        if not found:
            raise HostUnreachable(detail=f"{host} has no address")
        return [self.check(each) for each in found][:MAX_ADDRESSES]

    @asynccontextmanager
    async def connection(
        self, host: str, port: int, *, tls: bool
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Address]]:
        """A connection to a host, its certificate verified where ``tls``; broken off at the end."""
        reader, writer, address = await self._dial(host, port, await self.addresses(host), tls=tls)
        try:
            yield reader, writer, address
        finally:
            writer.transport.abort()

    async def _dial(
        self, host: str, port: int, addresses: Sequence[Address], *, tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Address]:
        why: Exception | None = None
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_FOR):
                    reader, writer = await asyncio.open_connection(
                        str(address),
                        port,
                        ssl=(self._tls or _client_tls()) if tls else None,
                        server_hostname=host if tls else None,
                        limit=1 << 16,
                    )
            except (OSError, TimeoutError, ValueError) as error:  # ssl.SSLError is an OSError
                why = error
                continue
            return reader, writer, address
        raise HostUnreachable(detail=f"{host}:{port}: {type(why).__name__}: {why}") from why


@asynccontextmanager
async def limited(host: str) -> AsyncIterator[None]:
    """TOTAL_FOR for everything inside; what the network does wrong there is HostUnreachable."""
    try:
        async with asyncio.timeout(TOTAL_FOR):
            yield
    except TimeoutError as error:
        raise HostUnreachable(detail=f"{host}: not done within {TOTAL_FOR:.0f} s") from error
    except (OSError, EOFError) as error:  # EOFError: asyncio.IncompleteReadError
        raise HostUnreachable(detail=f"{host}: {type(error).__name__}") from error


@lru_cache(maxsize=1)
def _client_tls() -> ssl.SSLContext:
    """Made when first needed: the system's anchors take some megabytes."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return approved_tls.restrict(context)
