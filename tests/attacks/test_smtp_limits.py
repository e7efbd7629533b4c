"""What a hostile client can make us hold or do: bounded memory whatever the size, bounded time, bounded everything else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.mail import limits
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.mail.message import HeaderTooLarge, scan
from letterlock.queue.accept import Acceptor
from letterlock.smtp.data import HEADROOM
from letterlock.smtp.door import Profile
from letterlock.smtp.server import ServerSession
from letterlock.smtp.syntax import CommandRefused
from letterlock.smtpd.intake import Desk, Header, Intake
from letterlock.smtpd.tls import ServerTls
from letterlock.vault.segments import FileSegmentStore
from tests.fakes.door import Dialogue, FakeDoor
from tests.fakes.smtp_client import Client
from tests.fakes.smtpd import FakePolicy, FakeSealer, Station, policy

MIB = 1 << 20


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    with Station({"max_message_octets": 60 * MIB}) as made:
        yield made


class RealSinks(FakeDoor):
    """A Door whose sinks seal, as the station's do."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.outcomes: list[BaseException | None] = []
        self.accepted = 0
        self.desk = Desk(
            "mx.test", FakePolicy(policy()), FakeSealer(), FileSegmentStore(folder), Acceptor(self._accept),
            ServerTls("", ""), lambda *measured: None,
        )  # fmt: skip

    async def _accept(self, **arrays: list[object]) -> None:
        self.accepted += len(arrays["ids"])

    def content(self, transaction: object) -> Intake:  # type: ignore[override]  # another sink than the fake's
        envelope = Envelope("a@a.test", (Recipient("b@b.test"),))
        return Intake(self.desk, policy(), envelope, lambda intake, error: self.outcomes.append(error))


