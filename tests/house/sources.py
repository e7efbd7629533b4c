"""What the house tests look at: our files, parsed once."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "letterlock"
TESTS = ROOT / "tests"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEST_MODULES = sorted(TESTS.rglob("*.py"))


@cache
def text(path: Path) -> str:
    """The file's text."""
    return path.read_text(encoding="utf-8")


@cache
def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(text(path), filename=str(path))


def name(path: Path) -> str:
    """The path as a test id: from the repository's root."""
    return str(path.relative_to(ROOT))


def packages() -> list[str]:
    """The names right below letterlock: packages and modules."""
    return sorted(
        entry.stem
        for entry in PACKAGE.iterdir()
        if (entry.suffix == ".py" and entry.stem != "__init__") or (entry.is_dir() and any(entry.glob("*.py")))
    )


def documents() -> list[Path]:
    """Every file that belongs to the repository: known to git, or new and not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    found = [ROOT / entry for entry in listing.stdout.decode().split("\0") if entry]
    return [path for path in found if path.is_file()]


def imports(path: Path) -> set[str]:
    """The full names of the modules that a file imports, those for type checking included."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found
