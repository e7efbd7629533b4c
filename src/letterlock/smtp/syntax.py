"""The grammar of SMTP commands: paths, ESMTP parameters, xtext, BDAT and XFORWARD.

Guarantees
    What a parser returns is valid and bounded; whatever else comes in raises CommandRefused with the reply to give.
    No control character, CR, LF or NUL gets through, encoded or not.

Standards
    RFC 5321 4.1.2 (paths), RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 3.4 (SMTPUTF8), RFC 3461 4 (DSN parameters,
    xtext), RFC 3030 2 (BDAT), Postfix's XFORWARD_README. Refused although RFC 5321 tolerates them: source routes
    (appendix C).

Raises
    CommandRefused.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Literal, NamedTuple, cast

from letterlock.errors import LetterlockError, PermanentError
from letterlock.mail import limits, reply
from letterlock.mail.address import Address, AddressInvalid
from letterlock.mail.envelope import Notify
from letterlock.mail.reply import Reply


class CommandRefused(PermanentError):
    """The command was refused."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.text)
        self.reply = answer


def reply_of(error: LetterlockError) -> Reply:
    """The reply that answers what a Door, a sink or a parser raised."""
    return error.reply if isinstance(error, CommandRefused) else reply.of_error(error)


class MailCommand(NamedTuple):
    """MAIL FROM. ``sender`` None: the null reverse-path; ``size``: octets announced, 0 when not."""

    sender: Address | None
    size: int = 0
    body: Literal["7BIT", "8BITMIME"] = "7BIT"
    smtputf8: bool = False
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""


class RecipientCommand(NamedTuple):
    """RCPT TO. ``address`` None: <Postmaster>, without a domain (RFC 5321 4.5.1)."""

    address: Address | None
    notify: tuple[Notify, ...] = ()
    orcpt: str = ""


_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e\u0080-\U0010FFFF]+))?\Z")
_QUOTED_END = re.compile(r'"(?:[^"\\]|\\.)*"[^>]*>')
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*\Z")
_XTEXT_CODE = re.compile(rb"\+([0-9A-F]{2})")
_XTEXT_UNSAFE = re.compile(rb"[^\x21-\x2a\x2c-\x3c\x3e-\x7e]")
_SIZE = re.compile(r"[0-9]{1,20}\Z", re.ASCII)
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,40}\Z")

_MAIL = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"})
_RECIPIENT = frozenset({"NOTIFY", "ORCPT"})

XFORWARD_NAMES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
_XFORWARD_UNKNOWN = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")


def text_of(line: bytes | bytearray) -> str:
    """A command line as text. Raises CommandRefused on control characters and on what is not UTF-8 (RFC 6531 3.1)."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandRefused(reply.BAD_LINE) from error
    if not text.isprintable():
        raise CommandRefused(reply.BAD_LINE)
    return text


def mail(argument: str) -> MailCommand:
    """``FROM:<path> parameters``."""
    path, parameters = _path(argument, "FROM:", reply.BAD_SENDER, _MAIL)
    sender = _address(path, reply.BAD_SENDER) if path else None
    smtputf8 = "SMTPUTF8" in parameters
    if not smtputf8 and not argument.isascii():
        raise CommandRefused(reply.UTF8_NEEDED)
    if not parameters:
        return MailCommand(sender)
    if parameters.get("SMTPUTF8"):  # it takes no value
        raise CommandRefused(reply.BAD_ARGUMENTS)
    return MailCommand(
        sender,
        size=_size(parameters["SIZE"]) if "SIZE" in parameters else 0,
        body=cast("Literal['7BIT', '8BITMIME']", _one_of(parameters.get("BODY", "7BIT"), "7BIT", "8BITMIME")),
        smtputf8=smtputf8,
        ret=cast("Literal['FULL', 'HDRS']", _one_of(parameters["RET"], "FULL", "HDRS")) if "RET" in parameters else "",
        envid=_envelope_id(parameters["ENVID"]) if "ENVID" in parameters else "",
    )


def recipient(argument: str, *, smtputf8: bool) -> RecipientCommand:
    """``TO:<path> parameters``; ``smtputf8``: the transaction's MAIL had it."""
    if not smtputf8 and not argument.isascii():
        raise CommandRefused(reply.UTF8_NEEDED)
    path, parameters = _path(argument, "TO:", reply.BAD_RECIPIENT, _RECIPIENT)
    address = None if path.lower() == "postmaster" else _address(path, reply.BAD_RECIPIENT)
    if not parameters:
        return RecipientCommand(address)
    return RecipientCommand(
        address,
        notify=_notify(parameters["NOTIFY"]) if "NOTIFY" in parameters else (),
        orcpt=_original_recipient(parameters["ORCPT"]) if "ORCPT" in parameters else "",
    )


def chunk(argument: str) -> tuple[int, bool]:
    """``size [LAST]`` of BDAT (RFC 3030 2)."""
    words = argument.upper().split(" ")
    if not _SIZE.match(words[0]) or words[1:] not in ([], ["LAST"]):
        raise CommandRefused(reply.BAD_ARGUMENTS)
    return int(words[0]), len(words) == 2


