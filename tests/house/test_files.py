"""Each file: short, named plainly, with its manual page; each function short; nothing left open."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.sources import MODULES, PACKAGE, ROOT, TEST_MODULES, name, text, tree

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
FORBIDDEN = frozenset(
    re.findall(r"\w+", "util utils helper helpers common misc base core manager service services tools lib stuff")
)
OTHERS = sorted([*(ROOT / "bench").rglob("*.py"), *(ROOT / "demo").rglob("*.py")])
OURS = [*MODULES, *TEST_MODULES, *OTHERS]

ours = pytest.mark.parametrize("path", OURS, ids=name)
product = pytest.mark.parametrize("path", MODULES, ids=name)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@ours
def test_file_is_short(path: Path) -> None:
    assert len(text(path).splitlines()) <= LONGEST_FILE


@ours
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, node.name


@ours
def test_name_says_something(path: Path) -> None:
    words = {word for part in path.relative_to(ROOT).with_suffix("").parts for word in re.split(r"[_.]", part)}
    assert not words & FORBIDDEN


@ours
def test_file_has_its_manual_page(path: Path) -> None:
    page = ast.get_docstring(tree(path))
    assert page, "say what this file is for"
    first, *rest = page.split("\n\n")[0].splitlines()
    assert first, "the first line says what"
    assert len(" ".join([first, *rest])) <= 240, "the first sentence is one line, or two"


def _public(body: list[ast.stmt]) -> list[Function | ast.ClassDef]:
    return [node for node in body if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")]


@product
def test_public_names_are_explained(path: Path) -> None:
    """Functions, classes, and longer methods of classes without a base: an override means what its base says."""
    bare = []
    for node in _public(tree(path).body):
        if not ast.get_docstring(node):
            bare.append(node.name)
        if isinstance(node, ast.ClassDef) and not node.bases:
            bare += [
                f"{node.name}.{method.name}"
                for method in _public(node.body)
                if isinstance(method, Function)
                and not ast.get_docstring(method)
                and (method.end_lineno or 0) - method.lineno > 5
            ]
    assert not bare, f"without a docstring: {', '.join(bare)}"


@ours
def test_nothing_is_left_open(path: Path) -> None:
    if path == Path(__file__):
        return
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError", text(path))


@product
def test_ignored_warnings_have_a_reason(path: Path) -> None:
    """A code at least; and words, but for names that are those of the other side (A001 to A003) or of a Protocol."""
    for number, line in enumerate(text(path).splitlines(), 1):
        mark = re.search(r"# (?:noqa: ?([A-Z]+[0-9]+)(?:, ?[A-Z]+[0-9]+)*|type: ignore\[([a-z-]+)\])(.*)$", line)
        if re.search(r"#\s*(noqa|type: ignore)", line):
            assert mark, f"line {number}: name the warning"
            assert mark[2] or mark[1] in ("A001", "A002", "A003", "D102") or re.search(r"[a-z]{3}", mark[3]), (
                f"line {number}: say why"
            )


@product
def test_no_print_outside_the_command_line(path: Path) -> None:
    """Standard output belongs to commands; everything else logs."""
    if path.relative_to(PACKAGE).parts[0] in ("cli", "__main__.py"):
        return
    calls = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls


@pytest.mark.parametrize("path", TEST_MODULES, ids=name)
def test_no_test_steps_aside(path: Path) -> None:
    """A missing tool fails; it does not skip. A test that cannot fail is none."""
    if path == Path(__file__):
        return
    assert not re.search(r"pytest\.skip\(|mark\.skip|skipif|importorskip|mark\.xfail|assert True\b", text(path))
