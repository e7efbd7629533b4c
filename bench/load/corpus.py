"""The mail of a load: seeded, CRLF, with an id of fixed width to patch in, and a canary that must not be seen later.

Guarantees
    The same kind, seed, sender and recipients give the same octets on every machine.
    A wire message is dot-stuffed and ends with the final dot.
"""

from __future__ import annotations

import base64
import random
import re
from typing import NamedTuple

CANARY = b"LLCANARY-4f1d-plaintext"
IDENTITY = re.compile(rb"LLID\.([0-9a-f]{8})\.([0-9]{7})")
UNPATCHED = b"LLID.00000000.0000000"

SIZES = {
    "text1k": 1 << 10,
    "text10k": 10 << 10,
    "text100k": 100 << 10,
    "att1m": 1 << 20,
    "att10m": 10 << 20,
    "msg50m": 36_500_000,  # 50 MB as a message: base64 makes 1.37 of one
}
MIXES = {"mix": [("text10k", 70), ("text100k", 20), ("att1m", 9), ("att10m", 1)]}
"""A realistic mix: share of the message count; the mean is about 270 KiB."""
_SENTENCE = (
    "the of and to in a is that for it was on are as with his they at be this from have or by one "
    "invoice patient account contract meeting quarterly record transfer confidential schedule "
    "results attached signature payment policy review department deadline forward insurance"
)
WORDS = _SENTENCE.split()


class Wire(NamedTuple):
    """One message as DATA carries it. ``offsets``: where the id is patched in."""

    octets: bytes
    offsets: list[int]
    recipient: str


def identity(run: bytes, number: int) -> bytes:
    """The id of one message of one run."""
    return b"LLID.%s.%07d" % (run, number)


def _text(source: random.Random, size: int) -> bytes:
    lines: list[str] = []
    made, line = 0, ""
    while made < size:
        word = source.choice(WORDS)
        if len(line) + len(word) > 71:
            lines.append(line)
            made += len(line) + 2
            line = "." if source.random() < 0.03 else ""  # so that dot-stuffing is exercised
        line += (" " if line else "") + word
    lines.append(line)
    return "\r\n".join(lines).encode()


def _attachment(source: random.Random, size: int) -> tuple[bytes, bytes]:
    """Content fields and body of a text with one random attachment of ``size`` octets before base64."""
    boundary = b"=_ll_%08x" % source.getrandbits(32)
    encoded = base64.b64encode(source.randbytes(size))
    lines = b"\r\n".join(encoded[at : at + 76] for at in range(0, len(encoded), 76))
    body = (
        b"--" + boundary + b"\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        + CANARY + b"\r\n" + _text(source, 1500)
        + b"\r\n--" + boundary + b'\r\nContent-Type: application/octet-stream; name="a.bin"\r\n'
        b'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="a.bin"\r\n\r\n'
        + lines + b"\r\n--" + boundary + b"--\r\n"
    )  # fmt: skip
    return b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n', body


def make_message(kind: str, seed: str, sender: str, recipient: str) -> bytes:
    """One message, RFC 5322 form, the id not yet patched in, not yet dot-stuffed."""
    source = random.Random(f"{kind}/{seed}")
    head = (
        b"From: Sender <%s>\r\nTo: Recipient <%s>\r\nSubject: load %s %s\r\n"
        b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@load.test>\r\nX-LL-Id: %s\r\nMIME-Version: 1.0\r\n"
        % (sender.encode(), recipient.encode(), kind.encode(), UNPATCHED, UNPATCHED, UNPATCHED)
    )
    if not kind.startswith("text"):
        fields, body = _attachment(source, SIZES[kind])
        return head + fields + body
    head += b"Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
    return head + CANARY + b"\r\n" + _text(source, max(0, SIZES[kind] - len(head) - len(CANARY))) + b"\r\n"


def to_wire(message: bytes, recipient: str) -> Wire:
    """Dot-stuff and end with the final dot (RFC 5321 4.5.2)."""
    stuffed = (b"." + message if message.startswith(b".") else message).replace(b"\r\n.", b"\r\n..") + b".\r\n"
    return Wire(stuffed, [found.start() for found in re.finditer(re.escape(UNPATCHED), stuffed)], recipient)


def build(kind: str, seed: int, sender: str, recipients: list[str], variants: int = 0) -> dict[str, list[Wire]]:
    """The pool of messages of each kind in the mix."""
    pool = {}
    for name, _ in MIXES.get(kind, [(kind, 1)]):
        many = variants or (16 if SIZES[name] <= 200 << 10 else 4 if SIZES[name] <= 2 << 20 else 1)
        pool[name] = [
            to_wire(make_message(name, f"{seed}/{number}", sender, to), to)
            for number, to in ((number, recipients[number % len(recipients)]) for number in range(many))
        ]
    return pool


def order(kind: str, seed: int, count: int) -> list[str]:
    """Which kind each of ``count`` messages has: exact proportions from 100 messages on, in seeded order."""
    source = random.Random(seed)
    shares = MIXES.get(kind, [(kind, 1)])
    if len(shares) == 1 or count < 100:
        return source.choices([name for name, _ in shares], [share for _, share in shares], k=count)
    total = sum(share for _, share in shares)
    plan = [name for name, share in shares for _ in range(count * share // total)]
    plan += [shares[0][0]] * (count - len(plan))
    source.shuffle(plan)
    return plan
