"""A Door that says yes, keeps what it is given, and refuses where it is told to; and a dialogue with a ServerSession.

Guarantees
    ``Dialogue`` feeds octets in reads of any size and returns what the server says to them.
"""

from __future__ import annotations

from letterlock.errors import LetterlockError
from letterlock.mail import reply
from letterlock.mail.address import Address
from letterlock.mail.reply import Reply
from letterlock.smtp.data import HEADROOM
from letterlock.smtp.door import Profile, Transaction
from letterlock.smtp.server import ServerSession
from letterlock.smtp.syntax import CommandRefused, MailCommand


class FakeDoor:
    """Relays for everybody. ``refuse``: verb or address to what is raised for it."""

    def __init__(self) -> None:
        self.refuse: dict[str, Exception] = {}
        self.sinks: list[FakeSink] = []
        self.faults: list[Exception] = []
        self.refusals: list[Reply] = []
        self.answer_at_once: Reply | None = reply.ACCEPTED
        self.session: ServerSession | None = None

    def mail(self, command: MailCommand) -> None:
        self._may("MAIL")

    def recipient(self, address: Address | None) -> Address:
        self._may(str(address))
        return address or Address("postmaster", "ours.test")

    def content(self, transaction: Transaction) -> FakeSink:
        self._may("DATA")
        sink = FakeSink(self, transaction)
        self.sinks.append(sink)
        return sink

    def refused(self, answer: Reply) -> None:
        self.refusals.append(answer)

    def fault(self, error: Exception) -> None:
        self.faults.append(error)

    def _may(self, what: str) -> None:
        if what in self.refuse:
            raise self.refuse[what]


class FakeSink:
    """One message's content."""

    def __init__(self, door: FakeDoor, transaction: Transaction) -> None:
        self.door = door
        self.transaction = transaction
        self.octets = bytearray()
        self.finished = False
        self.abandoned = False

    def write(self, octets: bytes) -> None:
        if "write" in self.door.refuse:
            raise self.door.refuse["write"]
        self.octets += octets

    def finish(self) -> None:
        if "finish" in self.door.refuse:
            raise self.door.refuse["finish"]
        self.finished = True
        if self.door.answer_at_once and self.door.session:
            self.door.session.answer(self.door.answer_at_once)

    def abandon(self) -> None:
        self.abandoned = True


class Dialogue:
    """One client with one server."""

    def __init__(self, door: FakeDoor | None = None, profile: Profile | None = None, *, hello: bool = True) -> None:
        self.door = door or FakeDoor()
        self.session = ServerSession(self.door, profile or Profile("mx.test"))
        self.door.session = self.session
        self.greeting = self.session.take()
        if hello:
            self.say("EHLO client.test")

    def feed(self, octets: bytes, size: int = 1 << 20) -> bytes:
        """``octets`` in reads of ``size``; what the server says to them."""
        said = b""
        for at in range(0, len(octets), size):
            buffer = bytearray(HEADROOM) + octets[at : at + size]
            self.session.receive(buffer, HEADROOM, len(buffer))
            said += self.session.take()
        return said

    def say(self, *lines: str) -> list[str]:
        """Commands in one read; the reply lines."""
        octets = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
        return self.feed(octets).decode("ascii").splitlines()

    def codes(self, *lines: str) -> list[int]:
        """Like say, but only the code of each reply."""
        return [int(line[:3]) for line in self.say(*lines) if line[3:4] == " "]

    def send(self, content: bytes = b"Subject: x\r\n\r\nbody\r\n", *, recipient: str = "bob@b.test") -> list[str]:
        """One message by DATA; the reply to its end."""
        assert self.codes("MAIL FROM:<alice@a.test>", f"RCPT TO:<{recipient}>", "DATA") == [250, 250, 354]
        return self.feed(content + b".\r\n").decode("ascii").splitlines()

    @property
    def taken(self) -> list[bytes]:
        """The contents that were finished."""
        return [bytes(sink.octets) for sink in self.door.sinks if sink.finished]


REFUSED = CommandRefused(reply.RELAY_DENIED)


class Away(LetterlockError):
    """Something is away."""
