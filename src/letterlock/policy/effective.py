"""The settings in force at one address, and at a pair of sender and recipient.

Guarantees
    Pure: rows in, values out. A setting without a row has its factory default, and every value knows its level and
    origin. A stored value that no longer fits its setting is refused (fail closed), never replaced by a default.

Raises
    StoredSettingInvalid (temporary: mail waits until an administrator has put it right).

See also
    ``settings/declare.py`` for combiners; ``resolve.py`` for reading and caching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar, cast

from letterlock.errors import SystemFailure
from letterlock.policy.settings import ALL
from letterlock.policy.settings.declare import LEVELS, Effective, Setting, Which
from letterlock.policy.settings.kinds import SettingInvalid

T = TypeVar("T")


class StoredSettingInvalid(SystemFailure):
    """A stored setting is not valid; its administrator has been told why."""


class Row(Protocol):
    """One row of policy.settings_for: the effective value of a setting at an address where it is not the factory's."""

    @property
    def address(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> object: ...
    @property
    def level(self) -> str: ...
    @property
    def origin(self) -> str: ...


class Combined(NamedTuple, Generic[T]):
    """A setting's value between a sender and a recipient. ``side``: whose value it is; ``source``: that value's
    level."""

    value: T
    side: Which
    source: Effective[T]


_FACTORY: dict[str, Effective[object]] = {name: Effective(setting.default) for name, setting in ALL.items()}


class EffectiveSettings:
    """The settings at one address. Immutable."""

    __slots__ = ("_derived", "_set", "address")

    def __init__(self, address: str, found: Mapping[str, Effective[object]]) -> None:
        self.address = address
        self._set = dict(found)
        self._derived: dict[object, object] = {}

    def value(self, setting: Setting[T]) -> T:
        """The value in force."""
        return self.effective(setting).value

    def effective(self, setting: Setting[T]) -> Effective[T]:
        """The value in force with its level and origin."""
        found = self._set.get(setting.name)
        return cast("Effective[T]", _FACTORY[setting.name] if found is None else found)

    def named(self, name: str) -> Effective[object]:
        """The same by name. Raises KeyError for a name that is no setting."""
        return self._set.get(name) or _FACTORY[name]

    def derived(self, make: Callable[[EffectiveSettings], T]) -> T:
        """What ``make`` makes of these settings; made once and kept with them. ``make``: a module's function."""
        found = self._derived.get(make)
        if found is None:
            found = self._derived[make] = make(self)
        return cast("T", found)

    def changed(self) -> Mapping[str, Effective[object]]:
        """The settings that are not the factory's."""
        return dict(self._set)


FACTORY = EffectiveSettings("", {})


def read(name: str, value: object, level: str, origin: str) -> Effective[object] | None:
    """One stored value; None for a setting this version does not know. Raises StoredSettingInvalid."""
    setting = ALL.get(name)
    if setting is None:
        return None
    if level not in LEVELS:
        raise StoredSettingInvalid(detail=f"setting {name} has the unknown level {level}")
    try:
        return Effective(setting.check(value), level, origin)
    except SettingInvalid as error:
        raise StoredSettingInvalid(detail=f"at {level} {origin}: {error.public}") from error


def of_rows(addresses: Iterable[str], rows: Iterable[Row]) -> dict[str, EffectiveSettings]:
    """The settings of each address. Rows of other addresses are ignored. Raises StoredSettingInvalid."""
    found: dict[str, dict[str, Effective[object]]] = {address: {} for address in addresses}
    for row in rows:
        at = found.get(row.address)
        value = read(row.name, row.value, row.level, row.origin) if at is not None else None
        if at is not None and value is not None:
            at[row.name] = value
    return {address: EffectiveSettings(address, values) for address, values in found.items()}


def of_gateway(values: Mapping[str, object]) -> EffectiveSettings:
    """The gateway's own settings from name → JSON value (policy.listener). Raises StoredSettingInvalid."""
    found = {name: read(name, value, "gateway", "") for name, value in values.items()}
    return EffectiveSettings("", {name: value for name, value in found.items() if value is not None})


def combine(setting: Setting[T], sender: EffectiveSettings, recipient: EffectiveSettings) -> Combined[T]:
    """The value that holds between the two, by the setting's side and combiner."""
    if setting.side == "recipient":
        source = recipient.effective(setting)
        return Combined(source.value, "recipient", source)
    if setting.combiner is None:
        source = sender.effective(setting)
        return Combined(source.value, "sender", source)
    theirs, ours = sender.effective(setting), recipient.effective(setting)
    value, side = setting.combiner.choose(theirs, ours)
    return Combined(value, side, ours if side == "recipient" else theirs)
