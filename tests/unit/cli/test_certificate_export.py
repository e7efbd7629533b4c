"""``certificate export``: what is asked before a private key leaves, and a file for each certificate of a domain."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from letterlock.cli import certificate_export, doctor_token, token_key
from letterlock.errors import PermanentError, UsageError
from letterlock.pki.pkcs11_uri import TokenUri, parse
from letterlock.vault.errors import KeyholderUnavailable, KeyRefused
from letterlock.vault.keys import Secret
from tests.fakes.authority import Authority, Identity

ALICE = "alice@example.org"


@pytest.fixture(scope="module")
def alice() -> Identity:
    return Authority.create("Anchor").issue(ALICE, "p256")


class Row:
    """A certificate as pki.show tells it."""

    def __init__(self, identity: Identity, key_id: UUID | None) -> None:
        self.der, self.key_id = identity.der, key_id


class Door:
    """Hands keys out, and keeps what was said when it did."""

    def __init__(self, error: Exception | None = None) -> None:
        self.keyholder = self
        self.error = error
        self.asked: list[tuple[Any, ...]] = []

    async def export_key(
        self, token: bytes, key: UUID, certificates: list[bytes], name: str, *, reason: str, form: str
    ) -> tuple[bytes, Secret]:
        self.asked.append((token, key, certificates, name, reason, form))
        if self.error:
            raise self.error
        return b"locked", Secret(b"pass-word")


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[Door]:
    """Who proved anew who they are."""
    made: list[Door] = []

    @contextlib.asynccontextmanager
    async def prove(door: Door) -> AsyncIterator[bytes]:
        made.append(door)
        yield b"fresh"

    monkeypatch.setattr(certificate_export, "prove_anew", prove)
    return made


def export(door: Door, rows: list[Row], *words: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    certificate_export.add_arguments(parser)
    return asyncio.run(certificate_export.run(parser.parse_args(words), door, rows, ()))  # type: ignore[arg-type]  # stand-ins


@pytest.mark.req("C10")
def test_a_key_leaves_with_the_proof_of_this_moment(
    alice: Identity, tmp_path: Path, proofs: list[Door], capsys: pytest.CaptureFixture[str]
) -> None:
    door, row, out = Door(), Row(alice, uuid4()), tmp_path / "out"
    assert export(door, [row], "--private", "--reason", "why", "--yes", "--out", str(out), "--json") == 0
    assert door.asked == [(b"fresh", row.key_id, [alice.der], ALICE, "why", "p12")]
    assert proofs == [door]
    assert out.read_bytes() == b"locked"
    assert out.stat().st_mode & 0o777 == 0o600
    assert json.loads(capsys.readouterr().out)["password"] == "pass-word"


@pytest.mark.req("C10")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--out", "x"), "needs --reason"),
        (("--out", "x", "--reason", "  "), "needs --reason"),
        (("--reason", "x"), "needs --out"),
        (("--reason", "x", "--out", "x", "--format", "der"), "p12 or pem"),
        (("--reason", "x", "--out", "x"), "no terminal"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_asked_for(
    alice: Identity, words: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    door = Door()
    with pytest.raises(UsageError, match=why):
        export(door, [Row(alice, uuid4())], "--private", *words)
    assert door.asked == []


@pytest.mark.req("C10")
@pytest.mark.parametrize(("said", "done"), [("export\n", True), ("yes\n", False), ("", False)])
def test_at_a_terminal_the_word_must_be_typed(
    alice: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, done: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(said))
    door, out = Door(), tmp_path / "out"
    with contextlib.nullcontext() if done else pytest.raises(UsageError, match="Nothing was exported"):
        export(door, [Row(alice, uuid4())], "--private", "--reason", "why", "--out", str(out))
    assert bool(door.asked) == out.exists() == done


@pytest.mark.req("C10")
@pytest.mark.parametrize("error", [KeyRefused("It is on a token."), KeyholderUnavailable()])
def test_a_refusal_leaves_no_file(alice: Identity, tmp_path: Path, error: Exception) -> None:
    out = tmp_path / "out"
    kind = PermanentError if isinstance(error, KeyRefused) else KeyholderUnavailable
    with pytest.raises(kind):
        export(Door(error), [Row(alice, uuid4())], "--private", "--reason", "why", "--yes", "--out", str(out))
    assert not out.exists()


@pytest.mark.req("C10")
def test_one_key_at_a_time_and_no_file_is_written_over(alice: Identity, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"mine")
    words = ("--private", "--reason", "why", "--yes", "--out", str(out))
    door = Door()
    for rows, error in (
        ([Row(alice, uuid4())] * 2, "one by one"),
        ([Row(alice, None)], "no private key"),
        ([Row(alice, uuid4())], "File exists"),
    ):
        with pytest.raises(PermanentError, match=error):
            export(door, rows, *words)
    assert door.asked == []
    assert out.read_bytes() == b"mine"


@pytest.mark.req("C10")
def test_one_file_that_cannot_be_written_stops_no_other(
    alice: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Authority.create().issue('"../../etc/x"@example.org', "p256")
    wide = Authority.create().issue("wide@example.org", "p256")
    (tmp_path / f"{ALICE}-{_print(alice)[:16]}.pem").mkdir()
    rows = [Row(each, None) for each in (alice, odd, wide)]
    assert export(Door(), rows, "--out", str(tmp_path), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["answer"] for each in told] == ["refused", "exported", "exported"]
    assert {Path(each["file"]).parent for each in told} == {tmp_path}
    with pytest.raises(UsageError, match="say --private"):
        export(Door(), rows, "--format", "p12")


def _print(identity: Identity) -> str:
    from letterlock.pki.certificate import parse as parsed

    return parsed(identity.der).thumbprint.hex()


@pytest.mark.req("M1")
@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("0aFF", TokenUri(id=b"\x0a\xff")),
        ("label:0aFF", TokenUri(object="0aFF")),
        ("old one", TokenUri(object="old one")),
        ("pkcs11:id=%01", TokenUri(id=b"\x01")),
    ],
)
def test_how_a_key_on_the_token_is_named(text: str, uri: TokenUri) -> None:
    assert parse(token_key.uri_of(text)) == uri


@pytest.mark.req("M1")
def test_what_doctor_sees_of_the_token_without_touching_it(tmp_path: Path) -> None:
    settings, pin, module = tmp_path / "letterlock.toml", tmp_path / "pin", tmp_path / "module.so"
    settings.write_text("")
    assert doctor_token.files(tmp_path) == []
    settings.write_text(f'[pkcs11]\nmodule = "{module}"\ntoken = "pkcs11:token=x"\npin = "file:pin"\n')
    steps: list[tuple[Callable[[], object], str, str]] = [
        (lambda: None, "bad", "no module"),
        (lambda: module.touch(), "bad", "no file"),
        (lambda: pin.touch(0o644), "bad", "open to others"),
        (lambda: pin.chmod(0o600), "good", "are there"),
    ]
    for step, state, words in steps:
        step()
        (found,) = doctor_token.files(tmp_path)
        assert (found.state, words in found.sentence) == (state, True), found
