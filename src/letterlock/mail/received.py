"""Trace: the Received field we add, hops counted, our keyed fields against loops and for what came from outside.

Guarantees
    Pure: keys and times are handed in. What the SMTP client said stands in a Received field only in a form that ends
    neither the comment, nor the clause, nor the field.
    A loop field proves that this installation has sent this message (by its Message-ID) to this recipient in this
    direction; an inbound mark proves that it came in from outside on a day not long ago. Neither can be made without
    the key, nor moved to another message, recipient or direction.

Standards
    RFC 5321 4.4 (trace), 6.3 (loops), RFC 3848 and RFC 6531 4.3 (protocol names), RFC 5322 3.6.7.

See also
    ``envelope.Trace``; the keyholder's mark key.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final, Literal

from letterlock.mail import compose
from letterlock.mail.envelope import Trace
from letterlock.mail.headers import structured
from letterlock.mail.message import Entity

LOOP_FIELD: Final = "X-Letterlock-Loop"
MARK_FIELD: Final = "X-Letterlock-Mark"
_LOOP: Final = LOOP_FIELD.lower().encode()
_MARK: Final = MARK_FIELD.lower().encode()
MARK_DAYS: Final = 30
"""A mark older than this does not count: who forwards such mail is its author by then."""

Direction = Literal["outgoing", "incoming"]

_TAG_OCTETS: Final = 16
_MAX_FIELDS: Final = 100
_MAX_TAGS: Final = 4_000
_ATOM: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}\Z")
_PLAIN_ADDRESS: Final = re.compile(r"[!#-'*+\-./0-9=?A-Z^-~]{1,128}@[A-Za-z0-9.:_\[\]-]{1,253}\Z")
_PROTOCOL: Final = re.compile(r"[A-Z0-9]{1,20}\Z")
_INSTANCE: Final = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_UNSAFE: Final = re.compile(
    r"[^ -'*-\[\]-~]"
)  # what may not stand in a comment without a backslash: ( ) \ and controls


def received_field(trace: Trace, *, queue_id: str, received_at: float, recipient: str = "") -> bytes:
    """The Received field of a message that came as ``trace`` says.

    ``received_at``: seconds since the Unix epoch. ``recipient``: named only when the message has no other, since a
    Received field is seen by all of them.
    """
    lines = [f"Received: from {_host(trace.helo)}{_client(trace.client)}"]
    protocol = trace.protocol if _PROTOCOL.match(trace.protocol) else "SMTP"
    lines.append(f"\tby {_host(trace.by)} with {protocol} id {_host(queue_id)}")
    secured = [_comment(trace.tls)] if trace.tls else []
    if trace.certificate:
        secured.append(f"certificate {_comment(trace.certificate)}")
    if secured:
        lines.append(f"\t({'; '.join(secured)})")
    if _PLAIN_ADDRESS.match(recipient):
        lines.append(f"\tfor <{recipient}>")
    lines[-1] += ";"
    lines.append(f"\t{compose.date(received_at)}")
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def hop_count(message: Entity) -> int:
    """How many servers the message says it has been through (RFC 5321 6.3)."""
    return len(message.named(b"received"))


def loop_field(key: bytes, instance: str, message_id: bytes, recipients: Iterable[str], direction: Direction) -> bytes:
    """The field that lets us know this message again, for each of ``recipients`` in this direction.

    ``message_id``: the value of its Message-ID field, b"" when it has none. Raises ValueError when ``instance`` is not
    1 to 64 letters, digits and hyphens.
    """
    if not _INSTANCE.match(instance):
        raise ValueError("not an instance id")
    tags = sorted([_loop_tag(key, instance, message_id, each, direction) for each in set(recipients)])
    if len(tags) == 1:
        return f"{LOOP_FIELD}: {instance}; {tags[0]}\r\n".encode("ascii")
    return structured(LOOP_FIELD, f"{instance};", *tags)


def may_have_looped(message: Entity) -> bool:
    """There is a loop field, of whomever."""
    return message.first(_LOOP) is not None


def has_looped(key: bytes, instance: str, message: Entity, recipient: str, direction: Direction) -> bool:
    """We have sent this very message to this recipient in this direction before."""
    values = list(islice(message.values(_LOOP), _MAX_FIELDS))
    if not values:
        return False
    message_id = message.first(b"message-id") or b""
    wanted = _loop_tag(key, instance, message_id, recipient, direction).encode()
    mine = f"{instance};".encode()
    return any(
        hmac.compare_digest(tag, wanted)
        for value in values
        if value.startswith(mine)
        for tag in islice(value[len(mine) :].split(), _MAX_TAGS)
    )


def mark_field(key: bytes, message_id: bytes, day: date) -> bytes:
    """The inbound mark: this message came in from outside on ``day`` (UTC)."""
    return structured(MARK_FIELD, day.isoformat(), _mark_tag(key, message_id, day.isoformat()))


def has_mark(key: bytes, message: Entity, today: date, days: int = MARK_DAYS) -> bool:
    """The message carries a true inbound mark of the last ``days`` days (a day more for clocks that differ)."""
    values = message.values(_MARK)
    message_id = (message.first(b"message-id") or b"") if values else b""
    for value in islice(values, _MAX_FIELDS):
        words = value.split()
        if len(words) != 2:
            continue
        try:
            day = date.fromisoformat(words[0].decode("ascii"))
        except ValueError:
            continue
        if not today - timedelta(days=days) <= day <= today + timedelta(days=1):
            continue
        if hmac.compare_digest(words[1], _mark_tag(key, message_id, day.isoformat()).encode()):
            return True
    return False


def _loop_tag(key: bytes, instance: str, message_id: bytes, recipient: str, direction: Direction) -> str:
    said = (instance, recipient, direction)
    return _tag(key, b"loop", message_id.strip(), *(each.encode("utf-8", "replace") for each in said))


def _mark_tag(key: bytes, message_id: bytes, day: str) -> str:
    return _tag(key, b"mark", message_id.strip(), day.encode())


def _tag(key: bytes, *parts: bytes) -> str:
    """HMAC-SHA-256 over the parts, each with its length before it, cut to 128 bits (RFC 2104 5)."""
    framed = b"".join([len(each).to_bytes(4, "big") + each for each in parts])
    digest = hmac.digest(key, b"letterlock field 1" + framed, "sha256")
    return base64.urlsafe_b64encode(digest[:_TAG_OCTETS]).decode("ascii").rstrip("=")


def _host(text: str) -> str:
    """A name that somebody said, if it looks like one."""
    return text if _ATOM.match(text) else "unknown"


@lru_cache(maxsize=4096)
def _client(text: str) -> str:
    """The peer as TCP-info (RFC 5321 4.4); nothing when it is not an address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return f" ([IPv6:{address}])" if address.version == 6 else f" ([{address}])"


def _comment(text: str) -> str:
    """Text inside a comment: bounded, without what would end it."""
    return _UNSAFE.sub("?", text)[:200]
