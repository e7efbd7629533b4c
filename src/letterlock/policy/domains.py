"""Which domains are ours, whose they are, and the next hop of a recipient.

Order
    The transport map (exact domain, then the nearest *.domain), then the direction's smarthost, then MX.

Standards
    RFC 5321 5.1 (locating the target host).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar
from uuid import UUID

from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings import relay
from letterlock.policy.settings.declare import Effective
from letterlock.policy.settings.mail import LOCALITY

T = TypeVar("T")


class Domain(NamedTuple):
    """One domain of the installation; ``name`` may be ``*.example.org``. ``internal``: we are its exchanger."""

    name: str
    internal: bool
    organisation: UUID


class Route(NamedTuple):
    """Where a recipient's delivery goes.

    ``domain``: what the delivery waits and backs off for: the recipient's domain, or the next hop when one is set.
    ``next_hop``: empty: the mail exchangers of ``domain``.
    """

    domain: str
    next_hop: str


def names_above(domain: str) -> Iterator[str]:
    """``domain`` itself, then ``*.`` with each parent, nearest first."""
    yield domain
    parent = domain
    while "." in parent:
        parent = parent.partition(".")[2]
        yield f"*.{parent}"


def nearest(domain: str, known: Mapping[str, T]) -> T | None:
    """What is known of the domain or of the nearest wildcard above it."""
    for name in names_above(domain):
        if name in known:
            return known[name]
    return None


class Domains:
    """The domains of policy.domains (or policy.listener), looked up by address."""

    def __init__(self, rows: Iterable[tuple[str, bool, UUID]]) -> None:
        self._known = {row[0]: Domain(*row) for row in rows}

    def find(self, address: str) -> Domain | None:
        """The domain object an address falls under; None: it is not one of ours."""
        return nearest(address.rpartition("@")[2].lower(), self._known)

    def is_internal(self, address: str) -> bool:
        """Whether we take mail for the address from anybody."""
        found = self.find(address)
        return found is not None and found.internal

    def organisation_of(self, address: str) -> UUID | None:
        """Who owns the address's domain; None: nobody here."""
        found = self.find(address)
        return None if found is None else found.organisation


def locality(address: str, settings: EffectiveSettings, domains: Domains) -> Effective[str]:
    """Whether an address is internal or external, and who says so.

    The setting of the user or domain; without one the domain object says it (``domain add --internal``); an address of
    no domain of ours has the setting's wider value, which is ``external`` unless somebody changed it.
    """
    found = settings.effective(LOCALITY)
    known = domains.find(address)
    if known is None or found.level in ("domain", "user"):
        return found
    return Effective("internal" if known.internal else "external", "domain", known.name)


@lru_cache(maxsize=8)
def _transport(routes: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return dict(routes)


def route(
    address: str, direction: Literal["outgoing", "incoming"], sender: EffectiveSettings, recipient: EffectiveSettings
) -> Route:
    """The route of one recipient."""
    domain = address.rpartition("@")[2].lower()
    hop = nearest(domain, _transport(recipient.value(relay.TRANSPORT)))
    if hop is None:
        outgoing = direction == "outgoing"
        hop = sender.value(relay.NEXT_HOP_OUTGOING) if outgoing else recipient.value(relay.NEXT_HOP_INCOMING)
    return Route(hop or domain, hop)
