"""``letterlock setting``: policy settings of the gateway, of organisations, domains and users.

Order
    Without a scope a setting is the gateway's. ``--domain '*.example.org'`` is everything below example.org.
    ``get`` shows the value in force there, with the level and object it comes from; ``set`` and ``unset`` change one
    level.

Guarantees
    A value is checked against the registry before it goes to the database; a bad one gets one sentence. What would make
    an open relay needs --force, and is warned of then too.
    Exit code 1 when there is no such organisation, or nothing to unset.

See also
    ``policy/settings/`` for the registry, docs/reference/settings.md.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.errors import UsageError
from letterlock.policy import calls
from letterlock.policy.effective import EffectiveSettings, of_rows
from letterlock.policy.settings import ALL, find
from letterlock.policy.settings.declare import Level, Setting
from letterlock.policy.settings.kinds import SettingInvalid
from letterlock.policy.settings.relay import RELAY_NETWORKS
from letterlock.policy.settings.texts import Network, check_pattern, domain_pattern, mail_address
from letterlock.policy.settings.triggers import PATTERNS

_WIDEST_4, _WIDEST_6 = 8, 16  # prefix lengths
_NOT_PUBLIC = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fe80::/10"))  # no wide IPv4 network is private


class Scope(NamedTuple):
    """Where a setting is set. ``name`` as the database takes it: '' for the gateway."""

    level: Level
    name: str

    @property
    def address(self) -> str:
        """An address under this scope, to ask for the values in force there. No domain begins with a hyphen."""
        if self.level == "user":
            return self.name
        domain = self.name.replace("*.", "-.", 1) if self.level in ("domain", "wildcard") else ""
        return f"@{domain}" if domain else ""


def add_parser(subparsers: Any) -> None:
    """``setting set``, ``get``, ``unset``, ``list``."""
    parser = subparsers.add_parser("setting", help="policy settings of the gateway, organisations, domains and users")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, line in (
        ("set", "set a setting"),
        ("get", "the value in force and where it comes from"),
        ("unset", "let a setting be inherited again"),
        ("list", "all settings in force and where each comes from"),
    ):
        one = verbs.add_parser(verb, help=line)
        where = one.add_mutually_exclusive_group()
        where.add_argument("--organisation", metavar="O", help="of an organisation, by name or id")
        where.add_argument("--domain", metavar="D", help="of a domain, or of all below it: '*.example.org'")
        where.add_argument("--user", metavar="U", help="of a user, by e-mail address")
        if verb != "list":
            one.add_argument("name", metavar="NAME")
        if verb == "set":
            one.add_argument("value", metavar="VALUE")
            one.add_argument("--force", action="store_true", help="set it even when it makes an open relay")
        if verb == "list":
            one.add_argument("--changed", action="store_true", help="only those that are not the factory's")
        show.add_json(one)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    return await {"set": _set, "get": _get, "unset": _unset, "list": _list}[arguments.verb](arguments, door)


def scope_of(arguments: argparse.Namespace) -> Scope:
    """The scope the options name. Raises UsageError."""
    try:
        if arguments.organisation:
            return Scope("organisation", arguments.organisation)
        if arguments.domain:
            name = domain_pattern(arguments.domain)
            return Scope("wildcard" if name.startswith("*.") else "domain", name)
        if arguments.user:
            return Scope("user", mail_address(arguments.user))
    except ValueError:
        what = "domain" if arguments.domain else "e-mail address"
        raise UsageError(f"{show.safe(arguments.domain or arguments.user)} is not a valid {what}.") from None
    return Scope("gateway", "")


async def _set(arguments: argparse.Namespace, door: Door) -> int:
    setting, scope = find(arguments.name), scope_of(arguments)
    if scope.level not in setting.levels:
        raise UsageError(f"{setting.name} can be set at these levels only: {', '.join(setting.levels)}.")
    value = setting.parse(arguments.value)
    await _check_pattern(setting, value, scope, door)
    stored = setting.kind.store(value)
    if setting.name == RELAY_NETWORKS.name:
        _check_relay(RELAY_NETWORKS.kind.check(stored), force=arguments.force)
    answer = await calls.set(
        door.gate, token=door.token, level=scope.level, scope=scope.name, name=setting.name, value=stored
    )
    told = {"name": setting.name, "level": scope.level, "scope": scope.name, "value": stored, "answer": answer}
    return _answer(told, f"{setting.name} = {setting.kind.show(value)}", arguments.json)


async def _check_pattern(setting: Setting[Any], value: object, scope: Scope, door: Door) -> None:
    """A keyword and the switch that makes it a pattern are two settings: refuse what would not be a pattern
    together."""
    for keyword, switch in PATTERNS:
        if setting.name not in (keyword.name, switch.name):
            continue
        known = await _settings_at(scope, door)
        text = value if setting.name == keyword.name else known.value(keyword)
        is_regex = value if setting.name == switch.name else known.value(switch)
        try:
            if is_regex:
                check_pattern(str(text))
        except ValueError as error:
            raise SettingInvalid(f"{keyword.name} ({text}) cannot be used as a regular expression: {error}.") from None


def _check_relay(networks: tuple[Network, ...], *, force: bool) -> None:
    """Warn of networks so wide that strangers are in them. Raises UsageError without --force."""
    four = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network))
    wide = [str(each) for each in four if each.prefixlen < _WIDEST_4]
    wide += [
        str(each)
        for each in six
        if each.prefixlen < _WIDEST_6 and not any(each.subnet_of(private) for private in _NOT_PUBLIC)
    ]
    if not wide:
        return
    sentence = f"{', '.join(wide)} in relay_networks makes an open relay: strangers could send to anybody through you"
    if not force:
        raise UsageError(f"{sentence}. Name your own networks only, or say --force.")
    print(f"letterlock: Warning: {sentence}.", file=sys.stderr)


async def _unset(arguments: argparse.Namespace, door: Door) -> int:
    scope = scope_of(arguments)
    name = arguments.name  # a name of an earlier version can be unset too
    answer = await calls.unset(door.gate, token=door.token, level=scope.level, scope=scope.name, name=name)
    told = {"name": name, "level": scope.level, "scope": scope.name, "answer": answer}
    return _answer(told, f"{name} is inherited again", arguments.json)


def _answer(told: dict[str, object], done: str, as_json: bool) -> int:
    """Say what the database answered; the exit code."""
    if as_json:
        show.print_json(told)
    elif told["answer"] == "done":
        where = f"{told['level']} {told['scope']}".strip()
        print(f"{show.safe(done)} ({show.safe(where)}).")
    elif told["level"] == "organisation":
        print("There is no such organisation, or nothing was set for it.")
    else:
        print("Nothing was set there.")
    return 0 if told["answer"] == "done" else 1


async def _settings_at(scope: Scope, door: Door) -> EffectiveSettings:
    """The values in force at a scope."""
    if scope.level == "organisation":
        rows = await calls.list(door.gate, token=door.token, level=scope.level, scope=scope.name)
        gateway = await calls.explain(door.gate, token=door.token, addresses=[""])
        own = [calls.EffectiveValue("", row.name, row.value, row.level, row.scope) for row in rows]
        names = {row.name for row in own}
        return of_rows([""], [*(row for row in gateway if row.name not in names), *own])[""]
    rows_at = await calls.explain(door.gate, token=door.token, addresses=[scope.address])
    return of_rows([scope.address], rows_at)[scope.address]


def _row(setting: Setting[Any], known: EffectiveSettings) -> dict[str, object]:
    """One setting in force as JSON has it."""
    found = known.effective(setting)
    return {
        "name": setting.name,
        "value": setting.kind.store(found.value),
        "level": found.level,
        "origin": found.origin,
        "shown": setting.kind.show(found.value),
    }


async def _get(arguments: argparse.Namespace, door: Door) -> int:
    setting = find(arguments.name)
    row = _row(setting, await _settings_at(scope_of(arguments), door))
    if arguments.json:
        show.print_json({key: value for key, value in row.items() if key != "shown"})
    else:
        print(f"{show.safe(row['shown'])} ({show.safe(_where(row))})")
    return 0


async def _list(arguments: argparse.Namespace, door: Door) -> int:
    known = await _settings_at(scope_of(arguments), door)
    rows: Iterable[dict[str, object]] = [_row(setting, known) for setting in ALL.values()]
    if arguments.changed:
        rows = [row for row in rows if row["level"] != "factory"]
    if arguments.json:
        show.print_json([{key: value for key, value in row.items() if key != "shown"} for row in rows])
        return 0
    show.print_table(
        ("NAME", "VALUE", "FROM"),
        [(row["name"], row["shown"], _where(row)) for row in rows],
        empty="Every setting is the factory's.",
    )
    return 0


def _where(row: dict[str, object]) -> str:
    return f"{row['level']} {row['origin']}".strip()
