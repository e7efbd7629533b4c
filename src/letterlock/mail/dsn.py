"""Delivery status notifications: what is reported, to whom what is given back, compose and parse.

Guarantees
    A report that leaves the organisation quotes at most the fields From, To, Date, Message-ID and Subject as they came
    from outside, and of what the next hop said only its codes, whatever RET asks: a bounce that shows what we
    decrypted, or what a scanner behind us says about it, would be a decryption oracle.
    No report is made to the null reverse-path. What a next hop said cannot add a field.

Standards
    RFC 3461 4.1, 4.3, 6 (NOTIFY, RET), RFC 3464 (the report), RFC 6522 (multipart/report), RFC 6533 (UTF-8 addresses),
    RFC 3834 5 (Auto-Submitted), RFC 5321 4.5.5 (null reverse-path).
    Deviation: without RET the header is returned, not the content: RFC 3461 4.3 leaves it to us.

Raises
    ValueError for a report to nobody or about nobody; ReportInvalid by parse.

See also
    ``notify/email.py`` for the texts people read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final, Literal, NamedTuple

from letterlock.errors import PermanentError
from letterlock.mail import compose
from letterlock.mail.compose import Part
from letterlock.mail.envelope import Recipient
from letterlock.mail.message import Entity, HeaderTooLarge
from letterlock.mail.parse import parse as parse_mime

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]
ACTIONS: Final = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})

QUOTED_FIELDS: Final = ("from", "to", "date", "message-id", "subject")
"""The only fields a report to the outside may quote."""

_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\Z")  # RFC 3463 2
_CODES: Final = re.compile(r"([245]\d\d)(?:[ -]([245]\.\d{1,3}\.\d{1,3}))?")
_NAME: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}\Z")
_LONG_LINE: Final = re.compile(rb"[^\n]{999}")
_MAX_TEXT: Final = 900
_MAX_QUOTED: Final = 64 << 10
_MAX_RECIPIENTS: Final = 10_000


class ReportInvalid(PermanentError):
    """The message is not a delivery status notification that can be read."""


class Fate(NamedTuple):
    """What became of one recipient.

    ``status``: RFC 3463 code; ``diagnostic``: what the next hop replied, such as "550 5.1.1 unknown"; ``remote``: its
    host name. Times in seconds since the Unix epoch, 0 when unknown.
    """

    address: str
    action: Action
    status: str
    diagnostic: str = ""
    remote: str = ""
    orcpt: str = ""
    last_attempt_at: float = 0.0
    retry_until: float = 0.0


class Report(NamedTuple):
    """The machine's part of a report. ``reporter``: our host name; ``envid``: as the submitter gave it, decoded."""

    reporter: str
    fates: tuple[Fate, ...]
    arrived_at: float = 0.0
    envid: str = ""


def is_wanted(recipient: Recipient, action: Action) -> bool:
    """Has the sender asked for a report of this action, or not said anything against it (RFC 3461 4.1)?"""
    if not recipient.notify:
        return action in ("failed", "delayed")
    if "NEVER" in recipient.notify:
        return False
    needed = {"failed": "FAILURE", "delayed": "DELAY"}.get(action, "SUCCESS")
    return needed in recipient.notify


class Back(NamedTuple):
    """What may be given back to the sender.

    ``ret``: RET as the sender gave it; ``quoted``: whole fields as they came; ``original``: the message as the sender
    gave it to us, None when it is not at hand. Only ``quoted`` is looked at for a report to the outside.
    """

    ret: Literal["", "FULL", "HDRS"] = ""
    quoted: tuple[bytes, ...] = ()
    original: bytes | None = None


