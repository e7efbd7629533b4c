"""SMTP smuggling, in and out: no octets that somebody might take for the end of data end one message and begin another."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from letterlock.delivery.next_hop import Host
from letterlock.delivery.outcome import Outcome
from letterlock.delivery.pool import Pool
from letterlock.mail.envelope import Recipient
from letterlock.smtp.client import Job
from letterlock.smtp.data import BareNewline, stuffed
from tests.fakes.next_hop import NextHop
from tests.fakes.sending import sent
from tests.fakes.smtp_client import Client
from tests.fakes.smtpd import Station, policy

# What some server somewhere takes, or took, for the end of data.
ENDS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "LF.CR": b"\n.\r",
    "CR.CR": b"\r.\r",
    "CR.CRLF": b"\r.\r\n",
    "CR.LF": b"\r.\n",
    "CRLF.LF": b"\r\n.\n",
    "CRLF.CR": b"\r\n.\r",
    "LFCR.CRLF": b"\n\r.\r\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "LFLF.CRLF": b"\n\n.\r\n",
    "LFCR.LFCR": b"\n\r.\n\r",
    "CRLF.NUL.CRLF": b"\r\n.\0\r\n",
    "CRLF.NULdot.CRLF": b"\r\n\0.\r\n",
}
forms = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())

SMUGGLED = b"MAIL FROM:<ceo@ours.test>\r\nRCPT TO:<victim@ours.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    with Station() as made:
        yield made


def receive(station: Station, end: bytes, size: int) -> tuple[int, int]:
    """The code given to one message with ``end`` in its middle, and how many messages were accepted."""
    before = len(station.accepted)
    content = b"Subject: carrier\r\n\r\nbody" + end + SMUGGLED + b".\r\n"
    with Client(station.port) as client:
        client.say("EHLO client.test")
        assert client.envelope() == [250, 250, 354]
        for at in range(0, len(content), size):
            client.send(content[at : at + size])
        code = client.code()
        assert client.say("NOOP") == [250]  # one answer to one message: nothing else was said meanwhile
    return code, len(station.accepted) - before


@pytest.mark.req("A1")
@forms
@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_in_refused(station: Station, end: bytes, size: int) -> None:
    station.policy.policy = policy()
    assert receive(station, end, size) == (550, 0)


@pytest.mark.req("A1")
@forms
@pytest.mark.parametrize("size", [1, 100_000])
def test_in_normalised_is_one_message(station: Station, end: bytes, size: int) -> None:
    station.policy.policy = policy(bare_newline="normalise")
    code, count = receive(station, end, size)
    if b"\0" in end:
        assert (code, count) == (550, 0)
        return
    assert (code, count) == (250, 1)
    octets = station.accepted[-1].octets
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", octets)
    assert octets.endswith(SMUGGLED)  # content, all of it


@pytest.mark.req("A1")
@forms
def test_in_by_chunks_refused(station: Station, end: bytes) -> None:
    station.policy.policy = policy()
    before = len(station.accepted)
    content = b"Subject: carrier\r\n\r\nbody" + end + SMUGGLED
    for cut in range(20, 32):
        with Client(station.port) as client:
            client.say("EHLO client.test", "MAIL FROM:<a@a.test>", "RCPT TO:<b@ours.test>")
            client.send(b"BDAT %d\r\n" % cut + content[:cut])
            first = client.code()
            client.send(b"BDAT %d LAST\r\n" % (len(content) - cut) + content[cut:])
            if b"\0" not in end and end == b"\r\n.\r\n":
                continue
            assert client.code() == 550
            assert first in (250, 550)
            assert client.say("NOOP") == [250]
    assert len(station.accepted) == before


@pytest.mark.req("A1")
def test_only_the_true_end_ends(station: Station) -> None:
    """A stuffed line is content; what follows CRLF . CRLF is a command."""
    station.policy.policy = policy()
    before = len(station.accepted)
    with Client(station.port) as client:
        client.say("EHLO client.test")
        client.envelope()
        client.send(b"a\r\n..\r\nb\r\n.\r\nNOOP\r\n")
        assert [client.code(), client.code()] == [250, 250]
    assert [message.octets for message in station.accepted[before:]] == [b"a\r\n.\r\nb\r\n"]


def send(hop: NextHop, content: bytes, *, normalise: bool = False, pieces: int = 1 << 20) -> Outcome:
    async def run() -> Outcome:
        pool = Pool("client.test")
        parts = [content[at : at + pieces] for at in range(0, len(content), pieces)]
        job = Job("a@a.test", (Recipient("b@b.test"),), lambda: parts, len(content), normalise=normalise)
        try:
            return (await sent(pool, [Host("127.0.0.1", hop.port)], job))[0]
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.req("A1")
@forms
@pytest.mark.parametrize("pieces", [1, 5, 1 << 20])
def test_out_nothing_leaves(end: bytes, pieces: int) -> None:
    content = b"Subject: carrier\r\n\r\nbody" + end + SMUGGLED
    if b"\0" in end:
        return  # CRLF only: it is stuffed like any other line
    with NextHop() as hop:
        result = send(hop, content, pieces=pieces)
        assert (result.verdict, result.status) == ("failed", "5.6.11")
        assert hop.arrivals == []


@pytest.mark.req("A1")
@forms
@pytest.mark.parametrize("pieces", [1, 2, 3, 1 << 20])
def test_out_normalised_shows_no_end_but_the_last(end: bytes, pieces: int) -> None:
    content = b"Subject: carrier\r\n\r\nbody" + end + SMUGGLED
    parts = [content[at : at + pieces] for at in range(0, len(content), pieces)]
    wire = b"\r\n" + b"".join(bytes(part) for part in stuffed(parts, normalise=True))
    for other in ENDS.values():
        assert other not in wire[:-3] or b"\0" in other
    assert wire.find(b"\r\n.\r\n") == len(wire) - 5
    with NextHop() as hop:
        assert send(hop, content, normalise=True, pieces=pieces).verdict == "delivered"
        assert len(hop.arrivals) == 1


def test_out_a_bare_newline_late_in_a_large_message_breaks_the_connection() -> None:
    """Most of the message has left by then; without an end of data the server has nothing."""
    content = b"0123456789\r\n" * 300_000 + b"late\n.\nbody\r\n"
    with pytest.raises(BareNewline):
        list(stuffed([content]))
    with NextHop() as hop:
        result = send(hop, content, pieces=1 << 16)
        assert (result.verdict, result.status) == ("failed", "5.6.11")
        assert hop.arrivals == []
