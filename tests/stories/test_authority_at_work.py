"""The certificate authority of a gateway that runs: by its commands, over HTTP, and as openssl, NSS and mail see it."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.installation import free_port
from tests.stories.world import World, letter

pytestmark = [pytest.mark.slow, pytest.mark.peer]


class Ca:
    """A world whose gateway has an authority; files for openssl lie in ``folder``."""

    def __init__(self, world: World, port: int, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.url = f"http://127.0.0.1:{port}"
        self.ask = world.gateway.ask
        self.ask("ca", "create", "House", "--key", "rsa-3072")
        self.issuing, self.root = self.split(world.gateway.cli("ca", "export", "House").stdout)

    def split(self, pem: str) -> list[Path]:
        """Each PEM block in a file of its own."""
        foot = "-----END CERTIFICATE-----\n"
        blocks = [f"{each}{foot}" for each in pem.split(foot) if each.strip()]
        files = [self.folder / f"{number}-{hash(block) & 0xFFFFFF:x}.pem" for number, block in enumerate(blocks)]
        for file, block in zip(files, blocks, strict=True):
            file.write_text(block)
        return files

    def issue(self, address: str, *more: str) -> tuple[str, Path]:
        """A certificate: its id, and its file."""
        made = self.ask("ca", "issue", address, *more, *(() if "--ca" in more else ("--ca", "House")))
        assert made["state"] == "done"
        (file,) = self.split(self.world.gateway.cli("certificate", "export", made["issued"]).stdout)
        return made["issued"], file

    def fetch(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=10) as answer:
            octets: bytes = answer.read()
        return octets

    def lists(self) -> Path:
        """All lists of revocations, PEM."""
        file = self.folder / "lists.pem"
        with file.open("wb") as out:
            for each in self.ask("ca", "list"):
                crl = self.fetch(each["crl"])
                done = subprocess.run(["openssl", "crl", "-inform", "DER"], input=crl, capture_output=True, check=True)
                out.write(done.stdout)
        return file

    def verify(self, file: Path) -> subprocess.CompletedProcess[str]:
        """``openssl verify`` with lists for the whole path."""
        return openssl(
            *("verify", "-x509_strict", "-purpose", "smimesign", "-crl_check_all", "-CRLfile", self.lists()),
            *("-CAfile", self.root, "-untrusted", self.issuing, file),
        )

    def asked(self, file: Path, *more: str) -> str:
        """``openssl ocsp``, over HTTP; its answer is verified."""
        done = openssl(
            *("ocsp", *more, "-issuer", self.issuing, "-cert", file, "-url", f"{self.url}/ocsp"),
            *("-CAfile", self.root, "-verify_other", self.issuing),
        )
        assert "Response verify OK" in done.stderr
        return done.stdout


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    port = free_port()
    with World(environment={"LETTERLOCK_HTTP_PUBLIC": f"127.0.0.1:{port}"}) as world:
        yield Ca(world, port, tmp_path_factory.mktemp("ca"))


@pytest.mark.req("C5")
def test_openssl_accepts_what_we_issue_until_it_is_revoked(ca: Ca) -> None:
    issued, file = ca.issue("olivia@inside.test", "--name", "Olivia O")
    assert ca.verify(file).returncode == 0
    assert ": good" in ca.asked(file)
    assert ": good" in ca.asked(file, "-sha256", "-no_nonce")
    assert ca.ask("ca", "revoke", issued, "--reason", "keyCompromise") == {"answer": "done"}
    done = ca.verify(file)
    assert done.returncode != 0
    assert "certificate revoked" in done.stderr
    assert "keyCompromise" in ca.asked(file)


@pytest.mark.req("B4")
def test_what_is_revoked_or_not_handed_over_yet_is_told(ca: Ca) -> None:
    issued, _ = ca.issue("gone@inside.test")
    ca.ask("ca", "revoke", issued, "--reason", "superseded")
    told = ca.ask("certificate", "why", "gone@inside.test")["encrypt"]
    assert (told["chosen"], told["rejected"][0]["reasons"]) == ([], ["revoked"])
    assert "superseded" in told["rejected"][0]["detail"]
    ca.issue("outsider@outside.test")
    told = ca.ask("certificate", "why", "outsider@outside.test")["encrypt"]
    assert [each["reasons"] for each in told["rejected"]] == [["waiting-for-its-owner"]]
    assert "ca confirm" in told["rejected"][0]["sentences"][0]


@pytest.mark.req("C5")
def test_a_certificate_of_another_authority_is_not_answered_for(ca: Ca) -> None:
    stranger, _ = ca.world.stranger()
    (file,) = ca.split(ca.world.gateway.cli("certificate", "export", stranger).stdout)
    done = openssl("ocsp", "-issuer", ca.issuing, "-cert", file, "-url", f"{ca.url}/ocsp", "-CAfile", ca.root)
    assert "unauthorized (6)" in done.stdout + done.stderr


@pytest.mark.req("C5")
def test_certificates_say_where_the_authority_is_and_it_is_there(ca: Ca) -> None:
    _, file = ca.issue("where@inside.test")
    text = openssl("x509", "-in", file, "-noout", "-text").stdout
    urls = [line.partition("URI:")[2] for line in text.splitlines() if "URI:" in line]
    assert len(urls) == 3
    crl, _, above = sorted(urls, key=lambda url: ("crl" not in url, "ocsp" not in url))
    assert b"House" in ca.fetch(above)
    assert ca.fetch(crl)[:1] == b"\x30"


@pytest.mark.req("C5")
def test_a_name_constraint_holds(ca: Ca, tmp_path: Path) -> None:
    ca.ask("ca", "create", "Narrow", "--key", "ec-p256", "--domain", "inside.test")
    issuing, root = ca.split(ca.world.gateway.cli("ca", "export", "Narrow").stdout)
    _, good = ca.issue("in@inside.test", "--ca", "Narrow")
    _, bad = ca.issue("out@outside.test", "--ca", "Narrow")
    paths = ("verify", "-CAfile", root, "-untrusted", issuing)
    assert openssl(*paths, good).returncode == 0
    assert "permitted subtree violation" in openssl(*paths, bad).stderr


@pytest.mark.req("C5")
@pytest.mark.req("B1")
def test_mail_is_signed_and_read_with_a_certificate_of_ours(ca: Ca) -> None:
    sender = ca.world.address("inside.test", "signer")
    ca.issue(sender, "--ca", "House")
    ca.world.set("smime_sign", "yes", "--user", sender)
    ca.world.gateway.submit(sender, ["reader@outside.test"], letter(sender, "reader@outside.test"))
    mail = ca.folder / "signed.eml"
    mail.write_bytes(ca.world.arrived("reader@outside.test").octets)
    done = openssl("cms", "-verify", "-in", mail, "-CAfile", ca.root, "-out", ca.folder / "plain")
    assert done.returncode == 0, done.stderr


@pytest.mark.req("C12")
def test_the_next_mail_of_a_sender_without_a_certificate_is_signed(ca: Ca) -> None:
    sender = ca.world.address("inside.test", "auto")
    ca.world.set("smime_sign", "yes", "--user", sender)
    ca.world.set("smime_auto_request_cert", "yes", "--user", sender)
    ca.world.gateway.submit(sender, ["first@outside.test"], letter(sender, "first@outside.test"))
    assert b"multipart/signed" not in ca.world.arrived("first@outside.test").octets
    given: list[Any] = []
    ca.world.quiet("nobody@outside.test", lambda: given.extend(wait_for(lambda: ca.ask("ca", "issued", sender))))
    assert given[0]["issued_by"] == "housekeeping"
    ca.world.gateway.submit(sender, ["second@outside.test"], letter(sender, "second@outside.test"))
    assert b"multipart/signed" in ca.world.arrived("second@outside.test").octets


def wait_for(question: Any, within: float = 90.0) -> Any:
    """The first answer that is something."""
    import time

    end = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < end
        time.sleep(1)
    return answer


@pytest.mark.req("C9")
def test_a_key_comes_by_mail_and_opens_with_the_password_that_does_not(ca: Ca, tmp_path: Path) -> None:
    ca.world.gateway.cli("domain", "add", "partner.test")
    issued, certificate = ca.issue("paula@partner.test", "--ca", "House")
    said = ca.ask("ca", "send", issued, "--from", "pki@inside.test")
    arrival = ca.world.arrived("paula@partner.test")
    assert said["password"].encode() not in arrival.octets
    from email import message_from_bytes

    parts = [each for each in message_from_bytes(arrival.octets).walk() if each.get_filename() == "certificate.p12"]
    p12 = tmp_path / "certificate.p12"
    p12.write_bytes(parts[0].get_payload(decode=True))  # type: ignore[arg-type]  # octets, when decoded
    opened = openssl("pkcs12", "-in", p12, "-passin", f"pass:{said['password']}", "-nodes", "-info")
    assert opened.returncode == 0
    assert "PBES2, PBKDF2, AES-256-CBC" in opened.stderr
    assert "hmacWithSHA256" in opened.stderr
    assert certificate.read_text().splitlines()[1] in opened.stdout
    assert openssl("pkcs12", "-in", p12, "-passin", "pass:wrong", "-nodes").returncode != 0
    assert ca.ask("ca", "confirm", issued) == {"answer": "done"}
    imported = nss(tmp_path, said["password"], p12)
    assert "PKCS12 IMPORT SUCCESSFUL" in imported.stdout + imported.stderr


def nss(home: Path, password: str, p12: Path) -> subprocess.CompletedProcess[str]:
    """Import a file as Thunderbird and Firefox do. gpgsm 2.2 reads no PBES2 with HMAC-SHA-256, whoever wrote it."""
    secret, database = home / "password", f"sql:{home}"
    secret.write_text(f"{password}\n")
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True, capture_output=True)
    command = ["pk12util", "-i", str(p12), "-d", database, "-w", str(secret), "-K", ""]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.req("C6")
def test_a_delayed_request_waits_for_a_person(ca: Ca) -> None:
    asked = ca.ask("ca", "issue", "dora@inside.test", "--handler", "delayed", "--ca", "House")
    assert asked["state"] == "approval"
    assert [each["id"] for each in ca.ask("ca", "pending", "list")] == [asked["id"]]
    assert ca.ask("ca", "pending", "approve", asked["id"])["state"] == "done"
    assert ca.ask("ca", "pending", "list") == []
    again = ca.ask("ca", "issue", "dirk@inside.test", "--handler", "delayed")
    assert ca.ask("ca", "pending", "reject", again["id"])["state"] == "rejected"
    ca.world.gateway.cli("ca", "pending", "approve", again["id"], code=1)


@pytest.mark.req("C6")
def test_a_request_goes_to_an_authority_elsewhere_and_its_certificate_comes_in(ca: Ca, tmp_path: Path) -> None:
    address = "ella@inside.test"
    asked = ca.ask("ca", "issue", address, "--handler", "pkcs10")
    assert asked["state"] == "certificate"
    csr, key, root, made = (tmp_path / name for name in ("csr.pem", "key.pem", "root.pem", "made.pem"))
    csr.write_text(ca.world.gateway.cli("ca", "pending", "csr", asked["id"]).stdout)
    assert openssl("req", "-in", csr, "-verify", "-noout").returncode == 0
    subject = ("-subj", "/CN=Elsewhere")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", root, "-days", 30, *subject)
    signing = ("x509", "-req", "-in", csr, "-CA", root, "-CAkey", key, "-copy_extensions", "copy", "-days", 20)
    assert openssl(*signing, "-out", made).returncode == 0
    ca.world.gateway.cli("ca", "pending", "answer", asked["id"], str(ca.issue("e@inside.test")[1]), code=1)
    assert ca.ask("ca", "pending", "answer", asked["id"], str(made))["state"] == "done"
    (kept,) = ca.ask("certificate", "list", address)
    assert kept["key"]


@pytest.mark.req("C8")
def test_a_table_is_carried_out_line_by_line(ca: Ca, tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_bytes(b'email,name\r\nt1@inside.test,"T, One"\r\nnonsense,\r\nt2@inside.test,\r\n')
    seen = [each["answer"] for each in ca.ask("ca", "bulk", str(table), "--dry-run", code=1)]
    assert seen == ["new", "invalid", "new"]
    assert [each["answer"] for each in ca.ask("ca", "bulk", str(table), code=1)] == ["issued", "invalid", "issued"]
    assert [each["answer"] for each in ca.ask("ca", "bulk", str(table), code=1)] == ["there", "invalid", "there"]
    table.write_bytes(b"name\r\nx\r\n")
    assert "columns" in ca.world.gateway.cli("ca", "bulk", str(table), code=1).stderr


@pytest.mark.req("C5")
def test_a_profile_is_shown_set_and_refused_when_it_is_none(ca: Ca) -> None:
    ca.world.gateway.cli("ca", "profile", "set", "short", "days=30", "renew_days=5", "key=ec-p256", "ocsp=no")
    assert [each["name"] for each in ca.ask("ca", "profile", "list")] == ["short", "smime"]
    _, file = ca.issue("short@inside.test", "--profile", "short", "--ca", "House")
    text = openssl("x509", "-in", file, "-noout", "-text").stdout
    assert "OCSP - URI" not in text
    assert "prime256v1" in text
    ca.world.gateway.cli("ca", "profile", "set", "short", "days=9999", code=1)
    ca.world.gateway.cli("ca", "profile", "set", "short", "colour=red", code=2)
