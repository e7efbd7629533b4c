"""What we tell the reader of incoming mail: subject tags and X-Letterlock fields; our own marks removed from what comes in.

Order
    Own fields and own tags are removed first, from every field of that name and on decoded text, again and again until
    nothing is left (so that "[sig[signed]ned]" leaves nothing behind); only then are real ones added.

Guarantees
    A message whose subject needs no change keeps its Subject octets. Nothing but the named fields is touched.
    Tags are looked for in what a reader may see of a subject: with control characters left out as most programs do,
    and with blanks in their place as we print them.

Standards
    RFC 2047 (a tag hidden in encoded words is a tag), RFC 5322 3.6.5.

See also
    ``decision/incoming.py``, which says what to tell (Marks).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from letterlock.decision.plan import Edits, Marks
from letterlock.mail.decoded import as_seen
from letterlock.mail.decoded import text as decoded_text
from letterlock.mail.headers import field
from letterlock.mail.message import Entity, Field

OWN_PREFIX = b"x-letterlock-"
_MAX_SUBJECT = 4000  # characters looked at; a longer subject is cut where a pattern would have to read it


class HeaderChange(NamedTuple):
    """What ``mail.headers.edit`` is to be told."""

    remove: frozenset[Field]
    replace: dict[Field, bytes]
    add: list[bytes]


def own_fields(entity: Entity) -> frozenset[Field]:
    """Every field in our name space: nobody else may write there."""
    return frozenset(each for each in entity.fields if each.name.startswith(OWN_PREFIX))


@lru_cache(maxsize=256)
def _pattern(own_tags: Sequence[str], subject_filter: str) -> re.Pattern[str] | None:
    """What is removed from a subject. ``{signer}`` in a tag stands for any text without a closing bracket."""
    tags = [_loosely(seen) for tag in own_tags if (seen := as_seen(tag).strip())]
    if subject_filter:
        tags.append(f"(?:{subject_filter})")
    return re.compile("|".join(rf"[ \t]*{tag}" for tag in tags), re.IGNORECASE) if tags else None


def _loosely(tag: str) -> str:
    """A pattern for the tag with any blanks inside its brackets and between its words: a reader sees no difference."""
    pattern = r"[ \t]*".join(re.escape(word) for word in tag.split())
    pattern = pattern.replace(r"\[", r"\[[ \t]*").replace(r"\]", r"[ \t]*\]")
    return pattern.replace(re.escape("{signer}"), r"[^\]\r\n]*")


def cleaned(subject: str, own_tags: Sequence[str], subject_filter: str) -> str:
    """``subject`` without our tags, however they were hidden; the very same when there is none in it."""
    pattern = _pattern(tuple(own_tags), subject_filter)
    found = pattern is not None
    while pattern is not None and found:
        found = False
        shown = printable(subject)
        for form in (as_seen(subject), as_seen(shown), shown):
            shorter = _without(pattern, form[:_MAX_SUBJECT])
            if shorter != form[:_MAX_SUBJECT].strip():
                subject, found = shorter, True
                break
    return subject


def _without(pattern: re.Pattern[str], text: str) -> str:
    """Again and again until nothing is left: what is removed may bring another one together."""
    while (shorter := pattern.sub("", text)) != text:
        if len(shorter) >= len(text):
            break
        text = shorter
    return text.strip()


def outgoing_change(entity: Entity, edits: Edits, bcc: bool = True) -> HeaderChange:
    """The header of a message that leaves: triggers and our own fields go, and Bcc with them (RFC 5322 3.6.3)."""
    names = {name.encode("ascii", "ignore") for name in edits.remove}
    if bcc:
        names.add(b"bcc")
    remove = own_fields(entity) | {each for each in entity.fields if each.name in names}
    subjects = entity.named(b"subject")
    replace = {
        each: field("Subject", printable(text))
        for each, text in zip(subjects, edits.subjects, strict=False)
        if text != decoded_text(entity.value(each))
    }
    return HeaderChange(frozenset(remove), replace, [])


def incoming_change(entity: Entity, marks: Marks, bcc: bool = False) -> HeaderChange:
    """The header of a message that comes in: own fields and tags removed, then the real ones added."""
    replace: dict[Field, bytes] = {}
    subjects = entity.named(b"subject")
    tags = " ".join(marks.tags)
    for number, each in enumerate(subjects):
        text = decoded_text(entity.value(each))
        said = marks.subject if number == 0 and marks.subject is not None else text
        told = cleaned(said, marks.own_tags, marks.subject_filter)
        if number == 0 and tags:
            told = f"{tags} {told}".strip()
        if told != text:
            replace[each] = field("Subject", printable(told))
    add = [field(name, printable(value)) for name, value in marks.fields]
    if tags and not subjects:
        add.append(field("Subject", printable(tags)))
    return HeaderChange(own_fields(entity), replace, add)


def printable(text: str) -> str:
    """``text`` on one line without control characters: what came in encoded words may hold line ends (RFC 2047 5)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if unicodedata.category(each) in ("Cc", "Zl", "Zp") else each for each in text)
