"""TLS at the station: STARTTLS and implicit, client certificates, renewal, and what a handshake that fails leaves."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.smtpd.tls import CertificateUnusable, ServerTls
from tests.fakes.smtp_client import Client
from tests.fakes.smtpd import INTERNET, Station, policy
from tests.fakes.tls import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["asyncio", "uvloop"])
def station(certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[Station]:
    tls = ServerTls(str(certificates.server), "", str(certificates.authority))
    with Station(tls=tls, loop=request.param) as made:
        yield made


@pytest.mark.req("A2")
def test_starttls(station: Station, certificates: Certificates) -> None:
    with Client(station.port) as client:
        client.send(b"EHLO client.test\r\n")
        assert client.reply()[-1] == "250 STARTTLS"
        client.start_tls(certificates.client_context())
        assert client.say("MAIL FROM:<a@a.test>") == [503]  # no hello yet
        client.send(b"EHLO client.test\r\n")
        assert not any("STARTTLS" in line for line in client.reply())
        content = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 100_000
        assert client.message(content) == 250
    (message,) = station.accepted
    assert message.octets == content
    assert message.envelope.trace.protocol == "ESMTPS"
    assert message.envelope.trace.tls.startswith("TLSv1.3 TLS_")
    assert message.envelope.trace.certificate == ""


@pytest.mark.req("A2")
def test_implicit_tls(station: Station, certificates: Certificates) -> None:
    client = Client(station.tls_port)
    client.sock = certificates.client_context().wrap_socket(client.sock, server_hostname="mx.test")
    assert client.reply()[0].startswith("220 mx.test")
    client.send(b"EHLO client.test\r\n")
    assert not any("STARTTLS" in line for line in client.reply())
    assert client.message() == 250
    client.close()
    assert station.accepted[0].envelope.trace.protocol == "ESMTPS"


@pytest.mark.req("A1", "A2")
@pytest.mark.parametrize("listed", [["client.test"], ["sha256"], []])
def test_a_verified_and_listed_certificate_may_relay(
    station: Station, certificates: Certificates, listed: list[str]
) -> None:
    names = frozenset(_fingerprint(certificates) if name == "sha256" else name for name in listed)
    station.policy.policy = dataclasses.replace(policy(), relay_certificates=names)
    with Client(station.port, source=INTERNET) as client:
        client.say("EHLO client.test")
        client.start_tls(certificates.client_context(certificate=True))
        client.say("EHLO client.test")
        assert client.message(recipient="bob@elsewhere.test") == (250 if listed else 550)
        assert client.say("RSET") == [250]
        assert client.message() == 250
    assert station.accepted[-1].envelope.trace.certificate == "commonName=client.test"
    with Client(station.port, source=INTERNET) as without:
        without.say("EHLO client.test")
        without.start_tls(certificates.client_context())
        without.say("EHLO client.test")
        assert without.message(recipient="bob@elsewhere.test") == 550


def _fingerprint(certificates: Certificates) -> str:
    der = ssl.PEM_cert_to_DER_cert(certificates.client.read_text().split("-----BEGIN PRIVATE")[0])
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


@pytest.mark.req("A2")
def test_a_stranger_s_certificate_ends_the_handshake(station: Station, tmp_path: Path) -> None:
    stranger = Certificates(tmp_path)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(str(stranger.client))
    with Client(station.port) as client, pytest.raises((ssl.SSLError, OSError, AssertionError)):
        client.say("EHLO client.test")
        client.start_tls(context)
        assert client.say("EHLO client.test") == [250]
    station.wait_until(lambda: not station.listener.connections)


def test_old_protocols_and_noise_instead_of_a_handshake(station: Station) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options &= ~ssl.OP_NO_TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Client(station.port) as client:
        client.say("EHLO client.test")
        client.start_tls(context)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.2"
    with Client(station.port) as client:
        client.say("EHLO client.test", "STARTTLS")
        client.send(b"EHLO client.test\r\nMAIL FROM:<a@a.test>\r\n")
        with pytest.raises((ConnectionError, AssertionError)):
            while octets := client.sock.recv(4096):
                assert not octets.startswith(b"250")
            raise ConnectionError
    station.wait_until(lambda: not station.listener.connections)
    with Client(station.port) as client:
        assert client.say("EHLO client.test") == [250]


def test_commands_in_the_packet_of_the_handshake_s_end_are_not_lost(
    station: Station, certificates: Certificates
) -> None:
    """TLS 1.3: a client's last flight may carry its first command."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = certificates.client_context().wrap_bio(incoming, outgoing, server_hostname="mx.test")
    with Client(station.port) as client:
        client.say("EHLO client.test", "STARTTLS")
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                incoming.write(client.sock.recv(65536))
        secure.write(b"EHLO client.test\r\nNOOP\r\n")
        client.send(outgoing.read())
        said = b""
        while b"250 2.0.0 Ok" not in said:
            incoming.write(client.sock.recv(65536))
            try:
                said += secure.read(65536)
            except ssl.SSLWantReadError:
                continue
        assert said.startswith(b"250-mx.test")


def test_a_renewed_certificate_is_used_and_a_broken_one_is_not(tmp_path: Path) -> None:
    first = Certificates(tmp_path)
    tls = ServerTls(str(first.server), "")
    context = tls.context(0.0)
    assert context is not None
    assert tls.context(100.0) is context
    os.utime(first.server, (1, 1))
    assert tls.context(101.0) is context  # not looked at again so soon
    renewed = tls.context(200.0)
    assert renewed is not None
    assert renewed is not context
    first.server.write_text("rubbish")
    assert tls.context(300.0) is renewed
    shutil.rmtree(tmp_path)
    assert tls.context(400.0) is renewed
    assert ServerTls("", "").context(0.0) is None


def test_a_wrong_file_is_named_at_the_start(tmp_path: Path) -> None:
    first = Certificates(tmp_path)
    ServerTls(str(first.server), "").load()
    ServerTls("", "").load()
    (tmp_path / "bad.pem").write_text("rubbish")
    missing = str(tmp_path / "missing.pem")
    for certificate, key, named in (
        (missing, "", f"certificate is {missing}"),
        (str(first.server), missing, f"key is {missing}"),
        (str(tmp_path / "bad.pem"), "", "bad.pem"),
        (str(first.authority), "", "authority.pem"),
        (str(first.server), str(first.client), "KEY_VALUES_MISMATCH"),
    ):
        with pytest.raises(CertificateUnusable, match=r"^\[smtp\] ") as caught:
            ServerTls(certificate, key).load()
        assert named in caught.value.public


def test_without_a_certificate_there_is_no_tls() -> None:
    with Station() as station, Client(station.port) as client:
        client.send(b"EHLO client.test\r\n")
        assert not any("STARTTLS" in line for line in client.reply())
        assert client.say("STARTTLS") == [502]
        raw = socket.create_connection(("127.0.0.1", station.tls_port), 10)
        assert raw.recv(100) == b""
        raw.close()
