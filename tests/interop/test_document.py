"""docs/interop.md says what the tests demand; the page for PKI.js's packages names no registry, and pins what it has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.interop.document import PAGE, made, region
from tests.interop.matrix import OK, RULES, TRIED, Cell, learned, refused, states

PEERS = Path(__file__).parent / "peers"


@pytest.mark.req("B16")
def test_the_page_is_the_table() -> None:
    assert region(PAGE.read_text(encoding="utf-8")) == made(), "run python -m tests.interop.document"


@pytest.mark.req("B16")
def test_every_cell_that_is_not_ok_has_its_reason() -> None:
    for directions in RULES.values():
        for rules in directions.values():
            for pattern, rule in rules:
                assert (rule.state == "ok") == (not rule.reason), pattern
                assert (rule.state in ("refused", "learned")) == bool(rule.says), pattern
                re.compile(rule.says)


def test_npm_packages_are_pinned() -> None:
    lock = json.loads((PEERS / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in lock["packages"].items():
        if name:
            assert package["integrity"].startswith("sha512-"), name
            assert "resolved" not in package, name
    assert lock["packages"]["node_modules/pkijs"]["version"] in TRIED["PKI.js"]


@pytest.mark.parametrize(
    ("version", "rule", "right"),
    [
        ("3.0.2", learned("", ""), {"refused"}),
        ("3.0.99", learned("", ""), {"refused"}),  # the last number is a patch
        ("3.2.1", learned("", ""), {"ok", "refused"}),
        ("3.5.0", learned("", ""), {"ok"}),
        ("3.5.9", learned("", "", by=2), {"refused"}),
        ("3.6.0", learned("", "", by=2), {"ok"}),
        ("3.6.9", refused("", ""), {"refused"}),
        ("4.0.0", refused("", ""), {"ok", "refused"}),
        ("4.0.0", learned("", ""), {"ok"}),
        ("4.0.0", OK, {"ok"}),
    ],
)
def test_what_is_right_with_a_version(version: str, rule: Cell, right: set[str]) -> None:
    assert states("openssl", version, rule) == right


def test_what_is_pinned_may_learn_nothing_unseen() -> None:
    assert states("PKI.js", "9.9.9", refused("", "")) == {"refused"}
