"""What the values of header fields mean: text, parameters, mailboxes.

Guarantees
    text() and parameters() take whatever comes and never raise. mailboxes() is strict: what two readers could take
    differently is refused, never guessed. Work is proportional to the length of the value.

Standards
    RFC 2047 (encoded words; tolerated: blanks inside, characters split between words), RFC 2231 (parameters),
    RFC 2045 5.1, RFC 5322 3.4 (addresses; of the obsolete forms only dots in phrases), RFC 6532 (UTF-8).

Raises
    UnclearMailboxes, by mailboxes() only.

See also
    ``address.py`` for a single address.
"""

from __future__ import annotations

import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from letterlock.errors import PermanentError
from letterlock.mail.address import Address, AddressInvalid
from letterlock.mail.limits import MAX_PARAMETERS, MAX_RECIPIENTS

_ENCODED: Final = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_QUOTED_OCTET: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
# Not character sets of mail, or too dear on hostile input: punycode takes quadratic time.
_REFUSED: Final = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})


class UnclearMailboxes(PermanentError):
    """An address field of the message cannot be read without doubt."""


class Parameterised(NamedTuple):
    """Content-Type and its kind. ``value``: lower case, "" when damaged; ``parameters``: names in lower case.

    ``clear`` is False when a parameter stands there twice or something could not be read: readers will disagree.
    """

    value: str
    parameters: Mapping[str, str]
    clear: bool


class Mailbox(NamedTuple):
    """One mailbox of an address field: display name (decoded, may be empty) and address."""

    display: str
    address: Address


