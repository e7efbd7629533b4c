"""Change the header of a message without touching any other octet, and write new fields.

Guarantees
    edit() with nothing to do gives back the very octets. What is not removed or replaced stays octet by octet in its
    place; the body is never looked at. A written field can hold no second field: CR, LF and NUL in a value are refused.

Standards
    RFC 5322 2.1.1 (line length), 2.2.3 (folding), 3.6.7 (trace fields stand on top); RFC 2047 (encoded words).

See also
    ``message.py`` for Field; ``decoded.py`` for reading values.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from letterlock.mail.message import Buffer, Entity, Field

_FOLD_AT: Final = 76  # RFC 5322 2.1.1: SHOULD be no more than 78 characters
_MAX_LINE: Final = 998
_WORD_OCTETS: Final = 42  # octets of text in one encoded word: 75 characters at most (RFC 2047 2) with =?utf-8?B?...?=


def edit(
    entity: Entity,
    *,
    remove: Collection[bytes | Field] | Callable[[Field], bool] = (),
    replace: Mapping[Field, bytes] | None = None,
    add: Iterable[bytes] = (),
    append: Iterable[bytes] = (),
) -> list[Buffer]:
    """The entity's octets with its header changed, as buffers that follow one another.

    ``remove``: names (lower case), Fields, or a question asked about each field. ``replace``: complete new octets of a
    field, line end included (see field()). ``add``: complete fields that come before all others, where trace fields
    belong; ``append``: after all others.
    """
    octets = memoryview(entity.octets)
    replaced = replace or {}
    goes = remove if callable(remove) else _remover(remove)
    parts: list[Buffer] = list(add)
    kept = entity.start
    for field_ in entity.fields:
        new = replaced.get(field_)
        if new is None and not goes(field_):
            continue
        if field_.start > kept:
            parts.append(octets[kept : field_.start])
        if new is not None:
            parts.append(new)
        kept = field_.end
    appended = list(append)
    if appended:
        header_end = entity.header_end
        if header_end > kept:
            parts.append(octets[kept:header_end])
        if entity.fields and entity.octets[header_end - 1] != 0x0A:
            parts.append(b"\r\n")
        parts += appended
        kept = header_end
    if entity.end > kept:
        parts.append(octets[kept : entity.end])
    return parts


def _remover(wanted: Collection[bytes | Field]) -> Callable[[Field], bool]:
    return lambda field_: field_.name in wanted or field_ in wanted


def field(name: str, value: str) -> bytes:
    """One unstructured field, line end included: folded, and encoded where it is not ASCII or would be read as encoded.

    Raises ValueError when the name is no field name or the value holds CR, LF or NUL.
    """
    if not name or not all("!" <= each <= "~" and each != ":" for each in name):
        raise ValueError("not a field name")
    if any(each in value for each in "\r\n\0"):
        raise ValueError("a field value has no line ends")
    value = value.strip(" \t")  # white space around a value is no part of it
    if not (value.isascii() and value.isprintable()) or "=?" in value:
        return structured(name, *_encoded_words(value))
    return structured(name, *value.split(" "))


def structured(name: str, *words: str) -> bytes:
    """One field of ASCII words with a blank between each two, folded before a word where the line gets long.

    Raises ValueError when a word holds CR, LF, NUL or is not ASCII, or is longer than a line may be.
    """
    lines: list[str] = []
    line = f"{name}:"
    for word in words:
        if any(each in word for each in "\r\n\0") or len(word) > _MAX_LINE - 2:
            raise ValueError("a field value has no line ends, and no word of it is longer than a line")
        # a line of blanks only would end the header for some readers: RFC 5322 3.2.2
        if len(line) + 1 + len(word) > _FOLD_AT and word.strip() and line.strip() and not line.endswith(":"):
            lines.append(line)
            line = f" {word}"
        else:
            line = f"{line} {word}"
    lines.append(line)
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def _encoded_words(value: str) -> list[str]:
    """RFC 2047 5 (3): no encoded word splits a character."""
    words: list[str] = []
    piece = b""
    for each in value:
        octets = each.encode("utf-8", "replace")
        if len(piece) + len(octets) > _WORD_OCTETS:
            words.append(_encoded_word(piece))
            piece = b""
        piece += octets
    words.append(_encoded_word(piece))
    return words


def _encoded_word(octets: bytes) -> str:
    return f"=?utf-8?B?{base64.b64encode(octets).decode('ascii')}?="
