"""``letterlock inspect`` as its users see it: answer, exit code, file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.cli import main
from letterlock.smime.errors import SENTENCES, VERDICTS
from tests.fakes.people import (
    MIME_VERSION,
    TEXT,
    authority,
    encrypted,
    person,
    signed,
    signed_and_encrypted,
    signed_entity,
)
from tests.fakes.revocation import make_answer, make_crl

ALICE, BOB = person("alice"), person("bob")


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Asks about these octets; exit code and answer."""
    key = BOB.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = base64.encodebytes(BOB.der)
    pem = key + b"-----BEGIN CERTIFICATE-----\n" + certificate + b"-----END CERTIFICATE-----\n"
    (tmp_path / "bob.pem").write_bytes(pem)
    (tmp_path / "ca.pem").write_bytes(authority().pem)

    def asked(octets: bytes, *words: str, key: bool = True, trust: bool = True) -> tuple[int, dict[str, Any]]:
        (tmp_path / "m.eml").write_bytes(octets)
        more = [*(["--key", str(tmp_path / "bob.pem")] if key else [])]
        more += ["--trust", str(tmp_path / "ca.pem")] if trust else []
        code = main.main(["inspect", str(tmp_path / "m.eml"), "--json", *more, *words])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, json.loads(printed.out) if printed.out else {"error": printed.err}

    return asked


@pytest.mark.req("B2")
def test_signed_and_encrypted(ask: Any, tmp_path: Path) -> None:
    code, answer = ask(signed_and_encrypted(TEXT, ALICE, BOB), "--out", str(tmp_path / "out.eml"))
    assert (code, answer["verdict"], answer["from_covered"], answer["written"]) == (0, "ok", True, True)
    sealed, signature = answer["layers"]
    assert (sealed["type"], sealed["algorithms"], sealed["opened_by"]) == (
        "encrypted",
        ["aes256-cbc"],
        ["bob@example.net"],
    )
    assert (signature["type"], signature["addresses"], signature["from_covered"]) == (
        "signed",
        ["alice@example.org"],
        True,
    )
    assert b"Hello w" in (tmp_path / "out.eml").read_bytes()
    assert (tmp_path / "out.eml").stat().st_mode & 0o77 == 0


@pytest.mark.req("B1", "B2")
def test_what_is_wrong_is_said_and_nothing_written(ask: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.eml"
    code, answer = ask(encrypted(TEXT, BOB), "--out", str(out), key=False)
    assert (code, answer["verdict"], answer["written"], out.exists()) == (1, "not-for-us", False, False)
    code, answer = ask(signed(TEXT, ALICE), trust=False)
    assert (code, answer["verdict"], answer["from_covered"]) == (1, "untrusted", False)
    code, answer = ask(signed(TEXT, ALICE).replace(b"Hello", b"HELLO"))
    assert (code, answer["verdict"]) == (1, "bad-signature")
    code, answer = ask(signed(TEXT.replace(b"alice@example.org", b"x@example.org"), ALICE))
    assert (code, answer["verdict"]) == (1, "address-mismatch")


@pytest.mark.req("B1", "C2", "C4")
def test_revocation_by_the_files_that_are_named(ask: Any, tmp_path: Path) -> None:
    message = signed(TEXT, ALICE)
    crl, ocsp = tmp_path / "list.crl", tmp_path / "answer.der"
    code, answer = ask(message, "--revocation", "hard")
    assert (code, answer["verdict"]) == (1, "revocation-unknown")
    assert "no CRL at hand" in answer["layers"][0]["signers"][0]["revocation"]
    crl.write_bytes(make_crl(authority(), {ALICE.certificate.serial_number: None}))
    for mode, verdict in (("none", "ok"), ("soft", "revoked"), ("hard", "revoked")):
        assert ask(message, "--crl", str(crl), "--revocation", mode)[1]["verdict"] == verdict
    code, answer = ask(message, "--crl", str(crl))
    assert "by the CRL of" in answer["layers"][0]["signers"][0]["revocation"]
    ocsp.write_bytes(make_answer(ALICE, authority()))
    assert ask(message, "--ocsp", str(ocsp), "--revocation", "hard")[0] == 0
    crl.write_bytes(b"no list")
    assert ask(message, "--crl", str(crl))[0] == 1
    assert ask(message, "--crl", str(tmp_path / "nowhere"))[0] == 2


@pytest.mark.req("B2")
def test_line_feeds_that_were_signed_are_valid_and_said(ask: Any) -> None:
    """A saved file with line feeds was signed in canonical form; content signed with line feeds was not."""
    code, answer = ask(signed(TEXT, ALICE).replace(b"\r\n", b"\n"))
    assert (code, answer["layers"][0]["canonical"]) == (0, True)
    head, _, body = TEXT.partition(b"Content-Type")
    entity = (b"Content-Type" + body).replace(b"\r\n", b"\n")
    parts = signed_entity([entity], ALICE)
    code, answer = ask(b"".join((head.replace(b"MIME-Version: 1.0\r\n", b""), MIME_VERSION, *parts)))
    assert (code, answer["verdict"], answer["layers"][0]["canonical"]) == (0, "ok", False)


HOSTILE = {
    "empty": b"",
    "nul": b"\0" * 10_000,
    "cut": encrypted(TEXT, BOB)[:1200],
    "huge claims": b"Content-Type: application/pkcs7-mime\r\n\r\n"
    b"\x30\x84\x40\0\0\0\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"
    b"\xa0\x84\x3f\xff\xff\xf0",
    "deep": b"Content-Type: application/pkcs7-mime\r\n\r\n" + b"\x30\x80" * 50_000,
    "no end": b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n",
}


@pytest.mark.req("B2")
@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_get_an_answer(ask: Any, octets: bytes) -> None:
    code, answer = ask(octets)
    assert code in (0, 1)
    assert answer.get("verdict", "") in VERDICTS or answer["error"].count("\n") == 1


def test_a_missing_file_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["inspect", "/nowhere/m.eml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_verdict_has_its_sentence() -> None:
    assert set(SENTENCES) == set(VERDICTS)
    assert all(each.endswith(".") and "\n" not in each for each in SENTENCES.values())
