"""The documents name what exists; no file names a machine or a registry; every feature has its proof."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.house.sources import PACKAGE, ROOT, TEST_MODULES, documents, name, text

WALKS = sorted((ROOT / "docs" / "walks").glob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
TARGETS = "demo test test-fast check fmt bench crash vectors fuzz scan generate"
EXPECTED = (
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/limitations.md",
    "docs/glossary.md",
    "docs/standards.md",
    "docs/performance.md",
)

FEATURES = re.findall(
    r"\w+",
    "A1 A2 A3 A5 A6 A7 A8 A9 A12 A13 A14 A21 A22 B1 B2 B3 B4 B7 B8 B15"
    " B5 B6 B9 B10 B11 B12 B13 B14 B16 A15 A16 A17 A18 M1 M2"
    " C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C12 C13 C14 G4 I1 I2 I3 I4 I5 I6 I7 I10 J3",
)
"""The ids of what this version has to show."""

# Written in two halves so that this file does not find itself.
UNWELCOME = re.compile(
    "|".join(
        (
            r"pypi" + r"\.org",
            r"python" + r"hosted",
            r"registry\.npm" + r"js",
            r"deb\.debian" + r"\.org",
            r"--(extra-)?index" + r"-url",
            r"(?<!no-emit-)(?<!no-emit)find" + r"-links",
            r"(?<![\w.])/wo" + r"rk/",
            r"(?<![\w.])/ro" + r"ot/",
            r"(?<![\w.])/ho" + r"me/[a-z]",
            r"/opt/" + r"(wheels|pypi)",
        )
    )
)
REGULAR_USE = re.compile(r"no-emit-index" + r"-url")


@pytest.mark.parametrize("path", [ROOT / entry for entry in EXPECTED], ids=name)
def test_document_exists(path: Path) -> None:
    assert path.is_file()
    assert len(path.read_bytes()) > 200


def test_no_machine_path_and_no_registry() -> None:
    found = []
    for path in documents():
        octets = path.read_bytes()
        if b"\0" in octets[:8000]:
            continue
        for number, line in enumerate(octets.decode("utf-8", "replace").splitlines(), 1):
            if UNWELCOME.search(line) and not REGULAR_USE.search(line):
                found.append(f"{name(path)}:{number}")
    assert not found


@pytest.mark.parametrize("path", WALKS, ids=name)
def test_walk_names_real_files(path: Path) -> None:
    named = set(re.findall(r"`([a-z0-9_/]+\.(?:py|sql|md))`", text(path)))
    assert named, "a walk names the file of each step"
    for entry in named:
        places = [PACKAGE / entry, PACKAGE / "database" / entry, ROOT / entry]
        assert any(place.is_file() for place in places), entry


def test_there_are_walks() -> None:
    assert {path.stem for path in WALKS} >= {"outgoing", "incoming", "run", "fetching"}


@pytest.mark.parametrize(
    "path",
    [ROOT / entry for entry in ("ARCHITECTURE.md", "SECURITY.md", "docs/limitations.md", "docs/standards.md")],
    ids=name,
)
def test_document_names_real_files(path: Path) -> None:
    for entry in set(re.findall(r"`([a-z0-9_]+/[a-z0-9_/]+\.(?:py|sql))`", text(path))):
        assert (PACKAGE / entry).is_file() or (ROOT / entry).is_file(), entry


def test_every_standard_that_is_cited_is_listed() -> None:
    cited: dict[str, str] = {}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql")]):
        cited |= {number: name(path) for number in re.findall(r"\bRFC (\d{3,5})\b", text(path))}
    listed = set(re.findall(r"\b\d{3,5}\b", text(ROOT / "docs/standards.md")))
    assert not {number: path for number, path in cited.items() if number not in listed}


def test_every_standard_that_is_listed_is_cited_where_the_list_says() -> None:
    astray = []
    for line in text(ROOT / "docs/standards.md").splitlines():
        cells = line.strip("|").split("|")
        if len(cells) != 4 or not cells[0].strip().startswith("RFC "):
            continue
        sources = []
        for entry in re.findall(r"`([a-z0-9_/.]+)`", cells[3]):
            place = PACKAGE / entry
            sources += sorted(place.rglob("*.py")) if place.is_dir() else [place]
        assert sources, line
        cited = {number for path in sources for number in re.findall(r"\bRFC (\d{3,5})\b", text(path))}
        astray += [number for number in re.findall(r"\d{3,5}", cells[0]) if number not in cited]
    assert not astray


@pytest.mark.parametrize("path", DECISIONS, ids=name)
def test_decision_has_its_parts(path: Path) -> None:
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+", path.stem)
    for part in ("Date:", "## Decision", "## Why", "## What would change it"):
        assert part in text(path), part


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_makefile_has_these_targets_and_no_other_runner_exists() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", text(ROOT / "Makefile"), re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(TARGETS.split())
    for other in ("tox.ini", "noxfile.py", "justfile", "Taskfile.yml", "setup.py"):
        assert not (ROOT / other).exists()


def _pinned(path: Path) -> dict[str, str]:
    pins: dict[str, str] = {}
    for entry in re.split(r"(?<!\\)\n", text(path)):
        if not entry.strip() or entry.startswith("#"):
            continue
        line = re.fullmatch(r"([a-z0-9-]+)==(\S+)(?: ; [^\\]+?)?((?: \\\n +--hash=sha256:[0-9a-f]{64})+)", entry)
        assert line, f"{name(path)}: {entry.splitlines()[0]}"
        pins[line[1]] = line[2]
    return pins


def test_requirements_are_pinned_hashed_and_one_resolution() -> None:
    run, test = _pinned(ROOT / "requirements/run.txt"), _pinned(ROOT / "requirements/test.txt")
    assert run
    assert run.items() <= test.items()


def test_package_and_requirements_ask_for_the_same() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["dependencies"]
    wanted = [line for line in text(ROOT / "requirements/run.in").splitlines() if line and not line.startswith("#")]
    assert sorted(project) == sorted(wanted)


@pytest.mark.parametrize("feature", FEATURES)
def test_feature_has_its_proof(feature: str) -> None:
    mark = re.compile(rf"mark\.req\((?:\s*\"[A-Z]\d+\",)*\s*\"{feature}\"")
    assert any(mark.search(text(path)) for path in TEST_MODULES), f"no test is marked req({feature!r})"


def test_attacks_name_tests_that_exist_and_none_is_missing() -> None:
    """docs/attacks.md: `file.py::test` of tests/attacks; each file of attacks stands there."""
    page = text(ROOT / "docs" / "attacks.md")
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", page)
    folder = ROOT / "tests" / "attacks"
    assert {file for file, _ in named} == {path.name for path in folder.glob("test_*.py")}
    missing = [f"{file}::{test}" for file, test in named if test and f"def {test}(" not in text(folder / file)]
    assert not missing
