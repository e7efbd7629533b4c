"""The SQL of the schema, as it lies in the package: one tree, readable in one sitting.

Order
    roles.sql, types.sql, migrations/ by number, grants.sql, functions/<schema>/<name>.sql.

See also
    ``migrate.py``, which applies it.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import LiteralString, NamedTuple


class SqlFile(NamedTuple):
    """``name``: '0001_queue' or 'queue.accept'; ``sha256``: of its text, 64 hexadecimal digits."""

    name: str
    text: LiteralString
    sha256: str


def _file(name: str, path: Traversable) -> SqlFile:
    text: LiteralString = path.read_text("utf-8")
    return SqlFile(name, text, hashlib.sha256(text.encode()).hexdigest())


def _tree() -> Traversable:
    return files("letterlock.database") / "sql"


def read(name: str) -> LiteralString:
    """The text of one file directly under sql/."""
    return _file(name, _tree() / name).text


def one(name: str) -> SqlFile:
    """One file directly under sql/, named with its suffix."""
    return _file(name, _tree() / name)


def migrations() -> list[SqlFile]:
    """The numbered files, in order."""
    found = [path for path in (_tree() / "migrations").iterdir() if path.name.endswith(".sql")]
    return [_file(path.name.removesuffix(".sql"), path) for path in sorted(found, key=lambda path: path.name)]


def functions() -> list[SqlFile]:
    """Every function file, by name."""
    found = [
        _file(f"{folder.name}.{path.name.removesuffix('.sql')}", path)
        for folder in (_tree() / "functions").iterdir()
        if folder.is_dir()
        for path in folder.iterdir()
        if path.name.endswith(".sql")
    ]
    return sorted(found)
