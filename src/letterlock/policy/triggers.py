"""What in a message asks for encryption, signing or clear mail: keywords in the subject, header fields.

Guarantees
    Evaluated on decoded text. A keyword counts only at the start or end of a subject, without regard to case, white
    space and invisible characters; several keywords may stand there in any order. Nothing of the text is kept in the
    result but the new subject; what matched is told by trigger and place.
    Time is bounded: patterns are those check_pattern() passed, and see at most EDGE characters.

Standards
    RFC 5322 3.6.5 (Subject), RFC 4021 2.1.55 (Sensitivity).

See also
    ``settings/triggers.py``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings import triggers as t
from letterlock.policy.settings.declare import Setting
from letterlock.policy.settings.texts import compiled, is_pattern

EDGE = 200
"""Characters at either end of a subject, and of a field's value, that a pattern is tried on."""

Asks = Literal["encrypt", "sign", "no-encrypt"]


class Fields(Protocol):
    """What is looked at: the header of a message."""

    def values(self, name: str) -> Sequence[str]:
        """The decoded, unfolded values of every field of that name, in order; names without regard to case."""
        ...


class Match(NamedTuple):
    """One trigger that was found. ``setting``: by which; ``where``: ``start``, ``end`` or the field's lower-case
    name."""

    asks: Asks
    setting: str
    where: str


class Evaluation(NamedTuple):
    """What was found, and what has to go before the message leaves.

    ``subjects``: empty, or a new text for each Subject field in order; ``remove_fields``: lower-case names.
    """

    matches: tuple[Match, ...] = ()
    subjects: tuple[str, ...] = ()
    remove_fields: tuple[str, ...] = ()

    def asks(self, what: Asks) -> bool:
        """Whether a trigger of that kind was found."""
        return any(match.asks == what for match in self.matches)


NOTHING = Evaluation()


class _Keyword(NamedTuple):
    asks: Asks
    setting: str
    text: str
    is_regex: bool
    remove: bool


class _Subject(NamedTuple):
    asks: Asks
    enabled: Setting[bool]
    keyword: Setting[str]
    is_regex: Setting[bool]
    remove: Setting[bool]


class _Header(NamedTuple):
    asks: Asks
    enabled: Setting[bool]
    fields: Setting[tuple[str, ...]]
    remove: Setting[bool]


_SUBJECTS = (
    _Subject(
        "encrypt", t.SUBJECT_TRIGGER_ENABLED, t.SUBJECT_TRIGGER, t.SUBJECT_TRIGGER_IS_REGEX, t.SUBJECT_TRIGGER_REMOVE
    ),
    _Subject(
        "sign",
        t.SIGN_SUBJECT_TRIGGER_ENABLED,
        t.SIGN_SUBJECT_TRIGGER,
        t.SIGN_SUBJECT_TRIGGER_IS_REGEX,
        t.SIGN_SUBJECT_TRIGGER_REMOVE,
    ),
    _Subject(
        "no-encrypt",
        t.NO_ENCRYPT_TRIGGER_ENABLED,
        t.NO_ENCRYPT_TRIGGER,
        t.NO_ENCRYPT_TRIGGER_IS_REGEX,
        t.NO_ENCRYPT_TRIGGER_REMOVE,
    ),
)
_HEADERS = (
    _Header("encrypt", t.HEADER_TRIGGER_ENABLED, t.HEADER_TRIGGER, t.HEADER_TRIGGER_REMOVE),
    _Header("sign", t.SIGN_HEADER_TRIGGER_ENABLED, t.SIGN_HEADER_TRIGGER, t.SIGN_HEADER_TRIGGER_REMOVE),
)


