"""``letterlock certificate`` and ``letterlock trust`` against a store in memory."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from letterlock.cli import certificate, trust
from letterlock.database.errors import Denied
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import bundle, calls
from letterlock.pki.certificate import parse
from letterlock.pki.errors import CertificateError, WrongPassword
from tests.fakes.authority import Authority, Identity
from tests.fakes.certificates import FakeCertificates

ALICE = "alice@example.org"


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture(scope="module")
def alice(anchor: Authority) -> Identity:
    return anchor.issue(ALICE, "p256")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> FakeCertificates:
    fake = FakeCertificates()
    for function in ("import_certificate", "list", "show", "add_anchor", "remove_anchor"):
        monkeypatch.setattr(f"letterlock.pki.calls.{function}", getattr(fake, function))
    for function in ("explain_candidates", "explain_authorities", "find", "waiting", "tie", "delete"):
        monkeypatch.setattr(f"letterlock.pki.calls.{function}", getattr(fake, function))
    for function in (
        "set_ctl_entry",
        "explain_ctl_entries",
        "remove_ctl_entry",
        "explain_crls",
        "explain_ocsp_answers",
    ):
        monkeypatch.setattr(f"letterlock.pki.calls.{function}", getattr(fake, function))
    monkeypatch.setattr("letterlock.pki.ca.calls.issued", fake.issued)
    monkeypatch.setattr("letterlock.policy.calls.organisations", fake.organisations)
    monkeypatch.setattr("letterlock.policy.calls.explain", fake.explain)
    return fake


class Command:
    """Runs commands, says their exit code, keeps what they print."""

    def __init__(self, door: FakeCertificates, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.door = door
        self.capsys = capsys
        self.folder = folder

    def file(self, name: str, octets: bytes) -> str:
        path = self.folder / name
        path.write_bytes(octets)
        return str(path)

    def __call__(self, *words: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        subparsers = parser.add_subparsers(dest="command")
        certificate.add_parser(subparsers)
        trust.add_parser(subparsers)
        arguments = parser.parse_args(words)
        module = {"certificate": certificate, "trust": trust}[arguments.command]
        self.capsys.readouterr()
        code = asyncio.run(module.run(arguments, self.door))
        return code, self.capsys.readouterr().out

    def json(self, *words: str) -> Any:
        code, out = self(*words, "--json")
        assert code == 0
        return json.loads(out)


@pytest.fixture
def command(door: FakeCertificates, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    return Command(door, capsys, tmp_path)


@pytest.mark.req("C10")
def test_import_and_the_same_again(command: Command, alice: Identity) -> None:
    file = command.file("alice.p12", alice.p12("geheim"))
    first = command.json("certificate", "import", file, "--password", "geheim")["certificates"]
    assert [row["answer"] for row in first] == ["imported", "imported"]  # hers and the anchor's
    assert {tuple(row["addresses"]): row["key"] for row in first} == {(ALICE,): True, (): False}
    again = command.json("certificate", "import", file, "--password", "geheim")["certificates"]
    assert [row["answer"] for row in again] == ["already there", "already there"]
    assert [row["id"] for row in again] == [row["id"] for row in first]
    assert list(command.door.keys) == [alice.pkcs8]


@pytest.mark.req("C10")
def test_an_import_never_trusts(command: Command, alice: Identity, anchor: Authority) -> None:
    command("certificate", "import", command.file("all.pem", alice.pem + anchor.pem))
    assert command.door.anchors == set()
    assert command.json("certificate", "why", ALICE)["encrypt"]["rejected"][0]["reasons"] == ["untrusted"]


@pytest.mark.req("C10")
def test_a_key_may_come_later(command: Command, alice: Identity) -> None:
    command("certificate", "import", command.file("a.pem", alice.pem))
    assert command.json("certificate", "list", ALICE)[0]["key"] is False
    rows = command.json("certificate", "import", command.file("b.pem", alice.pem + alice.key_pem))["certificates"]
    assert rows[0]["answer"] == "imported"
    assert command.json("certificate", "list", "Alice@EXAMPLE.org")[0]["key"] is True


@pytest.mark.req("C10")
def test_passwords(command: Command, alice: Identity) -> None:
    file = command.file("alice.p12", alice.p12("geheim"))
    secret = command.file("password", b"geheim\nsecond line\n")
    assert command("certificate", "import", file, "--password-file", secret)[0] == 0
    for wrong in ((), ("--password", "x"), ("--password-file", command.file("w", b"x"))):
        with pytest.raises(WrongPassword, match="--password-file"):
            command("certificate", "import", file, *wrong)


def test_password_is_never_said(command: Command, alice: Identity) -> None:
    with pytest.raises(WrongPassword) as caught:
        command("certificate", "import", command.file("alice.p12", alice.p12("geheim")), "--password", "hunter2")
    assert "hunter2" not in str(caught.value)


def test_faults_of_import(command: Command, alice: Identity) -> None:
    with pytest.raises(UsageError, match="Cannot read"):
        command("certificate", "import", str(command.folder / "nowhere"))
    with pytest.raises(UsageError, match="Cannot read"):
        command("certificate", "import", command.file("a", b""), "--password-file", str(command.folder / "nowhere"))
    with pytest.raises(CertificateError):
        command("certificate", "import", command.file("b", b"rubbish"))
    with pytest.raises(PermanentError, match="organisation"):
        command("certificate", "import", command.file("c", alice.pem), "--organisation", "other")
    command.door.refuse_keys = True
    with pytest.raises(PermanentError, match="2048"):
        command("certificate", "import", command.file("d", alice.pem + alice.key_pem))
    assert command.door.rows == {}


def test_a_token_that_has_ended(command: Command, alice: Identity) -> None:
    command.door.token = b"x" * 32
    for words in (["list"], ["why", ALICE], ["show", ALICE], ["import", command.file("a", alice.pem)]):
        with pytest.raises(Denied):
            command("certificate", *words)


def test_unreadable_certificates_are_counted(command: Command, alice: Identity) -> None:
    bad = b"-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
    code, out = command("certificate", "import", command.file("a", bad + alice.pem), "--json")
    assert code == 1
    assert json.loads(out)["unreadable"] == 1


@pytest.mark.req("B4")
def test_why(command: Command, anchor: Authority, alice: Identity) -> None:
    now = datetime.now(UTC)
    older = anchor.issue(ALICE, "p256", not_before=now - timedelta(days=9))
    expired = anchor.issue(ALICE, "p256", not_after=now - timedelta(hours=1))
    server = anchor.issue(ALICE, "p256", purposes=("server",))
    pem = b"".join(each.pem + each.key_pem for each in (older, expired, server)) + alice.pem
    command("certificate", "import", command.file("all.pem", pem))
    command("trust", "add", command.file("ca.pem", anchor.pem))
    told = command.json("certificate", "why", ALICE)

    def thumbprints(rows: list[dict[str, Any]]) -> set[str]:
        return {row["thumbprint"] for row in rows}

    assert thumbprints(told["encrypt"]["chosen"]) == {_print(alice), _print(older)}
    assert {row["thumbprint"]: row["reasons"] for row in told["encrypt"]["rejected"]} == {
        _print(expired): ["expired"],
        _print(server): ["extended-key-usage"],
    }
    assert thumbprints(told["sign"]["chosen"]) == {_print(older)}
    assert {row["thumbprint"]: row["reasons"] for row in told["sign"]["rejected"]} == {
        _print(expired): ["expired"],
        _print(server): ["extended-key-usage"],
        _print(alice): ["no-private-key"],
    }
    code, table = command("certificate", "why", ALICE)
    assert code == 0
    assert "extended-key-usage" in table


def test_why_without_any(command: Command) -> None:
    assert "No certificate to encrypt" in command("certificate", "why", ALICE)[1]
    with pytest.raises(UsageError):
        command("certificate", "why", "nobody")


def test_list_and_show(command: Command, anchor: Authority, alice: Identity) -> None:
    assert "No certificates." in command("certificate", "list")[1]
    command("certificate", "import", command.file("a.pem", alice.pem))
    command("trust", "add", command.file("ca.pem", anchor.pem))
    rows = command.json("certificate", "list")
    assert {row["subject"]: row["anchor"] for row in rows} == {f"CN={ALICE}": False, "CN=Anchor": True}
    assert ALICE in command("certificate", "list", ALICE)[1]
    row = next(row for row in rows if not row["anchor"])
    for name in (row["id"], row["thumbprint"], row["thumbprint"].upper(), ALICE):
        (shown,) = command.json("certificate", "show", name)
        assert shown["thumbprint"] == row["thumbprint"]
    assert shown["good_to_sign"]
    assert shown["public_key"] == "ec secp256r1"
    assert shown["path"] == [f"CN={ALICE}", "CN=Anchor"]
    assert "good_to_sign" in command("certificate", "show", ALICE)[1]


@pytest.mark.parametrize("name", ["0" * 64, "00000000-0000-0000-0000-000000000000", "bob@example.org"])
def test_no_such_certificate(command: Command, name: str) -> None:
    with pytest.raises(certificate.NoCertificate):
        command("certificate", "show", name)


def test_no_way_to_name_a_certificate(command: Command) -> None:
    for name in ("x", "0", "@", "00ff", "0" * 65):
        with pytest.raises(UsageError):
            command("certificate", "export", name)


@pytest.mark.req("C10")
def test_export(command: Command, anchor: Authority, alice: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    other = anchor.issue(ALICE, "p256")
    command("certificate", "import", command.file("a.pem", alice.pem + alice.key_pem + other.pem))
    both = {parse(alice.der), parse(other.der)}
    for form in ("pem", "p7b"):
        out = command.folder / form
        assert command("certificate", "export", ALICE, "--format", form, "--out", str(out))[0] == 0
        assert set(bundle.read(out.read_bytes()).certificates) == both
        assert bundle.read(out.read_bytes()).keys == ()
    with pytest.raises(UsageError, match="one certificate"):
        command("certificate", "export", ALICE, "--format", "der")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    arguments = argparse.Namespace(
        verb="export", which=_print(alice), format="der", out=None, private=False, json=False
    )
    assert asyncio.run(certificate.run(arguments, command.door)) == 0
    assert written.getvalue() == alice.der


@pytest.mark.req("B4")
def test_trust(command: Command, anchor: Authority) -> None:
    file = command.file("ca.pem", anchor.pem)
    assert "Nothing is trusted" in command("trust", "list")[1]
    assert command.json("trust", "add", file)[0]["answer"] == "trusted"
    assert command.json("trust", "add", file)[0]["answer"] == "already trusted"
    (row,) = command.json("trust", "list")
    assert row["subject"] == "CN=Anchor"
    assert "CN=Anchor" in command("trust", "list")[1]
    assert command("trust", "remove", row["thumbprint"])[0] == 0
    assert command("trust", "remove", row["thumbprint"])[0] == 1
    assert command.json("trust", "list") == []
    assert len(command.door.rows) == 1  # it stays a certificate


def test_trust_takes_all_or_nothing(command: Command, anchor: Authority, alice: Identity) -> None:
    with pytest.raises(trust.NotAnAuthority, match="nothing was changed"):
        command("trust", "add", command.file("ca.pem", anchor.pem + alice.pem))
    assert command.door.rows == {}
    with pytest.raises(UsageError):
        command("trust", "remove", ALICE)


def _print(identity: Identity) -> str:
    return parse(identity.der).thumbprint.hex()


@pytest.mark.req("B6")
def test_why_names_every_scope(command: Command, anchor: Authority, alice: Identity) -> None:
    gateway = anchor.issue("gateway@partner.test", "p256")
    authority = anchor.issue("domain-confidentiality-authority@example.org", "p256")
    signer = anchor.issue("domain-signing-authority@example.org", "p256")
    escrow = anchor.issue("escrow@ours.test", "p256")
    waits = anchor.issue(ALICE, "p256")
    pem = b"".join(each.pem for each in (alice, gateway, authority, signer, escrow))
    command("certificate", "import", command.file("all.pem", pem))
    command("trust", "add", command.file("ca.pem", anchor.pem))
    assert command.json("certificate", "tie", _print(gateway), "*.Org")["answer"] == "done"
    command.door.additional = ["escrow@ours.test"]
    command.door.waits = [calls.Waiting(ALICE, uuid4(), waits.der, datetime.now(UTC))]
    told = command.json("certificate", "why", ALICE)
    assert {row["origin"]: row["thumbprint"] for row in told["encrypt"]["chosen"]} == {
        "personal": _print(alice),
        "authority": _print(authority),
        "wildcard": _print(gateway),
        "additional": _print(escrow),
    }
    assert [(row["thumbprint"], row["reasons"]) for row in told["encrypt"]["rejected"]] == [
        (_print(waits), ["waiting-for-approval"])
    ]
    assert {row["thumbprint"]: row["reasons"] for row in told["sign"]["rejected"]} == {
        _print(alice): ["no-private-key"],
        _print(signer): ["signs-for-the-domain-only"],
    }
    assert set(command.json("certificate", "why", ALICE, "--sign")) == {"address", "sign"}
    assert set(command.json("certificate", "why", ALICE, "--encrypt")) == {"address", "encrypt"}


@pytest.mark.req("C10")
def test_a_folder_at_once(command: Command, anchor: Authority, alice: Identity) -> None:
    folder = command.folder / "in"
    (folder / "below").mkdir(parents=True)
    bob = anchor.issue("bob@example.org", "p256")
    (folder / "a.p12").write_bytes(alice.p12("geheim"))
    (folder / "below" / "b.CRT").write_bytes(bob.der)
    (folder / "c.pem").write_bytes(b"rubbish")
    (folder / "notes.txt").write_bytes(bob.pem)
    for answer, words in (("new", ["--dry-run"]), ("imported", []), ("already there", [])):
        code, out = command("certificate", "import", str(folder), "--password", "geheim", "--json", *words)
        rows = json.loads(out)["certificates"]
        assert code == 1
        assert [row["answer"] for row in rows] == [answer, answer, answer, "refused"]
        assert rows[-1]["reason"]
        assert len(command.door.rows) == (0 if words else 3)


@pytest.mark.req("C10")
def test_a_thumbprint_in_any_dress(command: Command, alice: Identity) -> None:
    command("certificate", "import", command.file("a.pem", alice.pem))
    sha1 = hashlib.sha1(alice.der, usedforsecurity=False).hexdigest()
    for digits in (sha1, _print(alice)):
        for name in (digits, digits[:8], digits[:9], digits.upper(), ":".join(digits[n : n + 2] for n in (0, 2, 4, 6))):
            assert command.json("certificate", "show", name)[0]["thumbprint"] == _print(alice)
        wrong = digits[:8] + ("0" if digits[8] != "0" else "1")
        with pytest.raises(certificate.NoCertificate):
            command("certificate", "show", wrong)
        with pytest.raises(UsageError):
            command("certificate", "show", digits[:7])


@pytest.mark.req("C13")
def test_delete_needs_force_and_reason(command: Command, alice: Identity) -> None:
    command("certificate", "import", command.file("a.pem", alice.pem + alice.key_pem))
    code, out = command("certificate", "delete", _print(alice))
    assert code == 1
    assert "old mail needs it" in out
    with pytest.raises(UsageError):
        command("certificate", "delete", _print(alice), "--force")
    assert command("certificate", "delete", _print(alice), "--force", "--reason", "gone")[0] == 0
    assert command.door.rows == {}


@pytest.mark.req("C3")
def test_the_trust_list(command: Command, alice: Identity) -> None:
    file = command.file("a.pem", alice.pem)
    denied = command.json("trust", "deny", file, "--key", "--reason", "stolen", "--until", "2999-12-31")
    allowed = command.json("trust", "allow", file, "--reason", "known by telephone", "--allow-expired")
    assert denied["digest"] == hashlib.sha256(parse(alice.der).spki).hexdigest()
    assert allowed["digest"] == _print(alice)
    first, second = command.json("trust", "list")
    assert (first["action"], first["reason"], first["allow_expired"]) == ("deny", "stolen", False)
    assert first["until"].startswith("3000-01-01")
    assert (second["action"], second["by"], second["allow_expired"]) == ("allow", "thumbprint", True)
    assert "known by telephone" in command("trust", "list")[1]
    assert command("trust", "remove", denied["id"])[0] == 0
    assert len(command.json("trust", "list")) == 1
    for bad in (["--until", "2001-01-01"], ["--until", "soon"]):
        with pytest.raises(UsageError):
            command("trust", "deny", file, "--reason", "x", *bad)
    with pytest.raises(UsageError):
        command("trust", "deny", file, "--reason", " ")
