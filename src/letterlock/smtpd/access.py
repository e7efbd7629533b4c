"""Who may relay, to whom, and how much.

Guarantees
    The right to relay comes from the peer's own address or from its verified certificate, never from what it says of
    itself: not from HELO, XFORWARD or a sender address. Everybody else may write to internal domains only.
    A ListenerPolicy is one revision of the settings and does not change; without a fresh one nothing is accepted.

Standards
    RFC 5321 3.6.2 and 7.1 (relaying), 4.5.1 (postmaster), appendix F.6 and RFC 2505 2.1 (no routes in local parts).

Raises
    CommandRefused; PolicyUnavailable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple
from uuid import UUID

from letterlock.errors import LetterlockError, TemporaryError
from letterlock.mail import reply
from letterlock.mail.address import Address
from letterlock.policy.domains import Domain, Domains
from letterlock.policy.effective import of_gateway
from letterlock.policy.settings import limits
from letterlock.policy.settings.mail import POSTMASTER
from letterlock.policy.settings.relay import RELAY_CERTIFICATES, RELAY_NETWORKS, XFORWARD_PEERS
from letterlock.smtp.door import Profile
from letterlock.smtp.syntax import CommandRefused
from letterlock.smtpd.tls import Certificate

MAX_KNOWN_DOMAINS = 10_000
REFRESH_SECONDS = 0.25
STALE_SECONDS = 10.0
"""Settings that could not be confirmed for so long are not used to accept mail."""

_log = logging.getLogger("letterlock.smtpd.access")

Network = IPv4Network | IPv6Network


class PolicyUnavailable(TemporaryError):
    """Not possible now; try again later."""


class Peer(NamedTuple):
    """A client, and what it may. ``address``: its IP address as text."""

    address: str
    relay: bool
    xforward: bool


@dataclass(frozen=True, slots=True)
class ListenerPolicy:
    """One revision of what the server needs to know."""

    revision: int
    domains: Domains
    relay_networks: tuple[Network, ...]
    relay_certificates: frozenset[str]
    xforward_peers: tuple[Network, ...]
    postmaster: str
    organisation: UUID
    profile_for_all: Profile
    lenient_to_ours: bool  # bare CR and LF of peers that may relay are made CRLF
    max_hops: int
    connections: int
    connections_per_client: int
    messages_per_connection: int
    session_seconds: float
    _organisations: dict[str, UUID | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls, revision: int, values: Mapping[str, object], domains: Iterable[tuple[str, bool, UUID]]
    ) -> ListenerPolicy:
        """From the rows of policy.listener. Raises StoredSettingInvalid."""
        rows = [Domain(*row) for row in domains]
        settings = of_gateway(values)
        value = settings.value
        return cls(
            revision=revision,
            domains=Domains(rows),
            relay_networks=value(RELAY_NETWORKS),
            relay_certificates=frozenset(name.lower() for name in value(RELAY_CERTIFICATES)),
            xforward_peers=value(XFORWARD_PEERS),
            postmaster=value(POSTMASTER),
            organisation=rows[0].organisation if rows else UUID(int=0),
            profile_for_all=Profile(
                hostname="",
                max_message_octets=value(limits.MAX_MESSAGE_OCTETS),
                max_recipients=value(limits.MAX_RECIPIENTS),
                max_line_octets=value(limits.SMTPD_LINE_OCTETS),
                max_command_octets=value(limits.SMTPD_COMMAND_OCTETS),
                max_errors=value(limits.SMTPD_ERRORS),
                command_seconds=value(limits.SMTPD_TIMEOUT).total_seconds(),
            ),
            lenient_to_ours=value(limits.BARE_NEWLINE) == "normalise",
            max_hops=value(limits.MAX_HOPS),
            connections=value(limits.SMTPD_CONNECTIONS),
            connections_per_client=value(limits.SMTPD_CONNECTIONS_PER_CLIENT),
            messages_per_connection=value(limits.SMTPD_MESSAGES_PER_CONNECTION),
            session_seconds=value(limits.SMTPD_SESSION_TIME).total_seconds(),
        )

    def peer(self, address: str, certificate: Certificate | None = None) -> Peer:
        """What the client at ``address`` may; ``certificate``: the one it has proved to own."""
        names = certificate.names if certificate else frozenset()
        relay = _is_in(address, self.relay_networks) or not self.relay_certificates.isdisjoint(names)
        return Peer(address, relay, _is_in(address, self.xforward_peers))

    def profile(self, peer: Peer, hostname: str, *, starttls: bool) -> Profile:
        """How the server is towards ``peer``."""
        return replace(
            self.profile_for_all,
            hostname=hostname,
            normalise=peer.relay and self.lenient_to_ours,
            xforward=peer.xforward,
            starttls=starttls,
        )

    def recipient(self, peer: Peer, address: Address | None) -> Address:
        """The recipient to take for ``address``; None: the postmaster. Raises CommandRefused when it may not be."""
        if address is None:
            return Address.parse(self.postmaster)
        if peer.relay:
            return address
        if not self.domains.is_internal(str(address)):
            raise CommandRefused(reply.RELAY_DENIED)
        if any(sign in address.local for sign in "%!@"):  # a route the internal server might follow outwards
            raise CommandRefused(reply.RELAY_DENIED)
        return address

    def organisation_of(self, sender: str, recipient: str) -> UUID:
        """Whose mail it is: the recipient's organisation, else the sender's, else the first one there is."""
        return self._owner(recipient) or self._owner(sender) or self.organisation

    def _owner(self, address: str) -> UUID | None:
        domain = address.rpartition("@")[2]
        try:
            return self._organisations[domain]
        except KeyError:
            if len(self._organisations) >= MAX_KNOWN_DOMAINS:
                self._organisations.clear()
            found = self._organisations[domain] = self.domains.organisation_of(address)
            return found


def _is_in(address: str, networks: Iterable[Network]) -> bool:
    if not networks:
        return False
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


class PolicyKeeper:
    """The current ListenerPolicy, confirmed four times a second."""

    def __init__(self, revision: Callable[[], Awaitable[int]], read: Callable[[], Awaitable[ListenerPolicy]]) -> None:
        """``revision``: policy.revision; ``read``: policy.listener."""
        self._revision = revision
        self._read = read
        self._policy: ListenerPolicy | None = None
        self._confirmed_at = float("-inf")

    def current(self) -> ListenerPolicy:
        """Raises PolicyUnavailable when there is none that was confirmed of late."""
        if self._policy is None or asyncio.get_running_loop().time() - self._confirmed_at > STALE_SECONDS:
            raise PolicyUnavailable(detail="settings not confirmed")
        return self._policy

    async def refresh(self) -> None:
        """Ask once. Raises LetterlockError when it cannot be told."""
        asked_at = asyncio.get_running_loop().time()
        revision = await self._revision()
        if self._policy is None or revision != self._policy.revision:
            self._policy = await self._read()
        self._confirmed_at = asked_at

    async def keep(self) -> None:
        """Refresh for ever."""
        while True:
            try:
                await self.refresh()
            except LetterlockError as error:
                _log.warning("settings not read: %s", error)
            except Exception as error:
                _log.error("settings not read: %s", type(error).__name__)  # its text could hold values
            await asyncio.sleep(REFRESH_SECONDS)
