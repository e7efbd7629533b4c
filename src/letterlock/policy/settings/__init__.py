"""Every policy setting, by name: one registry, from which the CLI, forms, checks and the reference page are made.

Order
    A module beside this one declares each group; a new setting is one declaration there and nothing else.

See also
    ``declare.py``, ``kinds.py``; docs/reference/settings.md (generated).
"""

from __future__ import annotations

from letterlock.policy.settings import (
    authority,
    encryption,
    fetching,
    lifetime,
    limits,
    mail,
    relay,
    smime,
    tagging,
    triggers,
)
from letterlock.policy.settings.declare import Setting, registry
from letterlock.policy.settings.kinds import SettingInvalid

GROUPS = (
    ("Addresses", mail),
    ("Encryption", encryption),
    ("Triggers", triggers),
    ("S/MIME", smime),
    ("Certificate authority", authority),
    ("Marks on incoming mail", tagging),
    ("Fetching", fetching),
    ("Ways", relay),
    ("Limits", limits),
    ("Times", lifetime),
)

ALL: dict[str, Setting[object]] = registry(GROUPS)


class SettingUnknown(SettingInvalid):
    """There is no such setting."""


def find(name: str) -> Setting[object]:
    """The setting of that name. Raises SettingUnknown, naming those that look like it."""
    import difflib

    try:
        return ALL[name]
    except KeyError:
        near = difflib.get_close_matches(name, ALL, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `letterlock setting list` shows all."
        raise SettingUnknown(f"There is no setting {name!r}{hint}") from None
