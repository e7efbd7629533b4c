"""Mail with protected header fields that nobody here made (the draft before RFC 9788), as inspect tells it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli import main

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
