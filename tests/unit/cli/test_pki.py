"""``letterlock pki check``: the readable form, its options and exit codes, and the batch."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.cli import main
from letterlock.cli import pki as command
from letterlock.confine.errors import ChildEnded, WorkFailed
from letterlock.pki.case import Case
from letterlock.pki.reasons import Reason
from tests.fakes.authority import Authority
from tests.fakes.revocation import make_answer, make_crl

ANCHOR = Authority.create("Anchor")
ISSUING = ANCHOR.intermediate("Issuing")
PERSON = ISSUING.issue("a@example.org", "p256")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    revoked = make_crl(ISSUING, {PERSON.certificate.serial_number: None})
    for name, octets in {
        "anchor.pem": ANCHOR.pem,
        "issuing.der": ISSUING.der,
        "person.pem": PERSON.pem,
        "chain.pem": PERSON.pem + ISSUING.pem,
        "revoked.der": revoked,
        "revoked.pem": _pem(revoked),
        "anchor.crl": make_crl(ANCHOR),
        "said.ocsp": make_answer(PERSON, ISSUING),
        "junk": b"junk",
    }.items():
        (tmp_path / name).write_bytes(octets)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _pem(octets: bytes) -> bytes:
    from cryptography import x509

    return x509.load_der_x509_crl(octets).public_bytes(Encoding.PEM)


def check(*words: str) -> int:
    return main.main(["pki", "check", *words])


@pytest.mark.req("C1")
@pytest.mark.usefixtures("folder")
def test_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("chain.pem", "--anchor", "anchor.pem", "--purpose", "sign", "--address", "a@example.org") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("good\n")
    assert "CN=Issuing" in printed
    assert "the same until 20" in printed


@pytest.mark.req("C1")
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["person.pem", "--anchor", "anchor.pem"], "untrusted"),
        (["chain.pem", "--anchor", "anchor.pem", "--address", "b@example.org"], "address-mismatch"),
        (["chain.pem", "--anchor", "anchor.pem", "--crl", "revoked.der"], "revoked"),
        (["chain.pem", "--anchor", "anchor.pem", "--crl", "revoked.pem"], "revoked"),
        (["chain.pem", "--anchor", "anchor.pem", "--revocation", "require"], "revocation-unknown"),
        (["chain.pem", "--anchor", "anchor.pem", "--at", "2050-01-01T00:00:00Z"], "expired"),
        (["chain.pem", "--anchor", "anchor.pem", "--policy", "1.2.3.4"], "policy"),
    ],
)
def test_not_good(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(*words, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    assert reason in told["reasons"]
    assert check(*words) == 1
    assert f"  {reason}: " in capsys.readouterr().out


@pytest.mark.req("C4")
@pytest.mark.usefixtures("folder")
def test_lists_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--anchor", "anchor.pem", "--intermediate", "issuing.der", "--crl", "anchor.crl", "--ocsp", "said.ocsp"]
    assert check("person.pem", *given, "--revocation", "require") == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "words",
    [[], ["person.pem", "--batch"], ["person.pem", "--at", "noon"], ["person.pem", "--purpose", "all"]],
)
def test_wrong_use(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = check(*words)
    except SystemExit as left:  # argparse
        code = int(left.code or 0)
    assert code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_files_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("junk") == 1
    assert check("absent.pem") == 2
    assert capsys.readouterr().err.count("letterlock: ") == 2


@pytest.mark.req("C4")
@pytest.mark.parametrize("octets", [b"", b"junk", ANCHOR.der, b"-----BEGIN X509 CRL-----\n%\n-----END X509 CRL-----\n"])
@pytest.mark.parametrize("option", ["--crl", "--ocsp"])
def test_a_list_that_cannot_be_read_is_refused_by_name(
    folder: Path, option: str, octets: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad").write_bytes(octets)
    good = {"--crl": "anchor.crl", "--ocsp": "said.ocsp"}[option]
    assert check("chain.pem", "--anchor", "anchor.pem", option, good, option, "bad") == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("letterlock: bad: The ") or "base64" in printed.err


@pytest.mark.req("C1")
@pytest.mark.usefixtures("folder")
def test_a_policy_that_is_no_oid_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("chain.pem", "--anchor", "anchor.pem", "--policy", "1.2.3", "--policy", "foo") == 1
    assert capsys.readouterr().err == "letterlock: --policy foo: Not a dotted OID.\n"


class _Forks:
    """A fork server whose children end as told."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def run(self, name: str, job: bytes) -> bytes:
        assert name in ("answer", "explain")
        assert job
        raise self._fault

    def stop(self) -> None:
        """Nothing to end."""


@pytest.mark.req("C1")
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("fault", "reason"), [(ChildEnded(), "too-complex"), (WorkFailed(), "invalid-path")])
def test_a_dead_child_is_a_no(
    fault: Exception, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.ForkServer, "start", lambda *_: _Forks(fault))
    assert check("person.pem", "--anchor", "anchor.pem", "--json") == 1
    assert json.loads(capsys.readouterr().out)["reasons"] == [reason]
    out = _run_batch(monkeypatch, b'{"id": 5, "leaf": "AAAA"}\n{"id": 6, "leaf": "AAAA"}\n')
    assert out == [{"id": each, "ok": False, "reasons": [reason]} for each in (5, 6)]


@pytest.mark.req("C1")
def test_lines_that_are_too_long_are_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MAX_LINE", 40)
    out = _run_batch(monkeypatch, b'{"id": 1}\n' + b"x" * 5000 + b'\n{"id": 2}')
    assert [each["id"] for each in out] == [1, None, 2]
    assert all(each["reasons"] == ["malformed-case"] for each in out)


@pytest.mark.req("C1")
def test_the_reference_tells_every_field_and_reason() -> None:
    said = (Path(__file__).parents[3] / "docs/reference/pki-check.md").read_text("utf-8")
    not_asked_here = {Reason.FORBIDDEN, Reason.NO_KEY, Reason.NOT_NEWEST}
    for word in (*Case.__struct_fields__, *(set(Reason) - not_asked_here)):
        assert f"`{word}`" in said, word


def _run_batch(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> list[dict[str, object]]:
    sink = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(octets)))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", SimpleNamespace(buffer=sink, flush=lambda: None))
        assert check("--batch") == 0
    return [json.loads(line) for line in sink.getvalue().splitlines()]