def evaluate(fields: Fields, settings: EffectiveSettings) -> Evaluation:
    """What the sender's triggers find in a message. ``settings``: the sender's. Raises nothing."""
    matches: list[Match] = []
    keywords = [
        _Keyword(
            one.asks,
            one.keyword.name,
            text,
            settings.value(one.is_regex) and is_pattern(text),  # the switch and the text are set one after the other
            settings.value(one.remove),
        )
        for one in _SUBJECTS
        if settings.value(one.enabled) and (text := settings.value(one.keyword))
    ]
    subjects, found = _subjects(fields, keywords, matches)
    remove: dict[str, None] = {}
    for header in _HEADERS:
        if not settings.value(header.enabled):
            continue
        for trigger in settings.value(header.fields):
            name = _field(fields, trigger)
            if name:
                matches.append(Match(header.asks, header.fields.name, name))
                if settings.value(header.remove):
                    remove[name] = None
    if not matches:
        return NOTHING
    return Evaluation(tuple(matches), subjects if found else (), tuple(remove))


def _subjects(fields: Fields, keywords: list[_Keyword], matches: list[Match]) -> tuple[tuple[str, ...], bool]:
    """The subjects without the keywords that are to go, and whether any has changed."""
    before = tuple(fields.values("subject")) if keywords else ()
    after = tuple(_strip(subject, keywords, matches) for subject in before)
    return after, after != before


def _strip(subject: str, keywords: list[_Keyword], matches: list[Match]) -> str:
    """The subject without the keywords at its ends that are to go; every keyword found is entered in ``matches``."""
    low, high = 0, len(subject)
    gone: list[tuple[int, int]] = []
    found = True
    while found:
        found = False
        for keyword in keywords:
            end = _at_start(keyword, subject, low, high)
            start = None if end else _at_end(keyword, subject, low, high)
            if end:
                span, low, where = (low, end), end, "start"
            elif start is not None:
                span, high, where = (start, high), start, "end"
            else:
                continue
            found = True
            match = Match(keyword.asks, keyword.setting, where)
            if match not in matches:
                matches.append(match)
            if keyword.remove:
                gone.append(span)
    if not gone:
        return subject
    kept, at = "", 0
    for start, end in sorted(gone):
        kept, at = kept + subject[at:start], end
    return (kept + subject[at:]).strip()


def _invisible(char: str) -> bool:
    """White space, controls and format characters: a keyword is found whatever of these stands within it."""
    return char.isspace() or (not char.isascii() and unicodedata.category(char) in ("Cf", "Zs"))


def _at_start(keyword: _Keyword, text: str, low: int, high: int) -> int | None:
    """Where the keyword ends that ``text[low:high]`` begins with; None: it does not."""
    while low < high and _invisible(text[low]):
        low += 1
    if keyword.is_regex:
        match = compiled(keyword.text).match(text[low : min(high, low + EDGE)])
        return low + match.end() if match and match.end() else None
    return _walk(keyword.text, text, range(low, high))


def _at_end(keyword: _Keyword, text: str, low: int, high: int) -> int | None:
    """Where the keyword begins that ``text[low:high]`` ends with; None: it does not."""
    while high > low and _invisible(text[high - 1]):
        high -= 1
    if keyword.is_regex:
        start = max(low, high - EDGE)
        match = compiled(rf"(?:{keyword.text})\Z").search(text[start:high])
        return start + match.start() if match and match.end() > match.start() else None
    return _walk(keyword.text[::-1], text, range(high - 1, low - 1, -1))


def _walk(keyword: str, text: str, places: range) -> int | None:
    """Match the keyword along ``places``; the first place beyond it (forwards), or its first place (backwards)."""
    wanted = [char.casefold() for char in keyword if not _invisible(char)]
    if not wanted:
        return None
    at, last = 0, -1
    for place in places:
        if at == len(wanted):
            # A keyword that ends in a letter does not count within a longer word.
            if wanted[-1].isalnum() and text[place].isalnum():
                return None
            break
        char = text[place]
        if _invisible(char):
            continue
        if char.casefold() != wanted[at]:
            return None
        at, last = at + 1, place
    if at < len(wanted):
        return None
    return last + 1 if places.step > 0 else last


def _field(fields: Fields, trigger: str) -> str | None:
    """The lower-case name when a field of the message satisfies ``Name: pattern``."""
    name, _, pattern = trigger.partition(":")
    name = name.strip().lower()
    for value in fields.values(name):
        if compiled(pattern.strip()).fullmatch(" ".join(value[: 4 * EDGE].split())[:EDGE]):
            return name
    return None
