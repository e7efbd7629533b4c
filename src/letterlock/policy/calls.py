"""The policy.* database functions, one Python function each: same names, same arguments.

Guarantees
    What each promises, locks and raises stands at the head of its file under ``database/sql/functions/policy``.

Raises
    DatabaseUnavailable; Denied by those with a token. See ``database/errors.py``.
"""

# ruff: noqa: A001 - functions and arguments have the names they have in SQL
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from letterlock.database.gate import Gate


class Domain(NamedTuple):
    """A domain we know; ``internal``: its mail is delivered to us."""

    name: str
    internal: bool
    organisation: UUID


class Listener(NamedTuple):
    """What the SMTP server must know. ``settings``: name to value, those set at gateway level."""

    revision: int
    settings: dict[str, Any]
    domains: list[Domain]


class Fetcher(NamedTuple):
    """What the fetch station must know. ``settings``: name to value, those set at gateway level."""

    revision: int
    settings: dict[str, Any]


class EffectiveValue(NamedTuple):
    """The value that wins for an address and a setting. ``origin``: the scope it was set for; '' the gateway."""

    address: str
    name: str
    value: Any
    level: str
    origin: str


class SetValue(NamedTuple):
    """A setting that is set, at its level."""

    level: str
    scope: str
    name: str
    value: Any
    set_by: str
    set_at: datetime


class ListedDomain(NamedTuple):
    """A domain we know, with who made it known."""

    name: str
    internal: bool
    organisation: UUID
    organisation_name: str
    added_by: str
    added_at: datetime


class Organisation(NamedTuple):
    """Who owns domains and settings."""

    id: UUID
    name: str


async def listener(gate: Gate) -> Listener:
    """Settings and domains for the SMTP server."""
    revision, settings, names, internal, organisations = (await gate.call("policy.listener"))[0]
    return Listener(revision, settings, [Domain._make(row) for row in zip(names, internal, organisations, strict=True)])


async def fetcher(gate: Gate) -> Fetcher:
    """Settings for the fetch station."""
    return Fetcher._make((await gate.call("policy.fetcher"))[0])


async def settings_for(gate: Gate, *, addresses: Sequence[str]) -> Sequence[EffectiveValue]:
    """The effective values of each address that are not the factory's."""
    return [EffectiveValue._make(row) for row in await gate.call("policy.settings_for", addresses=addresses)]


async def domains(gate: Gate) -> Sequence[Domain]:
    """The domains we know."""
    return [Domain._make(row) for row in await gate.call("policy.domains")]


async def revision(gate: Gate) -> int:
    """Grows with every change of settings, domains, certificates and anchors."""
    return int((await gate.call("policy.revision"))[0][0])


async def explain(gate: Gate, *, token: bytes, addresses: Sequence[str]) -> Sequence[EffectiveValue]:
    """As settings_for, for a person. Raises Denied."""
    return [EffectiveValue._make(row) for row in await gate.call("policy.explain", token=token, addresses=addresses)]


async def set(gate: Gate, *, token: bytes, level: str, scope: str, name: str, value: Any) -> str:
    """Set a setting: 'done' or 'not-found' (the scope). Raises Denied."""
    rows = await gate.call("policy.set", token=token, level=level, scope=scope, name=name, value=value)
    return str(rows[0][0])


async def unset(gate: Gate, *, token: bytes, level: str, scope: str, name: str) -> str:
    """Let a setting be inherited again: 'done' or 'not-found'. Raises Denied."""
    return str((await gate.call("policy.unset", token=token, level=level, scope=scope, name=name))[0][0])


async def list(gate: Gate, *, token: bytes, level: str | None, scope: str | None) -> Sequence[SetValue]:
    """What is set, at one level and scope or all. Raises Denied."""
    return [SetValue._make(row) for row in await gate.call("policy.list", token=token, level=level, scope=scope)]


async def add_domain(gate: Gate, *, token: bytes, name: str, internal: bool, organisation: UUID | None) -> str:
    """Make a domain known or change it: 'done', 'already' or 'not-found' (the organisation). Raises Denied."""
    rows = await gate.call("policy.add_domain", token=token, name=name, internal=internal, organisation=organisation)
    return str(rows[0][0])


async def remove_domain(gate: Gate, *, token: bytes, name: str) -> str:
    """Forget a domain: 'done' or 'not-found'. Raises Denied."""
    return str((await gate.call("policy.remove_domain", token=token, name=name))[0][0])


async def domains_list(gate: Gate, *, token: bytes) -> Sequence[ListedDomain]:
    """The domains we know, for a person. Raises Denied."""
    return [ListedDomain._make(row) for row in await gate.call("policy.domains_list", token=token)]


async def organisations(gate: Gate, *, token: bytes) -> Sequence[Organisation]:
    """The organisations; the first is named default. Raises Denied."""
    return [Organisation._make(row) for row in await gate.call("policy.organisations", token=token)]
