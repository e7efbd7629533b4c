"""The reference page of all settings, made from their declarations: docs/reference/settings.md is what reference()
returns."""

from __future__ import annotations

from letterlock.policy.settings import ALL, GROUPS
from letterlock.policy.settings.declare import LEVELS, Setting

_HEAD = f"""# Settings

Generated from `policy/settings/`. A setting is in force from the last of these levels that has it:
{" < ".join(LEVELS)}. Of several wildcards (`*.example.org`) the most specific wins. `letterlock setting get NAME --user A`
shows the value in force and where it comes from.

*Side* says whose value counts: the gateway's, the sender's, the recipient's, or both combined as stated.
"""


def reference() -> str:
    """The page, in Markdown."""
    lines = [_HEAD]
    for title, _ in GROUPS:
        lines += [f"## {title}", ""]
        for setting in (each for each in ALL.values() if each.group == title):
            lines += [*_entry(setting), ""]
    return "\n".join(lines)


def _entry(setting: Setting[object]) -> list[str]:
    side = setting.side
    if setting.combiner is not None:
        side = f"both: {setting.combiner.doc}"  # type: ignore[assignment]
    shown = setting.kind.show(setting.default)
    return [
        f"### {setting.name}",
        "",
        setting.doc,
        "",
        f"- Value: {setting.kind.noun}.",
        f"- Factory: {f'`{shown}`' if shown else 'empty'}.",
        f"- Levels: {', '.join(setting.levels)}.",
        f"- Side: {side}.",
    ]
