"""Mail with protected header fields that nobody here made (the draft before RFC 9788), as inspect tells it."""

from __future__ import annotations

import asyncio
import json
import os
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest

from letterlock.cli import main
from letterlock.cli.certificate_import import read_file
from letterlock.cli.inspect import _Keys
from letterlock.flow.reveal import reveal
from letterlock.mail.message import Message
from letterlock.smime.header_protection import protected
from letterlock.smime.peel import peel

FOLDER = (
    Path(os.environ.get("LETTERLOCK_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
    / "protected-headers"
)
CONTRACT = "BarCorp contract signed, let's go!"
SUBJECTS = {
    "smime-enc+legacy-disp": CONTRACT,
    "smime-multipart-signed": "The FooCorp contract",
    "smime-onepart-signed": "The FooCorp contract",
    "smime-sign+enc+legacy-disp": CONTRACT,
    "smime-sign+enc": CONTRACT,
}


def told(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Exit code and answer."""
    words = ("--key", str(FOLDER / "bob.p12"), "--password", "bob", "--trust", str(FOLDER / "sample-ca.pem"))
    code = main.main(["inspect", str(FOLDER / name), *words, "--at", "2019-12-01T00:00:00Z", "--json"])
    return code, json.loads(capsys.readouterr().out)


if FOLDER.is_dir():

    @pytest.mark.req("B13", "B16")
    @pytest.mark.parametrize("name", SUBJECTS)
    def test_the_protected_subject_is_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, answer = told(f"{name}.eml", capsys)
        assert (code, answer["verdict"]) == (0, "ok")
        assert answer["protected_header"]["subject"] == SUBJECTS[name]
        assert answer["from_covered"] == ("enc+" not in name or "sign" in name)

    @pytest.mark.req("B13")
    @pytest.mark.parametrize("path", sorted(FOLDER.glob("pgpmime-*.eml")), ids=lambda path: path.stem)
    def test_openpgp_protects_nothing_here(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, answer = told(path.name, capsys)
        assert (code, answer["layers"], answer["protected_header"]) == (0, [], None)

    @pytest.mark.req("B13")
    @pytest.mark.parametrize("name", SUBJECTS)
    def test_what_a_reader_sees(name: str) -> None:
        """The subject in its place; the display element only where a signature would break without it."""
        key = read_file(str(FOLDER / "bob.p12"), "bob")
        peeled = asyncio.run(peel(Message((FOLDER / f"{name}.eml").read_bytes()), _Keys([key])))
        found = protected(peeled.message, peeled.layers, peeled.payload)
        seen = cast("EmailMessage", message_from_bytes(bytes(reveal(peeled, found).octets), policy=default))
        assert seen["Subject"] == SUBJECTS[name]
        if "sign" not in name:
            (text,) = (part.get_content() for part in seen.walk() if part.get_content_type() == "text/plain")
            assert name in text and not text.startswith("Subject: ")
        else:
            assert (
                bytes(seen) == bytes(message_from_bytes(bytes(peeled.opened.octets), policy=default)) or "enc" in name
            )
            assert name.encode() in bytes(peeled.bare().octets)
