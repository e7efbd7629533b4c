"""The database is reached through named functions only, and each name stands in its three places."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from letterlock import processes
from tests.house.sources import MODULES, PACKAGE, name, text, tree

SQL = PACKAGE / "database" / "sql"
CALLS = sorted(PACKAGE.rglob("calls.py"))
STATEMENT = re.compile(
    r"\s*(select\s.*\bfrom\b|insert\s+into\b|update\s+[\w.]+\s+set\b|delete\s+from\b|set\s+(local\s+)?role\b"
    r"|(create|alter|drop)\s+(table|function|role|schema|index|type|database)\b|(grant|revoke)\s+\w+\s+on\b)",
    re.IGNORECASE | re.DOTALL,
)
FUNCTION_NAME = re.compile(r"[a-z]+\.[a-z_]+")


def _texts(path: Path) -> list[str]:
    """Every text literal but docstrings; pieces of f-strings too."""
    pages = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pages
    ]


@pytest.mark.req("I5")
@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name != "database"], ids=name)
def test_no_sql_outside_the_database_package(path: Path) -> None:
    assert not [words for words in _texts(path) if STATEMENT.match(words)]


@pytest.mark.req("I4")
@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "calls.py"], ids=name)
def test_only_calls_call(path: Path) -> None:
    if path.parent.name == "database":
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call":
            first = node.args[0] if node.args else None
            assert not (
                isinstance(first, ast.Constant)
                and isinstance(first.value, str)
                and FUNCTION_NAME.fullmatch(first.value)
            ), f"line {node.lineno}"


@pytest.mark.req("I4")
@pytest.mark.parametrize("path", CALLS, ids=name)
def test_one_name_in_its_places(path: Path) -> None:
    """Package = schema = folder of functions; each Python twin has its SQL file."""
    package = path.parent.name
    functions = SQL / "functions" / package
    assert functions.is_dir()
    schemas = "\n".join(text(file) for file in [SQL / "roles.sql", *sorted((SQL / "migrations").glob("*.sql"))])
    assert re.search(rf"'{package}'|\bcreate schema (if not exists )?{package}\b", schemas, re.IGNORECASE)
    written = {file.stem for file in functions.glob("*.sql")}
    twins = {
        node.name
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    }
    assert twins <= written, f"without a SQL file: {sorted(twins - written)}"


def test_every_process_has_its_role() -> None:
    roles = text(SQL / "roles.sql")
    for process in processes.TABLE:
        assert re.search(rf"\b{process.role}\b", roles), process.role


def test_processes_name_stations_that_exist() -> None:
    for process in processes.TABLE:
        path = PACKAGE.joinpath(*process.module.split(".")[1:]).with_suffix(".py")
        assert path.is_file(), process.module
        assert any(isinstance(node, ast.AsyncFunctionDef) and node.name == "run" for node in tree(path).body), (
            f"{process.module} has no run()"
        )
