"""Keys on a PKCS #11 token, and keys that leave: what a gateway that runs does with them, and what openssl says."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from letterlock.keyholder.pools import TOKEN_SIGNERS
from tests.fakes import openssl
from tests.fakes.installation import free_port
from tests.fakes.softhsm import LABEL, PIN, SoftToken, soft_token
from tests.stories.world import World, letter

pytestmark = [pytest.mark.slow, pytest.mark.peer]

SECRET = "the eagle has landed"


class House:
    """A world whose gateway has a token, an authority on it, and a profile of keys on it."""

    def __init__(self, world: World, token: SoftToken) -> None:
        self.world, self.token = world, token
        self.ask, self.cli = world.gateway.ask, world.gateway.cli
        self.ask("ca", "create", "House", "--token", "--key", "ec-p256")
        for name, kind in (("rsa", "rsa-2048"), ("curve", "ec-p384")):
            self.cli("ca", "profile", "set", name, f"key={kind}", "on_token=yes")
        self.root: Any = SimpleNamespace(pem=self.cli("ca", "export", "House").stdout.encode())

    def issue(self, address: str, profile: str) -> tuple[str, Any]:
        """A certificate with its key on the token: its id, and its public half."""
        made = self.ask("ca", "issue", address, "--profile", profile)
        assert made["state"] == "done", made
        pem = self.cli("certificate", "export", made["issued"]).stdout.encode()
        return made["issued"], SimpleNamespace(pem=pem)

    def member(self, profile: str) -> tuple[str, Any]:
        """A new person of inside.test whose key is on the token."""
        address = self.world.address("inside.test", "tokened")
        return address, self.issue(address, profile)[1]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with soft_token(tmp_path_factory.mktemp("hsm") / "soft") as token:
        environment = {
            "LETTERLOCK_PKCS11_MODULE": token.module,
            "LETTERLOCK_PKCS11_TOKEN": token.uri,
            "LETTERLOCK_PKCS11_PIN": f"file:{token.pin_file()}",
            "LETTERLOCK_HTTP_PUBLIC": f"127.0.0.1:{free_port()}",
        }
        with World(environment=environment) as world:
            yield House(world, token)


def _wait_for(question: Any, within: float = 30.0) -> Any:
    end = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < end
        time.sleep(0.3)
    return answer


@pytest.mark.req("M1", "B1")
@pytest.mark.parametrize("profile", ["rsa", "curve"])
def test_a_key_on_the_token_signs_and_openssl_verifies(house: House, profile: str) -> None:
    sender, signer = house.member(profile)
    to, reader = house.world.stranger()
    house.world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
    content, signed_by = openssl.verify(openssl.decrypt(house.world.arrived(to).octets, reader), house.root)
    assert SECRET.encode() in content
    assert signed_by.strip() == signer.pem.decode().strip()


@pytest.mark.req("M1", "B1")
@pytest.mark.parametrize(
    ("profile", "options"),
    [
        ("rsa", ()),
        ("rsa", ("-keyopt", "rsa_padding_mode:oaep")),
        ("rsa", ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")),
        ("curve", ()),
    ],
)
def test_mail_to_a_key_on_the_token_is_opened(house: House, profile: str, options: tuple[str, ...]) -> None:
    to, reader = house.member(profile)
    fields = f"From: someone@outside.test\r\nTo: {to}\r\nSubject: for the token\r\n".encode()
    if options:
        options = ("-recip", "{}", *options)
    sealed = _encrypt(f"Content-Type: text/plain\r\n\r\n{SECRET}\r\n".encode(), reader, options)
    house.world.gateway.receive("someone@outside.test", to, fields + sealed)
    assert SECRET.encode() in house.world.arrived(to).octets


def _encrypt(content: bytes, reader: Any, options: tuple[str, ...]) -> bytes:
    with openssl._files(to=reader.pem) as path:
        words = [path["to"] if each == "{}" else each for each in options] or [path["to"]]
        done = subprocess.run(
            ["openssl", "cms", "-encrypt", "-aes-256-cbc", *words], input=content, capture_output=True, check=True
        )
    return openssl.crlf(done.stdout)


@pytest.mark.req("M1")
def test_mail_waits_while_the_token_is_away_and_goes_on_when_it_is_back(house: House) -> None:
    world = house.world
    sender, _ = house.member("rsa")
    to, reader = world.stranger()
    inside, its = house.member("rsa")
    world.gateway.submit(sender, to, letter(sender, to, text="before\r\n"))
    world.arrived(to)
    house.token.go_away()
    try:
        world.gateway.submit(sender, to, letter(sender, to, text=f"{SECRET}\r\n"))
        entry = world.wait_for_queued(sender, lambda each: each["attempts"] > 0)
        assert entry["state"] == "received"
        (said,) = [each for each in json.loads(house.cli("doctor", "--json", code=1).stdout) if each["state"] == "bad"]
        assert said["name"] == "token"
        assert "does not answer" in said["sentence"]
        assert len(world.hop.wait_for_recipient(to)) == 1
        fields = f"From: s@outside.test\r\nTo: {inside}\r\nSubject: sealed\r\n".encode()
        sealed = _encrypt(f"Content-Type: text/plain\r\n\r\n{SECRET}\r\n".encode(), its, ())
        world.gateway.receive("s@outside.test", inside, fields + sealed)
        held = world.wait_for_queued(inside, lambda each: each["attempts"] > 0)
        plain, _ = world.member()  # who has no key on the token is not concerned
        world.gateway.submit(plain, "x@outside.test", letter(plain, "x@outside.test"))
        world.arrived("x@outside.test")
    finally:
        house.token.come_back()
    _wait_for(lambda: house.cli("keys", "token", code=None).returncode == 0)
    for each in (entry, held):
        house.cli("queue", "retry", each["id"], code=None)
    assert SECRET.encode() in world.arrived(inside).octets
    arrival = world.hop.wait_for_recipient(to, count=2)[1]
    content, _ = openssl.verify(openssl.decrypt(arrival.octets, reader), house.root)
    assert SECRET.encode() in content


@pytest.mark.req("M1")
def test_keys_on_the_token_are_listed_checked_and_never_shown(house: House) -> None:
    house.member("rsa")
    rows = house.ask("keys", "token")
    assert {row["use"] for row in rows} == {"mail", "authority"}
    assert {row["algorithm"] for row in rows} >= {"rsa-2048", "ec-p256"}
    found = {each["name"]: each for each in json.loads(house.cli("doctor", "--json", code=None).stdout)}
    assert found["token"]["state"] == "good"
    assert "it answers" in found["token"]["sentence"]
    assert PIN not in house.world.gateway.errors()


@pytest.mark.req("M1", "I3")
def test_the_module_is_loaded_in_signers_of_its_own_only(house: House) -> None:
    house.ask("keys", "token")
    with_module, signers = [], 0
    assert house.world.gateway.run is not None
    for each in psutil.Process(house.world.gateway.run.pid).children(recursive=True):
        signers += each.name() == "ll-signer"
        if "libsofthsm2" in Path(f"/proc/{each.pid}/maps").read_text():
            with_module.append(each.name())
    assert set(with_module) == {"ll-signer"}
    assert 1 <= len(with_module) <= TOKEN_SIGNERS
    assert signers == len(os.sched_getaffinity(0)) + TOKEN_SIGNERS


@pytest.mark.req("M1", "C10")
def test_a_key_on_the_token_cannot_be_taken_out(house: House, tmp_path: Path) -> None:
    issued, _ = house.issue(house.world.address("inside.test"), "rsa")
    out = tmp_path / "out.p12"
    words = ("certificate", "export", issued, "--private", "--reason", "x", "--yes", "--out", str(out))
    said = house.cli(*words, code=1).stderr
    assert "on the PKCS #11 token and cannot be taken out" in said
    assert not out.exists()


@pytest.mark.req("M1")
def test_a_key_that_was_on_the_token_before_is_tied_to_its_certificate(house: House, tmp_path: Path) -> None:
    world = house.world
    key = house.world.address("inside.test", "before")
    identity = world.authority.issue(key)
    secret, file = tmp_path / "key.pem", tmp_path / "before.pem"
    secret.write_bytes(identity.key_pem)
    file.write_bytes(identity.pem)
    words = ("--import", str(secret), "--token", LABEL, "--label", "old one", "--id", "b0b0", "--pin", PIN)
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(world.authority.issue(key).pem)
    said = house.cli("certificate", "import", str(stranger), "--token-key", "b0b0", code=1).stderr
    assert "another public key" in said
    house.cli("certificate", "import", str(file), "--token-key", "label:old one")
    to, reader = world.stranger()
    world.gateway.submit(key, to, letter(key, to, text=f"{SECRET}\r\n"))
    content, _ = openssl.verify(openssl.decrypt(world.arrived(to).octets, reader), world.authority)
    assert SECRET.encode() in content


@pytest.mark.req("C10")
@pytest.mark.parametrize("form", ["p12", "pem"])
def test_a_private_key_leaves_with_a_reason_and_its_owner_is_told(house: House, tmp_path: Path, form: str) -> None:
    world = house.world
    owner, identity = world.member()
    assert identity is not None
    out = tmp_path / f"key.{form}"
    words = ("certificate", "export", owner, "--private", "--format", form, "--out", str(out))
    assert "needs --reason" in house.cli(*words, "--yes", code=2).stderr
    assert "say --yes" in house.cli(*words, "--reason", "x", code=2, text="").stderr
    assert not out.exists()
    said = json.loads(house.cli(*words, "--reason", "New laptop", "--yes", "--json").stdout)
    assert out.stat().st_mode & 0o777 == 0o600
    if form == "pem":
        key = load_pem_private_key(out.read_bytes(), said["password"].encode())
        assert key.private_numbers() == identity.key.private_numbers()  # type: ignore[union-attr]  # both RSA
        with pytest.raises(ValueError, match="[Ii]ncorrect|decrypt"):
            load_pem_private_key(out.read_bytes(), b"wrong")
    else:
        opened = subprocess.run(
            ["openssl", "pkcs12", "-in", str(out), "-passin", f"pass:{said['password']}", "-nodes", "-info"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "PBES2, PBKDF2, AES-256-CBC" in opened.stderr
        assert "PRIVATE KEY" in opened.stdout
    for told in (owner, "postmaster@inside.test"):
        text = _wait_for(lambda told=told: _notice(world, told, owner))  # type: ignore[misc]
        assert "New laptop" in text
        assert said["password"] not in text
    (row,) = [
        each
        for each in house.ask("audit", "list", "--max", "500")
        if each["action"] == "keyholder.export_key" and owner in str(each)
    ]
    assert "New laptop" in row["detail"]
    house.cli(*words, "--reason", "again", "--yes", code=2)  # nothing is overwritten


def _notice(world: World, to: str, about: str) -> str:
    for each in world.hop.arrivals:
        text = each.octets.decode(errors="replace").replace("=\r\n", "")
        if to in each.recipients and "A private key was given out" in text and about in text:
            return text
    return ""


@pytest.mark.req("C10")
def test_all_certificates_of_a_domain_leave_with_an_answer_each(house: House, tmp_path: Path) -> None:
    people = [house.world.authority.issue(f"{name}@bulk.test") for name in ("one", "two", "three")]
    for each in people:
        house.world.import_identity(each, key=False)
    folder = tmp_path / "out"
    folder.mkdir()
    rows = json.loads(
        house.cli("certificate", "export", "@bulk.test", "--out", str(folder), "--format", "der", "--json").stdout
    )
    assert {row["answer"] for row in rows} == {"exported"}
    assert {Path(row["file"]).read_bytes() for row in rows} == {each.der for each in people}
    p7b = house.cli("certificate", "export", "@bulk.test", "--format", "p7b", "--out", str(tmp_path / "all.p7b"))
    assert p7b.returncode == 0
    listed = subprocess.run(
        ["openssl", "pkcs7", "-print_certs", "-in", str(tmp_path / "all.p7b")],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        listed = subprocess.run(
            ["openssl", "pkcs7", "-inform", "DER", "-print_certs", "-in", str(tmp_path / "all.p7b")],
            capture_output=True,
            text=True,
            check=True,
        )
    assert listed.stdout.count("BEGIN CERTIFICATE") == 3
    assert "no such certificate" in house.cli("certificate", "export", "@nowhere.test", code=1).stderr
