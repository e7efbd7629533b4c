"""The annotated letterlock.toml and the reference page of its settings, made from the table in ``settings.py``.

Guarantees
    The sample, loaded, gives the defaults. docs/reference/configuration.md is what reference() returns; a test
    compares.
"""

from __future__ import annotations

from letterlock.config.load import Key, sections, variable
from letterlock.config.settings import Listen

_HEAD = """\
# letterlock.toml: what Letterlock needs to start. Everything else is set with `letterlock setting`.
# Each key can also be given as an environment variable, or as a file that <VARIABLE>_FILE names.
"""


def toml(value: object) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple) and not isinstance(value, Listen):
        return f"[{', '.join(toml(each) for each in value)}]"
    text = "" if value is None else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def sample(values: dict[str, dict[str, object]] | None = None) -> str:
    """The annotated file. ``values``: by section and key, written instead of the default and not commented out."""
    lines = [_HEAD]
    for name, (_, keys) in sections().items():
        lines.append(f"[{name}]")
        for key, declared in keys.items():
            given = (values or {}).get(name, {})
            lines.append(f"# {declared.doc}")
            lines.append(f"{key} = {toml(given[key])}" if key in given else f"# {key} = {toml(declared.default)}")
        lines.append("")
    return "\n".join(lines)


def reference() -> str:
    """The reference page, in Markdown."""
    lines = [
        "# letterlock.toml",
        "",
        "Generated from `config/settings.py`. Only what is needed to start stands here; all else is a policy setting",
        "([settings](settings.md)).",
        "An environment variable goes before the file. With `_FILE` added to its name it names a file that holds the",
        "value: use that for secrets.",
        "",
    ]
    for name, (kind, keys) in sections().items():
        lines += [f"## [{name}]", "", (kind.__doc__ or "").strip(), "", "| key | default | variable | meaning |"]
        lines.append("|---|---|---|---|")
        lines += [_row(name, declared) for key, declared in keys.items()]
        lines.append("")
    return "\n".join(lines)


def _row(section: str, declared: Key) -> str:
    return f"| `{declared.name}` | `{toml(declared.default)}` | `{variable(section, declared.name)}` | {declared.doc} |"
