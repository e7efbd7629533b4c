"""The station over real sockets: 250 only after the commit, limits, back-pressure, drain, and what failures become."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from letterlock.database.errors import SealingSessionUnknown
from letterlock.smtpd.access import PolicyUnavailable
from letterlock.vault.errors import StorageUnavailable
from tests.fakes.smtp_client import Client
from tests.fakes.smtpd import INTERNET, ORGANISATION, Station, policy

LINE = b"0123456789" * 7 + b"\r\n"
BIG = b"Subject: big\r\n\r\n" + LINE * 40_000  # 2.9 MB
ENVELOPE = b"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def station(request: pytest.FixtureRequest) -> Iterator[Station]:
    with Station(loop=request.param) as made:
        yield made


@pytest.mark.req("A1", "A3")
def test_a_small_message_is_sealed_into_its_row(station: Station) -> None:
    content = b"Subject: x\r\n\r\n" + LINE * 10
    with Client(station.port) as client:
        assert client.say("EHLO client.test")[0] == 250
        assert client.message(content) == 250
    (message,) = station.accepted
    assert message.octets == content
    assert message.segments == 0
    assert message.recipients == [("bob@ours.test", ORGANISATION)]
    envelope = message.envelope
    assert (envelope.sender, envelope.origin, envelope.body) == ("alice@a.test", "submission", "7BIT")
    trace = envelope.trace
    assert (trace.client, trace.helo, trace.protocol, trace.tls, trace.by) == (
        "127.0.0.1", "client.test", "ESMTP", "", "mx.test",
    )  # fmt: skip


@pytest.mark.req("A1", "A3", "A14")
@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_a_large_message_is_sealed_by_the_mebibyte(station: Station, way: str) -> None:
    with Client(station.port) as client:
        client.say("EHLO client.test")
        if way == "DATA":
            assert client.message(BIG) == 250
        else:
            client.say("MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>")
            for at in range(0, len(BIG), 1_000_000):
                part = BIG[at : at + 1_000_000]
                last = " LAST" if at + 1_000_000 >= len(BIG) else ""
                client.send(f"BDAT {len(part)}{last}\r\n".encode() + part)
            while "Accepted" not in (line := client.reply())[0]:
                assert line[0].startswith("250")
    (message,) = station.accepted
    assert message.octets == BIG
    assert message.segments == 3


@pytest.mark.req("A1")
def test_no_250_before_the_commit_and_what_gathers_meanwhile_is_one_commit(station: Station) -> None:
    station.hold()
    clients = [Client(station.port) for _ in range(6)]
    for client in clients:
        client.reply()
        client.say("EHLO client.test")
        client.envelope()
        client.send(b"x\r\n.\r\n")
    readable, _, _ = select.select([client.sock for client in clients], [], [], 0.3)
    assert readable == []
    station.let_go()
    assert [client.code() for client in clients] == [250] * 6
    assert sum(station.commits) == 6
    assert len(station.commits) <= 3  # the first, and what came while it ran
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (SealingSessionUnknown(detail="secret"), "451 4.3.0"),
        (ValueError("words of a mail"), "451 4.3.0"),
    ],
)
def test_a_failed_commit_is_451_and_the_next_message_goes_on(station: Station, error: Exception, reply: str) -> None:
    station.failing = error
    with Client(station.port) as client:
        client.say("EHLO client.test")
        client.envelope()
        client.send(b"x\r\n.\r\n")
        (line,) = client.reply()
        assert line.startswith(reply)
        assert "secret" not in line
        assert "words" not in line
        station.failing = None
        assert client.message() == 250
    assert len(station.accepted) == 1


@pytest.mark.req("A3")
def test_without_a_sealing_session_or_settings_nothing_is_begun(station: Station) -> None:
    with Client(station.port) as client:
        client.say("EHLO client.test")
        station.sealer.away = True
        assert client.say("MAIL FROM:<a@a.test>") == [451]
        station.sealer.away = False
        good = station.policy.policy
        station.policy.policy = PolicyUnavailable()
        assert client.say("MAIL FROM:<a@a.test>") == [451]
        with Client(station.port) as other:
            assert other.greeting[0].startswith("421 4.3.0")
        station.policy.policy = good
        assert client.message() == 250


def test_a_session_that_ends_in_the_middle_of_a_message(station: Station) -> None:
    with Client(station.port) as client:
        client.say("EHLO client.test")
        client.envelope()
        station.sealer.away = True
        client.send(BIG + b".\r\n")
        assert client.code() == 451
        station.sealer.away = False
        assert client.message() == 250


def test_a_full_disk_is_452(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_content: object) -> None:
        raise StorageUnavailable(detail="no space")

    with Client(station.port) as client:
        client.say("EHLO client.test")
        monkeypatch.setattr(station.store, "create", full)
        client.envelope()
        client.send(BIG + b".\r\n")
        assert client.code() == 452
        monkeypatch.undo()
        assert client.message(BIG) == 250


def test_what_is_refused_or_given_up_leaves_no_file(station: Station) -> None:
    station.policy.policy = policy(max_message_octets=2_000_000)
    with Client(station.port) as client:
        client.say("EHLO client.test")
        client.envelope()
        client.send(BIG + b".\r\n")
        assert client.code() == 552
        assert client.envelope() == [250, 250, 354]
        client.send(BIG[:1_500_000])
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with Client(station.port) as client:  # the server has seen the end of the other by now, or sees it before this
        client.say("EHLO client.test")
        assert client.message() == 250
    station.wait_until(lambda: not station.listener.connections)
    assert list(station.store.ids()) == []


@pytest.mark.req("A1")
def test_relay_for_our_networks_only(station: Station) -> None:
    with Client(station.port, source=INTERNET) as client:
        client.say("EHLO client.test")
        assert client.say(
            "MAIL FROM:<ceo@ours.test>",
            "RCPT TO:<bob@elsewhere.test>",
            "RCPT TO:<bob@sub.ours.test>",
            "RCPT TO:<bob%elsewhere.test@ours.test>",
            'RCPT TO:<"bob@elsewhere.test"@ours.test>',
            "RCPT TO:<elsewhere.test!bob@ours.test>",
            "RCPT TO:<postmaster>",
        ) == [250, 550, 250, 550, 550, 550, 250]
        client.say("DATA")
        client.send(b"x\r\n.\r\n")
        assert client.code() == 250
    (message,) = station.accepted
    assert message.envelope.origin == "internet"
    assert [address for address, _ in message.recipients] == ["bob@sub.ours.test", "postmaster@localhost"]


def test_xforward_names_the_client_but_gives_it_no_right(station: Station) -> None:
    station.policy.policy = policy(xforward_peers=["127.0.0.0/8"])
    with Client(station.port, source=INTERNET) as client:
        client.say("EHLO filter.test")
        forwarded = "XFORWARD ADDR=127.0.0.1 HELO=real.test"
        assert client.say(forwarded, "MAIL FROM:<>", "RCPT TO:<x@far.test>") == [250, 250, 550]
        assert client.say("RCPT TO:<x@ours.test>", "DATA") == [250, 354]
        client.send(b"x\r\n.\r\n")
        assert client.code() == 250
    trace = station.accepted[0].envelope.trace
    assert (trace.client, trace.helo) == ("127.0.0.1", "real.test")
    assert station.accepted[0].envelope.origin == "internet"


def test_a_loop_is_refused(station: Station) -> None:
    received = b"Received: from a by b; Sun, 1 Nov 2026 00:00:00 +0000\r\n\tfolded\r\n"
    for body in (b"x\r\n", LINE * 2000):
        with Client(station.port) as client:
            client.say("EHLO client.test")
            assert client.message(received * 50 + b"\r\nReceived: not a field\r\n" + body) == 250
            assert client.message(b"Subject: x\r\n" + received.replace(b"Rec", b"reC") * 51 + b"\r\n" + body) == 554


@pytest.mark.req("A1")
def test_connections_are_limited_per_client_and_in_total(station: Station) -> None:
    station.policy.policy = policy(smtpd_connections_per_client=2, smtpd_connections=3)
    with Client(station.port) as first, Client(station.port):
        with Client(station.port) as third:
            assert third.greeting[0].startswith("421 4.7.0")
            assert third.reply() == []
        with Client(station.port, source=INTERNET) as other:
            assert other.greeting[0].startswith("220")
            with Client(station.port, source="127.0.0.3") as fourth:
                assert fourth.greeting[0].startswith("421 4.7.0")
        first.say("QUIT")
        station.wait_until(lambda: len(station.listener.connections) == 1)
    station.wait_until(lambda: not station.listener.connections)
    with Client(station.port) as again:
        assert again.greeting[0].startswith("220")


def test_a_silent_client_is_sent_away() -> None:
    with Station({"smtpd_timeout": 1}) as station, Client(station.port) as idle, Client(station.port) as dripping:
        dripping.say("EHLO client.test")
        dripping.envelope()
        assert idle.reply()[0].startswith("421 4.4.2")
        assert idle.reply() == []
        assert dripping.reply()[0].startswith("421 4.4.2")


def test_messages_per_connection_are_limited(station: Station) -> None:
    station.policy.policy = policy(smtpd_messages_per_connection=2)
    with Client(station.port) as client:
        client.say("EHLO client.test")
        assert [client.message(), client.message()] == [250, 250]
        assert client.code() == 421
        assert client.code() == 0


@pytest.mark.req("A1")
def test_stopping_finishes_what_was_begun() -> None:
    with Station() as station, Client(station.port) as idle, Client(station.port) as busy:
        busy.say("EHLO client.test")
        busy.envelope()
        station.stop()
        assert idle.reply()[0].startswith("421 4.3.2")
        busy.send(b"last\r\n.\r\n")
        assert busy.code() == 250
        assert busy.code() == 421
        with pytest.raises(OSError), Client(station.port) as late:
            assert late.greeting == []
            raise ConnectionError
    assert [message.octets for message in station.accepted] == [b"last\r\n"]


def test_a_client_that_closes_its_side_still_gets_its_answer(station: Station) -> None:
    station.hold()
    with Client(station.port) as client:
        client.say("EHLO client.test")
        client.envelope()
        client.send(b"x\r\n.\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        station.let_go()
        assert client.code() == 250
        assert client.code() == 0


def test_reading_pauses_while_much_is_held_back(station: Station) -> None:
    station.hold()
    with Client(station.port) as client:
        client.say("EHLO client.test")
        client.envelope()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        client.sock.setblocking(False)
        sent, more = 0, b"x\r\n.\r\n" + b"NOOP\r\n" * 10_000
        while select.select([], [client.sock], [], 0.3)[1] and sent < 50_000_000:
            sent += client.sock.send(more)
            more = b"NOOP\r\n" * 10_000
        assert sent < 20_000_000
        (connection,) = station.listener.connections
        assert connection.held < 1_000_000


@pytest.mark.req("A1")
def test_a_second_of_silence_between_octets_changes_nothing(station: Station) -> None:
    """Every octet in a packet of its own."""
    with Client(station.port) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.say("EHLO client.test")
        for octet in ENVELOPE:
            client.send(bytes([octet]))
        assert [client.code(), client.code(), client.code()] == [250, 250, 354]
        for octet in b"..x\r\n.\r\n":
            client.send(bytes([octet]))
        assert client.code() == 250
    assert station.accepted[0].octets == b".x\r\n"