def forwarded(argument: str) -> dict[str, str]:
    """``NAME=value ...`` of XFORWARD, decoded; "" for what the peer does not know itself."""
    found = {}
    for word in argument.split(" "):
        name, _, value = word.partition("=")
        name = name.upper()
        if name not in XFORWARD_NAMES or not value:
            raise CommandRefused(reply.BAD_ARGUMENTS)
        found[name] = "" if value.upper() in _XFORWARD_UNKNOWN else from_xtext(value)
    return found


def hello(argument: str) -> str:
    """The name a client gives itself; what it is worth is for others to judge. Raises when it is not one word."""
    name = argument.strip(" ")
    if not name or " " in name or len(name) > limits.MAX_HELLO_OCTETS or not name.isascii():
        raise CommandRefused(reply.BAD_ARGUMENTS)
    return name


def from_xtext(text: str) -> str:
    """Decoded xtext. Raises CommandRefused (501) on bad encoding and on anything unprintable in what it says."""
    if not _XTEXT.match(text):
        raise CommandRefused(reply.BAD_XTEXT)
    if "+" not in text:
        return text
    try:
        decoded = _XTEXT_CODE.sub(lambda code: bytes((int(code[1], 16),)), text.encode("ascii")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandRefused(reply.BAD_XTEXT) from error
    if not decoded.isprintable():  # +0D, +0A, +00 would end the line in a report or a later hop's command
        raise CommandRefused(reply.BAD_XTEXT)
    return decoded


def to_xtext(text: str) -> str:
    """``text`` in xtext (RFC 3461 4)."""
    return _XTEXT_UNSAFE.sub(lambda octet: b"+%02X" % octet[0][0], text.encode("utf-8")).decode("ascii")


def _path(argument: str, keyword: str, wrong: Reply, known: Container[str]) -> tuple[str, dict[str, str]]:
    """The text between the angle brackets, and the ESMTP parameters behind them."""
    if argument[: len(keyword)].upper() != keyword:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    rest = argument[len(keyword) :].lstrip(" ")  # the space is against RFC 5321 3.3, and common
    if not rest.startswith("<"):
        raise CommandRefused(wrong)
    if rest.startswith('<"'):  # a quoted local part may hold a >
        quoted = _QUOTED_END.match(rest, 1)
        end = quoted.end() - 1 if quoted else -1
    else:
        end = rest.find(">")
    if end < 0:
        raise CommandRefused(wrong)
    path, tail = rest[1:end], rest[end + 1 :]
    if path.startswith("@"):
        raise CommandRefused(reply.SOURCE_ROUTE)
    if not tail:
        return path, {}
    if not tail.startswith(" "):
        raise CommandRefused(wrong)
    return path, _parameters(tail, known)


def _parameters(tail: str, known: Container[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in tail.split():
        match = _PARAMETER.match(word)
        if match is None:
            raise CommandRefused(reply.BAD_ARGUMENTS)
        name = match[1].upper()
        if name not in known:
            raise CommandRefused(reply.BAD_PARAMETER)  # RFC 5321 4.1.1.11
        if name in found:
            raise CommandRefused(reply.BAD_ARGUMENTS)
        found[name] = match[2] or ""
    return found


def _address(path: str, wrong: Reply) -> Address:
    try:
        return Address.parse(path)
    except AddressInvalid as error:
        raise CommandRefused(wrong) from error


def _size(value: str) -> int:
    if not _SIZE.match(value):
        raise CommandRefused(reply.BAD_ARGUMENTS)
    return int(value)


def _one_of(value: str, *allowed: str) -> str:
    if value.upper() not in allowed:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    return value.upper()


def _envelope_id(value: str) -> str:
    if not value or len(value) > limits.MAX_ENVID_OCTETS:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    decoded = from_xtext(value)
    if not decoded.isascii():  # RFC 3461 4.4
        raise CommandRefused(reply.BAD_XTEXT)
    return decoded


def _notify(value: str) -> tuple[Notify, ...]:
    """RFC 3461 4.1: NEVER alone, or a list without repetition."""
    words = value.upper().split(",")
    if len(set(words)) != len(words) or not set(words) <= {"NEVER", "SUCCESS", "FAILURE", "DELAY"}:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    if "NEVER" in words and len(words) > 1:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    return tuple(cast("Notify", word) for word in words)


def _original_recipient(value: str) -> str:
    """RFC 3461 4.2: ``address-type;xtext``; returned decoded, the type in lower case."""
    kind, separator, encoded = value.partition(";")
    if len(value) > limits.MAX_ORCPT_OCTETS or not separator or not encoded or not _ADDRESS_TYPE.match(kind):
        raise CommandRefused(reply.BAD_ARGUMENTS)
    if encoded.isascii():
        return f"{kind.lower()};{from_xtext(encoded)}"
    return f"{kind.lower()};{encoded}"  # RFC 6533 3: utf-8-addr-unitext, only inside an SMTPUTF8 transaction
