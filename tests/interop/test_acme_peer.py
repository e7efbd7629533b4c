"""A certificate from acme2certifier, an ACME server with email-reply-00 that we did not write, in its own environment.

It sends its challenge mails with a password over TLS and looks for replies by IMAP; ``tests/fakes/mailbox.py`` is both, and
what the gateway sends to the next hop for the server is put into that mailbox.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes.authority import Authority
from tests.fakes.installation import free_port
from tests.fakes.mailbox import Mailbox
from tests.fakes.tls import Certificates
from tests.stories.world import World, letter

pytestmark = [pytest.mark.slow, pytest.mark.peer]

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-acme" / "bin" / "python"
ADDRESS = "acme@ca.test"

CONFIGURATION = """
[DEFAULT]
imap_server: 127.0.0.1
imap_port: {box.imap_port}
imap_use_ssl: False
smtp_server: 127.0.0.1
smtp_port: {box.smtp_port}
smtp_use_tls: False
username: acme
password: acme
email_address: {address}
[Nonce]
nonce_check_disable: False
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {folder}/ca.key
issuing_ca_cert: {folder}/ca.pem
issuing_ca_crl: {folder}/crl.pem
cert_validity_days: 30
cert_save_path: {folder}
ca_cert_chain_list: []
openssl_conf: {folder}/openssl.cnf
[DBhandler]
dbfile: {folder}/acme.db
[Challenge]
challenge_validation_disable: False
[Order]
email_identifier_support: True
email_identifier_rewrite: False
"""

EXTENSIONS = """
[extensions]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment
extendedKeyUsage=emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always
"""

SERVE = """
import ssl
from wsgiref.simple_server import make_server
from acme2certifier.share.acme2certifier_wsgi import application
server = make_server("127.0.0.1", {port}, application)
server.base_environ["HTTPS"] = "on"  # so that it calls itself by https
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain({certificate!r})
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture
def installed() -> Path:
    subprocess.run(["make", "--quiet", ".venv-acme/.installed"], cwd=ROOT, check=True, timeout=300)
    return PYTHON


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority.create("acme2certifier", key="rsa2048")
    (tmp_path / "ca.pem").write_bytes(made.pem)
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ca.key").write_bytes(key)
    (tmp_path / "openssl.cnf").write_text(EXTENSIONS)
    return made


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[World, Certificates]]:
    certificates = Certificates(tmp_path, "localhost")
    with World(environment={"SSL_CERT_FILE": str(certificates.authority)}) as world:
        yield world, certificates


@pytest.mark.req("C6")
@pytest.mark.req("C12")
def test_a_certificate_by_acme(
    gateway: tuple[World, Certificates], installed: Path, authority: Authority, tmp_path: Path
) -> None:
    world, certificates = gateway
    sender, port = "peer@inside.test", free_port()
    box = Mailbox(certificates.server_context(), lambda _, to, octets: world.gateway.receive("", to, octets))
    (tmp_path / "acme_srv.cfg").write_text(CONFIGURATION.format(box=box, address=ADDRESS, folder=tmp_path))
    (tmp_path / "serve.py").write_text(SERVE.format(port=port, certificate=str(certificates.server)))
    environment = {**os.environ, "ACME_SRV_CONFIGFILE": str(tmp_path / "acme_srv.cfg")}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [installed, tmp_path / "serve.py"], env=environment, cwd=tmp_path, stdout=log, stderr=log
        )
    threading.Thread(target=lambda: box.put(world.arrived(ADDRESS, within=60).octets), daemon=True).start()
    try:
        world.set("acme_directory", f"https://localhost:{port}/directory")
        world.set("fetch_networks", "127.0.0.0/8, ::1/128")
        world.set("acme_terms_agreed", "yes")
        world.set("acme_head_start", "10s")
        world.set("smime_sign", "yes", "--user", sender)
        world.trust(authority)
        asked = world.gateway.ask("ca", "issue", sender, "--handler", "acme")
        end = time.monotonic() + 90
        while asked["state"] == "enrolling":
            assert time.monotonic() < end, (asked, (tmp_path / "log").read_text()[-2000:])
            time.sleep(1)
            known = world.gateway.ask("ca", "pending", "list", "--all")  # a short-lived one may be renewed already
            asked = next(each for each in known if each["id"] == asked["id"])
        assert (asked["state"], asked["reason"]) == ("done", "")
        world.gateway.submit(sender, ["reader@outside.test"], letter(sender, "reader@outside.test"))
        assert b"multipart/signed" in world.arrived("reader@outside.test").octets
    finally:
        server.terminate()
        server.wait(20)
        box.close()
