"""SMTP with other programs: swaks, smtplib, aiosmtplib and Postfix send to us; we send to Postfix and aiosmtpd."""

from __future__ import annotations

import asyncio
import contextlib
import email
import os
import shutil
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.controller import Controller

from letterlock.delivery.next_hop import Host
from letterlock.delivery.outcome import Outcome
from letterlock.delivery.pool import Pool
from letterlock.delivery.tls_policy import Level, TlsPolicy
from letterlock.mail.envelope import Recipient
from letterlock.smtp.client import Job
from letterlock.smtpd.tls import ServerTls
from tests.fakes.sending import sent
from tests.fakes.smtpd import Accepted, Station
from tests.fakes.tls import Certificates

pytestmark = [pytest.mark.peer]

CONTENT = (
    b"From: alice@a.test\r\nTo: bob@ours.test\r\nSubject: peers\r\nMessage-ID: <1@a.test>\r\n"
    b"Date: Sun, 1 Nov 2026 00:00:00 +0000\r\n\r\n.leading dot\r\n..two\r\nlast\r\n"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"), name="localhost")


@pytest.fixture(scope="module")
def station(certificates: Certificates) -> Iterator[Station]:
    tls = ServerTls(str(certificates.server), "", str(certificates.authority))
    with Station({"xforward_peers": ["127.0.0.0/8"]}, tls=tls) as made:
        yield made


def swaks(port: int, *arguments: str, content: bytes = CONTENT) -> str:
    program = shutil.which("swaks")
    assert program, "swaks is not installed"
    command = [program, "--server", f"127.0.0.1:{port}", "--from", "alice@a.test", "--to", "bob@ours.test"]
    done = subprocess.run(
        [*command, "--ehlo", "swaks.test", "--data", "-", *arguments],
        input=content.replace(b"\r\n", b"\n"), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.req("A1", "A2")
@pytest.mark.parametrize(
    "arguments", [(), ("--pipeline",), ("--tls",), ("--tls", "--pipeline"), ("--protocol", "SMTP")]
)
def test_swaks(station: Station, arguments: tuple[str, ...]) -> None:
    before = len(station.accepted)
    said = swaks(station.port, *arguments)
    assert "Accepted as" in said
    (message,) = station.accepted[before:]
    assert message.octets.rstrip(b"\r\n") == CONTENT.rstrip(b"\r\n")
    expected = "SMTP" if "SMTP" in arguments else "ESMTPS" if "--tls" in arguments else "ESMTP"
    assert message.envelope.trace.protocol == expected


@pytest.mark.req("A1", "A2")
def test_swaks_over_implicit_tls_with_a_certificate(station: Station, certificates: Certificates) -> None:
    before = len(station.accepted)
    client = str(certificates.client)
    swaks(station.tls_port, "--tlsc", "--tls-cert", client, "--tls-key", client)
    assert station.accepted[before].envelope.trace.certificate == "commonName=client.test"


def test_swaks_quoted_recipients(station: Station) -> None:
    before = len(station.accepted)
    swaks(station.port, "--to", '"bob smith"@ours.test,carol@ours.test')
    recipients = station.accepted[before].envelope.recipients
    assert [each.address for each in recipients] == ['"bob smith"@ours.test', "carol@ours.test"]


@pytest.mark.req("A1", "A2", "A22")
def test_smtplib(station: Station, certificates: Certificates) -> None:
    before = len(station.accepted)
    with smtplib.SMTP("localhost", station.port, "smtplib.test") as client:
        client.starttls(context=certificates.client_context())
        refused = client.sendmail(
            "alice@a.test", ["bob@ours.test", "carol@ours.test"], CONTENT,
            mail_options=["BODY=8BITMIME", "RET=HDRS", "ENVID=abc"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"],
        )  # fmt: skip
        assert refused == {}
        assert client.size if hasattr(client, "size") else client.has_extn("size")
        assert client.verify("bob")[0] == 252
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail("alice@a.test", "bob@ours.test", b"Received: x\r\n" * 60 + CONTENT)
        assert caught.value.smtp_code == 554
    message = station.accepted[before]
    assert message.octets == CONTENT
    assert (message.envelope.ret, message.envelope.envid) == ("HDRS", "abc")
    assert [each.notify for each in message.envelope.recipients] == [("SUCCESS", "FAILURE")] * 2
    with smtplib.SMTP_SSL("localhost", station.tls_port, context=certificates.client_context()) as client:
        client.sendmail("jürgen@a.test", "bob@ours.test", "Subject: ü\r\n\r\n".encode(), mail_options=["SMTPUTF8"])
    assert station.accepted[-1].envelope.trace.protocol == "UTF8SMTPS"


@pytest.mark.req("A1", "A2")
def test_aiosmtplib(station: Station, certificates: Certificates) -> None:
    async def run() -> None:
        async with aiosmtplib.SMTP(
            hostname="localhost", port=station.port, start_tls=True, tls_context=certificates.client_context()
        ) as client:
            for _ in range(5):
                await client.sendmail("alice@a.test", ["bob@ours.test"], CONTENT)
            with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
                await client.sendmail("alice@a.test", ["not an address"], CONTENT)
            await client.sendmail("alice@a.test", ["bob@ours.test"], CONTENT)
        async with asyncio.timeout(10):
            while station.listener.connections:  # its TLS ends after the client has let go of it
                await asyncio.sleep(0.01)

    before = len(station.accepted)
    asyncio.run(run())
    assert [message.octets for message in station.accepted[before:]] == [CONTENT] * 6


# Postfix


SETTINGS = {
    "compatibility_level": "3.6",
    "queue_directory": "{folder}/queue",
    "data_directory": "{folder}/data",
    "command_directory": "/usr/sbin",
    "daemon_directory": "/usr/lib/postfix/sbin",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "myhostname": "postfix.test",
    "mydestination": "",
    "mynetworks": "127.0.0.0/8",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "smtp_dns_support_level": "disabled",
    "smtp_host_lookup": "native",
    "relayhost": "[127.0.0.1]:{next_hop}",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "local_transport": "error:no local delivery",
    "local_recipient_maps": "",
    "alias_maps": "",
    "alias_database": "",
    "maillog_file": "{log}",
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "2s",
    "queue_run_delay": "1s",
    "smtpd_tls_cert_file": "{certificate}",
    "smtpd_tls_key_file": "{certificate}",
    "smtpd_tls_security_level": "may",
    "smtp_tls_security_level": "may",
    "smtp_send_xforward_command": "yes",
    "smtputf8_enable": "yes",
}
SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
pickup unix n - n 60 1 pickup
postlog unix-dgram n - n - 1 postlogd
showq unix n - n - - showq
flush unix n - n 1000? 0 flush
"""


class Postfix:
    """A Postfix of its own in a folder; relays all to ``next_hop``."""

    def __init__(self, folder: Path, next_hop: int, certificate: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.log = Path("/var/log") / f"letterlock-test-{os.getpid()}-{self.port}.log"  # Postfix logs nowhere else
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir(parents=True)
        shutil.chown(folder / "data", "postfix")
        values = {
            "folder": folder,
            "next_hop": next_hop,
            "certificate": certificate,
            "log": self.log,
            "port": self.port,
        }
        lines = [f"{name} = {value.format(**values)}\n" for name, value in SETTINGS.items()]
        (folder / "etc/main.cf").write_text("".join(lines))
        (folder / "etc/master.cf").write_text(SERVICES.format(**values))

    def command(self, what: str) -> None:
        """start, stop or flush."""
        program = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program, "postfix is not installed"
        done = subprocess.run(
            [program, "-c", str(self.folder / "etc"), what], capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def __enter__(self) -> Postfix:
        self.command("start")
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as peer:
                if peer.recv(3) == b"220":
                    return self
            assert time.monotonic() < until, "Postfix does not answer"
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.command("stop")
        self.log.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def behind(certificates: Certificates) -> Iterator[Station]:
    """The station that Postfix relays to."""
    with Station({"xforward_peers": ["127.0.0.0/8"]}, tls=ServerTls(str(certificates.server), "")) as made:
        yield made


def arrived(station: Station, *addresses: str, within: float = 60.0) -> list[Accepted]:
    """The message for each address, once all have come."""

    def found() -> dict[str, Accepted]:
        return {address: message for message in list(station.accepted) for address, _ in message.recipients}

    station.wait_until(lambda: set(addresses) <= set(found()), within)
    return [found()[address] for address in addresses]


@pytest.fixture(scope="module")
def postfix(behind: Station, certificates: Certificates) -> Iterator[Postfix]:
    folder = Path("/tmp") / f"letterlock-postfix-{os.getpid()}"  # Postfix's sockets need a short path others can enter
    try:
        folder.mkdir()
        with Postfix(folder, behind.port, Path(shutil.copy(certificates.server, folder))) as made:
            yield made
    finally:
        shutil.rmtree(folder)


@pytest.mark.req("A1", "A2", "A22")
@pytest.mark.slow
def test_postfix_to_us_through_its_queue(behind: Station, postfix: Postfix) -> None:
    """Postfix pipelines, says XFORWARD, uses STARTTLS, passes DSN on, and defers and retries what we refuse for now."""
    with smtplib.SMTP("127.0.0.1", postfix.port, "origin.test") as client:
        options = ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;orig@o.test"]
        client.sendmail(
            "alice@a.test", ["bob@ours.test", "carol@far.test"], CONTENT, ["RET=HDRS", "ENVID=e-1"], options
        )
        big = CONTENT + b"0123456789abcdef" * 4 + b"\r\n" + (b"abcdefgh" * 9 + b"\r\n") * 20_000
        client.sendmail("alice@a.test", ["dave@ours.test"], big)
    small, large = arrived(behind, "bob@ours.test", "dave@ours.test")
    assert small.octets.endswith(CONTENT)
    assert large.octets.endswith(big)
    assert large.segments == 2
    envelope = small.envelope
    assert (envelope.ret, envelope.envid) == ("HDRS", "e-1")
    assert {each.notify for each in envelope.recipients} == {("FAILURE", "DELAY")}
    assert {each.orcpt for each in envelope.recipients} == {"rfc822;orig@o.test"}
    assert envelope.trace.helo == "origin.test"  # of Postfix's client, by XFORWARD
    assert envelope.trace.tls.startswith("TLSv1.")


@pytest.mark.req("A1")
@pytest.mark.slow
def test_postfix_tries_again_what_we_put_off(behind: Station, postfix: Postfix) -> None:
    commits = len(behind.commits)
    behind.failing = ValueError("not now")
    try:
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            client.sendmail("alice@a.test", ["erin@ours.test"], CONTENT)
        behind.wait_until(lambda: len(behind.commits) > commits, 20)
        assert not any(address == "erin@ours.test" for message in behind.accepted for address, _ in message.recipients)
    finally:
        behind.failing = None
    postfix.command("flush")
    (message,) = arrived(behind, "erin@ours.test")
    assert message.octets.endswith(CONTENT)


def send(port: int, *jobs: Job, policy: TlsPolicy | None = None, name: str = "127.0.0.1") -> list[list[Outcome]]:
    async def run() -> list[list[Outcome]]:
        pool = Pool("client.test", lambda destination: policy or TlsPolicy())
        try:
            return list(await asyncio.gather(*(sent(pool, [Host(name, port)], job) for job in jobs)))
        finally:
            await pool.close()

    return asyncio.run(run())


def job(recipient: str, content: bytes = CONTENT, **more: Any) -> Job:
    return Job("alice@a.test", (Recipient(recipient, **more),), lambda: [content], len(content))


@pytest.mark.req("A1", "A2", "A12")
@pytest.mark.slow
def test_we_to_postfix(behind: Station, postfix: Postfix, certificates: Certificates) -> None:
    """Through a real queue and back to our own server."""
    found = send(postfix.port, *(job(f"r{n}@ours.test", b"Subject: %d\r\n\r\n.\r\n..\r\n" % n) for n in range(40)))
    assert {one.verdict for each in found for one in each} == {"delivered"}
    secure = TlsPolicy(Level.VERIFY, certificates.authority.read_text())
    (good,) = send(postfix.port, job("tls@ours.test", notify=("SUCCESS",)), policy=secure, name="localhost")
    assert (good[0].verdict, good[0].dsn_is_ours) == ("delivered", False)
    messages = arrived(behind, *(f"r{n}@ours.test" for n in range(40)), "tls@ours.test")
    subjects = sorted(str(email.message_from_bytes(message.octets)["Subject"]) for message in messages)
    assert subjects == sorted([*map(str, range(40)), "peers"])
    assert all(message.octets.endswith((b"\r\n\r\n.\r\n..\r\n", CONTENT)) for message in messages)


class Handler:
    """Keeps what aiosmtpd hands over."""

    def __init__(self) -> None:
        self.found: list[tuple[str, list[str], bytes]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 nobody"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.found.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return "250 2.0.0 kept"


@pytest.mark.req("A1", "A2", "A12")
@pytest.mark.parametrize("level", [Level.NONE, Level.VERIFY])
def test_we_to_aiosmtpd(certificates: Certificates, level: Level) -> None:
    """A server without PIPELINING: one command after the other."""
    handler = Handler()
    context = certificates.server_context() if level else None
    port = _free_port()
    controller = Controller(
        handler, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=context is not None
    )
    controller.start()
    try:
        secure = TlsPolicy(level, certificates.authority.read_text())
        mixed = Job(
            "alice@a.test",
            tuple(Recipient(f"{name}@b.test") for name in ("bob", "nobody", "carol")),
            lambda: [CONTENT[:30], CONTENT[30:]],
            len(CONTENT),
        )
        found = send(port, mixed, *(job(f"r{n}@b.test") for n in range(9)), policy=secure, name="localhost")
    finally:
        controller.stop()
    assert [one.verdict for one in found[0]] == ["delivered", "failed", "delivered"]
    assert {one.verdict for each in found[1:] for one in each} == {"delivered"}
    assert len(handler.found) == 10
    assert {octets for _, _, octets in handler.found} == {CONTENT}
    assert ("alice@a.test", ["bob@b.test", "carol@b.test"], CONTENT) in handler.found
