"""The SMTP station: bind, limit, hand each connection a session.

Order
    Database, settings, a sealing session, then the sockets, then ready. At the end: no new connections, open
    transactions are finished (DRAIN_SECONDS at most), everybody else hears 421.

Guarantees
    Each process binds its own sockets with SO_REUSEPORT, so that any number of them share the ports; that no other
    gateway has them is looked at before (``supervise/place.py``). TCP_NODELAY is on:
    an answer never waits for the peer's acknowledgement.

See also
    ``session.py`` (one connection), ``config/start.py``, ``processes.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from letterlock.config.settings import Listen
from letterlock.config.start import Start
from letterlock.database.connect import Gate, connect
from letterlock.database.errors import DatabaseBusy, DatabaseUnavailable
from letterlock.errors import LetterlockError
from letterlock.mail import limits, reply
from letterlock.mail.reply import Reply
from letterlock.policy import calls as policy_calls
from letterlock.queue import calls as queue_calls
from letterlock.queue.accept import Acceptor
from letterlock.smtpd.access import ListenerPolicy, PolicyKeeper
from letterlock.smtpd.intake import Desk
from letterlock.smtpd.session import Connection
from letterlock.smtpd.tls import ServerTls
from letterlock.vault.opening import KeyholderClient
from letterlock.vault.sealing import Sealer
from letterlock.vault.segments import FileSegmentStore

DRAIN_SECONDS = 25.0
RETRY_SECONDS = 0.2
SOCKET = "key.sock"
"""The keyholder's, in ``Start.run``."""

BACKLOG = 512

_log = logging.getLogger("letterlock.smtpd")


class Listener:
    """The listening sockets of this process and the connections that came by them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.connections: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._clock: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def open(self, addresses: Iterable[Listen], *, implicit_tls: bool = False) -> list[Listen]:
        """Listen; returns the addresses bound. Raises OSError."""
        loop = asyncio.get_running_loop()
        bound = []
        for sock in [sock for address in addresses for sock in listening_sockets(address)]:
            bound.append(Listen(*sock.getsockname()[:2]))
            if implicit_tls:
                self._accepting.append(loop.create_task(self._accept(sock)))
            else:
                self._servers.append(await loop.create_server(partial(Connection, self), sock=sock))
        if self._clock is None:
            self._clock = loop.create_task(self._look())
        return bound

    def admit(self, connection: Connection, policy: ListenerPolicy) -> Reply | None:
        """Count a new connection; or the refusal when there are too many."""
        address = connection.address
        if (
            len(self.connections) >= policy.connections
            or self._by_address[address] >= policy.connections_per_client
        ):  # fmt: skip
            _log.warning("too many connections, %d of them from %s", len(self.connections), address)
            return reply.TOO_MANY_CONNECTIONS
        self.connections.add(connection)
        self._empty.clear()
        self._by_address[address] += 1
        self.desk.meter("letterlock_connections_total", 1, {})
        self.desk.meter("letterlock_connections", 1, {})
        return None

    def forget(self, connection: Connection) -> None:
        """The connection has ended; a second time nothing happens."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self.desk.meter("letterlock_connections", -1, {})
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]
        if not self.connections:
            self._empty.set()

    async def close(self, within: float = DRAIN_SECONDS) -> None:
        """Stop listening, let transactions end for ``within`` seconds, cut what is left."""
        for server in self._servers:
            server.close()
        for task in self._accepting:
            task.cancel()
        for connection in list(self.connections):
            connection.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), within)
        await self.desk.acceptor.finish()
        for connection in list(self.connections):
            connection.abort()
        if self._clock is not None:
            self._clock.cancel()

    async def _accept(self, sock: socket.socket) -> None:
        """Accept for implicit TLS: a client is counted before its handshake, and each handshake has the newest
        certificate."""
        loop = asyncio.get_running_loop()
        with sock:
            while True:
                try:
                    client, address = await loop.sock_accept(sock)
                except OSError as error:  # out of descriptors, or the client has gone again
                    _log.warning("not accepted: %s", error.strerror)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                self.desk.spawn(loop.create_task(self._shake_hands(client, str(address[0]))))

    async def _shake_hands(self, client: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self, admitted=address)
        context = self.desk.tls.context(loop.time())
        try:
            if context is None or self.admit(connection, self.desk.policy.current()) is not None:
                client.close()
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: connection, client, ssl=context, ssl_handshake_timeout=limits.HANDSHAKE_SECONDS
            )
        except (OSError, LetterlockError) as error:
            _log.info("no TLS with %s: %s", address, getattr(error, "reason", None) or type(error).__name__)
            self.forget(connection)
            client.close()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            now = loop.time()
            for connection in list(self.connections):
                connection.look(now)


def listening_sockets(address: Listen) -> list[socket.socket]:
    """Bound sockets; "*" takes IPv4 and, where there is any, IPv6; port 0 a free port. Raises OSError."""
    if address.host != "*":
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return [_listening_socket(family, address.host, address.port)]
    found = [_listening_socket(socket.AF_INET, "0.0.0.0", address.port)]  # noqa: S104 - asked for
    if socket.has_ipv6:
        with contextlib.suppress(OSError):  # a kernel without it
            found.append(_listening_socket(socket.AF_INET6, "::", address.port))
    return found


def _listening_socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    # IPPROTO_TCP spelt out: asyncio sets TCP_NODELAY only on sockets that say it
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


async def read_policy(gate: Gate) -> ListenerPolicy:
    """policy.listener as a ListenerPolicy."""
    row = await policy_calls.listener(gate)
    return ListenerPolicy.of(row.revision, row.settings, row.domains)


async def run(start: Start) -> None:
    """Serve until ``start.stopping`` is set, then drain. Raises CertificateUnusable, OSError."""
    settings = start.settings.smtp
    tls = ServerTls(settings.certificate, settings.key, settings.client_ca)
    tls.load()
    gate = await connect(start.database)
    keyholder = KeyholderClient(start.run / SOCKET, start.key_token)
    sealer = Sealer()
    policy = PolicyKeeper(partial(policy_calls.revision, gate), partial(read_policy, gate))
    acceptor = Acceptor(partial(queue_calls.accept, gate), away=(DatabaseUnavailable, DatabaseBusy))
    store = FileSegmentStore(start.state / "segments")
    hostname = start.hostname
    listener = Listener(Desk(hostname, policy, sealer, store, acceptor, tls, start.meter))
    work: list[asyncio.Task[None]] = []
    try:
        # A server that could only say 451 is not ready.
        await _until_done(policy.refresh, start.stopping)
        await _until_done(partial(_first_session, sealer, keyholder), start.stopping)
        create_task = asyncio.get_running_loop().create_task
        work += [create_task(policy.keep()), create_task(sealer.keep(keyholder))]
        await listener.open(settings.listen)
        await listener.open(settings.tls_listen, implicit_tls=True)
        await listener.open(start.settings.reinject.listen)
        start.ready()
        await start.stopping.wait()
    finally:
        await listener.close()
        for task in work:
            task.cancel()
        keyholder.close()
        await gate.close()


async def _first_session(sealer: Sealer, keyholder: KeyholderClient) -> None:
    await sealer.renew(keyholder)
    sealer.session()


async def _until_done(step: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    """Try ``step`` until it succeeds, or the station is stopped."""
    while not stopping.is_set():
        try:
            await step()
        except LetterlockError as error:
            _log.warning("not ready: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), RETRY_SECONDS)
        else:
            return
