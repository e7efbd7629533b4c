"""What clients and other servers send: a whole SMTP conversation however it is cut, and reports that are to be reduced.

See also
    ``src/letterlock/smtp/server.py``, ``data.py``, ``syntax.py``; ``mail/dsn.py``, ``flow/reduce.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple

from letterlock.flow.reduce import reduce
from letterlock.mail import dsn, reply
from letterlock.mail.message import HeaderTooLarge, Message
from letterlock.smtp.data import HEADROOM, DataDecoder, is_clean, stuffed
from letterlock.smtp.door import Profile
from tests.fakes.door import Dialogue, FakeDoor
from tests.fuzz.oracle import holds, same, told
from tests.fuzz.scene import HEAD, Scene

_LAST_IN_ITS_READ: Final = re.compile(rb"(?i)(?:data|starttls)[^\n]*\n")
"""After DATA and STARTTLS the server wants to be heard before more is said (RFC 2920 3.1): a difference that is wanted."""
_HUNG_UP: Final = f"{reply.BAD_LINE.text}\r\n".encode()
_PROFILES: Final = (
    Profile("mx.test", max_message_octets=4000, max_line_octets=300, xforward=True, starttls=True),
    Profile("mx.test", max_message_octets=4000, max_line_octets=300, normalise=True),
)


def conversation(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """The server says and takes the same, whatever the reads; what it takes is clean."""

    def run(octets: bytes) -> None:
        for profile in _PROFILES:
            whole = _held(octets, len(octets) or 1, profile)
            for size in (1, 7, 61) if len(octets) < 2000 else (61, 997):
                _agree(whole, _held(octets, size, profile), f"a conversation in reads of {size}")
            for content in whole[1]:
                holds(is_clean(content) and b"\0" not in content, "content with a bare CR or LF, or with NUL")
                _sent_on(content)

    return run


class _Held(NamedTuple):
    """A conversation: what the server said, the contents it took, their envelopes, its faults, whether it hung up."""

    said: bytes
    taken: list[bytes]
    envelopes: list[object]
    faults: list[str]
    closed: bool


def _held(octets: bytes, size: int, profile: Profile) -> _Held:
    door = FakeDoor()
    dialogue = Dialogue(door, profile, hello=False)
    said = b""
    ends = [each.end() for each in _LAST_IN_ITS_READ.finditer(octets)]
    for start, end in pairwise((0, *ends, len(octets))):
        for at in range(start, end, size):
            if not dialogue.session.closed:
                said += dialogue.feed(octets[at : min(at + size, end)], size)
    envelopes: list[object] = [(each.transaction.mail, dict(each.transaction.recipients)) for each in door.sinks]
    return _Held(said, dialogue.taken, envelopes, [repr(each) for each in door.faults], dialogue.session.closed)


def _agree(first: _Held, second: _Held, what: str) -> None:
    """Equal, but for the words: content with two faults is refused for the one that was seen first. Or one hung up at a
    command that ended with a bare LF, which it does when nothing came with it."""
    same(first.faults, second.faults, what)
    sooner, later = sorted((first, second), key=lambda each: (len(each.taken), len(each.said)))
    if sooner != later and any(each.closed and each.said.endswith(_HUNG_UP) for each in (first, second)):
        same(sooner.taken, later.taken[: len(sooner.taken)], what)
        same(sooner.envelopes, later.envelopes[: len(sooner.envelopes)], what)
        return
    codes = [[line[:4] for line in each.said.split(b"\r\n")] for each in (first, second)]
    same(codes[0], codes[1], what)
    same(first._replace(said=b""), second._replace(said=b""), what)


def _sent_on(content: bytes) -> None:
    """Stuffed for the next server, it is read there as the same."""
    wire = b"".join(bytes(each) for each in stuffed([content]))
    taken = bytearray()
    decoder = DataDecoder(taken.extend, Profile("next.test"))
    buffer = bytearray(HEADROOM) + wire
    same(decoder.feed(buffer, HEADROOM, len(buffer)), len(buffer), "where the end of data is")
    same(bytes(taken), content if content.endswith(b"\r\n") or not content else content + b"\r\n", "content sent on")


def report(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """Reports of servers inside: what leaves instead is a message of ours, and small."""

    def run(octets: bytes) -> None:
        told(lambda: dsn.parse(octets), dsn.ReportInvalid)
        message = Message(octets)
        made = told(
            lambda: reduce(message, "bob@example.net", host="mx.test", postmaster="postmaster@mx.test", now=0.0),
            HeaderTooLarge,
        ).value
        if isinstance(made, Message) and made is not message:
            holds(is_clean(made.octets), "a report with a bare CR or LF")
            names = [each.name for each in made.fields]
            holds(b"" not in names and len(set(names)) == len(names), "a header of ours")
            holds(len(made.octets) < 20_000 + 4 * len(octets), "a report that grows")

    return run


def conversation_seeds(stage: Scene) -> list[bytes]:
    """Everything a client may say."""
    hello = b"EHLO client.test\r\n"
    mail = b"MAIL FROM:<alice@a.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2By\r\n"
    to = b"RCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+40b.test\r\nRCPT TO:<postmaster>\r\n"
    return [
        hello + mail + to + b"DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n",
        hello + mail + to + b"BDAT 10\r\nSubject: x\rBDAT 5 LAST\r\n\n\r\nx\r\nRSET\r\nNOOP\r\n",
        b"HELO x\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\na\n.\r\nb\r\n.\r\n",
        hello + b"XFORWARD NAME=x ADDR=1.2.3.4 HELO=[UNAVAILABLE]\r\nVRFY x\r\nSTARTTLS\r\n",
        hello + b'MAIL FROM:<"a > b"@a.test> SMTPUTF8\r\nRCPT TO:<\xc3\xbc@b.test>\r\nDATA\r\n.\r\n',
    ]


def report_seeds(stage: Scene) -> list[bytes]:
    """A report, a receipt, an automatic answer."""
    return [
        HEAD
        + b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n'
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; in.test\r\nOriginal-Envelope-Id: x\r\n\r\n"
        b"Final-Recipient: rfc822; bob@in.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nRemote-MTA: dns; y\r\n--b\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: the canary\r\n\r\nsings\r\n--b--\r\n",
        HEAD + b'Content-Type: multipart/report; boundary="b"\r\n\r\n--b\r\n\r\nread\r\n--b\r\n'
        b"Content-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822; bob@in.test\r\n"
        b"Disposition: manual-action/MDN-sent-manually; displayed\r\nOriginal-Message-ID: <x@y>\r\n--b--\r\n",
        HEAD + b"Auto-Submitted: auto-replied\r\n\r\nI am away.\r\n",
    ]
