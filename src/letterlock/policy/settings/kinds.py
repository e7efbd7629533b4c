"""The types a setting may have: how a value is checked, read from text, stored as JSON and described.

Guarantees
    ``check(store(value)) == value``; a bad value raises SettingInvalid with one clear sentence; values are immutable.

Raises
    SettingInvalid (wrong use, exit code 2).

See also
    ``texts.py`` for the types made of text: patterns, next hops, addresses, networks.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, TypeVar

from letterlock.errors import UsageError

T = TypeVar("T")


class SettingInvalid(UsageError):
    """The value does not fit the setting."""


def refuse(name: str, must: str, value: object) -> SettingInvalid:
    """The one sentence for a bad value: what it must be and what it was."""
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    return SettingInvalid(f"{name} must be {must}, not {shown}.")


class Kind(ABC, Generic[T]):
    """One type of value. ``noun``: what a value is, in words, for sentences and the reference page."""

    noun: str = ""

    @abstractmethod
    def check(self, value: object, name: str = "the value") -> T:
        """The Python value of the JSON ``value``. Raises SettingInvalid naming ``name``."""

    def parse(self, text: str, name: str = "the value") -> object:
        """The JSON value of what a person typed; check() follows. Raises SettingInvalid."""
        return text.strip()

    def store(self, value: T) -> object:
        """``value`` as JSON."""
        return value

    def show(self, value: T) -> str:
        """``value`` as a person would type it."""
        return str(value)


class Flag(Kind[bool]):
    """Yes or no."""

    noun = "yes or no"
    _words = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}

    def check(self, value: object, name: str = "the value") -> bool:
        if not isinstance(value, bool):
            raise refuse(name, self.noun, value)
        return value

    def parse(self, text: str, name: str = "the value") -> object:
        return self._words.get(text.strip().lower(), text)

    def show(self, value: bool) -> str:
        return "yes" if value else "no"


class Choice(Kind[str]):
    """One word of a closed list."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.noun = f"one of {', '.join(words)}"

    def check(self, value: object, name: str = "the value") -> str:
        if not isinstance(value, str) or value not in self.words:
            raise refuse(name, self.noun, value)
        return value

    def parse(self, text: str, name: str = "the value") -> object:
        return text.strip().lower()


class Whole(Kind[int]):
    """A whole number between two bounds."""

    def __init__(self, low: int, high: int, unit: str = "") -> None:
        self.low, self.high = low, high
        self.noun = f"a whole number{f' of {unit}' if unit else ''} from {low} to {high}"

    def check(self, value: object, name: str = "the value") -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise refuse(name, self.noun, value)
        return value

    def parse(self, text: str, name: str = "the value") -> object:
        try:
            return int(text.strip())
        except ValueError:
            return text


_SIZES = {"": 1, "B": 1, "K": 1 << 10, "KIB": 1 << 10, "M": 1 << 20, "MIB": 1 << 20, "G": 1 << 30, "GIB": 1 << 30}


class Octets(Kind[int]):
    """A size in octets; typed with K, M, G (powers of 1024) too."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.noun = f"a size from {self.show(low)} to {self.show(high)}"

    def check(self, value: object, name: str = "the value") -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise refuse(name, self.noun, value)
        return value

    def parse(self, text: str, name: str = "the value") -> object:
        match = re.fullmatch(r"\s*(\d{1,15})\s*([A-Za-z]{0,3})\s*", text)
        unit = _SIZES.get(match[2].upper()) if match else None
        return int(match[1]) * unit if match and unit else text

    def show(self, value: int) -> str:
        for word in ("GiB", "MiB", "KiB"):
            unit = _SIZES[word.upper()]
            if value >= unit and value % unit == 0:
                return f"{value // unit}{word}"
        return str(value)


_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Span(Kind[timedelta]):
    """A duration; typed as 90s, 15m, 4h, 5d or 2w; stored as whole seconds."""

    def __init__(self, low: timedelta, high: timedelta) -> None:
        self.low, self.high = low, high
        self.noun = f"a duration from {self.show(low)} to {self.show(high)} such as 4h or 5d"

    def check(self, value: object, name: str = "the value") -> timedelta:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**10:
            raise refuse(name, self.noun, value)
        found = timedelta(seconds=value)
        if not self.low <= found <= self.high:
            raise refuse(name, self.noun, self.show(found))
        return found

    def parse(self, text: str, name: str = "the value") -> object:
        match = re.fullmatch(r"\s*(\d{1,9})\s*([smhdw]?)\s*", text.lower())
        return int(match[1]) * _TIMES[match[2] or "s"] if match else text

    def store(self, value: timedelta) -> object:
        return int(value.total_seconds())

    def show(self, value: timedelta) -> str:
        seconds = int(value.total_seconds())
        for word in ("d", "h", "m"):
            if seconds and seconds % _TIMES[word] == 0:
                return f"{seconds // _TIMES[word]}{word}"
        return f"{seconds}s"


class Listed(Kind[tuple[str, ...]]):
    """A list of texts, each checked and brought into one form by ``item``; typed with commas between."""

    def __init__(self, item: Kind[str], noun: str, *, most: int = 100) -> None:
        self.item, self.most = item, most
        self.noun = f"a list (commas between) of {noun}"

    def check(self, value: object, name: str = "the value") -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) > self.most:
            raise refuse(name, f"{self.noun}, at most {self.most}", value)
        return tuple(dict.fromkeys(self.item.check(one, f"each entry of {name}") for one in value))

    def parse(self, text: str, name: str = "the value") -> object:
        return [self.item.parse(one, name) for one in self._split(text) if one.strip()]

    def store(self, value: tuple[str, ...]) -> object:
        return list(value)

    def show(self, value: tuple[str, ...]) -> str:
        return ", ".join(value)

    def _split(self, text: str) -> list[str]:
        return text.split(",")


class Lined(Listed):
    """A list whose entries may hold commas: typed with line ends or ``;;`` between."""

    def __init__(self, item: Kind[str], noun: str, *, most: int = 100) -> None:
        super().__init__(item, noun, most=most)
        self.noun = f"a list (;; between) of {noun}"

    def show(self, value: tuple[str, ...]) -> str:
        return " ;; ".join(value)

    def _split(self, text: str) -> list[str]:
        return text.replace("\n", ";;").split(";;")


class Text(Kind[str]):
    """One line of text, at most ``most`` characters, no control characters; ``check_more`` may look closer."""

    def __init__(
        self, noun: str, *, most: int = 200, empty: bool = True, more: Callable[[str], str] | None = None
    ) -> None:
        self.noun, self.most, self.empty, self.more = noun, most, empty, more

    def check(self, value: object, name: str = "the value") -> str:
        if not isinstance(value, str) or len(value) > self.most or not value.isprintable():
            raise refuse(name, f"{self.noun} (one line, at most {self.most} characters)", value)
        if not value:
            if not self.empty:
                raise refuse(name, self.noun, value)
            return value
        if self.more is None:
            return value
        try:
            return self.more(value)
        except ValueError as error:
            why = f" ({error})" if str(error) else ""
            raise refuse(name, f"{self.noun}{why}", value) from None
