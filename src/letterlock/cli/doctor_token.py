"""What ``doctor`` says of the PKCS #11 token: its module, its PIN, whether it answers.

Guarantees
    Nothing is loaded here: a module runs in the keyholder's signers only; whether it answers is asked of a gateway that
    runs.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from letterlock.cli.checks import Finding
from letterlock.cli.connect import Door
from letterlock.config.load import load
from letterlock.config.settings import Pkcs11
from letterlock.errors import LetterlockError
from letterlock.supervise import place

NAME = "token"


def _settings(state: Path) -> Pkcs11 | None:
    try:
        found = load(state / place.SETTINGS_FILE, os.environ).pkcs11
    except LetterlockError:  # said by another check
        return None
    return found if found.module else None


def files(state: Path) -> list[Finding]:
    """The module and the file of the PIN; nothing when no token is set."""
    settings = _settings(state)
    if settings is None:
        return []
    if not Path(settings.module).is_file():
        return [Finding(NAME, "bad", f"there is no module {settings.module}: set [pkcs11] module right")]
    scheme, _, value = settings.pin.partition(":")
    path = state / value
    if scheme == "file" and not path.is_file():
        return [Finding(NAME, "bad", f"there is no file {path} with the PIN: make it, with mode 0600")]
    if scheme == "file" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return [Finding(NAME, "bad", f"{path} is open to others: chmod 0600 {path}")]
    return [Finding(NAME, "good", f"{settings.module} and the PIN of {settings.token} are there")]


async def asked(door: Door) -> list[Finding]:
    """Whether the token answers the gateway that runs."""
    if _settings(door.state) is None:
        return []
    try:
        rows = await door.keyholder.list_token()
    except LetterlockError as fault:
        return [Finding(NAME, "bad", f"{fault.public} Mail that needs its keys waits")]
    used = sum(1 for row in rows if row["key"])
    return [Finding(NAME, "good", f"it answers: {len(rows)} keys, {used} of them in use")]