@pytest.mark.req("A14")
@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_a_connection_holds_less_than_4_mib_whatever_the_size(tmp_path: Path, way: str) -> None:
    lines = (b"0123456789abcdef" * 4 + b"\r\n") * 1985
    size = 64 * MIB // len(lines) * len(lines)

    async def run() -> tuple[int, int]:
        door = RealSinks(tmp_path)
        session = ServerSession(door, Profile("mx.test", max_message_octets=100 * MIB))
        buffer = bytearray(HEADROOM) + lines

        def feed(octets: bytes) -> None:
            buffer[HEADROOM : HEADROOM + len(octets)] = octets
            session.receive(buffer, HEADROOM, HEADROOM + len(octets))

        feed(b"EHLO x\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\n")
        feed(b"DATA\r\n" if way == "DATA" else b"BDAT %d LAST\r\n" % (size + 2))
        feed(b"\r\n")  # no header
        tracemalloc.start()
        for _ in range(size // len(lines)):
            feed(lines)
        if way == "DATA":
            feed(b".\r\n")
        async with asyncio.timeout(30):
            while not door.outcomes:
                await asyncio.sleep(0.01)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert door.outcomes == [None]
        return peak, door.accepted

    peak, accepted = asyncio.run(run())
    assert accepted == 1
    assert peak < 4 * MIB


def test_a_large_message_over_the_wire_arrives_whole(station: Station) -> None:
    content = b"Subject: 50 MiB\r\n\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * (50 * MIB // 66)
    with Client(station.port, timeout=60) as client:
        client.say("EHLO client.test")
        assert client.message(content) == 250
    message = station.accepted[-1]
    assert message.segments == 50
    assert message.octets == content


def test_a_message_of_dots_costs_no_more_than_another() -> None:
    """Each line stuffed: the worst for a reader that goes from dot to dot."""
    began = time.process_time()
    dialogue = Dialogue(profile=Profile("mx.test"))
    dialogue.codes("MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>", "DATA")
    dialogue.feed(b"..\r\n" * 5_000_000 + b".\r\n", 131_072)
    assert dialogue.taken[0] == b".\r\n" * 5_000_000
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("octets", [b"\r", b"\n", b"\r\n", b"\r\n.", b".", b"\0", b"\r\r\n", b"\r\n.\r"])
def test_a_megabyte_of_one_thing_octet_by_octet(octets: bytes) -> None:
    began = time.process_time()
    dialogue = Dialogue(profile=Profile("mx.test", max_message_octets=4 * MIB))
    dialogue.codes("MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>", "DATA")
    said = dialogue.feed(octets * (100_000 // len(octets)), 1)
    said += dialogue.feed(octets * (MIB // len(octets)), 65_536)
    assert time.process_time() - began < 4.0
    said += dialogue.feed(b"\r\n.\r\n")
    assert said[:1] in (b"2", b"5")


def test_a_line_without_end_is_refused_and_not_kept() -> None:
    tracemalloc.start()
    dialogue = Dialogue()
    dialogue.codes("MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>", "DATA")
    for _ in range(100):
        dialogue.feed(b"x" * 65_536)
    assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    tracemalloc.stop()
    assert dialogue.feed(b"\r\n.\r\n").startswith(b"550 5.6.0")
    assert dialogue.door.sinks[0].abandoned


def test_a_command_without_end_is_refused_and_not_kept(station: Station) -> None:
    with Client(station.port) as client:
        client.say("EHLO client.test")
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.send(b"MAIL FROM:<" + b"a" * 100_000)
        assert client.code() in (500, 0)


def test_pipelined_commands_do_not_pile_up() -> None:
    dialogue = Dialogue()
    dialogue.door.answer_at_once = None
    dialogue.codes("MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>", "DATA")
    dialogue.feed(b"x\r\n.\r\n" + b"NOOP\r\n" * 1000)
    assert dialogue.session.held == 6000  # the station stops reading at MAX_HELD_OCTETS, see unit/smtpd


def test_recipients_without_number(station: Station) -> None:
    with Client(station.port, timeout=60) as client:
        client.say("EHLO client.test", "MAIL FROM:<a@a.test>")
        codes = client.say(*(f"RCPT TO:<r{n}@b.test>" for n in range(5000)))
        assert codes.count(250) == limits.MAX_RECIPIENTS
        assert codes.count(452) == 5000 - limits.MAX_RECIPIENTS
        assert client.say("DATA") == [354]
        client.send(b"x\r\n.\r\n")
        assert client.code() == 250
    assert len(station.accepted[-1].recipients) == limits.MAX_RECIPIENTS


def test_a_flood_of_connections_leaves_room_for_others(station: Station) -> None:
    flood = [socket.create_connection(("127.0.0.1", station.port), 10, ("127.0.0.9", 0)) for _ in range(150)]
    try:
        said = [peer.recv(200)[:3] for peer in flood]
        assert said.count(b"220") == 100  # smtpd_connections_per_client
        assert said.count(b"421") == 50
        with Client(station.port) as client:
            client.say("EHLO client.test")
            assert client.message() == 250
    finally:
        for peer in flood:
            peer.close()
    station.wait_until(lambda: not station.listener.connections)


FIELD = b"X-Field: value\r\n"
FOLDED = b"X-Field: value\r\n more\r\n\tof it\r\n"
LONG = b"X-Field: %s\r\n" % (b"v" * 60_000)
BODY = b"\r\n" + b"line\r\n" * 50_000
HEADERS = {
    "fields": (FIELD * limits.MAX_FIELDS, True),
    "a field more": (FIELD * (limits.MAX_FIELDS + 1), False),
    "folded fields": (FOLDED * limits.MAX_FIELDS, True),
    "a folded field more": (FOLDED * (limits.MAX_FIELDS + 1), False),
    "a continuation of nothing": (b" x\r\n" + FIELD * limits.MAX_FIELDS, False),
    "damaged lines": (b"x\r\n" * (limits.MAX_FIELDS + 1), False),
    "octets": (LONG * 17 + b"X: %s\r\n" % (b"v" * (limits.MAX_HEADER_OCTETS - 17 * len(LONG) - 5)), True),
    "an octet more": (LONG * 17 + b"X: %s\r\n" % (b"v" * (limits.MAX_HEADER_OCTETS - 17 * len(LONG) - 4)), False),
    "nothing": (b"", True),
}


@pytest.mark.req("A14")
@pytest.mark.parametrize("body", [b"", b"\r\n", BODY], ids=["cut", "empty", "large"])
@pytest.mark.parametrize(("header", "good"), HEADERS.values(), ids=HEADERS)
def test_a_header_beyond_the_limits_is_refused(station: Station, header: bytes, good: bool, body: bytes) -> None:
    with Client(station.port) as client:
        client.say("EHLO client.test")
        assert client.message(header + body) == (250 if good else 552)
        assert client.message() == 250  # the connection goes on
    if good:
        scan(header + body, 0, len(header + body))  # does not raise


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 1000])
def test_a_header_is_measured_alike_however_it_is_cut(size: int) -> None:
    for count in (limits.MAX_FIELDS - 1, limits.MAX_FIELDS, limits.MAX_FIELDS + 1):
        for octets in (FOLDED * count, FOLDED * count + b"\r\nX: \r\n" * 9, FIELD * count + b"X: no end"):
            expected, found = False, False
            measured = Header()
            try:
                scan(octets, 0, len(octets))
            except HeaderTooLarge:
                expected = True
            try:
                for piece in _pieces(octets, size):
                    measured.add(piece)
                measured.finish()
            except CommandRefused:
                found = True
            assert found is expected


def _pieces(octets: bytes, size: int) -> Iterator[bytes]:
    """Pieces of ``size``, none of which ends in a CR, as DataDecoder and ChunkDecoder give them."""
    held = b""
    for at in range(0, len(octets), size):
        piece = held + octets[at : at + size]
        held = b"\r" if piece.endswith(b"\r") else b""
        yield piece.removesuffix(b"\r")
    yield held


def test_a_chunk_of_impossible_size_is_answered_at_once(station: Station) -> None:
    with Client(station.port) as client:
        client.say("EHLO client.test", "MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>")
        assert client.say("BDAT 99999999999999999999 LAST") == [552]
        assert client.code() == 0
    with Client(station.port) as client:
        client.say("EHLO client.test")
        assert client.say("BDAT 99999999999999999999") == [503]
        assert client.code() == 0


def test_guessing_recipients_ends_the_connection(station: Station) -> None:
    with Client(station.port, source="127.0.0.2") as client:
        client.say("EHLO client.test", "MAIL FROM:<a@a.test>")
        client.send(b"".join(b"RCPT TO:<guess%d@elsewhere.test>\r\n" % n for n in range(100)))
        codes = [client.code() for _ in range(limits.MAX_ERRORS + 1)]
        assert codes == [550] * limits.MAX_ERRORS + [421]
        assert client.code() == 0


def test_a_peer_that_never_reads_its_answers(station: Station) -> None:
    with Client(station.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sock.setblocking(False)
        sent = 0
        until = time.monotonic() + 2.0
        with contextlib.suppress(OSError):
            while time.monotonic() < until:
                try:
                    sent += client.sock.send(b"EHLO " + b"x" * 200 + b"\r\n")
                except BlockingIOError:
                    time.sleep(0.01)
        assert sent < 20 * MIB
    station.wait_until(lambda: not station.listener.connections)