def characters(octets: bytes, charset: str) -> str:
    """``octets`` in the named character set; unknown sets and damaged octets give replacement characters."""
    try:
        name = codecs.lookup(charset.partition("*")[0]).name  # RFC 2231 5: =?charset*language?...
        return octets.decode("latin-1" if name in _REFUSED else name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return octets.decode("ascii", "replace")


def plain(octets: bytes) -> str:
    """Octets of a header without any encoding: UTF-8 (RFC 6532), else Windows-1252 as old mailers send it."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def text(value: bytes) -> str:
    """The text of an unstructured value with its encoded words decoded."""
    raw = plain(value)
    if "=?" not in raw:
        return raw
    out: list[str] = []
    pending = b""  # octets of adjacent words in one character set: some mailers split characters
    charset = ""
    at = 0
    for word in _ENCODED.finditer(raw):
        between = raw[at : word.start()]
        adjacent = not between.strip() and at > 0  # RFC 2047 6.2: white space between encoded words is not shown
        if not adjacent or word[1].lower() != charset:
            out.append(characters(pending, charset) if pending else "")
            pending = b""
        if not adjacent:
            out.append(between)
        charset = word[1].lower()
        pending += _word(word[2], word[3])
        at = word.end()
    out += (characters(pending, charset) if pending else "", raw[at:])
    return "".join(out)


_MOST_MARKS: Final = (
    30  # combining marks in a row (UAX 15's stream-safe text): normalizing takes quadratic time in them
)
_FILLERS: Final = frozenset("\u115f\u1160")  # letters by their category, and nothing to see


def as_seen(text: str) -> str:
    """The text as a reader sees it: compatibility forms made plain (NFKC), invisible characters and accents that stand
    by themselves left out (categories Cc with CR and LF, Cf, Mn), white space as blanks."""
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    marks = 0
    for each in text:
        if each != "\t" and unicodedata.category(each) in ("Cc", "Cf"):
            continue
        marks = marks + 1 if unicodedata.combining(each) else 0
        if marks <= _MOST_MARKS:
            kept.append(each)
    plain_forms = unicodedata.normalize("NFKC", "".join(kept))
    visible = (each for each in plain_forms if each not in _FILLERS and unicodedata.category(each) not in ("Cf", "Mn"))
    return "".join(" " if each.isspace() or each == "\u2800" else each for each in visible)


def _word(encoding: str, content: str) -> bytes:
    octets = content.encode("utf-8", "replace")
    if encoding in "qQ":
        return _QUOTED_OCTET.sub(lambda found: bytes((int(found[1], 16),)), octets.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(octets + b"=" * (-len(octets) % 4))
    except binascii.Error:
        return octets


_REMEMBERED: Final = 500  # octets of a value whose parts are kept: few different ones come again and again
_COMMENT: Final = re.compile(r'("(?:[^"\\]|\\.)*"?)|\\.|[()]', re.S)
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))\s*(?=;|\Z)', re.S)
_MEDIA_TYPE: Final = re.compile(r"\s*([^\s;]+)\s*(?=;|\Z)")


def parameters(value: bytes) -> Parameterised:
    """The parts of a Content-Type, Content-Disposition or like value; extended and continued parameters decoded."""
    return _parameters(value) if len(value) < _REMEMBERED else _parameters.__wrapped__(value)


@lru_cache(maxsize=512)
def _parameters(value: bytes) -> Parameterised:
    raw = plain(value)
    if "(" in raw:
        raw = without_comments(raw)
    main = _MEDIA_TYPE.match(raw)
    at = main.end() if main else 0
    clear = main is not None
    found: dict[str, str] = {}
    end = len(raw.rstrip("; \t\r\n"))
    while at < end:
        one = _PARAMETER.match(raw, at)
        if one is None or len(found) >= MAX_PARAMETERS:
            clear = False
            at = raw.find(";", at + 1)
            if at < 0 or len(found) >= MAX_PARAMETERS:
                break
            continue
        name = one[1].lower()
        content = one[3].rstrip() if one[2] is None else re.sub(r"\\(.)", r"\1", one[2], flags=re.S)
        clear = clear and name not in found and (one[3] is None or " " not in content)
        found.setdefault(name, content)
        at = one.end()
    if any("*" in name for name in found):
        found, clear = _extended(found, clear)
    return Parameterised(main[1].lower() if main else "", found, clear)


def without_comments(raw: str) -> str:
    """A structured value without its comments (RFC 5322 3.2.2); what follows one that never ends is lost with it."""
    kept: list[str] = []
    depth = at = 0
    for found in _COMMENT.finditer(raw):
        if found[0] not in "()" or len(found[0]) != 1:
            continue
        if found[0] == "(":
            if not depth:
                kept.append(raw[at : found.start()])
            depth += 1
        elif depth:
            depth -= 1
            at = found.end()
    return "".join((*kept, " ", "" if depth else raw[at:]))


def _extended(found: dict[str, str], clear: bool) -> tuple[dict[str, str], bool]:
    """RFC 2231 3 and 4: name*, name*0, name*0*; the plain form, if there is one as well, makes it unclear."""
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    out: dict[str, str] = {}
    for name, content in found.items():
        stem, _, rest = name.partition("*")
        number = rest.rstrip("*")
        if not rest and "*" not in name:
            out[name] = content
        elif number.isascii() and number.isdigit() and len(number) < 5:
            pieces.setdefault(stem, {})[int(number)] = (content, rest.endswith("*"))
        elif not number:
            pieces.setdefault(stem, {})[0] = (content, True)
    for stem, numbered in pieces.items():
        clear = clear and stem not in out and sorted(numbered) == list(range(len(numbered)))
        out[stem] = _continued([numbered[number] for number in sorted(numbered)])
    return out, clear


def _continued(pieces: list[tuple[str, bool]]) -> str:
    charset = "utf-8"
    octets = b""
    for number, (content, is_extended) in enumerate(pieces):
        if is_extended:
            if number == 0 and content.count("'") >= 2:
                charset, _, content = content.split("'", 2)
            octets += unquote_to_bytes(content)
        else:
            octets += content.encode("utf-8", "replace")
    return characters(octets, charset or "utf-8")


_TOKEN: Final = re.compile(
    r'(?P<blank>\s+)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<literal>\[[^\[\]\\]*\])|(?P<special>[<>:;,@])'
    r'|(?P<atom>[^\s"\[\]<>:;,@()\\]+)|(?P<comment>\()',
    re.S,
)
_COMMENT_END: Final = re.compile(r"[^()\\]*(?:\\.[^()\\]*)*([()])", re.S)


def mailboxes(value: bytes) -> tuple[Mailbox, ...]:
    """The mailboxes of a From, To or like value, members of groups included. Raises UnclearMailboxes."""
    return _mailboxes(value) if len(value) < _REMEMBERED else _mailboxes.__wrapped__(value)


@lru_cache(maxsize=4096)  # the same people write to one another
def _mailboxes(value: bytes) -> tuple[Mailbox, ...]:
    found: list[Mailbox] = []
    in_group = False
    tokens: list[tuple[str, str]] = []
    for kind, piece in chain(_tokens(plain(value)), (("special", ","),)):
        if kind != "special" or piece in "<>@":
            tokens.append((kind, piece))
            continue
        if piece == ":":
            if in_group or any(each[1] in ("<", ">", "@") for each in tokens):
                raise UnclearMailboxes(detail="colon out of place")
            in_group, tokens = True, []
            continue
        mailbox = _mailbox(tokens)
        tokens = []
        if mailbox:
            found.append(mailbox)
        if piece == ";":
            if not in_group:
                raise UnclearMailboxes(detail="semicolon out of place")
            in_group = False
        if len(found) > MAX_RECIPIENTS * 10:
            raise UnclearMailboxes(detail="too many addresses")
    if in_group:
        raise UnclearMailboxes(detail="group without end")
    return tuple(found)


def _tokens(raw: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(raw):
        found = _TOKEN.match(raw, at)
        if found is None:
            raise UnclearMailboxes(detail="damaged quoting")
        kind = found.lastgroup or ""
        at = found.end()
        if kind == "comment":
            at = _after_comment(raw, at)
            kind = "blank"
        yield kind, " " if kind == "blank" else found[0]


def _after_comment(raw: str, at: int) -> int:
    depth = 1
    while depth:
        found = _COMMENT_END.match(raw, at)
        if found is None:
            raise UnclearMailboxes(detail="comment without end")
        depth += 1 if found[1] == "(" else -1
        at = found.end()
    return at


def _mailbox(tokens: list[tuple[str, str]]) -> Mailbox | None:
    """One mailbox, or None when nothing but blanks stands between two commas (RFC 5322 4.4)."""
    joined = "".join(token for _, token in tokens).strip()
    if not joined:
        return None
    opening = [at for at, token in enumerate(tokens) if token == ("special", "<")]
    if not opening:
        return Mailbox("", _address(joined))
    after = [token for kind, token in tokens[opening[0] + 1 :] if kind != "blank"]
    inside = "".join(token for _, token in tokens[opening[0] + 1 :]).strip()
    if len(opening) > 1 or after.count(">") != 1 or after[-1] != ">":
        raise UnclearMailboxes(detail="angle brackets out of place")
    address = _address(inside[:-1].strip())
    phrase = tokens[: opening[0]]
    if ("special", "@") in phrase:
        # "a@b <c@d>" without quotes: some readers take the first. Harmless only when both are the same.
        before = "".join(token for _, token in phrase).strip()
        if _address(before) != address:
            raise UnclearMailboxes(detail="two addresses in one mailbox")
    display = "".join(
        re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.S) if kind == "quoted" else token for kind, token in phrase
    )
    return Mailbox(text(display.strip().encode("utf-8", "replace")), address)


def _address(spec: str) -> Address:
    try:
        return Address.parse(spec)
    except AddressInvalid as error:
        raise UnclearMailboxes(detail="not an address") from error
