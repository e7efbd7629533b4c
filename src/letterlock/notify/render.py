"""A notice and its variables to subject and text.

Guarantees
    Templates run in a sandbox that cannot reach Python, files or settings, and see only the declared variables.
    Values are cleaned before any template sees them: no control characters, so no value makes a line of its own; each
    text and each list is bounded, and so is the result.

Raises
    ValueError when the notice is unknown, or when its variables are not the declared ones: a fault of the caller.

See also
    ``catalogue.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
import jinja2.sandbox

from letterlock.mail.compose import clean
from letterlock.notify.catalogue import CATALOGUE, Variable

Value = str | Sequence[str] | Sequence[Mapping[str, str]]

MAX_TEXT: Final = 500
MAX_ROWS: Final = 200
MAX_SUBJECT: Final = 250
MAX_BODY: Final = 256 << 10

_FOLDER: Final = Path(__file__).parent / "templates"
DEFAULT_LANGUAGE: Final = "en"


class Rendered(NamedTuple):
    """``subject``: one line; ``text``: lines ended by LF."""

    subject: str
    text: str


def render(notice: str, variables: Mapping[str, Value], language: str = DEFAULT_LANGUAGE) -> Rendered:
    """The notice in ``language``, or in English when it is not there."""
    declared = CATALOGUE.get(notice)
    if declared is None:
        raise ValueError(f"no notice {notice!r}")
    if set(variables) != set(declared.variables):
        raise ValueError(f"{notice} has the variables {sorted(declared.variables)}, not {sorted(variables)}")
    values = {name: _cleaned(name, given, declared.variables[name]) for name, given in variables.items()}
    subject = _template(language, notice, "subject.txt").render(values)
    text = _template(language, notice, "body.txt").render(values)
    return Rendered(clean(subject)[:MAX_SUBJECT], text[:MAX_BODY])


def languages() -> list[str]:
    """The languages there are templates in."""
    return sorted(each.name for each in _FOLDER.iterdir() if each.is_dir())


def _cleaned(name: str, given: Value, variable: Variable) -> Any:
    if isinstance(given, str) != (variable.kind == "text"):
        raise ValueError(f"{name} is of kind {variable.kind}")
    if isinstance(given, str):
        return clean(given)[:MAX_TEXT]
    rows = [_row(name, each, variable) for each in given[:MAX_ROWS]]
    more = len(given) - len(rows)
    return {"rows": rows, "more": more}


def _row(name: str, row: str | Mapping[str, str], variable: Variable) -> str | dict[str, str]:
    if variable.kind == "texts":
        if not isinstance(row, str):
            raise ValueError(f"{name} is a list of texts")
        return clean(row)[:MAX_TEXT]
    if isinstance(row, str) or set(row) != set(variable.columns):
        raise ValueError(f"each of {name} has {sorted(variable.columns)}")
    return {column: clean(text)[:MAX_TEXT] for column, text in row.items()}


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.sandbox.ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def _template(language: str, notice: str, file: str) -> jinja2.Template:
    return _environment().select_template([f"{language}/{notice}/{file}", f"{DEFAULT_LANGUAGE}/{notice}/{file}"])
