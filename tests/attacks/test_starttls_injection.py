"""STARTTLS injection: nothing said before TLS, by whomever, is used after it; on the server's side and on the client's."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from letterlock.delivery.next_hop import Host
from letterlock.delivery.outcome import Outcome
from letterlock.delivery.pool import Pool
from letterlock.delivery.tls_policy import Level
from letterlock.mail.envelope import Recipient
from letterlock.smtp.client import Job
from letterlock.smtpd.session import Connection
from letterlock.smtpd.tls import ServerTls
from tests.fakes.sending import sent
from tests.fakes.smtp_client import Client
from tests.fakes.smtpd import Station
from tests.fakes.tls import Certificates

INJECTED = (
    b"EHLO evil.test\r\n",
    b"NOOP\r\n",
    b"MAIL FROM:<evil@e.test>\r\nRCPT TO:<bob@ours.test>\r\nDATA\r\nx\r\n.\r\n",
    b"X",
    b"\r\n",
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.mark.req("A2")
@pytest.mark.parametrize("injected", INJECTED)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_server_input_with_starttls_ends_the_connection(certificates: Certificates, injected: bytes, loop: str) -> None:
    with Station(tls=ServerTls(str(certificates.server), ""), loop=loop) as station, Client(station.port) as client:
        client.say("EHLO client.test")
        client.send(b"STARTTLS\r\n" + injected)
        assert client.reply()[0].startswith("554 5.5.0")
        assert client.reply() == []
        assert station.accepted == []


@pytest.mark.req("A2")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_server_half_a_command_before_is_not_finished_after(certificates: Certificates, loop: str) -> None:
    """A transaction, and the beginning of a line, from before the handshake are gone."""
    with Station(tls=ServerTls(str(certificates.server), ""), loop=loop) as station, Client(station.port) as client:
        client.say("EHLO evil.test", "MAIL FROM:<evil@e.test>", "RCPT TO:<bob@ours.test>")
        client.start_tls(certificates.client_context())
        assert client.say("DATA") == [503]
        assert client.say("RCPT TO:<bob@ours.test>") == [503]
        assert client.say("EHLO client.test") == [250]
        assert client.message() == 250
        assert station.accepted[0].envelope.sender == "alice@a.test"


class Wire:
    """A transport whose reading cannot be paused in time."""

    def __init__(self, connection: object) -> None:
        self.said = b""
        self.connection = connection

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 1), "ssl_object": self.connection}.get(name, default)

    def write(self, octets: bytes) -> None:
        self.said += octets

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


class Handshaken:
    """What an SSLObject says after a handshake."""

    def cipher(self) -> tuple[str, str, int]:
        return ("X", "TLSv1.3", 256)

    def version(self) -> str:
        return "TLSv1.3"

    def getpeercert(self, binary_form: bool = False) -> None:
        return None


@pytest.mark.req("A2")
def test_server_plaintext_that_slips_in_before_the_handshake_is_dropped(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a read happens between the 220 and start_tls, only what came out of TLS is heard."""
    secured = Wire(Handshaken())

    async def run() -> None:
        with Station(tls=ServerTls(str(certificates.server), "")) as station:
            connection = Connection(station.listener)
            connection.connection_made(cast("asyncio.Transport", Wire(None)))

            def hear(octets: bytes) -> None:
                connection.get_buffer(-1)[: len(octets)] = octets
                connection.buffer_updated(len(octets))

            async def start_tls(*_: object, **__: object) -> Wire:
                hear(b"EHLO client.test\r\n")  # out of TLS, before start_tls returns
                return secured

            monkeypatch.setattr(connection._loop, "start_tls", start_tls)
            hear(b"EHLO evil.test\r\nSTARTTLS\r\n")
            hear(b"EHLO evil.test\r\nMAIL FROM:<evil@e.test>\r\n")
            async with asyncio.timeout(5):
                while not secured.said:
                    await asyncio.sleep(0)
            assert connection._live.hello == "client.test"
            assert connection._live.transaction is None
            assert secured.said.count(b"250 ") == 1
            connection.connection_lost(None)

    asyncio.run(run())


class Injector:
    """A server that says ``answer`` to STARTTLS and then does what ``then`` says."""

    def __init__(self, answer: bytes, then: Callable[[socket.socket], None] | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.said = b""
        self._answer, self._then = answer, then
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Injector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread; close alone would not
        self._listener.close()
        self._thread.join(15)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        try:
            while True:
                peer, _ = self._listener.accept()
                with peer:
                    self._talk(peer)
        except OSError:
            return

    def _talk(self, peer: socket.socket) -> None:
        peer.settimeout(10)
        peer.sendall(b"220 hop.test\r\n")
        self.said += peer.recv(4096)
        peer.sendall(b"250-hop.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
        self.said += peer.recv(4096)
        peer.sendall(self._answer)
        while octets := peer.recv(4096):
            self.said += octets


def send(port: int, level: Level) -> Outcome:
    async def run() -> Outcome:
        pool = Pool("client.test")
        job = Job("a@a.test", (Recipient("b@b.test"),), lambda: [b"Subject: secret\r\n\r\nx\r\n"], 22)
        try:
            return (await sent(pool, [Host("127.0.0.1", port)], job, level))[0]
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.req("A2")
@pytest.mark.parametrize("level", [Level.ENCRYPT, Level.VERIFY])
@pytest.mark.parametrize(
    "answer",
    [
        b"220 go\r\n250-evil.test\r\n250 PIPELINING\r\n",  # the answer to the EHLO to come
        b"220 go\r\n2",
        b"220 go\r\n\r\n",
        b"454 not now\r\n",
        b"502 no\r\n",
        b"250 what\r\n",
        b"220 go\r\n\x15\x03\x01\x00\x02\x02\x28",
    ],
)
def test_client_takes_nothing_from_before_tls_and_does_not_go_on_without(level: Level, answer: bytes) -> None:
    with Injector(answer) as server:
        result = send(server.port, level)
        assert result.verdict == "deferred"
        assert b"MAIL" not in server.said
        assert b"secret" not in server.said


@pytest.mark.req("A2")
def test_client_stripped_starttls_is_not_a_reason_to_go_on(tmp_path: Path) -> None:
    class Stripped(Injector):
        def _talk(self, peer: socket.socket) -> None:
            peer.sendall(b"220 hop.test\r\n")
            self.said += peer.recv(4096)
            peer.sendall(b"250 hop.test\r\n")
            self.said += peer.recv(4096)

    with Stripped(b"") as server:
        result = send(server.port, Level.ENCRYPT)
        assert (result.verdict, result.status) == ("deferred", "4.7.4")
        assert b"MAIL" not in server.said
