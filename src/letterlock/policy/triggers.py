"""What in a message asks for encryption, signing or clear mail: keywords in the subject, header fields.

Guarantees
    Evaluated on decoded text as a reader sees it (mail.decoded.as_seen). A keyword counts only at the start or end of a
    subject, without regard to case and white space; several keywords may stand there in any order. A field's value
    counts with its comments and without them. Nothing of the text is kept in the result but the new subject, whose other
    characters stay as they were; what matched is told by trigger and place.
    Time is bounded: patterns are those check_pattern() passed, and see at most EDGE characters.

Standards
    RFC 5322 3.6.5 (Subject) and 3.2.2 (comments), RFC 4021 2.1.55 (Sensitivity).

See also
    ``settings/triggers.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from letterlock.mail.decoded import as_seen, without_comments
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


class _Seen(NamedTuple):
    """A text as a reader sees it. ``places``: where in the original each of its characters stands; empty: the same."""

    text: str
    places: Sequence[int] = ()

    @classmethod
    def of(cls, original: str) -> _Seen:
        if original.isascii() and original.isprintable():
            return cls(original)
        pieces, places = [], []
        for place, char in enumerate(original):
            piece = char if " " <= char <= "~" else as_seen(char)
            pieces.append(piece)
            places += [place] * len(piece)
        return cls("".join(pieces), (*places, len(original)))

    def place(self, at: int) -> int:
        """Where in the original what is seen from ``at`` on begins; what is invisible before goes with what precedes."""
        return self.places[at] if at and self.places else at


class _Keyword(NamedTuple):
    """A keyword ready to be looked for. ``wanted``: its visible characters, case-folded; empty: ``text`` is a
    pattern."""

    asks: Asks
    setting: str
    text: str
    wanted: tuple[str, ...]
    remove: bool


class _Field(NamedTuple):
    """A header trigger ready to be looked for."""

    asks: Asks
    setting: str
    name: str
    pattern: str
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


def _keywords(settings: EffectiveSettings) -> tuple[_Keyword, ...]:
    """The subject triggers that are switched on."""
    found = []
    for one in _SUBJECTS:
        if settings.value(one.enabled):
            text = settings.value(one.keyword)
            # The switch and the text are set one after the other: what is no safe pattern is a literal meanwhile.
            is_regex = settings.value(one.is_regex) and is_pattern(text)
            wanted = () if is_regex else tuple(char.casefold() for char in _Seen.of(text).text if char != " ")
            if is_regex or wanted:
                found.append(_Keyword(one.asks, one.keyword.name, text, wanted, settings.value(one.remove)))
    return tuple(found)


def _header_fields(settings: EffectiveSettings) -> tuple[_Field, ...]:
    """The header triggers that are switched on."""
    found = []
    for one in _HEADERS:
        if settings.value(one.enabled):
            for trigger in settings.value(one.fields):
                name, _, pattern = trigger.partition(":")
                remove = settings.value(one.remove)
                found.append(_Field(one.asks, one.fields.name, name.strip().lower(), pattern.strip(), remove))
    return tuple(found)


def evaluate(fields: Fields, settings: EffectiveSettings) -> Evaluation:
    """What the sender's triggers find in a message. ``settings``: the sender's. Raises nothing."""
    matches: list[Match] = []
    keywords = settings.derived(_keywords)
    before = tuple(fields.values("subject")) if keywords else ()
    after = tuple(_strip(subject, keywords, matches) for subject in before)
    remove: dict[str, None] = {}
    for field in settings.derived(_header_fields):
        if any(_fits(field.pattern, value) for value in fields.values(field.name)):
            matches.append(Match(field.asks, field.setting, field.name))
            if field.remove:
                remove[field.name] = None
    if not matches:
        return NOTHING
    return Evaluation(tuple(matches), after if after != before else (), tuple(remove))


def _strip(subject: str, keywords: Sequence[_Keyword], matches: list[Match]) -> str:
    """The subject without the keywords at its ends that are to go; every keyword found is entered in ``matches``."""
    seen = _Seen.of(subject)
    low, high = 0, len(seen.text)
    gone: list[tuple[int, int]] = []
    found = True
    while found:
        found = False
        for keyword in keywords:
            end = _at_start(keyword, seen.text, low, high)
            start = None if end else _at_end(keyword, seen.text, low, high)
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
        kept, at = kept + subject[at : seen.place(start)], seen.place(end)
    return (kept + subject[at:]).strip()


def _at_start(keyword: _Keyword, text: str, low: int, high: int) -> int | None:
    """Where the keyword ends that ``text[low:high]`` begins with; None: it does not."""
    while low < high and text[low].isspace():
        low += 1
    if not keyword.wanted:
        match = compiled(keyword.text).match(text[low : min(high, low + EDGE)])
        return low + match.end() if match and match.end() else None
    return _walk(keyword.wanted, text, range(low, high))


def _at_end(keyword: _Keyword, text: str, low: int, high: int) -> int | None:
    """Where the keyword begins that ``text[low:high]`` ends with; None: it does not."""
    while high > low and text[high - 1].isspace():
        high -= 1
    if not keyword.wanted:
        start = max(low, high - EDGE)
        match = compiled(rf"(?:{keyword.text})\Z").search(text[start:high])
        return start + match.start() if match and match.end() > match.start() else None
    return _walk(keyword.wanted[::-1], text, range(high - 1, low - 1, -1))


def _walk(wanted: Sequence[str], text: str, places: range) -> int | None:
    """Match the characters along ``places``; the first place beyond them (forwards), or the last taken (backwards)."""
    at, last = 0, -1
    for place in places:
        if at == len(wanted):
            # A keyword that ends in a letter does not count within a longer word.
            if wanted[-1].isalnum() and text[place].isalnum():
                return None
            break
        char = text[place]
        if char.isspace():
            continue
        if char.casefold() != wanted[at]:
            return None
        at, last = at + 1, place
    if at < len(wanted):
        return None
    return last + 1 if places.step > 0 else last


def _fits(pattern: str, value: str) -> bool:
    """Whether the whole value fits the pattern, with its comments or without them, white space told apart only from none."""
    seen = as_seen(value)
    forms = (seen, without_comments(seen)) if "(" in seen else (seen,)
    return any(compiled(pattern).fullmatch(" ".join(form.split())[:EDGE]) is not None for form in forms)