def make(
    report: Report, *, to: str, author: tuple[str, str], subject: str, text: str, inside: bool, back: Back, now: float
) -> bytes:
    """The whole report, a message to be sent with the null reverse-path.

    ``author``: display name and address, such as ("Mail Delivery System", "postmaster@..."). ``subject``, ``text``: for
    people, free of what the next hop said unless ``inside``: the sender is one of our own submitters. ``now``: seconds
    since the Unix epoch.
    """
    if not to or not report.fates:
        raise ValueError("a report needs somebody to get it and somebody it is about")
    fields = [
        compose.date_field(now),
        compose.address_field("From", [author]),
        compose.address_field("To", [("", to)]),
        compose.field("Subject", subject),
        compose.field("Message-ID", compose.new_message_id(report.reporter)),
        compose.field("Auto-Submitted", "auto-replied"),  # RFC 3834 5
    ]
    utf8 = not (to.isascii() and all(each.address.isascii() and each.orcpt.isascii() for each in report.fates))
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    status = compose.literal(_status_octets(report, inside, utf8), kind)
    parts = [compose.text(text), status, _returned(report, inside, back)]
    content = compose.multipart("report", parts, {"report-type": "delivery-status"})  # RFC 6522 3
    return compose.message(fields, content)


def _returned(report: Report, inside: bool, back: Back) -> Part:
    """The third part of the report."""
    if not inside or back.original is None:
        return _header_part(b"".join(_permitted(back.quoted)))
    header = back.original[: _header_end(back.original)]
    # RFC 3461 4.3: RET is about reports of failure; others return the header.
    failed = any(each.action == "failed" for each in report.fates)
    # RFC 2045 2.8: with longer lines it would be binary, which no report can carry
    if back.ret == "FULL" and failed and not _LONG_LINE.search(back.original):
        return compose.literal(back.original, "message/rfc822" if header.isascii() else "message/global")
    return _header_part(header)


def _permitted(quoted: Iterable[bytes]) -> list[bytes]:
    """Of the given fields those that may leave, each name once, each one field and no more."""
    found: dict[str, bytes] = {}
    for octets in quoted:
        if len(octets) > _MAX_QUOTED:
            continue
        entity = Entity(octets)
        for each in entity.fields[:1]:
            lines = entity.raw(each).replace(b"\r", b"").rstrip(b"\n").split(b"\n")
            found.setdefault(each.name.decode("ascii"), compose.CRLF.join(lines) + compose.CRLF)
    return [found[name] for name in QUOTED_FIELDS if name in found]


def _header_end(octets: bytes) -> int:
    try:
        return Entity(octets).header_end
    except HeaderTooLarge:
        return 0


def _header_part(header: bytes) -> Part:
    """RFC 6522 3 and RFC 6533 6: text/rfc822-headers is for ASCII, message/global-headers for UTF-8."""
    if header.isascii():
        return compose.literal(header, "text/rfc822-headers")
    try:
        header.decode("utf-8")
    except UnicodeDecodeError:
        return compose.literal(bytes(each if each < 128 else 0x3F for each in header), "text/rfc822-headers")
    return compose.literal(header, "message/global-headers")


def _status_octets(report: Report, inside: bool, utf8: bool) -> bytes:
    """The fields of RFC 3464 2.2 and 2.3, blocks parted by empty lines."""
    lines = []
    if report.envid:
        lines.append(("Original-Envelope-Id", report.envid))
    lines.append(("Reporting-MTA", f"dns; {report.reporter}"))
    if report.arrived_at:
        lines.append(("Arrival-Date", compose.date(report.arrived_at)))
    blocks = [lines]
    blocks += [_fate_lines(each, inside) for each in report.fates]
    return b"\r\n".join(b"".join(_line(*line, utf8) for line in block) for block in blocks)


