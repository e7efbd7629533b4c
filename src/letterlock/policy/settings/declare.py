"""What a setting is: its name, type, default, levels, side and, where two sides have a say, how they are combined.

Guarantees
    A setting is declared once, in a module beside this one; forms, the CLI, the reference page and inheritance are made
    from that declaration and never coded by hand.

Order
    factory < gateway < organisation < wildcard (most specific wins) < domain < user.

See also
    ``kinds.py`` for the types, ``../effective.py`` for a setting's value at an address, ``../resolve.py`` for reading
    them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from letterlock.policy.settings.kinds import Kind

T = TypeVar("T")

Level = Literal["factory", "gateway", "organisation", "wildcard", "domain", "user"]
LEVELS: tuple[Level, ...] = ("factory", "gateway", "organisation", "wildcard", "domain", "user")

Side = Literal["gateway", "sender", "recipient", "both"]
"""Whose value counts: the installation's own, the sender's, the recipient's, or both combined."""

Which = Literal["sender", "recipient", "both"]

GATEWAY: tuple[Level, ...] = ("gateway",)
DOMAINS: tuple[Level, ...] = ("gateway", "organisation", "wildcard", "domain")
EVERYWHERE: tuple[Level, ...] = ("gateway", "organisation", "wildcard", "domain", "user")


@dataclass(frozen=True, slots=True)
class Effective(Generic[T]):
    """A value in force at an address. ``origin``: the object it was set on (an organisation, domain or address)."""

    value: T
    level: Level = "factory"
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Combiner(Generic[T]):
    """How a sender's and a recipient's value become one. ``choose`` returns the value and whose it is."""

    name: str
    doc: str
    choose: Callable[[Effective[T], Effective[T]], tuple[T, Which]]


@dataclass(frozen=True, slots=True, eq=False)
class Setting(Generic[T]):
    """One declared setting. ``doc``: one line in the present tense, shown in forms and on the reference page."""

    name: str
    kind: Kind[T]
    default: T
    doc: str
    levels: tuple[Level, ...] = EVERYWHERE
    side: Side = "gateway"
    combiner: Combiner[T] | None = None
    group: str = ""

    def __post_init__(self) -> None:
        if (self.side == "both") != (self.combiner is not None):
            raise TypeError(f"{self.name}: a combiner belongs to side 'both' and to nothing else")
        if self.side == "gateway" and self.levels != GATEWAY:
            raise TypeError(f"{self.name}: a setting of the gateway has no other level")

    def check(self, value: object) -> T:
        """The Python value of a stored JSON ``value``. Raises SettingInvalid with one sentence naming the setting."""
        return self.kind.check(value, self.name)

    def parse(self, text: str) -> T:
        """The Python value of what a person typed. Raises SettingInvalid."""
        return self.kind.check(self.kind.parse(text, self.name), self.name)


def _told(s: bool, r: bool) -> Which:
    return "both" if s == r else "sender" if s else "recipient"


def strictest(*order: str) -> Combiner[str]:
    """The value that comes later in ``order`` wins."""

    def choose(sender: Effective[str], recipient: Effective[str]) -> tuple[str, Which]:
        s, r = order.index(sender.value), order.index(recipient.value)
        return order[max(s, r)], _told(s >= r, r >= s)

    return Combiner("strictest", f"the stricter of both, in the order {' < '.join(order)}", choose)


def _all(sender: Effective[bool], recipient: Effective[bool]) -> tuple[bool, Which]:
    return sender.value and recipient.value, _told(not sender.value, not recipient.value)


def _any(sender: Effective[bool], recipient: Effective[bool]) -> tuple[bool, Which]:
    return sender.value or recipient.value, _told(sender.value, recipient.value)


def _smallest(sender: Effective[int], recipient: Effective[int]) -> tuple[int, Which]:
    return min(sender.value, recipient.value), _told(sender.value <= recipient.value, recipient.value <= sender.value)


def _union(sender: Effective[tuple[str, ...]], recipient: Effective[tuple[str, ...]]) -> tuple[tuple[str, ...], Which]:
    return tuple(dict.fromkeys((*sender.value, *recipient.value))), _told(bool(sender.value), bool(recipient.value))


def _recipient_first(sender: Effective[str], recipient: Effective[str]) -> tuple[str, Which]:
    if recipient.level != "factory":
        return recipient.value, "recipient"
    return sender.value, "sender"


ALL_OF: Combiner[bool] = Combiner("and", "yes only when both say yes", _all)
ANY_OF: Combiner[bool] = Combiner("or", "yes when either says yes", _any)
SMALLEST: Combiner[int] = Combiner("smallest", "the smaller of both", _smallest)
UNION: Combiner[tuple[str, ...]] = Combiner("union", "all of both", _union)
RECIPIENT_FIRST: Combiner[str] = Combiner(
    "recipient first", "the recipient's when set, else the sender's", _recipient_first
)


def registry(groups: Sequence[tuple[str, object]]) -> dict[str, Setting[object]]:
    """All settings found in the given (title, module) pairs, by name. Raises TypeError for a name declared twice."""
    found: dict[str, Setting[object]] = {}
    for title, module in groups:
        for setting in vars(module).values():
            if not isinstance(setting, Setting):
                continue
            if setting.name in found:
                raise TypeError(f"{setting.name} is declared twice")
            object.__setattr__(setting, "group", title)
            found[setting.name] = setting
    return found