def _fate_lines(fate: Fate, inside: bool) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    if fate.orcpt:
        lines.append(("Original-Recipient", fate.orcpt.replace(";", "; ", 1)))
    address_type = "rfc822" if fate.address.isascii() else "utf-8"  # RFC 6533 3
    lines.append(("Final-Recipient", f"{address_type}; {fate.address}"))
    lines.append(("Action", fate.action))
    lines.append(("Status", fate.status if _STATUS.match(fate.status) else _unknown_status(fate.action)))
    diagnostic = fate.diagnostic if inside else codes_only(fate.diagnostic)
    if inside and fate.remote and _NAME.match(fate.remote):
        lines.append(("Remote-MTA", f"dns; {fate.remote}"))
    if diagnostic:
        lines.append(("Diagnostic-Code", f"smtp; {diagnostic}"))
    if fate.last_attempt_at:
        lines.append(("Last-Attempt-Date", compose.date(fate.last_attempt_at)))
    if fate.action == "delayed" and fate.retry_until:
        lines.append(("Will-Retry-Until", compose.date(fate.retry_until)))
    return lines


def codes_only(diagnostic: str) -> str:
    """Of a reply its codes: "552 5.3.4"; "" when it does not begin with one."""
    match = _CODES.match(diagnostic)
    return " ".join(each for each in match.groups() if each) if match else ""


def _unknown_status(action: Action) -> str:
    return {"failed": "5.0.0", "delayed": "4.0.0"}.get(action, "2.0.0")


def _line(name: str, value: str, utf8: bool) -> bytes:
    """One field on one line, bounded: these fields have no encoded words (RFC 3464 2.1)."""
    octets = compose.clean(value).encode("utf-8" if utf8 else "ascii", "replace")[:_MAX_TEXT]
    # the cut may have gone through a character
    return name.encode("ascii") + b": " + octets.decode("utf-8", "ignore").encode("utf-8") + compose.CRLF


def parse(octets: bytes) -> Report:
    """The report in a message. Raises ReportInvalid. Unknown fields are passed over; times are not read."""
    for part in parse_mime(octets).walk():
        if part.content_type.value in ("message/delivery-status", "message/global-delivery-status"):
            return parse_status(b"".join(part.decoded()))
    raise ReportInvalid


def parse_status(octets: bytes) -> Report:
    """The report in the octets of a message/delivery-status. Raises ReportInvalid."""
    blocks = [_read_block(each) for each in _blocks(octets)]
    if len(blocks) < 2:
        raise ReportInvalid(detail="no recipient")
    first = blocks[0]
    fates = tuple(fate for each in blocks[1:] if (fate := _read_fate(each)) is not None)
    if not fates:
        raise ReportInvalid(detail="no recipient that can be read")
    return Report(_untyped(first.get("reporting-mta", "")), fates, 0.0, first.get("original-envelope-id", ""))


def _blocks(octets: bytes) -> Iterable[bytes]:
    text = octets.replace(b"\r\n", b"\n").strip(b"\n")
    return islice((each for each in re.split(rb"\n[ \t]*\n+", text) if each.strip()), _MAX_RECIPIENTS + 1)


def _read_block(octets: bytes) -> dict[str, str]:
    """Fields of one block by lower-case name; of several with one name the first."""
    entity = Entity(octets)
    found: dict[str, str] = {}
    try:
        for each in entity.fields:
            value = compose.clean(entity.value(each).decode("utf-8", "replace"))
            found.setdefault(each.name.decode("ascii"), value[:_MAX_TEXT])
    except HeaderTooLarge as error:
        raise ReportInvalid from error
    return found


def _read_fate(block: dict[str, str]) -> Fate | None:
    action = block.get("action", "").lower()
    address = _untyped(block.get("final-recipient", ""))
    if action not in ACTIONS or not address:
        return None
    status = block.get("status", "").split(" ")[0]
    return Fate(
        address,
        action,  # type: ignore[arg-type]  # one of ACTIONS
        status if _STATUS.match(status) else "",
        _untyped(block.get("diagnostic-code", "")),
        _untyped(block.get("remote-mta", "")),
        block.get("original-recipient", "").replace("; ", ";", 1),
    )


def _untyped(value: str) -> str:
    """``value`` without the type before its semicolon (RFC 3464 2.1.2)."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon else kind.strip()
